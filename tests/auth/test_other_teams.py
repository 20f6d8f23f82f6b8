"""What a team's user tries with another team's DAGs, by real HTTP with a real token; and that their own are theirs."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from airflow.api_fastapi.core_api import openapi

from tests.auth.server import DAGS, RUN, TASK, Server, backfill, create_user

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

OWN, OTHER = DAGS["finance"], DAGS["growth"]  # ana's; jonas'
REFUSED = (403, 404)  # Airflow hides backfills and files that one may not see

Client = Callable[[str], httpx.Client]
Request = tuple[str, str, Any]


def run_of(dag: str) -> str:
    return f"/api/v2/dags/{dag}/dagRuns/{RUN}"


def task_of(dag: str) -> str:
    return f"{run_of(dag)}/taskInstances/{TASK}"


def update(**entity: Any) -> dict[str, Any]:
    return {"actions": [{"action": "update", "entities": [entity]}]}


# What an analytics engineer does with a DAG; {dag} is filled in. Each is refused for another team's.
READS = {
    "details": "/api/v2/dags/{dag}/details",
    "dag": "/api/v2/dags/{dag}",
    "code": "/api/v2/dagSources/{dag}",
    "versions": "/api/v2/dags/{dag}/dagVersions",
    "version": "/api/v2/dags/{dag}/dagVersions/1",
    "tasks": "/api/v2/dags/{dag}/tasks",
    "runs": "/api/v2/dags/{dag}/dagRuns",
    "run": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}",
    "task instances": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}/taskInstances",
    "task instances of all runs": "/api/v2/dags/{dag}/dagRuns/~/taskInstances",
    "rendered fields": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}/taskInstances/{TASK}",
    "tries": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}/taskInstances/{TASK}/tries",
    "log": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}/taskInstances/{TASK}/logs/1",
    "result": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}/taskInstances/{TASK}/xcomEntries/return_value",
    "results": f"/api/v2/dags/{{dag}}/dagRuns/{RUN}/taskInstances/{TASK}/xcomEntries",
    "warnings": "/api/v2/dagWarnings?dag_id={dag}",
    "backfills": "/api/v2/backfills?dag_id={dag}",
    "grid": "/ui/grid/structure/{dag}",
    "grid runs": "/ui/grid/runs/{dag}",
    "grid states": f"/ui/grid/ti_summaries/{{dag}}?run_ids={RUN}",
    "graph": "/ui/structure/structure_data?dag_id={dag}",
    "gantt": f"/ui/gantt/{{dag}}/{RUN}",
    "calendar": "/ui/calendar/{dag}?logical_date_gte=2025-01-01T00:00:00Z&logical_date_lte=2025-02-01T00:00:00Z",
    "latest run": "/ui/dags/{dag}/latest_run",
    "deadlines": "/ui/dags/{dag}/deadlineAlerts",
}


@pytest.mark.parametrize("path", READS.values(), ids=READS)
def test_their_dag_is_hidden(client: Client, path: str):
    """What ana reads of her own DAG, and jonas of his, is refused to ana for his."""
    assert client("ana").get(path.format(dag=OWN)).status_code == 200
    assert client("jonas").get(path.format(dag=OTHER)).status_code == 200
    refused = client("ana").get(path.format(dag=OTHER))
    assert refused.status_code == 403, refused.text


WRITES: dict[str, Callable[[str], Request]] = {
    "unpause": lambda dag: ("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False}),
    "trigger": lambda dag: ("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None}),
    "backfill": lambda dag: ("POST", "/api/v2/backfills/dry_run", backfill(dag)),
    "mark a task": lambda dag: ("PATCH", task_of(dag), {"new_state": "success"}),
    "mark tasks, by wildcard": lambda dag: (
        "PATCH", "/api/v2/dags/~/dagRuns/~/taskInstances",
        update(dag_id=dag, dag_run_id=RUN, task_id=TASK, new_state="skipped"),
    ),
    "clear a task": lambda dag: (
        "POST", f"/api/v2/dags/{dag}/clearTaskInstances",
        {"dry_run": False, "dag_run_id": RUN, "task_ids": [TASK], "only_failed": False},
    ),
    "mark a run": lambda dag: ("PATCH", run_of(dag), {"state": "failed"}),
    "mark runs, by wildcard": lambda dag: (
        "PATCH", "/api/v2/dags/~/dagRuns", update(dag_id=dag, dag_run_id=RUN, state="success"),
    ),
    "clear a run": lambda dag: ("POST", f"{run_of(dag)}/clear", {"dry_run": False}),
    "clear runs, by wildcard": lambda dag: (
        "POST", "/api/v2/dags/~/clearDagRuns", {"dry_run": False, "dag_runs": [{"dag_id": dag, "dag_run_id": RUN}]},
    ),
    "favourite": lambda dag: ("POST", f"/api/v2/dags/{dag}/favorite", None),
    "pause": lambda dag: ("PATCH", f"/api/v2/dags/{dag}", {"is_paused": True}),
}  # fmt: skip


def state(client: Client, dag: str) -> list[Any]:
    """All of a DAG that someone could change, as the admin sees it."""
    admin, api = client("admin"), "/api/v2"
    paths = (f"{api}/dags/{dag}", f"{api}/dags/{dag}/dagRuns", f"{run_of(dag)}/taskInstances",
             f"{task_of(dag)}/xcomEntries", f"{api}/backfills?dag_id={dag}")  # fmt: skip
    answers = [admin.get(path) for path in paths]
    assert all(answer.status_code == 200 for answer in answers)
    return [answer.json() for answer in answers]


def attempt(client: Client, user: str, request: Request) -> httpx.Response:
    method, path, body = request
    return client(user).request(method, path, json=body)


def was_refused(answer: httpx.Response) -> bool:
    """A bulk answer is 200, with an error for each entity."""
    if answer.status_code != 200:
        return answer.status_code in REFUSED
    parts = [part for part in answer.json().values() if isinstance(part, dict) and "errors" in part]
    return bool(parts) and all(
        not part["success"] and {error["status_code"] for error in part["errors"]} == {403} for part in parts
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_their_dag_cannot_be_touched(client: Client, write: Callable[[str], Request]):
    """What ana does with her own DAG is refused for jonas', and nothing of it is changed."""
    before = state(client, OTHER)
    assert was_refused(attempt(client, "ana", write(OTHER)))
    assert state(client, OTHER) == before
    own = attempt(client, "ana", write(OWN))
    assert own.is_success, own.text
    assert not was_refused(own)


