"""Releases out of a git repository, as in production: a commit is a release, a revert a rollback."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.charts.conftest import ROOT
from tests.e2e.drill import DAG, SLOW, Drill, Json, until, upgrade
from wherry.cluster.settings import AIRFLOW
from wherry.demo.run import wait_for_release
from wherry.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

NAMESPACE = "drill-git"
HOST = f"git.{NAMESPACE}.svc.cluster.local"
SERVER = """
import http.server, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/git/.deploy/server.crt", "/git/.deploy/server.key")
handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory="/git/.deploy/public")
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
NEXT = {**SLOW, "models/after_slow.sql": "select *, 2 as version from {{ ref('slow') }}"}


@dataclass
class DeployRepository:
    """The repository that Airflow reads, and the checkout that the platform's pipeline writes."""

    releases: Path
    folder: Path

    def commit(self, made: Release) -> str:
        """Put a release into the repository."""
        shutil.copytree(self.releases / made.team, self.folder / "releases" / made.team, dirs_exist_ok=True)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", f"Release {made.id}")
        return self.push()

    def revert(self) -> str:
        """Take the last commit back."""
        self._git("revert", "--no-edit", "HEAD")
        return self.push()

    def push(self) -> str:
        """Publish what is committed; returns the commit."""
        self._git("push", "--quiet", "origin", "HEAD:main")
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=deploy", "-c", "user.email=deploy@example.com")
        done = subprocess.run(["git", *identity, "-C", self.folder, *arguments], check=True, capture_output=True)
        return done.stdout.decode().strip()


def server(image: str) -> list[Json]:
    """A web server of the bare repository, in a pod and a Service; it lies where the node sees this machine's files."""
    meta = {"name": "git", "namespace": NAMESPACE, "labels": {"app": "git"}}
    container = {
        "name": "git", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["python", "-c", SERVER],
        "volumeMounts": [{"name": "git", "mountPath": "/git", "readOnly": True}],
    }  # fmt: skip
    volume = {"name": "git", "hostPath": {"path": "/wherry/releases"}}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], "volumes": [volume]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta,
         "spec": {"selector": {"app": "git"}, "ports": [{"port": 443, "targetPort": 8443}]}},
    ]  # fmt: skip


@pytest.fixture
def repository(drill: Drill, tmp_path: Path) -> Iterator[DeployRepository]:
    """An empty deploy repository with the DAG file, served in the cluster over TLS."""
    home = drill.cluster.layout.releases / ".deploy"
    bare = home / "public" / "deploy.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    shutil.copy(bare / "hooks/post-update.sample", bare / "hooks/post-update")  # keeps what plain HTTPS needs
    checkout = tmp_path / "deploy"
    subprocess.run(["git", "clone", "--quiet", bare, checkout], check=True, capture_output=True)
    (checkout / "dags").mkdir()
    shutil.copy(ROOT / "dags/wherry_dags.py", checkout / "dags")
    certificate(home)
    image = drill.cluster.kube.items("deployments", "--namespace", AIRFLOW)[0]["spec"]["template"]["spec"]
    drill.cluster.kube.kubectl("create", "namespace", NAMESPACE)
    drill.cluster.kube.apply(*server(image["containers"][0]["image"]))
    drill.cluster.kube.kubectl("wait", "--for=condition=Ready", "pod/git", "--namespace", NAMESPACE, "--timeout=120s")
    yield DeployRepository(drill.cluster.layout.releases, checkout)
    drill.cluster.kube.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    shutil.rmtree(home)


def certificate(folder: Path) -> None:
    """A certificate that signs itself, for the name of the Service."""
    files = ("-keyout", folder / "server.key", "-out", folder / "server.crt")
    subject = ("-subj", f"/CN={NAMESPACE}", "-addext", f"subjectAltName=DNS:{HOST}")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *subject]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "server.key").chmod(0o644)  # another user's, in the pod


def from_git(authority: str) -> Json:
    """The chart's values for the repository. Its authority is one that Airflow's image doesn't know."""
    trust = {
        "extraVolumes": [{"name": "authority", "configMap": {"name": "deploy-authority"}}],
        "extraVolumeMounts": [{"name": "authority", "mountPath": "/etc/authority", "readOnly": True}],
        "env": {"GIT_SSL_CAINFO": "/etc/authority/ca.crt"},
    }
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "deploy-authority"},
        "data": {"ca.crt": authority},
    }
    git = {"url": f"https://{HOST}/deploy.git", "refresh": 5}
    return {
        "releases": {"source": "git", "git": git, "volume": {"hostPath": ""}},
        "scheduler": trust,
        "dagProcessor": trust,
        "extraObjects": [config],
    }


def is_newer(drill: Drill) -> bool:
    """Whether the last build of the model was by the newer release."""
    return bool(
        drill.sql(
            "select 1 from information_schema.columns where table_name = 'after_slow' and column_name = 'version'"
        )
    )


def test_a_commit_is_a_release_and_a_revert_is_a_rollback(
    drill: Drill, slow: Release, repository: DeployRepository, before: str
) -> None:
    """And a run that has begun stays on the commit that it began with, while newer ones come."""
    first = repository.commit(slow)
    authority = (drill.cluster.layout.releases / ".deploy/server.crt").read_text()
    upgrade(drill, from_git(authority))
    until(lambda: drill.commit() == first, 180)
    with drill.held():
        run = drill.begin()
        drill.pod("slow.build")
        newer = drill.build(NEXT)
        second = repository.commit(newer)
        wait_for_release(drill.cluster.api, DAG, newer.id, timeout=180)
    assert drill.end(run) == "success"
    assert (drill.commit(run), is_newer(drill)) == (first, False)
    run = drill.begin()
    assert drill.end(run) == "success"
    assert (drill.commit(run), is_newer(drill)) == (second, True)
    third = repository.revert()
    wait_for_release(drill.cluster.api, DAG, slow.id, timeout=180)
    run = drill.begin()
    assert drill.end(run) == "success"
    assert (drill.commit(run), is_newer(drill)) == (third, False)
