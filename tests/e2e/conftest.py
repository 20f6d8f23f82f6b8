"""A real cluster, named by WHERRY_E2E_KUBECONFIG, and two teams in it that exist for these tests alone."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiClient
from rich.console import Console

from tests.charts.conftest import CHARTS, ROOT, module
from tests.e2e.drill import NAMESPACE, SLOW, SLOWLY, TEAM, WORKLOADS, Drill, latest, until
from tests.pod.examples import FINANCE, FIRST
from wherry.cluster import up
from wherry.cluster.settings import AIRFLOW as AIRFLOW_NAMESPACE
from wherry.cluster.settings import Settings
from wherry.demo.layout import Layout
from wherry.pod import PodPlan, make_pod
from wherry.release import Release

tools = module(CHARTS / "tools.py")
AIRFLOW = "wherry-e2e-airflow"
WORKER = f"system:serviceaccount:{AIRFLOW}:airflow-worker"


def skip_without_cluster() -> None:
    """Skip the module that calls this, in one line, where no cluster is named."""
    if not os.environ.get("WHERRY_E2E_KUBECONFIG"):
        reason = "no cluster: set WHERRY_E2E_KUBECONFIG to the kubeconfig of one that may be written to"
        pytest.skip(reason, allow_module_level=True)


def plan_of(team: str) -> PodPlan:
    """What a pod of a team is like; its image exists nowhere, so it never runs."""
    return replace(FINANCE, team=team, namespace=team, image=f"wherry.local/{team}-finance:0123456789abcdef")


@dataclass(frozen=True)
class Cluster:
    """Calls of the Kubernetes API, by kubectl."""

    kubeconfig: str
    kubectl: Path
    helm: Path

    def __call__(
        self, *arguments: str, user: str | None = None, body: object = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl, as the cluster's admin or as another user; `body` is what `-f -` reads."""
        identity = ["--as", user] if user else []
        return self._run(self.kubectl, *identity, *arguments, text=yaml.safe_dump(body) if body else None)

    def install(self, team: str, file: Path, *settings: str) -> None:
        """Install charts/team for a team file under another name; fails the test where helm does."""
        pairs = (f"name={team}", f"namespace={team}", f"platform.airflow.namespace={AIRFLOW}", *settings)
        values = [argument for pair in pairs for argument in ("--set", pair)]
        arguments = [
            "upgrade",
            "--install",
            team,
            str(CHARTS / "team"),
            "--namespace",
            AIRFLOW,
            "-f",
            str(file),
            *values,
        ]
        done = self._run(self.helm, *arguments)
        assert done.returncode == 0, done.stderr
        self._wait_for_policy(team)

    def _wait_for_policy(self, team: str) -> None:
        """Wait until the API server judges by the team's policy, which it takes up some seconds after it was made."""
        pod = ApiClient().sanitize_for_serialization(make_pod(plan_of(team), FIRST, ["build"]))
        del pod["metadata"]["labels"]
        create = ("create", "--dry-run=server", "-f", "-")
        until(lambda: f"'wherry-{team}'" in self(*create, user=WORKER, body=pod).stderr, 60)

    def uninstall(self, team: str) -> None:
        """Remove a team's release and, which the chart doesn't, its namespace."""
        self._run(self.helm, "uninstall", team, "--namespace", AIRFLOW)
        self("delete", "namespace", team, "--wait=false")

    def _run(self, program: Path, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig}
        return subprocess.run(
            [program, *arguments], check=False, input=text, capture_output=True, text=True, timeout=120, env=environment
        )


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that WHERRY_E2E_KUBECONFIG names."""
    kubectl, helm = tools.find("kubectl"), tools.find("helm")
    if kubectl is None or helm is None:
        pytest.skip("kubectl or helm is missing")
    return Cluster(os.environ["WHERRY_E2E_KUBECONFIG"], kubectl, helm)


@pytest.fixture(scope="session")
def teams(cluster: Cluster) -> Iterator[Cluster]:
    """Teams e2e-finance and e2e-growth as the chart makes them, and e2e-bare, whose namespace has no Pod Security."""
    for namespace in (AIRFLOW, "e2e-bare"):
        cluster("create", "namespace", namespace)
    cluster("create", "serviceaccount", "airflow-worker", "--namespace", AIRFLOW)
    cluster.install("e2e-finance", ROOT / "k8s/teams/finance.yaml")
    cluster.install("e2e-growth", ROOT / "k8s/teams/growth.yaml")
    cluster.install("e2e-bare", ROOT / "k8s/teams/finance.yaml", "platform.namespace.create=false")
    yield cluster
    for team in ("e2e-finance", "e2e-growth", "e2e-bare"):
        cluster.uninstall(team)
    cluster("delete", "namespace", AIRFLOW, "--wait=false")


@pytest.fixture(scope="session")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """The team drill on the cluster of `task up`; afterwards its DAG and rights are taken out, and its namespace."""
    kubeconfig = os.environ.get("WHERRY_E2E_KUBECONFIG")
    settings = Settings.read()
    if not kubeconfig or not settings.layout.kubeconfig.exists():
        pytest.skip("no cluster of `task up`: run `task up`, then `task e2e`")
    if Path(kubeconfig).absolute() != settings.layout.kubeconfig:
        pytest.skip(f"{kubeconfig} is not the cluster of `task up`, whose state is in {settings.layout.state}")
    root = tmp_path_factory.mktemp("repository")
    (root / "k8s/teams").mkdir(parents=True)
    (root / "k8s/teams/drill.yaml").write_text(TEAM)
    (root / "dbt/drill").mkdir(parents=True)
    (root / "dbt/drill/raw.sql").write_text(SLOWLY)
    settings = replace(settings, layout=Layout(settings.layout.state, root))
    cluster = up.Cluster(settings, Console(quiet=True))
    team = cluster.team("drill")
    cluster.apply_team(team)
    cluster.apply_pools()
    cluster.load_raw_of(team)
    yield Drill(cluster, root)
    cluster.remove_team("drill")
    cluster.kube.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def slow(drill: Drill) -> Release:
    """A release with a model that takes as long as it is held."""
    return drill.release(SLOW)


@pytest.fixture
def before(drill: Drill) -> Iterator[str]:
    """The revision of Airflow's Helm release before the test; afterwards it is what runs again."""
    revision = str(latest(drill)["revision"])
    yield revision
    if latest(drill)["description"] != f"Rollback to {revision}":
        drill.cluster.kube.helm("rollback", "airflow", revision, "--namespace", AIRFLOW_NAMESPACE)
    drill.cluster.kube.wait_rolled_out(AIRFLOW_NAMESPACE, WORKLOADS)