TRICKS: dict[str, Request] = {
    "an own dag in the query": ("GET", f"/api/v2/dags/{OTHER}?dag_id={OWN}", None),
    "an own dag in the query of a backfill": ("POST", f"/api/v2/backfills?dag_id={OWN}", backfill(OTHER)),
    "an own dag in the path of a bulk update": (
        "PATCH", f"{run_of(OWN)}/taskInstances",
        update(dag_id=OTHER, dag_run_id=RUN, task_id=TASK, new_state="success"),
    ),
    "an own dag in the path of a bulk delete": (
        "PATCH", f"{run_of(OWN)}/taskInstances",
        {"actions": [{"action": "delete", "entities": [{"dag_id": OTHER, "dag_run_id": RUN, "task_id": TASK}]}]},
    ),
    "an own dag in the path of a bulk clear": (
        "POST", f"/api/v2/dags/{OWN}/clearDagRuns",
        {"dry_run": False, "dag_runs": [{"dag_id": OTHER, "dag_run_id": RUN}]},
    ),
    "trigger every dag": ("POST", "/api/v2/dags/~/dagRuns", {"logical_date": None}),
    "clear tasks of every dag": ("POST", "/api/v2/dags/~/clearTaskInstances", {"dry_run": False, "dag_run_id": RUN}),
    "clear partitions of every dag": ("POST", "/api/v2/dags/~/clearPartitions", {"partition_key": "a"}),
    "unpause every dag": ("PATCH", "/api/v2/dags?dag_id_pattern=~", {"is_paused": False}),
    "delete the dag": ("DELETE", f"/api/v2/dags/{OTHER}", None),
    "delete the run": ("DELETE", run_of(OTHER), None),
    "delete the task instance": ("DELETE", task_of(OTHER), None),
    "forge a result": ("POST", f"{task_of(OTHER)}/xcomEntries", {"key": "a", "value": 1}),
    "change a result": ("PATCH", f"{task_of(OTHER)}/xcomEntries/return_value", {"value": 1}),
    "delete a result": ("DELETE", f"{task_of(OTHER)}/xcomEntries/return_value", None),
    "read the backfill": ("GET", "/api/v2/backfills/2", None),
    "cancel the backfill": ("PUT", "/api/v2/backfills/2/cancel", None),
    "unpause the backfill": ("PUT", "/api/v2/backfills/2/unpause", None),
}  # fmt: skip


