"""The demo's platform with the bench's team, projects and DAG files instead of the demo's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import yaml
from rich.console import Console

from bench import project
from wherry.demo.layout import REPOSITORY, RUNNER_PYTHON, Layout
from wherry.demo.stack import Stack
from wherry.demo.tenants import Secret
from wherry.errors import WherryError
from wherry.release import load_release
from wherry.release.images import write_atomically
from wherry.teams import Project

HERE: Final = Path(__file__).parent
PARALLELISM: Final = 8
Cpu = Mapping[str, float]


@dataclass(frozen=True)
class BenchLayout(Layout):
    """Everything is below the state folder; `parallelism` is what Airflow runs at once, and the pool's slots."""

    parallelism: int = field(default=PARALLELISM)

    @property
    def dags(self) -> Path:
        """Ours, and the stock arms'."""
        return self.state / "dags"

    @property
    def calls(self) -> Path:
        """A line for each call of the Kubernetes API by a task."""
        return self.state / "calls"

    @property
    def stock(self) -> Path:
        """The stock arms' projects."""
        return self.state / "stock"

    def environment(self) -> dict[str, str]:
        """The settings of all programs."""
        return {
            **super().environment(),
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "BENCH_CALLS": str(self.calls),
            "BENCH_LOCAL_SETTINGS": str(REPOSITORY / "images/airflow/airflow_local_settings.py"),
            "BENCH_PROJECTS": str(self.stock / "projects.json"),
            "PYTHONPATH": f"{HERE / 'airflow'}",
        }


def prepare(state: Path, projects: Mapping[str, Path], parallelism: int = PARALLELISM) -> BenchLayout:
    """Lay out the state folder for these dbt projects."""
    layout = BenchLayout(state, state / "repository", parallelism)
    for folder in (layout.repository, layout.stock, layout.dags, layout.results):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    layout.calls.write_text("")
    for name, source in projects.items():
        ignored = shutil.ignore_patterns("target", "logs", ".git")
        shutil.copytree(source, layout.repository / "dbt" / name, ignore=ignored)
    team = project.make_team({name: f"dbt/{name}" for name in projects}, slots=parallelism)
    layout.teams.mkdir(parents=True)
    (layout.teams / f"{team.name}.yaml").write_text(yaml.safe_dump(team.model_dump(mode="json", by_alias=True)))
    shutil.copy(REPOSITORY / "dags" / "wherry_dags.py", layout.dags)
    shutil.copy(HERE / "stock" / "arms_dags.py", layout.dags)
    return layout


class BenchStack(Stack):
    """PostgreSQL, the embedded cluster and Airflow, as the demo starts them, and images for the stock arms."""

    triggerer_niceness = 0  # the watcher's sensors wait there

    def __init__(self, layout: BenchLayout, console: Console) -> None:
        super().__init__(layout, console)
        self.bench = layout

    @property
    def images(self) -> dict[str, str]:
        """The stock arms' image of each project."""
        return {name: f"wherry.local/stock-{name}:1" for name in self.teams[0].projects}

    def bare(self, name: str) -> tuple[str, dict[str, dict[str, str]]]:
        """Image and resources of a pod of the project, whatever it runs."""
        return self.images[name], _resources(self.teams[0].projects[name])

    def cpu(self) -> Cpu:
        """CPU-seconds so far: of what runs tasks ("airflow"), and of the pods ("pods")."""
        pids = self.pids()
        airflow = sum(_tree_cpu(pids[f"airflow-{name}"]) for name in ("scheduler", "api-server", "triggerer"))
        server = psutil.Process(pids["localcluster"]).cpu_times()
        return {"airflow": airflow, "pods": _tree_cpu(pids["localcluster"]) - server.user - server.system}

    def _start_emulator(self) -> None:
        """Start none: no team is on Snowflake, and nobody calls this address."""
        self.layout.emulator_address.write_text("127.0.0.1:0")

    def _load_and_release(self, secrets: dict[str, Secret]) -> None:
        super()._load_and_release(secrets)
        self.secret = secrets[project.TEAM]
        stock = [self._make_stock(name, self.secret) for name in self.teams[0].projects]
        (self.bench.stock / "projects.json").write_text(json.dumps(stock))
        for image in self.layout.images.glob("*/image.json"):
            # A laptop's pods are forked off a process that has imported dbt: no pod of a cluster is spared that.
            document = json.loads(image.read_text()) | {"preload": []}
            write_atomically(image, json.dumps(document).encode())

    def _make_stock(self, name: str, secret: Secret) -> dict[str, object]:
        """The project's image as people make it for Cosmos: project, profile, and dbt's parse of both."""
        release = load_release(self.layout.releases / project.TEAM / name)
        folder = self.bench.stock / name
        shutil.copytree(release.manifest_path.parent / "image", folder, ignore=shutil.ignore_patterns("slices"))
        binaries = RUNNER_PYTHON.parent
        environment = {
            "DBT_PROFILES_DIR": str(folder / "profiles"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "PATH": f"{binaries}:{os.defpath}",
        }
        done = subprocess.run(
            [str(binaries / "dbt"), "parse", "--project-dir", str(folder / "project"), "--target", "prod"],
            env={**environment, **secret, "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WherryError(f"{name}: dbt could not parse it: {(done.stdout + done.stderr)[-2000:]}")
        self._put_image(name, folder, environment)
        return {
            "name": name,
            "image": self.images[name],
            "manifest": str(folder / "project/target/manifest.json"),
            "profile": yaml.safe_load((folder / "project/dbt_project.yml").read_text())["profile"],
            "profiles": str(folder / "profiles/profiles.yml"),
            "project_dir": str(folder / "project"),
            "resources": _resources(release.settings.project),
        }

    def _put_image(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        image = self.layout.images / self.images[name].replace("/", "_").replace(":", "_")
        image.mkdir(parents=True, exist_ok=True)
        parsed = {"DBT_PARTIAL_PARSE_FILE_PATH": str(folder / "project/target/partial_parse.msgpack")}
        facts = {"reference": self.images[name], "entrypoint": [], "env": {**environment, **parsed}}
        (image / "image.json").write_text(json.dumps(facts | {"workdir": str(folder / "project")}))


def _resources(settings: Project) -> dict[str, dict[str, str]]:
    room = settings.resources
    return {
        "requests": {"cpu": room.cpu, "memory": room.memory},
        "limits": {"cpu": room.cpu_limit, "memory": room.memory_limit},
    }


def _tree_cpu(pid: int) -> float:
    """User and system time of a process, of its living descendants, and of all that they have waited for."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # it ended meanwhile: its parent has its time
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
