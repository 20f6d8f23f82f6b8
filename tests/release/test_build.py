"""Making a release, by the real runner and the real dbt."""

import os
import re
import shutil
import stat
import time
from pathlib import Path

import pytest

from tests.release.conftest import RULES, Builder, make_team
from tests.release.test_git import run
from wherry.release import Release, ReleaseError, build_release, git, load_release, read_manifest
from wherry.release.images import LocalImageStore
from wherry.settings import runner_python


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def home_of(release: Release) -> Path:
    return release.manifest_path.parents[1]


def test_a_release_holds_what_rendering_and_pods_need(shared: Release) -> None:
    """The project's files, a profiles.yml, dbt's slices and the slim manifest, and who made them."""
    files = set(tree(home_of(shared) / shared.id))
    assert {"manifest.json", "tasks.jsonl", "image/profiles/profiles.yml", "image/project/dbt_project.yml"} <= files
    assert any(name.startswith("image/slices/") for name in files)
    assert shared.image == f"wherry.local/growth-tiny:{shared.id}"
    assert (shared.adapter, shared.dbt_version[:5]) == ("postgres", "1.11.")
    assert not any("target" in Path(name).parts or "logs" in Path(name).parts for name in files)


def test_the_same_input_gives_the_same_bytes(shared: Release, repository: Path, release_tiny: Builder) -> None:
    """Another folder, another time, another environment: not one byte differs, release.json included."""
    again = release_tiny(nodes=RULES).release
    assert tree(home_of(again)) == tree(home_of(shared))


def test_the_machines_variables_stay_out(shared: Release) -> None:
    """A project's Jinja runs while it is released; it finds no variable of the machine that releases."""
    content = b"".join(tree(home_of(shared)).values())
    assert b"of-the-machine-that-releases" not in content
    assert b"the variable is not there" in content


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (
            ("models/a.sql", "select * from {{ ref('nowhere') }}"),
            "depends on a node named 'nowhere' which was not found",
        ),
        (("packages.yml", "packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}]"), "dbt deps"),
    ],
)
def test_a_broken_project_is_refused_in_dbts_own_words(
    repository: Path, release_tiny: Builder, tmp_path: Path, broken: tuple[str, str], words: str
) -> None:
    """Nothing is written."""
    (repository / "dbt/tiny" / broken[0]).write_text(broken[1])
    with pytest.raises(ReleaseError) as error:
        release_tiny()
    assert words in re.sub(r"\s+", " ", str(error.value))
    assert tree(tmp_path / "releases") == {}


def test_a_function_is_refused(repository: Path, release_tiny: Builder) -> None:
    """dbt would create it before the models that call it; among our tasks none does, and they would fail later."""
    functions = repository / "dbt/tiny/functions"
    functions.mkdir()
    (functions / "doubled.sql").write_text("a * 2")
    argument, returns = "arguments: [{name: a, data_type: int}]", "returns: {data_type: int}"
    (functions / "doubled.yml").write_text(f"functions: [{{name: doubled, {argument}, {returns}}}]")
    with pytest.raises(ReleaseError, match=r"function.tiny.doubled \(functions/doubled.sql\): found a function"):
        release_tiny()


EVIL = """
{{ config(meta={"wherry": {"namespace": "x", "retries": 99}, "cosmos": {"operator_kwargs": {"image": "evil"}}}) }}
select 1 as id
"""


def test_everything_refused_is_told_at_once(repository: Path, release_tiny: Builder, tmp_path: Path) -> None:
    """Node, file and key of each, on sources and tests too, and the rule that selects nothing."""
    (repository / "dbt/tiny/models/evil.sql").write_text(EVIL)
    (repository / "dbt/tiny/models/evil.yml").write_text(
        "sources: [{name: s, config: {meta: {wherry: {pool: nowhere}}}, tables: [{name: t}]}]\n"
        "models: [{name: evil, columns: [{name: id, data_tests: [{not_null: {config: {meta: {cosmos: 1}}}}]}]}]\n"
    )
    with pytest.raises(ReleaseError) as error:
        release_tiny(nodes=[{"select": "tag:hevy", "retries": 1}])
    lines = str(error.value).splitlines()
    assert lines[0] == "growth/tiny: 6 refused:"
    for start in (
        "the team file's nodes[0].select: found 'tag:hevy', which selects no node",
        "model.tiny.evil (models/evil.sql): meta.cosmos.operator_kwargs.image: ",
        "model.tiny.evil (models/evil.sql): meta.wherry.namespace: ",
        "model.tiny.evil (models/evil.sql): meta.wherry.retries: found 99",
        "source.tiny.s.t (models/evil.yml): meta.wherry.pool: found 'nowhere', expected a warehouse of the team: main",
    ):
        assert any(line.strip().startswith(start) for line in lines), start
    assert re.search(r"test\.tiny\.not_null_evil_id\.\w+ \(models/evil\.yml\): meta\.cosmos:", str(error.value))
    assert "dbt merges meta one level deep" in lines[-1]
    assert tree(tmp_path / "releases") == {}


