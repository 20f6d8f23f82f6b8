"""Pods that wait, on a real cluster: what the policy lets them be and become, and a node that takes one."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.client import ApiClient
from rich.console import Console

from tests.charts.conftest import ROOT
from tests.e2e.conftest import WORKER, Cluster, plan_of, skip_without_cluster
from tests.e2e.drill import NAMESPACE, SLOW, TEAM, Drill, until
from tests.pod.examples import FINANCE as PLAN
from tests.pod.examples import FIRST
from wherry.cluster import up
from wherry.pod import make_claim, make_waiting_pod, waiting_label
from wherry.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
skip_without_cluster()

Json = dict[str, Any]
WARM, FINANCE = "e2e-warm", "e2e-finance"
ARGS = ["build", "--select", "fqn:finance.fct_orders"]


def waiting_pod(team: str, seed: str = "1") -> Json:
    """A pod that waits in the team's namespace, as Airflow asks for it."""
    pod: Json = ApiClient().sanitize_for_serialization(make_waiting_pod(plan_of(team), seed))
    return pod


@pytest.fixture(scope="module")
def warm_team(teams: Cluster) -> Iterator[Cluster]:
    """One more team, which wants pods to wait."""
    teams.install(WARM, ROOT / "k8s/teams/finance.yaml", "warm_pods=4")
    yield teams
    teams.uninstall(WARM)


@pytest.fixture
def pod(warm_team: Cluster, request: pytest.FixtureRequest) -> Iterator[Json]:
    """A pod that waits, as the API server has it."""
    body = waiting_pod(WARM, request.node.name)
    done = warm_team("create", "-f", "-", "-o", "json", user=WORKER, body=body)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    found: Json = json.loads(done.stdout)
    yield found
    warm_team("delete", "pod", found["metadata"]["name"], "--namespace", WARM, "--wait=false")


def patch(cluster: Cluster, pod: Json, change: Json) -> str:
    """Change the pod as Airflow's account; what was said against it."""
    arguments = ("patch", "pod", pod["metadata"]["name"], "--namespace", WARM, "--type", "merge")
    done = cluster(*arguments, "--patch", json.dumps(change), user=WORKER)
    return done.stderr if done.returncode else ""


def claim(pod: Json, task: str) -> Json:
    plan = replace(PLAN, team=WARM, namespace=WARM)
    change: Json = make_claim(plan, replace(FIRST, task_id=task), ARGS, {**pod, "status": {}}, datetime.now(UTC))
    del change["metadata"]["resourceVersion"]  # so that it is the policy that is asked
    return change


def test_a_team_that_wants_none_has_none(teams: Cluster) -> None:
    """The volume that brings work is allowed where the team file says that pods wait, and nowhere else."""
    done = teams("create", "--dry-run=server", "-f", "-", user=WORKER, body=waiting_pod(FINANCE))
    assert done.returncode != 0
    assert "a volume must be one of" in done.stderr


def test_a_waiting_pod_is_claimed_once(warm_team: Cluster, pod: Json) -> None:
    """The claim passes; a second one doesn't, nor a change of what was handed over, nor back to waiting."""
    stale = claim(pod, "first")
    stale["metadata"]["resourceVersion"] = "1"
    assert "object has been modified" in patch(warm_team, pod, stale)
    assert patch(warm_team, pod, claim(pod, "first")) == ""
    for change in (
        claim(pod, "second"),
        {"metadata": {"annotations": {"wherry.dev/work": "{}"}}},
        {"metadata": {"annotations": {"wherry.dev/work": None}}},
        {"metadata": {"labels": {"wherry.dev/instance": waiting_label(PLAN)}}},
        {"metadata": {"labels": {"wherry.dev/try": "2"}}},
    ):
        assert "what a pod is for is said when it is made" in patch(warm_team, pod, change), change
    assert "less than or equal to previous value" in patch(warm_team, pod, {"spec": {"activeDeadlineSeconds": 9999}})
    assert patch(warm_team, pod, {"metadata": {"labels": {"wherry.dev/note": "x"}}}) == ""
    assert patch(warm_team, pod, {"metadata": {"annotations": {"wherry.dev/nudge": "0"}}}) == ""