@pytest.mark.parametrize("request_", TRICKS.values(), ids=TRICKS)
def test_no_detour_leads_there(client: Client, request_: Request):
    """Wildcards, another DAG's id beside the real one, and what no team's user may do."""
    before = state(client, OTHER)
    assert was_refused(attempt(client, "ana", request_))
    assert state(client, OTHER) == before


def test_the_file_of_all_dags_is_not_theirs_to_read_again(client: Client):
    """The token of the file, which holds every team's DAGs, comes with one's own; it isn't enough."""
    token = client("ana").get(f"/api/v2/dags/{OWN}").json()["file_token"]
    assert client("ana").put(f"/api/v2/parseDagFile/{token}").status_code == 403


KEPT = {
    "delete own dag": ("DELETE", f"/api/v2/dags/{OWN}", None),
    "delete own run": ("DELETE", run_of(OWN), None),
    "forge own result": ("POST", f"{task_of(OWN)}/xcomEntries", {"key": "a", "value": 1}),
    "pools": ("GET", "/api/v2/pools", None),
    "make a pool": ("POST", "/api/v2/pools", {"name": "mine", "slots": 100}),
    "widen a pool": ("PATCH", "/api/v2/pools/finance__transform", {"slots": 100}),
    "delete a pool": ("DELETE", "/api/v2/pools/growth__main", None),
    "connections": ("GET", "/api/v2/connections", None),
    "a connection": ("GET", "/api/v2/connections/warehouse", None),
    "make a connection": ("POST", "/api/v2/connections", {"connection_id": "a", "conn_type": "http"}),
    "test a connection": ("POST", "/api/v2/connections/test", {"connection_id": "a", "conn_type": "http"}),
    "variables": ("GET", "/api/v2/variables", None),
    "a variable": ("GET", "/api/v2/variables/a", None),
    "make a variable": ("POST", "/api/v2/variables", {"key": "a", "value": "b"}),
    "configuration": ("GET", "/api/v2/config", None),
    "an option": ("GET", "/api/v2/config/section/database/option/sql_alchemy_conn", None),
    "providers": ("GET", "/api/v2/providers", None),
    "plugins": ("GET", "/api/v2/plugins", None),
    "jobs": ("GET", "/api/v2/jobs", None),
    "import errors": ("GET", "/api/v2/importErrors", None),
    "audit log": ("GET", "/api/v2/eventLogs", None),
    "audit log of own dag": ("GET", f"/api/v2/eventLogs?dag_id={OWN}", None),
    "assets": ("GET", "/api/v2/assets", None),
    "asset events": ("GET", "/api/v2/assets/events", None),
    "make an asset event": ("POST", "/api/v2/assets/events", {"asset_id": 1}),
    "materialize an asset": ("POST", "/api/v2/assets/1/materialize", None),
    "users": ("GET", "/auth/fab/v1/users", None),
    "make a user": ("POST", "/auth/fab/v1/users", {"username": "a"}),
    "roles": ("GET", "/auth/fab/v1/roles", None),
    "make a role": ("POST", "/auth/fab/v1/roles", {"name": "a", "actions": []}),
    "widen the own role": (
        "PATCH", "/auth/fab/v1/roles/team-finance",
        {"name": "team-finance", "actions": [{"action": {"name": "can_read"}, "resource": {"name": f"DAG:{OTHER}"}}]},
    ),
    "a task's API: connections": ("GET", "/execution/connections/warehouse", None),
    "a task's API: variables": ("GET", "/execution/variables/a", None),
    "a task's API: results": ("GET", f"/execution/xcoms/{OTHER}/{RUN}/{TASK}/return_value", None),
    "a task's API: trigger": ("POST", f"/execution/dag-runs/{OTHER}/a", {}),
}  # fmt: skip


@pytest.mark.parametrize("request_", KEPT.values(), ids=KEPT)
def test_what_belongs_to_all_is_the_admins(client: Client, request_: Request):
    """What isn't kept by DAG would show, or let change, every team's."""
    assert attempt(client, "ana", request_).status_code == 403


