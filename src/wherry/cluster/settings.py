"""What of the local cluster may be set, and where its files are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.demo.layout import REPOSITORY, RUNNER_PYTHON, Layout
from wherry.errors import WherryError

AIRFLOW = "airflow"
"""Airflow's namespace, and the name of its Helm release."""
WAREHOUSES = "wherry-warehouses"
_PORT_FILE = "ui-port"
_DEFAULT_PORT = "8080"
UI_NODE_PORT = 30080
"""Where the node listens for the UI: k8s/kind/cluster.yaml maps it to the host."""
WRITTEN = ("results", "logs")
"""The folders of the state that Airflow writes: nodes have them at /wherry, by k8s/kind/cluster.yaml."""


@dataclass(frozen=True)
class Settings:
    """One local cluster. `registry` is the mirror of Docker Hub behind which all public images are found, if any."""

    name: str
    ui_port: int
    registry: str
    node_image: str
    package_index: str
    layout: Layout

    @staticmethod
    def read(environment: Mapping[str, str] = os.environ) -> "Settings":
        """Take the settings from WHERRY_CLUSTER, _UI_PORT, _REGISTRY, _NODE_IMAGE, _UP_STATE and PIP_INDEX_URL."""
        name = environment.get("WHERRY_CLUSTER", "wherry")
        state = Path(environment.get("WHERRY_UP_STATE", REPOSITORY / ".wherry" / "up")).absolute()
        return Settings(
            name=name,
            ui_port=_port(environment.get("WHERRY_UI_PORT"), state / _PORT_FILE),
            registry=environment.get("WHERRY_REGISTRY", "").rstrip("/"),
            node_image=environment.get("WHERRY_NODE_IMAGE", ""),
            package_index=environment.get("PIP_INDEX_URL", ""),
            layout=Layout(state),
        )

    def remember_port(self) -> None:
        """Note the port that the cluster was made with: it stays the same as long as the cluster is there."""
        (self.layout.state / _PORT_FILE).write_text(str(self.ui_port))

    @property
    def url(self) -> str:
        """Where the UI answers."""
        return f"http://127.0.0.1:{self.ui_port}"

    def public(self, image: str) -> str:
        """A public image's name as this machine pulls it: `postgres:17` is `<mirror>/library/postgres:17`."""
        if not self.registry:
            return image
        return f"{self.registry}/{image if '/' in image else f'library/{image}'}"

    def environment(self) -> dict[str, str]:
        """The settings that `wherry.settings` reads."""
        return {**self.layout.environment(), "WHERRY_RUNNER_PYTHON": str(RUNNER_PYTHON)}


def _port(wanted: str | None, file: Path) -> int:
    """The port that is asked for, or that of the cluster that is there. Raises WherryError where they differ."""
    made = file.read_text() if file.exists() else None
    found = wanted or made or _DEFAULT_PORT
    if not (found.isdecimal() and 0 < int(found) < 65536):
        raise WherryError(f"WHERRY_UI_PORT: found {found!r}, expected a port such as {_DEFAULT_PORT}")
    if made and found != made:
        raise WherryError(f"WHERRY_UI_PORT: found {found}, but the cluster's port is {made}; unset it, or: task down")
    return int(found)
