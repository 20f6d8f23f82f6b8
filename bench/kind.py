"""The bench's pods on a kind cluster: Airflow stays on this machine, the warehouse goes into the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench import project
from bench.stack import BenchLayout, BenchStack
from wherry.cluster import images, kind
from wherry.cluster.kube import Kube
from wherry.cluster.settings import Settings
from wherry.cluster.shell import run
from wherry.demo.postgres import Postgres
from wherry.demo.steps import step
from wherry.demo.tenants import Secret, apply_team
from wherry.errors import WherryError
from wherry.release.docker import RELEASE_FOLDER
from wherry.release.images import ImageBuilder

NAMESPACE: Final = "bench-warehouse"
# Where the cgroup of all pods says what they used, in version 2 and 1, and how many of its units are a second.
_USAGE: Final = (
    ("/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/cpu.stat", 1e6),
    ("/sys/fs/cgroup/cpuacct/kubelet.slice/kubelet-kubepods.slice/cpuacct.usage", 1e9),
)


@dataclass(frozen=True)
class KindLayout(BenchLayout):
    """As on the embedded cluster, with another's kubeconfig."""

    config: Path = Path()

    @property
    def kubeconfig(self) -> Path:
        """How to reach the cluster."""
        return self.config


class KindStack(BenchStack):
    """Airflow on this machine, pods on a kind cluster."""

    cluster = "kind"

    def __init__(self, layout: KindLayout, console: Console) -> None:
        super().__init__(layout, console)
        context = kind.context(layout.kubeconfig)
        if not context.startswith("kind-"):
            raise WherryError(f"{layout.kubeconfig}: found the context {context}, expected one of kind: kind-<name>")
        self._name, self._kube = context.removeprefix("kind-"), Kube(layout.kubeconfig)

    def cpu(self) -> Mapping[str, float]:
        """Of the pods: what the node's cgroup of all pods has used, the warehouse's pod included."""
        return {"airflow": self._airflow_cpu(), "pods": sum(map(_pods_cpu, kind.nodes(self._name)))}

    def _image_builder(self) -> ImageBuilder:
        return kind.KindImages(self._name, self._runner)

    def _start_cluster(self) -> None:
        """Build and load the runner's image; start the warehouse."""
        settings = Settings.read()
        with step(self._console, "image of the runner, PostgreSQL in the cluster"):
            self._runner = images.build("dbt-runner", settings)
            postgres = settings.public(images.POSTGRES)
            kind.load(self._name, [self._runner, postgres])
            self._kube.apply(*warehouse(postgres, self._state.secrets().postgres))
            self._kube.wait_rolled_out(NAMESPACE, ["deployment/postgres"])

    def _apply_teams(self, postgres: Postgres) -> dict[str, Secret]:
        secrets = super()._apply_teams(postgres)
        addresses = self._kube.items("nodes")[0]["status"]["addresses"]
        service = self._kube.get("service", "postgres", NAMESPACE) or {}
        where = {
            "POSTGRES_HOST": next(one["address"] for one in addresses if one["type"] == "InternalIP"),
            "POSTGRES_PORT": str(service["spec"]["ports"][0]["nodePort"]),
        }
        found: dict[str, Secret] = {name: {**secret, **where} for name, secret in secrets.items()}
        for team in self.teams:
            apply_team(self.layout.kubeconfig, team, found[team.name])
        return found

    def _put_stock_image(self, name: str, folder: Path) -> Path:
        self._image_builder().build(folder, self.images[name])
        return Path(RELEASE_FOLDER)


def warehouse(image: str, password: str) -> list[dict[str, Any]]:
    """A PostgreSQL that forgets everything with its pod, on a port of the node: pods and this machine reach it."""
    labels, meta = {"app": "postgres"}, {"name": "postgres", "namespace": NAMESPACE}
    environment = {"POSTGRES_USER": project.TEAM, "POSTGRES_DB": "bench", "POSTGRES_PASSWORD": password}
    container = {
        "name": "postgres",
        "image": image,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "args": ["postgres", "-c", "fsync=off", "-c", "max_connections=200"],
        "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {"selector": {"matchLabels": labels}, "template": template}
    service = {"type": "NodePort", "selector": labels, "ports": [{"port": 5432}]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
    ]


def _pods_cpu(node: str) -> float:
    """CPU-seconds that all pods of a node have used."""
    for file, units in _USAGE:
        words = run("docker", "exec", node, "sh", "-c", f"cat {file} 2>/dev/null || true").decode().split()
        if words:
            return float(words[1] if words[0] == "usage_usec" else words[0]) / units
    raise WherryError(
        f"{node}: found none of {', '.join(file for file, _ in _USAGE)}: how much its pods use isn't known"
    )