LISTS: dict[str, Request] = {
    "dags": ("GET", "/api/v2/dags", None),
    "dags of the UI": ("GET", "/ui/dags", None),
    "dags by pattern": ("GET", "/api/v2/dags?dag_id_pattern=growth", None),
    "tags": ("GET", "/api/v2/dagTags", None),
    "runs": ("GET", "/api/v2/dags/~/dagRuns", None),
    "runs, listed": ("POST", "/api/v2/dags/~/dagRuns/list", {}),
    "runs, listed by dag": ("POST", "/api/v2/dags/~/dagRuns/list", {"dag_ids": [OTHER]}),
    "task instances": ("GET", "/api/v2/dags/~/dagRuns/~/taskInstances", None),
    "task instances, listed": ("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", {}),
    "task instances, listed by dag": ("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", {"dag_ids": [OTHER]}),
    "results": ("GET", "/api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries", None),
    "versions": ("GET", "/api/v2/dags/~/dagVersions", None),
    "warnings": ("GET", "/api/v2/dagWarnings", None),
    "numbers": ("GET", "/api/v2/dagStats", None),
    "backfills of the UI": ("GET", "/ui/backfills", None),
}


@pytest.mark.parametrize("request_", LISTS.values(), ids=LISTS)
def test_lists_leave_them_out(client: Client, request_: Request):
    """The admin finds the growth team in the list; its user too; ana doesn't find a word of it."""
    answers = {user: attempt(client, user, request_) for user in ("admin", "jonas", "ana")}
    assert {user: answer.status_code for user, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert {user: "growth" in answer.text for user, answer in answers.items()} == {
        "admin": True, "jonas": True, "ana": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", [f"/api/v2/dagStats?dag_ids={OTHER}&dag_id={OWN}", f"/api/v2/dagWarnings?dag_id={OTHER}&dag_id={OWN}"]
)
def test_an_own_dag_in_the_query_opens_no_list(client: Client, path: str):
    """The right to ask comes from one's own DAG; the answer is about no other."""
    answer = client("ana").get(path)
    assert answer.status_code == 200
    assert "growth" not in answer.text


def test_the_dashboard_counts_only_their_own(client: Client):
    """The admin's numbers are those of both teams together."""
    path = "/ui/dashboard/historical_metrics_data?start_date=2025-01-01T00:00:00Z"
    counted = {
        user: sum(client(user).get(path).json()["dag_run_states"].values()) for user in ("admin", "ana", "jonas")
    }
    assert counted["ana"] > 0
    assert counted["admin"] == counted["ana"] + counted["jonas"]


def test_without_a_token_there_is_nothing(server: Server):
    """Neither the API nor the lists of the UI."""
    for path in ("/api/v2/dags", "/ui/dags", "/auth/fab/v1/users"):
        assert httpx.get(f"{server.url}{path}").status_code == 401


def test_a_user_without_a_role_sees_nothing(server: Server):
    """Such as one whose group isn't mapped to any role."""
    server.run(create_user("nobody", "Public"))
    with server.client("nobody") as nobody:
        assert nobody.get("/api/v2/dags").status_code == 403
        assert nobody.get(f"/api/v2/dags/{OTHER}").status_code == 403


# Every operation that this Airflow has, so that a new one doesn't slip in.

_FILL = {"dag_id": OTHER, "dag_run_id": RUN, "run_id": RUN, "task_id": TASK, "xcom_key": "return_value"}
_ENDLESS = {"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/wait", "/api/v2/auth/logout"}
_BY_BODY = {"clearDagRuns", "dagRuns"}  # decided by what the body names: tested above


@cache
def operations() -> list[tuple[str, str]]:
    """Method and path of every operation of the REST API and of the UI's own."""
    folder = Path(openapi.__file__).parent
    found = []
    for file in ("v2-rest-api-generated.yaml", "_private_ui.yaml"):
        paths = yaml.load((folder / file).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["paths"]
        found += [(method.upper(), path) for path, item in paths.items() for method in item if path not in _ENDLESS]
    return found


def of_a_dag() -> Iterator[Any]:
    for method, path in operations():
        if "{dag_id}" in path and not (method != "GET" and path.rpartition("/")[2] in _BY_BODY):
            yield pytest.param(method, path, id=f"{method} {path}")


@pytest.mark.parametrize(("method", "path"), of_a_dag())
def test_every_operation_on_their_dag_is_refused(client: Client, method: str, path: str):
    """None of them comes as far as to look at what was sent, or says whether the thing exists."""
    filled = re.sub(r"{(\w+)}", lambda name: _FILL.get(name[1], "1"), path)
    body = {} if method in ("POST", "PUT", "PATCH") else None
    assert client("ana").request(method, filled, json=body).status_code == 403


def test_her_token_was_good_all_along(client: Client):
    """Else all of this would have been refused for another reason."""
    assert client("ana").get(f"/api/v2/dags/{OWN}").status_code == 200
    assert client("ana").get("/ui/auth/me").json()["username"] == "ana"