def test_work_has_an_owner(warm_team: Cluster, pod: Json) -> None:
    """Nothing is handed to a pod that goes on saying that it waits."""
    assert "a pod that waits has no work" in patch(
        warm_team, pod, {"metadata": {"annotations": {"wherry.dev/work": "{}"}}}
    )


@pytest.mark.parametrize(
    "item",
    [
        {"path": "node", "fieldRef": {"fieldPath": "metadata.annotations['example.com/other']"}},
        {"path": "node", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "node", "resourceFieldRef": {"containerName": "dbt", "resource": "limits.cpu"}},
    ],
)
def test_no_other_file_is_brought(warm_team: Cluster, item: Json) -> None:
    """A pod sees its own work, and nothing else of the API."""
    body = waiting_pod(WARM)
    body["spec"]["volumes"][1]["downwardAPI"]["items"] = [item]
    done = warm_team("create", "--dry-run=server", "-f", "-", user=WORKER, body=body)
    assert "a volume must be one of" in done.stderr


# --- nodes ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warm_drill(drill: Drill) -> Iterator[Drill]:
    """The team drill with two pods waiting, and afterwards as it was."""
    file = drill.root / "k8s/teams/drill.yaml"
    # Room for more than run and wait: a pod that has ended counts until its node has ended it.
    file.write_text(f'{TEAM}warm_pods: 2\nquota: {{cpu: "8"}}\n')
    changed = up.Cluster(drill.cluster.settings, Console(quiet=True))  # it has read the team file, and the other before
    changed.apply_team(changed.team("drill"))
    yield Drill(changed, drill.root)
    file.write_text(TEAM)
    drill.cluster.apply_team(drill.cluster.team("drill"))


@pytest.fixture
def prepared(warm_drill: Drill) -> Release:
    """A release of which a pod waits, because a run has gone before."""
    release = warm_drill.release(SLOW)
    assert warm_drill.end(warm_drill.begin()) == "success"
    until(lambda: ready(warm_drill, release), 120)
    return release


def ready(drill: Drill, release: Release) -> list[Json]:
    """The pods of the release that wait and run."""
    selector = f"wherry.dev/release={release.id},!wherry.dev/task"
    found = drill.cluster.kube.items("pods", "--namespace", NAMESPACE, "--selector", selector)
    return [pod for pod in found if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]]


def test_a_node_takes_the_pod_that_waits(warm_drill: Drill, prepared: Release) -> None:
    """It runs in it, the run is green at its first tries, and another pod waits then."""
    before = {pod["metadata"]["uid"] for pod in ready(warm_drill, prepared)}
    with warm_drill.held():
        run = warm_drill.begin()
        pod = warm_drill.pod("slow.build")
        until(warm_drill.queries, 60)
        assert "-waits-" in pod["metadata"]["name"]
        until(lambda: {each["metadata"]["uid"] for each in ready(warm_drill, prepared)} - before, 120)
    assert warm_drill.end(run) == "success"
    assert warm_drill.tries(run, "slow.build") == 1
    until(lambda: warm_drill.is_gone(pod), 60)


def test_a_cleared_task_takes_the_pod_it_was_handed_along(warm_drill: Drill, prepared: Release) -> None:
    """Its query is cancelled, the pod goes, and the next one starts from the beginning."""
    assert "-waits-" in warm_drill.clear_while_it_runs()["metadata"]["name"]


def test_pods_that_are_gone_are_not_missed(warm_drill: Drill, prepared: Release) -> None:
    """Somebody deletes all that wait: they end at once, and the next run is green without them."""
    for pod in ready(warm_drill, prepared):
        name = pod["metadata"]["name"]
        warm_drill.cluster.kube.kubectl("delete", "pod", name, "--namespace", NAMESPACE, "--wait=true", timeout=20)
    run = warm_drill.begin()
    assert warm_drill.end(run) == "success"
    assert {warm_drill.tries(run, task) for task in warm_drill.states(run)} == {1}
