"""Making a release: everything is built beside the releases, and put in place by replacing one file."""

import fcntl
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wherry import settings as installation
from wherry.release import git, runner
from wherry.release.execution import execution_of
from wherry.release.images import ImageBuilder, LocalImageStore, write_atomically
from wherry.release.manifest import rendered, slim
from wherry.release.model import (
    MANIFEST_FILE,
    RELEASE_FILE,
    Release,
    ReleaseError,
    ReleaseSettings,
    canonical_json,
    digest,
    load_release,
)
from wherry.release.policy import resolve
from wherry.release.profiles import profiles_yml
from wherry.release.project import SourceProject, read_project
from wherry.release.tasks import check_tasks, write_tasks
from wherry.teams import Team, dag_id

_STAGING = ".staging-"
_STAGING_SECONDS = 3600
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """A release, and whether it is another one than before."""

    release: Release
    changed: bool


@dataclass(frozen=True)
class _Input:
    """What a release is made from."""

    settings: ReleaseSettings
    project: SourceProject
    commit: git.Commit | None
    python: Path
    repository: str
    base: str
    fingerprint: str


def build_release(  # noqa: PLR0913 - three to name the release, three with defaults
    team: Team,
    project_name: str,
    out: Path,
    *,
    root: Path | None = None,
    images: ImageBuilder | None = None,
    progress: Progress = lambda _: None,
) -> Outcome:
    """Release a project of `team` into `out`/<team>/<project>; `root` is the repository that holds it (default: cwd).

    The same input gives the same bytes, and an unchanged input is not built again. Raises ReleaseError, and leaves the
    previous release as it was, for a project that dbt refuses, a node that asks for something it may not set, a rule
    that selects nothing, or files that don't belong into a release. `progress` is told each stage as it begins.
    """
    if project_name not in team.projects:
        raise ReleaseError(
            f"{team.name}: found no project {project_name!r}, expected one of: {', '.join(team.projects)}"
        )
    settings = ReleaseSettings.of(team, project_name)
    try:
        execution_of(settings)
    except ReleaseError as error:
        raise ReleaseError(f"{team.name}: {error}") from None
    images = images or LocalImageStore(installation.image_store(), installation.runner_python())
    home = out / team.name / project_name
    progress("reading")
    with _source(settings, root or Path.cwd()) as (folder, repository, commit):
        source = _input(settings, read_project(folder, repository), commit, images.base())
        current = _current(home)
        if current is not None and current.inputs == source.fingerprint and _image_folder(current).is_dir():
            images.build(_image_folder(current), current.image)
            return Outcome(current, changed=False)
        with _staging(out) as staging:
            try:
                release = _stage(source, staging, home, progress)
            except ReleaseError as error:
                raise ReleaseError(f"{team.name}/{project_name}: {error}") from None
            progress("writing")
            release = _commit(release, staging, home, images)
    return Outcome(release, changed=current is None or current.id != release.id)


@contextmanager
def _source(settings: ReleaseSettings, root: Path) -> Iterator[tuple[Path, Path, git.Commit | None]]:
    """The project's folder, the repository around it, and its commit; a clone is removed afterwards."""
    project = settings.project
    if project.git is None:
        folder = root / str(project.path)
        yield folder, root, git.head(folder)
        return
    with tempfile.TemporaryDirectory(prefix="wherry-clone-") as clone:
        commit = git.checkout(project.git.url, project.git.ref, Path(clone))
        yield Path(clone, project.git.path), Path(clone), commit


