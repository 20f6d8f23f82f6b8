"""The demo's platform with the bench's team, projects and DAG files instead of the demo's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
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
from wherry.release import Release, build_release, load_release
from wherry.release.images import ImageBuilder, LocalImageStore, write_atomically
from wherry.release.model import read_manifest
from wherry.teams import Project, Team

HERE: Final = Path(__file__).parent
PARALLELISM: Final = 8
Cpu = Mapping[str, float]


@dataclass(frozen=True)
class BenchLayout(Layout):
    """Everything is below the state folder; `parallelism` is what Airflow runs at once, and the pool's slots.

    `patience`: seconds that the stock operators give a pod to start; 0: their default. With it all tasks are tried
    again, twice: a cluster that is so busy fails to make a container now and then.
    """

    parallelism: int = field(default=PARALLELISM)
    patience: int = 0

    @property
    def retries(self) -> int:
        """How often a task is tried again."""
        return 2 if self.patience else 0

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
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # a busy machine fails no run
            "BENCH_CALLS": str(self.calls),
            "BENCH_PATIENCE": str(self.patience),
            "BENCH_RETRIES": str(self.retries),
            "BENCH_LOCAL_SETTINGS": str(REPOSITORY / "images/airflow/airflow_local_settings.py"),
            "BENCH_PROJECTS": str(self.stock / "projects.json"),
            "PYTHONPATH": f"{HERE / 'airflow'}",
        }


def prepare(layout: BenchLayout, projects: Mapping[str, Path], *, warm: bool = False) -> None:
    """Lay out the state folder for these dbt projects; `warm`: a second team has them too, whose pods wait."""
    for folder in (layout.repository, layout.stock, layout.dags, layout.results):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    layout.calls.write_text("")
    for name, source in projects.items():
        ignored = shutil.ignore_patterns("target", "logs", ".git")
        shutil.copytree(source, layout.repository / "dbt" / name, ignore=ignored)
    layout.teams.mkdir(parents=True)
    _write_team(layout, "dbt", projects, warm_pods=0)
    if warm:
        no_data = shutil.ignore_patterns("raw.sql")  # it is loaded once, for both
        shutil.copytree(layout.repository / "dbt", layout.repository / "warm", ignore=no_data)
        _write_team(layout, "warm", projects, warm_pods=layout.parallelism)
    shutil.copy(REPOSITORY / "dags" / "wherry_dags.py", layout.dags)
    shutil.copy(HERE / "stock" / "arms_dags.py", layout.dags)


def _write_team(layout: BenchLayout, folder: str, projects: Iterable[str], warm_pods: int) -> None:
    paths = {name: f"{folder}/{name}" for name in projects}
    slots, retries = layout.parallelism, layout.retries
    team = project.make_team(paths, slots, {"cpu": "100m"}, warm_pods=warm_pods, retries=retries)
    (layout.teams / f"{team.name}.yaml").write_text(yaml.safe_dump(team.model_dump(mode="json", by_alias=True)))


class BenchStack(Stack):
    """PostgreSQL, the embedded cluster and Airflow, as the demo starts them, and images for the stock arms."""

    cluster = "embedded"
    triggerer_niceness = 0  # the watcher's sensors wait there
    makes_stock = True  # whether the stock arms' projects and images are made

    def __init__(self, layout: BenchLayout, console: Console) -> None:
        super().__init__(layout, console)
        self.bench = layout
        self._tag = f"{time.time_ns():x}"  # an image's name is its content's

    @property
    def images(self) -> dict[str, str]:
        """The stock arms' image of each project."""
        return {name: f"wherry.local/stock-{name}:{self._tag}" for name in self.teams[0].projects}

    def bare(self, name: str) -> tuple[str, dict[str, dict[str, str]]]:
        """Image and resources of a pod of the project, whatever it runs."""
        return self.images[name], _resources(self.teams[0].projects[name])

    def release(self, team: Team, project_name: str) -> Release:
        """Release into the cluster's own store of images."""
        folder, root = self.layout.releases, self.layout.repository
        return build_release(team, project_name, folder, root=root, images=self._image_builder()).release

    def nodes(self, name: str) -> int:
        """How many models, seeds and snapshots a project has."""
        manifest = read_manifest(load_release(self.layout.releases / project.TEAM / name))
        return sum(node["resource_type"] in ("model", "seed", "snapshot") for node in manifest["nodes"].values())

    def cpu(self) -> Cpu:
        """CPU-seconds so far: of what runs tasks ("airflow"), and of the pods ("pods")."""
        pid = self.pids()["localcluster"]
        server = psutil.Process(pid).cpu_times()
        return {"airflow": self._airflow_cpu(), "pods": _tree_cpu(pid) - server.user - server.system}

    def waiting_memory(self) -> list[float]:
        """MB that each task's process has for itself at this moment, beyond what it shares with its parent."""
        scheduler = psutil.Process(self.pids()["airflow-scheduler"])
        return [memory for process in scheduler.children(recursive=True) if (memory := _private_mb(process))]

    def _airflow_cpu(self) -> float:
        pids = self.pids()
        return sum(_tree_cpu(pids[f"airflow-{name}"]) for name in ("scheduler", "api-server", "triggerer"))

    def _image_builder(self) -> ImageBuilder:
        return LocalImageStore(self.layout.images, RUNNER_PYTHON)

    def _start_emulator(self) -> None:
        """Start none: no team is on Snowflake, and nobody calls this address."""
        self.layout.emulator_address.write_text("127.0.0.1:0")

    def _load_and_release(self, secrets: dict[str, Secret]) -> None:
        super()._load_and_release(secrets)
        self.secret = secrets[project.TEAM]
        stock = [self._make_stock(name) for name in self.teams[0].projects if self.makes_stock]
        (self.bench.stock / "projects.json").write_text(json.dumps(stock))
        for image in self.layout.images.glob("*/image.json"):
            # A laptop's pods are forked off a process that has imported dbt: no pod of a cluster is spared that.
            document = json.loads(image.read_text()) | {"preload": []}
            write_atomically(image, json.dumps(document).encode())

    def _make_stock(self, name: str) -> dict[str, object]:
        """The project as people bring it to Cosmos: in an image with its profile and dbt's parse of both."""
        release = load_release(self.layout.releases / project.TEAM / name)
        folder = self.bench.stock / name
        shutil.copytree(release.manifest_path.parent / "image", folder, ignore=shutil.ignore_patterns("slices"))
        done = subprocess.run(
            [str(RUNNER_PYTHON.parent / "dbt"), "parse", "--project-dir", str(folder / "project"), "--target", "prod"],
            env={**self.secret, "DBT_PROFILES_DIR": str(folder / "profiles"), "HOME": str(folder), "PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WherryError(f"{name}: dbt could not parse it: {(done.stdout + done.stderr)[-2000:]}")
        place = self._put_stock_image(name, folder)
        return {
            "name": name,
            "image": self.images[name],
            "env": {
                "DBT_PROFILES_DIR": str(place / "profiles"),
                "DBT_PARTIAL_PARSE_FILE_PATH": str(place / "project/target/partial_parse.msgpack"),
                "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            },
            "manifest": str(folder / "project/target/manifest.json"),
            "profile": yaml.safe_load((folder / "project/dbt_project.yml").read_text())["profile"],
            "profiles": str(folder / "profiles/profiles.yml"),
            "project_dir": str(place / "project"),
            "resources": _resources(release.settings.project),
        }

    def _put_stock_image(self, name: str, folder: Path) -> Path:
        """Make the image; returns where its pods find `folder`."""
        image = self.layout.images / self.images[name].replace("/", "_").replace(":", "_")
        image.mkdir(parents=True, exist_ok=True)
        environment = {"PATH": f"{RUNNER_PYTHON.parent}:{os.defpath}"}
        facts = {"reference": self.images[name], "entrypoint": [], "env": environment, "workdir": str(folder)}
        (image / "image.json").write_text(json.dumps(facts))
        return folder


def _resources(settings: Project) -> dict[str, dict[str, str]]:
    room = settings.resources
    return {
        "requests": {"cpu": room.cpu, "memory": room.memory},
        "limits": {"cpu": room.cpu_limit, "memory": room.memory_limit},
    }


def _private_mb(process: psutil.Process) -> float:
    """Of a task's process (Airflow names it so); 0 for others, for one that has ended, and where there is no /proc."""
    try:
        if not " ".join(process.cmdline()).startswith("airflow worker -- "):
            return 0.0
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (psutil.Error, OSError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


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
