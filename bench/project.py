"""The bench's team, and releases of synthetic projects: real ones for pods, grown ones for DAGs of any size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from bench import synthetic
from bench.synthetic import Model
from wherry.demo.layout import RUNNER_PYTHON
from wherry.release import build_release, runner
from wherry.release.images import LocalImageStore
from wherry.release.manifest import slim
from wherry.release.model import MANIFEST_FILE, RELEASE_FILE, Release, ReleaseSettings, canonical_json, digest
from wherry.release.profiles import profiles_yml
from wherry.release.tasks import write_tasks
from wherry.teams import Team, dag_id

TEAM: Final = "bench"
WARM_TEAM: Final = "warm"  # the same, with pods that wait
SYNTHETIC: Final = "synthetic"
_SEED_SIZE: Final = 10
Json = dict[str, Any]


def make_team(
    paths: Mapping[str, str],
    slots: int = 8,
    resources: Mapping[str, str] | None = None,
    *,
    warm_pods: int = 0,
    retries: int = 0,
) -> Team:
    """The team that owns the measured projects (name to path below the repository), on PostgreSQL.

    Another one, on the same database, has them where pods wait.
    """
    name = WARM_TEAM if warm_pods else TEAM
    warehouse = {
        "type": "postgres",
        "host": {"env": "POSTGRES_HOST"},
        "port": {"env": "POSTGRES_PORT"},
        "user": TEAM,
        "database": "bench",
        "schema": "analytics",
        "slots": slots,
    }
    project = {"warehouse": "main", "tests": "build", "freshness": False, "retries": retries, "threads": 4}
    project |= {"resources": dict(resources)} if resources else {}
    return Team.model_validate(
        {
            "name": name,
            "namespace": f"team-{name}",
            "owners": ["bench@example.com"],
            "secret": "warehouse",
            "warehouses": {"main": warehouse},
            "projects": {name: {**project, "path": path} for name, path in paths.items()},
            "warm_pods": warm_pods,
            "quota": {"cpu": "200", "memory": "200Gi", "pods": 100, "memory_per_pod": "2Gi", "cpu_per_pod": "2"},
        }
    )


def built(cache_folder: Path, size: int) -> Release:
    """A release of a synthetic project as `wherry release` builds it; its image is in `cache_folder`/images.

    Kept between runs: thousands of models take minutes to build, and the same input isn't built again.
    """
    root = cache_folder / f"built-{size}"
    shutil.rmtree(root / "project", ignore_errors=True)
    synthetic.write(root / "project", synthetic.layered(size))
    team = make_team({SYNTHETIC: "project"})
    images = LocalImageStore(root / "images", RUNNER_PYTHON)
    return build_release(team, SYNTHETIC, root / "releases", root=root, images=images).release


def grown(cache_folder: Path, size: int) -> tuple[Release, Path]:
    """A release for rendering only, and dbt's whole manifest beside it, as Cosmos reads it.

    dbt would parse 10,000 models for many minutes: instead each node is a copy of one that dbt wrote for a small
    project, with its names, paths and parents replaced. Fields, sizes and macros are dbt's.
    """
    models = synthetic.layered(size)
    folder = cache_folder / f"grown-{size}"
    full = grow(_seed(cache_folder), synthetic.layered(_SEED_SIZE), models)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(full))
    return _write_release(folder / "releases", full), manifest


def grow(full: Json, known: Sequence[Model], models: Sequence[Model]) -> Json:
    """dbt's manifest of `models`, each made like the first of the `known` ones that has its layer. Pure."""
    patterns = {layer: _pattern(full, known, layer) for layer in ("staging", "intermediate", "marts")}
    nodes: dict[str, Json] = {}
    for model in models:
        for node in _like(patterns[model.layer], model):
            nodes[node["unique_id"]] = node
    parents = {key: node["depends_on"]["nodes"] for key, node in nodes.items()}
    children: dict[str, list[str]] = {key: [] for key in nodes}
    for key, above in parents.items():
        for parent in above:
            children[parent].append(key)
    return {**full, "nodes": nodes, "parent_map": parents, "child_map": children, "disabled": {}}


def _pattern(full: Json, known: Sequence[Model], layer: str) -> tuple[Model, tuple[str, ...]]:
    """A known model of the layer, and dbt's JSON of it and of its tests."""
    model = next(model for model in known if model.layer == layer)
    own = [node for node in full["nodes"].values() if model.name in node["unique_id"]]
    return model, tuple(json.dumps(node) for node in own)


def _like(pattern: tuple[Model, tuple[str, ...]], model: Model) -> Iterator[Json]:
    like, texts = pattern
    for text in texts:
        # A test's id ends with a hash: it needs to be another one, no more.
        node: Json = json.loads(text.replace(like.name, model.name).replace(f"/{like.area}/", f"/{model.area}/"))
        if node["resource_type"] == "model":
            node["depends_on"]["nodes"] = [f"model.{SYNTHETIC}.{parent}" for parent in model.parents]
            node["refs"] = [{"name": parent, "package": None, "version": None} for parent in model.parents]
            node["tags"] = node["config"]["tags"] = [model.layer, model.area]
            node["raw_code"] = model.sql
        node["fqn"] = [SYNTHETIC, model.layer, model.area, node["fqn"][-1]]
        yield node


@cache
def _seed(cache_folder: Path) -> Json:
    """dbt's manifest of a small project."""
    root = cache_folder / "seed"
    shutil.rmtree(root, ignore_errors=True)
    (root / "profiles").mkdir(parents=True)
    synthetic.write(root / "project", synthetic.layered(_SEED_SIZE))
    team = make_team({SYNTHETIC: "project"})
    profile = profiles_yml(SYNTHETIC, team.projects[SYNTHETIC], team.warehouses["main"])
    (root / "profiles" / "profiles.yml").write_text(profile)
    runner.build(RUNNER_PYTHON, root, root, team.projects[SYNTHETIC].target, [])
    full: Json = json.loads((root / MANIFEST_FILE).read_bytes())
    return full


def _write_release(root: Path, full: Json) -> Release:
    """A release of this manifest, without an image."""
    settings, manifest = ReleaseSettings.of(make_team({SYNTHETIC: "project"}), SYNTHETIC), slim(full, {})
    data = canonical_json(manifest)
    id_, folder = digest(data)[:16], root / TEAM / SYNTHETIC
    (folder / id_).mkdir(parents=True, exist_ok=True)
    release = Release(
        team=TEAM,
        project=SYNTHETIC,
        dag_id=dag_id(TEAM, SYNTHETIC),
        id=id_,
        git_commit=None,
        created=None,
        dbt_version=full["metadata"]["dbt_version"],
        adapter="postgres",
        adapter_version="0",
        image=f"wherry.local/{TEAM}-{SYNTHETIC}:{id_}",
        image_digest=None,
        manifest_path=folder / id_ / MANIFEST_FILE,
        manifest_sha256=digest(data),
        tasks_sha256=write_tasks(folder / id_, manifest, settings),
        settings=settings,
        inputs=digest(data),
    )
    release.manifest_path.write_bytes(data)
    (folder / RELEASE_FILE).write_bytes(canonical_json(release.document()))
    return release