def _input(settings: ReleaseSettings, project: SourceProject, commit: git.Commit | None, base: str) -> _Input:
    python, repository = installation.runner_python(), installation.image_repository()
    facts = {
        "base": base,
        "files": [(str(file.path), file.sha256) for file in project.files],
        "repository": repository,
        "runner": runner.identify(python),
        "settings": settings.canonical(),
        "wherry": [digest(path.read_bytes()) for path in sorted(Path(__file__).parent.glob("*.py"))],
    }
    return _Input(settings, project, commit, python, repository, base, digest(canonical_json(facts)))


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder beside the releases, on their file system; those that killed processes left are cleared away."""
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(f"{_STAGING}*"):
        if time.time() - left.stat().st_mtime > _STAGING_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=out) as staging:
        yield Path(staging)


def _stage(source: _Input, staging: Path, home: Path, progress: Progress) -> Release:
    """Build the release's content in `staging`/content; nothing of it is visible to a reader yet."""
    settings, project = source.settings, source.settings.project
    content = staging / "content"
    image, manifest_path = content / "image", content / MANIFEST_FILE
    source.project.copy(image / "project")
    (image / "profiles").mkdir()
    profile = profiles_yml(source.project.profile, project, settings.team.warehouses[project.warehouse])
    (image / "profiles" / "profiles.yml").write_text(profile)
    progress("parsing and slicing")
    built = runner.build(source.python, image, staging, project.target, [rule.select for rule in project.nodes])
    (staging / "slices").rename(image / "slices")
    progress("checking the nodes")
    manifest = _checked_manifest(json.loads((staging / MANIFEST_FILE).read_bytes()), settings, built)
    manifest_path.write_bytes(canonical_json(manifest))
    tasks_sha256 = write_tasks(content, manifest, settings)
    team = settings.team.name
    id_ = _content_id(content, settings, source.base, built.dbt_version, built.adapter, built.adapter_version)
    return Release(
        team=team,
        project=settings.project_name,
        dag_id=dag_id(team, settings.project_name),
        id=id_,
        git_commit=source.commit.sha if source.commit else None,
        created=source.commit.time if source.commit else None,
        dbt_version=built.dbt_version,
        adapter=built.adapter,
        adapter_version=built.adapter_version,
        image=f"{source.repository}/{team}-{settings.project_name}:{id_}",
        image_digest=None,
        manifest_path=home / id_ / MANIFEST_FILE,
        manifest_sha256=digest(manifest_path.read_bytes()),
        tasks_sha256=tasks_sha256,
        settings=settings,
        inputs=source.fingerprint,
    )


def _checked_manifest(full: dict[str, Any], settings: ReleaseSettings, built: runner.Built) -> dict[str, Any]:
    """The slim manifest. Raises ReleaseError with everything that is refused."""
    rules = settings.project.nodes
    matched = [built.selected[rule.select] for rule in rules]
    problems = [
        f"the team file's nodes[{index}].select: found {rule.select!r}, which selects no node; expected one that does"
        for index, rule in enumerate(rules)
        if not matched[index]
    ]
    matches: dict[str, list[int]] = {}
    for index, unique_ids in enumerate(matched):
        for unique_id in unique_ids:
            matches.setdefault(unique_id, []).append(index)
    problems += [
        f"{unique_id} ({function['original_file_path']}): found a function, expected none: no task would create it; "
        "write it as a macro, or create it where the warehouse is set up"
        for unique_id, function in sorted(full.get("functions", {}).items())
    ]
    for unique_id, node in rendered(full).items():
        problems.extend(map(str, resolve(node, settings, matches.get(unique_id, ()))[1]))
    if problems:
        hint = "dbt merges meta one level deep: a node's own meta.wherry replaces its folder's as a whole"
        hints = [f"({hint})"] if any("meta.wherry" in problem for problem in problems) else []
        raise ReleaseError("\n".join([f"{len(problems)} refused:", *(f"  {problem}" for problem in problems), *hints]))
    return slim(full, matches)


def _content_id(content: Path, settings: ReleaseSettings, *versions: str) -> str:
    """The release's name: a hash of all that it holds, the image beneath, and the dbt and adapter that parsed it."""
    files = sorted(path for path in content.rglob("*") if path.is_file())
    tree = [(path.relative_to(content).as_posix(), digest(path.read_bytes())) for path in files]
    return digest(canonical_json([tree, settings.canonical(), versions]))[:16]


def _commit(release: Release, staging: Path, home: Path, images: ImageBuilder) -> Release:
    """Put the staged content in place; release.json is replaced last, and makes it the release."""
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        previous = _current(home)
        content = home / release.id
        if content.is_dir() and not _is_intact(content, release, images.base()):
            content.rename(staging / "broken")
        if not content.is_dir():
            (staging / "content").rename(content)
        release = replace(release, image_digest=images.build(_image_folder(release), release.image))
        document = json.dumps(release.document(), indent=2, sort_keys=True, ensure_ascii=False)
        write_atomically(home / RELEASE_FILE, document.encode() + b"\n")
        if previous is None or previous.id != release.id:
            _prune(home, keep={release.id, previous.id if previous else ""})
    return release


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One release of a project at a time; the lock goes with its process, however that ends."""
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_intact(content: Path, release: Release, base: str) -> bool:
    versions = (base, release.dbt_version, release.adapter, release.adapter_version)
    return _content_id(content, release.settings, *versions) == release.id


def _prune(home: Path, keep: set[str]) -> None:
    """Remove the folders of older releases; the previous one stays for readers that have just begun."""
    for folder in home.iterdir():
        if folder.is_dir() and re.fullmatch(r"[0-9a-f]{16}", folder.name) and folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def _current(home: Path) -> Release | None:
    """The release that is in place; None when there is none that can be trusted."""
    try:
        release = load_release(home)
        check_tasks(release)
    except ReleaseError:
        return None
    return release


def _image_folder(release: Release) -> Path:
    return release.manifest_path.parent / "image"