@pytest.mark.usefixtures("replay")
class TestInPlace:
    """What happens around dbt; a recorded runner keeps it fast."""

    def test_an_unchanged_project_is_not_built_again(self, release_tiny: Builder, repository: Path) -> None:
        """No dbt, no new file, less than a second; output of dbt runs in the project changes nothing."""
        first = release_tiny()
        before = tree(home_of(first.release))
        changed_at = (home_of(first.release) / "release.json").stat().st_mtime_ns
        (repository / "dbt/tiny/target").mkdir()
        (repository / "dbt/tiny/target/manifest.json").write_text("{}")
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            again = release_tiny()
            seconds.append(time.monotonic() - began)
        assert min(seconds) < 1
        assert (first.changed, again.changed) == (True, False)
        assert again.release == first.release
        assert tree(home_of(first.release)) == before
        assert (home_of(first.release) / "release.json").stat().st_mtime_ns == changed_at

    @pytest.mark.parametrize("what", ["file", "setting", "runner", "repository"])
    def test_any_input_that_changes_makes_a_build(
        self, release_tiny: Builder, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        """A project's file, a team's setting, the runner's environment, the image repository."""
        first = release_tiny().release
        setting = {}
        if what == "file":
            (repository / "dbt/tiny/README.md").write_text("changed")
        elif what == "setting":
            setting = {"retries": 0}
        elif what == "runner":
            script = tmp_path / "replay"
            script.write_text(script.read_text().replace('"0" * 64', '"1" * 64'))
        else:
            monkeypatch.setenv("WHERRY_IMAGE_REPOSITORY", "registry.example.com")
        second = release_tiny(**setting).release
        assert second.inputs != first.inputs
        assert load_release(home_of(second)) == second

    def test_the_previous_release_stays_and_older_ones_go(self, release_tiny: Builder, repository: Path) -> None:
        """A reader that has just begun still finds its manifest."""
        releases = []
        for number in range(3):
            (repository / "dbt/tiny/README.md").write_text(str(number))
            releases.append(release_tiny().release)
        assert read_manifest(releases[1])
        assert not releases[0].manifest_path.exists()
        assert load_release(home_of(releases[0])) == releases[2]

    def test_a_reverted_project_is_the_old_release(self, release_tiny: Builder, repository: Path) -> None:
        """A rollback is a revert: same content, same id, same image."""
        first = release_tiny().release
        (repository / "dbt/tiny/README.md").write_text("changed")
        assert release_tiny().release.id != first.id
        (repository / "dbt/tiny/README.md").unlink()
        assert release_tiny().release == first

    def test_a_lost_image_is_restored(self, release_tiny: Builder, tmp_path: Path) -> None:
        """Also when nothing else has changed."""
        release_tiny()
        before = tree(tmp_path / "images")
        shutil.rmtree(tmp_path / "images")
        assert not release_tiny().changed
        assert tree(tmp_path / "images") == before

    @pytest.mark.parametrize("file", ["manifest.json", "tasks.jsonl"])
    def test_a_spoilt_release_is_mended(self, file: str, release_tiny: Builder) -> None:
        """Releasing again is what the error of a broken checksum advises."""
        release = release_tiny().release
        spoilt = release.manifest_path.with_name(file)
        good = spoilt.read_bytes()
        spoilt.write_bytes(good[:-2])
        assert release_tiny().release == release
        assert load_release(home_of(release)) == release
        assert spoilt.read_bytes() == good

    def test_a_refused_release_leaves_the_previous_one(
        self, release_tiny: Builder, repository: Path, tmp_path: Path
    ) -> None:
        """Not one byte changes."""
        release_tiny()
        before = tree(tmp_path)
        (repository / "dbt/tiny/.env").write_text("PASSWORD=x")
        with pytest.raises(ReleaseError, match="looks like a secret"):
            release_tiny()
        (repository / "dbt/tiny/.env").unlink()
        assert tree(tmp_path) == before

    def test_what_killed_releases_left_is_cleared(self, release_tiny: Builder, tmp_path: Path) -> None:
        """After an hour; a younger folder may belong to a release that runs now."""
        old, young = tmp_path / "releases/.staging-old", tmp_path / "releases/.staging-young"
        old.mkdir(parents=True)
        young.mkdir()
        os.utime(old, (1, 1))
        release_tiny()
        assert (old.exists(), young.exists()) == (False, True)

    def test_a_project_of_another_repository(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is fetched, and the commit that its ref stood for is recorded; the same commit gives the same release."""
        run(repository, "init", "--quiet", "--initial-branch=main")
        run(repository, "add", ".")
        run(repository, "commit", "--quiet", "-m", "first")
        checkout = git.checkout

        def local(url: str, ref: str, into: Path) -> git.Commit:
            assert url == "https://example.com/growth.git"
            return checkout(f"file://{repository}", ref, into, protocols="file")

        monkeypatch.setattr(git, "checkout", local)
        source = {"url": "https://example.com/growth.git", "ref": "main", "path": "dbt/tiny"}
        release = build_release(make_team(path=None, git=source), "tiny", tmp_path / "releases").release
        assert release.git_commit == run(repository, "rev-parse", "HEAD")
        assert release.created == "2026-01-02T03:04:05+00:00"
        assert not build_release(make_team(path=None, git=source), "tiny", tmp_path / "releases").changed

    def test_a_registrys_digest_is_kept(self, repository: Path, tmp_path: Path) -> None:
        """The seam to a registry: what it returns is part of the release."""

        class Registry:
            def base(self) -> str:
                return "sha256:base"

            def build(self, folder: Path, reference: str) -> str:
                assert (folder / "project/dbt_project.yml").exists()
                return "sha256:" + reference[-16:]

        outcome = build_release(make_team(), "tiny", tmp_path / "releases", root=repository, images=Registry())
        assert outcome.release.image_digest == f"sha256:{outcome.release.id}"
        assert load_release(home_of(outcome.release)) == outcome.release

    def test_another_base_makes_another_release(self, repository: Path, tmp_path: Path) -> None:
        """A mended runner reaches the pods by a new image under a new name: nodes keep what they have pulled."""

        class OnTop(LocalImageStore):
            beneath = "sha256:old"

            def base(self) -> str:
                return self.beneath

        images = OnTop(tmp_path / "images", runner_python())
        releases = tmp_path / "releases"
        old = build_release(make_team(), "tiny", releases, root=repository, images=images).release
        assert not build_release(make_team(), "tiny", releases, root=repository, images=images).changed
        images.beneath = "sha256:new"
        new = build_release(make_team(), "tiny", releases, root=repository, images=images)
        assert new.changed
        assert new.release.id != old.id
        assert new.release.manifest_sha256 == old.manifest_sha256

    def test_a_failing_registry_leaves_the_previous_release(self, release_tiny: Builder, repository: Path) -> None:
        """release.json is written after the image is there."""
        first = release_tiny().release
        (repository / "dbt/tiny/README.md").write_text("changed")

        class Broken(LocalImageStore):
            def build(self, folder: Path, reference: str) -> str | None:
                raise OSError("no space left")

        with pytest.raises(OSError, match="no space left"):
            build_release(
                make_team(), "tiny", home_of(first).parents[1], root=repository, images=Broken(Path("x"), Path("y"))
            )
        assert load_release(home_of(first)) == first


def test_an_unknown_project_is_refused(tmp_path: Path) -> None:
    """With the projects that there are."""
    with pytest.raises(ReleaseError, match="found no project 'big', expected one of: tiny"):
        build_release(make_team(), "big", tmp_path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "No such file or directory; expected the runner's Python"),
        ("echo 'No module named wherry_runner' >&2; exit 1", "holds no runner .*No module named wherry_runner"),
        ('[ "$2" = -c ] && echo 0 || { echo oops >&2; exit 139; }', "dbt says:\noops"),
        ('[ "$2" = -c ] && echo 0 || echo "[1]"', "dbt says"),
    ],
)
def test_a_runner_that_fails_is_said_so(
    release_tiny: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, message: str
) -> None:
    """A missing environment, an incomplete one, a crash, an answer that is none."""
    python = tmp_path / "python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("WHERRY_RUNNER_PYTHON", str(python))
    with pytest.raises(ReleaseError, match=message):
        release_tiny()
