"""A release as `wherry release` writes it, of a manifest in place of a dbt project."""

from pathlib import Path
from typing import Any

from wherry.release.model import MANIFEST_FILE, RELEASE_FILE, Release, ReleaseSettings, canonical_json, digest
from wherry.release.tasks import write_tasks
from wherry.teams import Team


def write_release(root: Path, team: Team, project: str, manifest: dict[str, Any]) -> Release:
    """Write `manifest` into root/<team>/<project> as what this project of the team is."""
    settings, data = ReleaseSettings.of(team, project), canonical_json(manifest)
    folder = root / team.name / project
    release_id = digest(data + canonical_json(team.model_dump(mode="json")))[:16]
    (folder / release_id).mkdir(parents=True)
    release = Release(
        team=team.name,
        project=project,
        dag_id=team.dag_ids()[project],
        id=release_id,
        git_commit="0123456789abcdef0123456789abcdef01234567",
        created="2026-01-02T03:04:05+00:00",
        dbt_version="1.11.2",
        adapter=team.warehouses[team.projects[project].warehouse].type,
        adapter_version="1.11.0",
        image=f"wherry.local/{team.name}-{project}:{release_id}",
        image_digest=None,
        manifest_path=folder / release_id / MANIFEST_FILE,
        manifest_sha256=digest(data),
        tasks_sha256=write_tasks(folder / release_id, manifest, settings),
        settings=settings,
        inputs=digest(data),
    )
    release.manifest_path.write_bytes(data)
    (folder / RELEASE_FILE).write_bytes(canonical_json(release.document()))
    return release
