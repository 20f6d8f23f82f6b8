"""What decides a pod: the plan, known when the DAG is parsed, and the try, known when the task runs."""

from dataclasses import dataclass
from datetime import timedelta

from wherry.teams import Resources


@dataclass(frozen=True)
class PodPlan:
    """One node's pod, as the team's settings and the release decide it.

    `node` is the dbt node's unique_id, or "" for a pod that serves many nodes. `secret` names the Secret whose keys
    become the pod's environment. `timeout` bounds the pod's life; `startup_timeout` bounds the wait for room, quota,
    node and image before that; `grace` is the time between TERM and KILL, in which dbt cancels its query.
    `memory_ceiling` is the most that a try after an out-of-memory kill may get. `compute` is the Snowflake virtual
    warehouse that the node's queries run on; None for other warehouses.
    `warm` is how many pods of the release may wait for a node such as this one; 0 where its pod is like no other's.
    A pod that waited for `idle` ends.
    """

    team: str
    project: str
    namespace: str
    image: str
    service_account: str
    secret: str | None
    node: str
    resources: Resources
    memory_ceiling: str
    timeout: timedelta
    grace: timedelta
    release_id: str
    startup_timeout: timedelta = timedelta(minutes=10)
    compute: str | None = None
    warm: int = 0
    idle: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class TaskTry:
    """One try of one Airflow task instance; `clears` counts how often the DAG run was cleared before it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    clears: int = 0
