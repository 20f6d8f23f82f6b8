"""The role of each team, as the FAB auth manager's pairs of an action and a resource. Pure.

FAB asks twice: may this user read *any* DAG's runs, and may they read *this* DAG? What is kept within a DAG is thus a
right without the DAG's name, worth nothing without the right to a DAG. What Airflow can't tell apart by DAG is left
out: with it, a team would see every other team's. docs/explanation/isolation.md goes through it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wherry.teams import Team

PREFIX: Final = "team-"

Permission = tuple[str, str]

_READ, _EDIT, _CREATE, _MENU = "can_read", "can_edit", "can_create", "menu_access"

# What is kept within a DAG. HITL Detail: without it the list of DAGs doesn't open.
_SEEN: Final = (
    "DAG Runs",
    "Task Instances",
    "Task Logs",
    "XComs",
    "DAG Code",
    "DAG Versions",
    "DAG Warnings",
    "DAG Dependencies",
    "HITL Detail",
)

_WITHIN_DAGS: Final = frozenset(
    {
        *((_READ, kind) for kind in _SEEN),
        (_CREATE, "DAG Runs"),  # trigger, backfill
        (_EDIT, "DAG Runs"),  # clear, mark
        (_EDIT, "Task Instances"),  # clear, mark
    }
)

# The UI itself, and each user's own account.
_OWN: Final = frozenset(
    {
        (_READ, "Website"),
        (_MENU, "DAGs"),
        (_MENU, "Documentation"),
        *((action, what) for action in (_READ, _EDIT) for what in ("My Profile", "My Password")),
    }
)


@dataclass(frozen=True)
class TeamRole:
    """A role with all that it may do."""

    name: str
    permissions: frozenset[Permission]


def role_name(team: str) -> str:
    """The name of a team's role. All roles whose names begin with `team-` are ours."""
    return f"{PREFIX}{team}"


def team_roles(teams: Iterable[Team]) -> tuple[TeamRole, ...]:
    """One role a team: see its own DAGs, trigger, clear, mark, pause and backfill them. Deleting is the admin's."""
    return tuple(TeamRole(role_name(team.name), _WITHIN_DAGS | _OWN | _dags(team.dag_ids().values())) for team in teams)


def _dags(dag_ids: Iterable[str]) -> frozenset[Permission]:
    return frozenset((action, f"DAG:{dag_id}") for dag_id in dag_ids for action in (_READ, _EDIT))
