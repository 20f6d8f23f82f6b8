"""The kind cluster: its life, and the images on its nodes."""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

import yaml

from wherry.cluster import oci
from wherry.cluster.settings import WRITTEN, Settings
from wherry.cluster.shell import run
from wherry.demo.layout import REPOSITORY
from wherry.demo.ports import free_port
from wherry.errors import WherryError
from wherry.release.docker import RELEASE_FOLDER, tree

_FILE = REPOSITORY / "k8s" / "kind" / "cluster.yaml"
_UNFINISHED = "unfinished-cluster"  # a file of the state folder, there while the cluster is created
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def exists(name: str) -> bool:
    """Whether there is a cluster of that name."""
    return name in run("kind", "get", "clusters").decode().split()


def check(settings: Settings) -> None:
    """Raise WherryError, before anything is made, where a new cluster's port is taken, or the cluster isn't ours."""
    layout = settings.layout
    if not exists(settings.name):
        if (free := free_port(settings.ui_port)) != settings.ui_port:
            raise WherryError(
                f"port {settings.ui_port} is taken, expected a free one for the UI: WHERRY_UI_PORT={free}"
            )
    elif not ((layout.state / _UNFINISHED).exists() or context(layout.kubeconfig) == f"kind-{settings.name}"):
        raise WherryError(
            f"kind cluster {settings.name}: found one that wasn't made from here: its passwords aren't in "
            f"{layout.state}. `kind delete cluster --name {settings.name}` removes it and its data; "
            "WHERRY_CLUSTER=another-name makes another"
        )


def context(kubeconfig: Path) -> str:
    """The cluster that a kubeconfig is of, as kind names it; "" for no file."""
    return str(yaml.safe_load(kubeconfig.read_text()).get("current-context", "")) if kubeconfig.exists() else ""


def create(settings: Settings) -> None:
    """Create the cluster unless it is there, and start its nodes where the engine was restarted.

    One that was being created when `task up` was interrupted is begun anew: kind can't go on with it.
    """
    layout = settings.layout
    if (layout.state / _UNFINISHED).exists():
        delete(settings.name)
    layout.releases.mkdir(parents=True, exist_ok=True)
    for folder in (layout.state / name for name in WRITTEN):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)  # Airflow's user in the cluster writes there
    if not exists(settings.name):
        _create_new(settings)
    run("docker", "start", *nodes(settings.name))
    kubeconfig = run("kind", "get", "kubeconfig", "--name", settings.name)
    layout.kubeconfig.touch(mode=0o600)
    layout.kubeconfig.write_bytes(kubeconfig)


def _create_new(settings: Settings) -> None:
    layout = settings.layout
    file, unfinished = layout.state / "cluster.yaml", layout.state / _UNFINISHED
    file.write_text(cluster_file(_FILE.read_text(), settings))
    image = ("--image", settings.node_image) if settings.node_image else ()
    unfinished.touch()
    run("kind", "create", "cluster", "--name", settings.name, "--config", file, *image, "--wait", "300s",
        "--kubeconfig", layout.kubeconfig)  # fmt: skip
    settings.remember_port()
    unfinished.unlink()


def cluster_file(text: str, settings: Settings) -> str:
    """k8s/kind/cluster.yaml with its variables filled in."""
    return Template(text).substitute(STATE=json.dumps(str(settings.layout.state))[1:-1], UI_PORT=settings.ui_port)


def delete(name: str) -> None:
    """Delete the cluster and everything in it."""
    run("kind", "delete", "cluster", "--name", name)


def forget(name: str) -> None:
    """Delete what Airflow wrote on this machine: as its user, whose files only the cluster's nodes may delete."""
    folders = [f"/wherry/{folder}" for folder in WRITTEN]
    with suppress(WherryError):  # no cluster, or its engine's node doesn't run: then the caller meets what is left
        run("docker", "exec", nodes(name)[0], "find", *folders, "-mindepth", "1", "-delete")


def nodes(name: str) -> list[str]:
    """The names of the cluster's nodes, which are containers of the engine."""
    return run("kind", "get", "nodes", "--name", name).decode().split()


def load(name: str, images: Sequence[str]) -> None:
    """Copy images from the engine to the nodes that haven't got them; at once: what they share is copied once."""
    missing = [image for image in images if not all(image_on(node, image) for node in nodes(name))]
    if missing:
        run("kind", "load", "docker-image", "--name", name, *missing, timeout=3600)


def image_on(node: str, image: str) -> str | None:
    """The digest of a node's image; None where it has none of that name."""
    lines = _ctr(node, "images", "ls", f"name=={qualified(image)}").decode().splitlines()[1:]
    return lines[0].split()[2] if lines else None


def qualified(image: str) -> str:
    """An image's whole name: `postgres:17` is docker.io/library/postgres:17."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


class KindImages:
    """Release images for a kind cluster, made on its nodes: nothing but the release's layer is copied."""

    def __init__(self, name: str, runner: str) -> None:
        """Put releases on top of the image `runner`, which the nodes of the cluster have."""
        self._name = name
        self._runner = runner

    def base(self) -> str:
        """The name of the runner's image, which holds its content's digest."""
        return self._runner

    def build(self, folder: Path, reference: str) -> str | None:
        """Make the image on each node that hasn't got it."""
        layer = tree(folder, RELEASE_FOLDER.lstrip("/"))
        for node in nodes(self._name):
            if image_on(node, reference) is None:
                _ctr(node, "images", "import", "-", stdin=self._archive(node, layer, reference))
        return None

    def _archive(self, node: str, layer: bytes, reference: str) -> bytes:
        found = image_on(node, self._runner)
        if found is None:
            raise WherryError(f"node {node} has no image {self._runner}; expected it to be loaded: task up")
        manifest = _content(node, found)
        if "manifests" in manifest:
            manifest = _content(node, oci.for_architecture(manifest, _ARCHITECTURES[platform.machine()]))
        return oci.on_top(manifest, _content(node, manifest["config"]["digest"]), layer, reference)


def _content(node: str, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_ctr(node, "content", "get", digest))
    return found


def _ctr(node: str, *arguments: str, stdin: bytes | None = None) -> bytes:
    return run("docker", "exec", "--interactive", node, "ctr", "--namespace", "k8s.io", *arguments, stdin=stdin)
