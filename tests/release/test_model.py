"""Reading a release back: verified, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wherry.release import Release, ReleaseError, load_release, read_manifest
from wherry.release.model import canonical_json, digest

Change = Callable[[dict[str, Any]], object]


def spoil(folder: Path, change: Change) -> None:
    path = folder / "release.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_release_reads_back_as_it_was_written(shared: Release) -> None:
    """What `build_release` returns and what `load_release` reads are equal, settings included."""
    assert load_release(shared.manifest_path.parents[1]) == shared
    assert shared.settings.project.nodes[0].select == "tag:heavy"
    assert shared.dag_id == "growth__tiny"


def test_the_manifest_is_the_verified_one(shared: Release) -> None:
    """read_manifest returns the nodes with the rules that dbt matched them with."""
    nodes = read_manifest(shared)["nodes"]
    assert nodes["model.tiny.revenue"]["wherry_rules"] == [0, 1]
    assert nodes["model.tiny.customers"]["wherry_rules"] == [1]
    assert nodes["model.tiny.stg_orders"]["wherry_rules"] == []


def test_a_changed_manifest_is_refused_with_both_checksums(copied: Path) -> None:
    """The error names the file, the checksum found and the one expected."""
    manifest = next(copied.glob("*/manifest.json"))
    manifest.write_bytes(manifest.read_bytes().replace(b"model.tiny.revenue", b"model.tiny.revenge"))
    with pytest.raises(ReleaseError) as error:
        load_release(copied)
    expected = json.loads((copied / "release.json").read_text())["manifest_sha256"]
    assert str(manifest) in str(error.value)
    assert digest(manifest.read_bytes()) in str(error.value)
    assert expected in str(error.value)


def test_a_manifest_changed_after_loading_is_refused(copied: Path) -> None:
    """read_manifest verifies what it parses, not what was loaded a moment ago."""
    release = load_release(copied)
    release.manifest_path.write_text("{}")
    with pytest.raises(ReleaseError, match="SHA-256"):
        read_manifest(release)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(id="../../../../etc"), "id: found"),
        (lambda d: d.update(id="/etc/passwd00000"), "id: found"),
        (lambda d: d.update(id="0" * 16 + "\n"), "id: found"),
        (lambda d: d.update(id=["x"]), "id: found"),
        (lambda d: d.update(manifest="/etc/passwd"), "manifest: found"),
        (lambda d: d.update(manifest="../other/manifest.json"), "manifest: found"),
        (lambda d: d.update(team="finance"), "team: found 'finance', expected 'growth'"),
        (lambda d: d.update(project="other"), "project: found"),
        (lambda d: d.update(dag_id="finance__finance"), "dag_id: found"),
        (lambda d: d.update(image=7), "image: found 7, expected text"),
        (lambda d: d.update(image=None), "image: found None, expected text"),
        (lambda d: d.update(format=99), "format: found 99"),
        (lambda d: [d.pop("tasks_sha256"), d.update(format=1)], "format: found 1, expected 2"),
        (lambda d: d.update(extra=1), r"unknown keys: \['extra'\]"),
        (lambda d: d.pop("image"), r"missing keys: \['image'\]"),
        (lambda d: d["settings"]["team"].update(namespace="kube-system"), "namespace"),
        (lambda d: d["settings"]["team"].update(namespace="team-finance"), "settings_sha256: found"),
        (lambda d: d["settings"]["team"].update(projects={}), "projects"),
        (lambda d: d.update(settings=None), "settings"),
    ],
)
def test_a_hostile_release_is_refused(copied: Path, change: Change, message: str) -> None:
    """No field leads out of the release's folder, speaks for another team, or slips past its type."""
    spoil(copied, change)
    with pytest.raises(ReleaseError, match=message):
        load_release(copied)


def test_a_release_speaks_for_its_own_team_only(copied: Path) -> None:
    """Settings of another team are refused even with a checksum that fits."""

    def pretend(document: dict[str, Any]) -> None:
        document["settings"]["team"]["name"] = "finance"
        document["settings_sha256"] = digest(canonical_json(document["settings"]))

    spoil(copied, pretend)
    with pytest.raises(ReleaseError, match=r"settings\.team\.name"):
        load_release(copied)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff\xfe", b" " * 1_000_001])
def test_what_is_no_release_is_refused(copied: Path, content: bytes) -> None:
    """Empty, truncated, deeply nested, binary and huge files end in a ReleaseError, never in another exception."""
    (copied / "release.json").write_bytes(content)
    with pytest.raises(ReleaseError):
        load_release(copied)


def test_a_missing_release_is_named(tmp_path: Path) -> None:
    """The error names the file that isn't there."""
    with pytest.raises(ReleaseError, match=r"release\.json: No such file"):
        load_release(tmp_path)


def test_a_linked_manifest_is_refused(copied: Path) -> None:
    """A symbolic link would let a release point at another file of this machine."""
    manifest = next(copied.glob("*/manifest.json"))
    manifest.rename(copied / "elsewhere.json")
    manifest.symlink_to(copied / "elsewhere.json")
    with pytest.raises(ReleaseError, match="symbolic link"):
        load_release(copied)
