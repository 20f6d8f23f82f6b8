"""What a release is, and how it is read back: verified, or not at all."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from wherry.errors import WherryError
from wherry.teams import Project, Team, dag_id

RELEASE_FILE = "release.json"
MANIFEST_FILE = "manifest.json"
FORMAT = 2
MAX_RELEASE_BYTES = 1_000_000
MAX_MANIFEST_BYTES = 256_000_000

_ID = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ReleaseError(WherryError):
    """A project that can't be released, or a release that can't be trusted."""


class ReleaseSettings(BaseModel):
    """The team's settings as they were at release time; `team` holds the released project only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    team: Team

    @model_validator(mode="after")
    def _one_project(self) -> "ReleaseSettings":
        if len(self.team.projects) != 1:
            raise ValueError(f"found {len(self.team.projects)} projects, expected the released one only")
        return self

    @classmethod
    def of(cls, team: Team, project_name: str) -> "ReleaseSettings":
        """Cut `team` down to one of its projects."""
        return cls(team=team.model_copy(update={"projects": {project_name: team.projects[project_name]}}))

    @property
    def project_name(self) -> str:
        """The released project's key in the team file."""
        return next(iter(self.team.projects))

    @property
    def project(self) -> Project:
        """The released project's settings."""
        return self.team.projects[self.project_name]

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values that `model_validate` reads back."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Release:
    """One dbt project, frozen: what Airflow renders and what its pods run.

    `created` is the time of `git_commit` (so that the same input gives the same bytes); both are None outside git and
    when the project's folder has uncommitted changes. `image_digest` is None where no registry gives one.
    `tasks_sha256` vouches for its tasks (`tasks`). `inputs` fingerprints everything that the release was made from.
    """

    team: str
    project: str
    dag_id: str
    id: str
    git_commit: str | None
    created: str | None
    dbt_version: str
    adapter: str
    adapter_version: str
    image: str
    image_digest: str | None
    manifest_path: Path
    manifest_sha256: str
    tasks_sha256: str
    settings: ReleaseSettings
    inputs: str

    def document(self) -> dict[str, Any]:
        """The content of release.json."""
        facts = {key: value for key, value in vars(self).items() if key not in ("manifest_path", "settings")}
        settings = self.settings.canonical()
        return {
            "format": FORMAT,
            **facts,
            "manifest": f"{self.id}/{MANIFEST_FILE}",
            "settings": settings,
            "settings_sha256": digest(canonical_json(settings)),
        }


def canonical_json(value: Any) -> bytes:
    """The one way a value is written: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal."""
    return sha256(data).hexdigest()


def load_release(folder: Path) -> Release:
    """Read `<folder>/release.json` (folder = releases/<team>/<project>) and verify the manifest that it names.

    Raises ReleaseError when the file or its manifest is missing, isn't well formed, points out of its own folder, or
    doesn't match its checksum: such a release is never run.
    """
    release = read_release(folder)
    expect(release.manifest_path, "SHA-256", digest(_manifest_bytes(release)), release.manifest_sha256)
    return release


def read_release(folder: Path) -> Release:
    """Read `<folder>/release.json`; what it names is checked by who reads it. Raises ReleaseError as `load_release`."""
    path = folder / RELEASE_FILE
    document = _read_document(path)
    try:
        settings = ReleaseSettings.model_validate(document["settings"])
        release = Release(
            settings=settings,
            manifest_path=folder / document["id"] / MANIFEST_FILE,
            **{
                name: document[name] for name in Release.__dataclass_fields__ if name in document and name != "settings"
            },
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ReleaseError(f"{path}: settings: {problems}; release the project again") from None
    _check_identity(path, release)
    expect(path, "settings_sha256", document["settings_sha256"], digest(canonical_json(document["settings"])))
    return release


def read_manifest(release: Release) -> dict[str, Any]:
    """The slim manifest, checked against the release's checksum: what is verified is what is parsed."""
    data = _manifest_bytes(release)
    expect(release.manifest_path, "SHA-256", digest(data), release.manifest_sha256)
    manifest: dict[str, Any] = json.loads(data)
    return manifest


_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "id": _ID,
    "manifest_sha256": _SHA256,
    "tasks_sha256": _SHA256,
    "settings_sha256": _SHA256,
    "inputs": _SHA256,
}
_TEXTS = ("team", "project", "dag_id", "dbt_version", "adapter", "adapter_version", "image")
_OPTIONAL_TEXTS = ("git_commit", "created", "image_digest")


def _read_document(path: Path) -> dict[str, Any]:
    """The parsed release.json with every field of the expected type; settings are not validated yet."""
    data = _read_bounded(path, MAX_RELEASE_BYTES)
    try:
        document: dict[str, Any] = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path}: found no JSON ({error}), expected a release; release the project again") from None
    expected = {"format", "manifest", "settings", *_PATTERNS, *_TEXTS, *_OPTIONAL_TEXTS}
    found = set(document) if isinstance(document, dict) else set()
    if "format" in found:  # first: another format has other keys
        expect(path, "format", document["format"], FORMAT)
    if found != expected:
        raise ReleaseError(
            f"{path}: missing keys: {sorted(expected - found)}, unknown keys: {sorted(found - expected)}; release again"
        )
    for key, pattern in _PATTERNS.items():
        if not isinstance(document[key], str) or not pattern.fullmatch(document[key]):
            raise ReleaseError(f"{path}: {key}: found {document[key]!r:.80}, expected {pattern.pattern}")
    for key in _TEXTS + _OPTIONAL_TEXTS:
        if not (isinstance(document[key], str) or (key in _OPTIONAL_TEXTS and document[key] is None)):
            raise ReleaseError(f"{path}: {key}: found {document[key]!r:.80}, expected text")
    expect(path, "manifest", document["manifest"], f"{document['id']}/{MANIFEST_FILE}")
    return document


def _check_identity(path: Path, release: Release) -> None:
    """A release speaks for the folder it lies in and for the project in its own settings, and for nothing else."""
    home = path.absolute().parent
    expect(path, "team", release.team, home.parent.name)
    expect(path, "project", release.project, home.name)
    expect(path, "settings.team.name", release.settings.team.name, release.team)
    expect(path, "settings.team.projects", release.settings.project_name, release.project)
    expect(path, "dag_id", release.dag_id, dag_id(release.team, release.project))


def expect(path: Path, key: str, found: object, expected: object) -> None:
    """Raise ReleaseError unless what a release's file says is what it must say."""
    if found != expected:
        raise ReleaseError(
            f"{path}: {key}: found {found!r:.120}, expected {expected!r:.120}; release the project again"
        )


def unreadable(path: Path, error: OSError) -> ReleaseError:
    """What is raised for a file of a release that can't be read."""
    return ReleaseError(f"{path}: {error.strerror}; expected a release's file; release the project again")


def refuse_link(path: Path) -> None:
    """Raise ReleaseError for a file of a release, or its folder, that is a link to somewhere else."""
    if path.is_symlink() or path.parent.is_symlink():
        raise ReleaseError(f"{path}: found a symbolic link, expected a file of the release; release the project again")


def _manifest_bytes(release: Release) -> bytes:
    refuse_link(release.manifest_path)
    return _read_bounded(release.manifest_path, MAX_MANIFEST_BYTES)


def _read_bounded(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from None
    if len(data) > limit:
        raise ReleaseError(f"{path}: found more than {limit} bytes, expected at most that; release the project again")
    return data
