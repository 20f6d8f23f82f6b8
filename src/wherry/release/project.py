"""A dbt project's files: which belong to a release, which never may, and what they hash to."""

import fnmatch
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from wherry.release.model import ReleaseError, digest

MAX_PROJECT_BYTES = 200_000_000
MAX_FILES = 50_000
PACKAGES = "dbt_packages"

# Left out at the project's top level: dbt's own output, and a profiles.yml that may hold passwords (ours is generated).
_SKIPPED_AT_TOP = {"target", "logs", "dbt_internal_packages", "venv", "node_modules", "profiles.yml", "profiles.yaml"}
_KEPT_DOT_FILES = {".dbtignore", ".gitkeep"}
_SECRET_NAMES = (
    "*.env",
    ".env.*",
    "*.pem",
    "*.key",
    "*.p8",
    "*.p12",
    "*.pfx",
    "*.jks",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
)
_EXAMPLE_NAMES = (".env.example", ".env.sample", ".env.template")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}")


@dataclass(frozen=True)
class SourceFile:
    """A file that goes into the release: its place there, where it is read from, and its SHA-256."""

    path: PurePosixPath
    source: Path
    sha256: str


@dataclass(frozen=True)
class SourceProject:
    """A dbt project as it lies on disk, checked and hashed."""

    folder: Path
    profile: str
    files: tuple[SourceFile, ...]

    def copy(self, into: Path) -> None:
        """Copy the project's files; one that changed since it was checked is refused."""
        for file in self.files:
            target = into / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.source, target)
            if digest(target.read_bytes()) != file.sha256:
                raise ReleaseError(f"{file.source}: changed while it was being released; release again")


def read_project(folder: Path, repository: Path) -> SourceProject:
    """Find the files of the dbt project in `folder`, which must lie inside `repository`.

    Left out: dbt's output (target/, logs/), hidden files, a profiles.yml. Links are followed when they lead to a file
    of the project, or from dbt_packages/ to a local package inside the repository. Raises ReleaseError, listing all
    problems, for a link that leads elsewhere, a special file, a file that looks like a secret, or too much of it.
    """
    folder, repository = folder.absolute(), repository.resolve()
    if not folder.resolve().is_relative_to(repository):
        raise ReleaseError(f"{folder}: lies outside {repository}; expected a dbt project inside the repository")
    if not (folder / "dbt_project.yml").is_file():
        raise ReleaseError(f"{folder}: found no dbt_project.yml; expected a dbt project; mend `path` in the team file")
    problems: list[str] = []
    paths = sorted(_walk(folder, PurePosixPath(), repository, problems))
    sizes = [(source.stat().st_size, source) for _, source in paths]
    total = sum(size for size, _ in sizes)
    if total > MAX_PROJECT_BYTES or len(paths) > MAX_FILES:
        size, largest = max(sizes)
        problems.append(
            f"{folder}: found {total} bytes in {len(paths)} files, expected at most {MAX_PROJECT_BYTES} bytes in "
            f"{MAX_FILES}; the largest is {largest} ({size} bytes); a seed is for small tables"
        )
        paths = []
    files = []
    for path, source in paths:
        data = source.read_bytes()
        if _PRIVATE_KEY.search(data):
            problems.append(f"{source}: holds a private key; expected secrets in the team's Secret; take it out")
        files.append(SourceFile(path, source, digest(data)))
    if problems:
        raise ReleaseError("\n".join(problems))
    return SourceProject(folder, _profile(folder / "dbt_project.yml"), tuple(files))


def _walk(
    folder: Path, at: PurePosixPath, repository: Path, problems: list[str], *, package: bool = False
) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield (place in the release, file) below `folder`; what may not be there goes to `problems`."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path, source = at / entry.name, Path(entry.path)
        top = len(at.parts) == (2 if package else 0)
        if _is_left_out(entry, top=top, package=package):
            continue
        if _is_secret(entry.name) and not entry.is_dir(follow_symlinks=False):
            if not package:
                problems.append(f"{source}: looks like a secret; a release holds none; move it out of the project")
        elif entry.is_symlink():
            yield from _follow(source, path, repository, problems, package=package)
        elif entry.is_dir():
            inside = package or path.parts[0] == PACKAGES
            yield from _walk(source, path, repository, problems, package=inside and len(path.parts) > 1)
        elif not stat.S_ISREG(entry.stat().st_mode):
            problems.append(f"{source}: found a special file, expected a regular one; take it out")
        else:
            yield path, source


def _is_left_out(entry: os.DirEntry[str], *, top: bool, package: bool) -> bool:
    name = entry.name
    if name.startswith("."):
        return entry.is_dir() or (name not in _KEPT_DOT_FILES and not _is_secret(name))
    if package and name == PACKAGES:
        return True  # a package's own packages are installed beside it; below it may lie the project itself
    return name == "__pycache__" or (top and name in _SKIPPED_AT_TOP)


def _is_secret(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _SECRET_NAMES) and name not in _EXAMPLE_NAMES


def _follow(
    link: Path, path: PurePosixPath, repository: Path, problems: list[str], *, package: bool
) -> Iterator[tuple[PurePosixPath, Path]]:
    """A link to a file of the same project, or dbt's link to a local package (`packages: - local: ../shared`)."""
    project, target = link.parents[len(path.parts) - 1].resolve(), link.resolve()
    is_local_package = len(path.parts) == 2 and path.parts[0] == PACKAGES and (target / "dbt_project.yml").is_file()
    is_own_file = target.is_file() and target.is_relative_to(project) and not _is_secret(target.name)
    if is_own_file and not any(part.startswith(".") for part in target.relative_to(project).parts):
        yield path, target
    elif is_local_package and target.is_relative_to(repository):
        yield from _walk(target, path, repository, problems, package=True)
    elif not package:
        problems.append(
            f"{link}: found a link to {link.readlink()}, expected a file of the project or, in {PACKAGES}/, a local "
            f"package inside {repository}; copy the file instead"
        )


def _profile(path: Path) -> str:
    """The profile's name in dbt_project.yml, which must be plain: the release's profiles.yml carries it."""
    try:
        document: Any = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ReleaseError(f"{path}: found no YAML ({error}), expected a dbt project") from None
    profile = document.get("profile") if isinstance(document, dict) else None
    if not isinstance(profile, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_. -]{0,100}", profile):
        raise ReleaseError(f"{path}: profile: found {profile!r:.80}, expected a plain name: profile: finance")
    return profile
