"""Two teams' plans and a first try."""

from datetime import timedelta

from wherry.pod import PodPlan, TaskTry
from wherry.teams import Resources

FINANCE = PodPlan(
    team="finance",
    project="finance",
    namespace="team-finance",
    image="wherry.local/finance-finance:0123456789abcdef",
    service_account="runner",
    secret="warehouse",
    node="model.finance.fct_orders",
    resources=Resources(),
    memory_ceiling="4Gi",
    timeout=timedelta(minutes=30),
    grace=timedelta(seconds=30),
    release_id="0123456789abcdef",
    compute="TRANSFORM_WH",
)
GROWTH = PodPlan(
    team="growth",
    project="web",
    namespace="team-growth",
    image="wherry.local/growth-web@sha256:abc",
    service_account="dbt",
    secret=None,
    node="",
    resources=Resources(cpu="1", memory="1Gi", cpu_limit="2", memory_limit="2Gi"),
    memory_ceiling="2Gi",
    timeout=timedelta(hours=1),
    grace=timedelta(seconds=45),
    release_id="fedcba9876543210",
)
FIRST = TaskTry("finance__finance", "manual__2026-11-22T06:00:00+00:00", "fct_orders.build", -1, 1)
