"""Commits of this repository and of others, with real git."""

import os
import subprocess
from pathlib import Path

import pytest

from wherry.release import ReleaseError, git

TIME = "2026-01-02T03:04:05+00:00"


def run(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{fact}": "ana@example.com" for role in ("AUTHOR", "COMMITTER") for fact in ("NAME", "EMAIL")}
    environment = {
        **os.environ,
        **who,
        "GIT_AUTHOR_DATE": TIME,
        "GIT_COMMITTER_DATE": TIME,
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with one commit, a tag and a branch."""
    folder = tmp_path / "origin"
    (folder / "dbt").mkdir(parents=True)
    (folder / "dbt/a.sql").write_text("select 1")
    run(folder, "init", "--quiet", "--initial-branch=main")
    run(folder, "add", ".")
    run(folder, "commit", "--quiet", "-m", "first")
    run(folder, "tag", "v1")
    return folder


def test_the_head_of_a_clean_folder(origin: Path) -> None:
    """A commit and its time; nothing outside git or with uncommitted changes."""
    assert git.head(origin / "dbt") == git.Commit(run(origin, "rev-parse", "HEAD"), TIME)
    (origin / "elsewhere.txt").write_text("x")
    assert git.head(origin / "dbt") is not None
    (origin / "dbt/b.sql").write_text("x")
    assert git.head(origin / "dbt") is None


def test_no_commit_outside_git(tmp_path: Path) -> None:
    """A plain folder has no commit."""
    assert git.head(tmp_path) is None


@pytest.mark.parametrize("ref", ["main", "v1"])
def test_a_checkout_resolves_its_ref(origin: Path, tmp_path: Path, ref: str) -> None:
    """One commit without history, and which one it is."""
    into = tmp_path / "into"
    into.mkdir()
    commit = git.checkout(f"file://{origin}", ref, into, protocols="file")
    assert commit == git.Commit(run(origin, "rev-parse", "HEAD"), TIME)
    assert (into / "dbt/a.sql").read_text() == "select 1"


@pytest.mark.parametrize(
    "url", ["file:///etc", "ext::sh -c 'touch /tmp/pwned'", "--upload-pack=touch", "git://example.com/x"]
)
def test_only_https_and_ssh_are_spoken(tmp_path: Path, url: str) -> None:
    """Other transports run programs, read this machine, or are not encrypted."""
    with pytest.raises(ReleaseError, match="git says"):
        git.checkout(url, "main", tmp_path)
    assert not Path("/tmp/pwned").exists()


def test_an_unknown_ref_is_refused_in_gits_words(origin: Path, tmp_path: Path) -> None:
    """The message holds the address, the ref and git's own error."""
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ReleaseError, match=r"at nowhere: git says: .*couldn't find remote ref nowhere"):
        git.checkout(f"file://{origin}", "nowhere", into, protocols="file")


def test_hooks_do_not_run(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template's post-checkout hook would run on checkout, were hooks not off."""
    hook = tmp_path / "template/hooks/post-checkout"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    config = tmp_path / "home/.gitconfig"
    config.parent.mkdir()
    config.write_text(f"[init]\n\ttemplateDir = {tmp_path}/template\n")
    monkeypatch.setenv("HOME", str(config.parent))
    into = tmp_path / "into"
    into.mkdir()
    git.checkout(f"file://{origin}", "main", into, protocols="file")
    assert (into / ".git/hooks/post-checkout").exists()
    assert not (tmp_path / "ran").exists()


def test_missing_git_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git can still release a project by path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.head(tmp_path) is None
    with pytest.raises(ReleaseError, match="expected git to be installed"):
        git.checkout("https://example.com/x.git", "main", tmp_path)
