"""Roles from team files, and how they come into Airflow's database."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.providers.fab.auth_manager.models import Group, Model, Role, User
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from wherry.auth import TeamRole, team_roles
from wherry.auth.apply import Change, apply_roles
from wherry.cli.main import app
from wherry.demo.layout import REPOSITORY
from wherry.teams import load_teams

TEAMS = load_teams(REPOSITORY / "k8s/teams")
FINANCE, GROWTH = team_roles(TEAMS)


@pytest.fixture
def session() -> Iterator[Session]:
    """An empty database with FAB's tables."""
    engine = create_engine("sqlite://")
    Model.metadata.create_all(engine)
    with Session(engine) as opened:
        yield opened


def stored(session: Session) -> dict[str, set[tuple[str, str]]]:
    """Each role as FAB finds it."""
    session.expire_all()
    return {
        role.name: {(row.action.name, row.resource.name) for row in role.permissions}
        for role in session.scalars(select(Role)).unique()
    }


def user(session: Session, name: str, *roles: str) -> User:
    made = User(username=name, first_name=name, last_name="Test", email=f"{name}@example.com")
    made.roles = list(session.scalars(select(Role).where(Role.name.in_(roles))).unique())
    session.add(made)
    session.flush()
    return made


def test_a_role_names_its_own_dags_only():
    """Two permissions for each of its projects; no other resource bears a DAG's name."""
    named = {permission for permission in FINANCE.permissions if ":" in permission[1]}
    assert named == {("can_read", "DAG:finance__finance"), ("can_edit", "DAG:finance__finance")}
    assert FINANCE.permissions - named == {p for p in GROWTH.permissions if ":" not in p[1]}


def test_no_role_holds_what_would_show_every_teams():
    """What FAB can't tell apart by DAG is left out, and so is what destroys a record."""
    actions, resources = zip(*FINANCE.permissions, strict=True)
    assert "can_delete" not in actions
    assert ("can_read", "DAGs") not in FINANCE.permissions
    assert ("can_edit", "DAGs") not in FINANCE.permissions
    assert not {*resources} & {
        *("Assets", "Asset Aliases", "Audit Logs", "ImportError", "Jobs", "Triggers", "Cluster Activity"),
        *("Connections", "Variables", "Pools", "Configurations", "Plugins", "Providers", "Users", "Roles"),
    }


def test_every_permission_is_one_that_airflow_has():
    """A misspelt one would be stored, and never asked for."""
    manager = FabAirflowSecurityManagerOverride
    known = {*manager.VIEWER_PERMISSIONS, *manager.USER_PERMISSIONS, *manager.OP_PERMISSIONS}
    assert {p for p in FINANCE.permissions if ":" not in p[1]} <= known


def test_roles_are_stored_as_they_are(session: Session):
    """Permission by permission; what was granted is reported."""
    changes = apply_roles(session, (GROWTH, FINANCE))
    assert stored(session) == {role.name: role.permissions for role in (FINANCE, GROWTH)}
    assert changes == (
        Change("team-finance", granted=FINANCE.permissions),
        Change("team-growth", granted=GROWTH.permissions),
    )


def test_the_second_time_nothing_changes(session: Session):
    """Nor is anything written."""
    apply_roles(session, (FINANCE, GROWTH))
    session.commit()
    assert apply_roles(session, (FINANCE, GROWTH)) == ()
    assert not session.dirty


def test_a_removed_project_is_revoked_and_an_added_one_granted(session: Session):
    """What someone added to the role by hand goes too; its users keep the role."""
    old, extra = ("can_read", "DAG:finance__old"), ("can_read", "Connections")
    apply_roles(session, (TeamRole("team-finance", FINANCE.permissions | {old, extra}),))
    user(session, "ana", "team-finance")
    (change,) = apply_roles(session, (FINANCE,))
    assert change == Change("team-finance", revoked=frozenset({old, extra}))
    assert stored(session)["team-finance"] == FINANCE.permissions
    assert [role.name for role in session.scalars(select(User)).one().roles] == ["team-finance"]


def test_a_removed_teams_role_goes(session: Session):
    """Nobody has it: it is deleted."""
    apply_roles(session, (FINANCE, GROWTH))
    (change,) = apply_roles(session, (FINANCE,))
    assert change == Change("team-growth", revoked=GROWTH.permissions, deleted=True)
    assert stored(session).keys() == {"team-finance"}


def test_a_removed_teams_users_may_do_nothing_and_are_named(session: Session):
    """The role stays, empty, and is theirs again when the team file is back."""
    apply_roles(session, (FINANCE, GROWTH))
    user(session, "jonas", "team-growth")
    session.add(Group(name="growth", label="", description="", roles=user(session, "mei", "team-growth").roles))
    (change,) = apply_roles(session, (FINANCE,))
    assert change == Change("team-growth", revoked=GROWTH.permissions, holders=("jonas", "mei", "group growth"))
    assert stored(session)["team-growth"] == set()
    apply_roles(session, (FINANCE, GROWTH))
    assert stored(session)["team-growth"] == GROWTH.permissions


def test_other_roles_are_left_alone(session: Session):
    """Only names that begin with `team-` are ours."""
    session.add(Role(name="Auditor"))
    apply_roles(session, (FINANCE,))
    assert stored(session)["Auditor"] == set()


def test_the_dag_processor_leaves_roles_alone(session: Session):
    """It makes a DAG's permissions whenever it reads the DAG; without access_control it grants and revokes none."""
    apply_roles(session, (FINANCE,))
    ApplessAirflowSecurityManager(session=session).sync_perm_for_dag("finance__finance", None)
    assert stored(session)["team-finance"] == FINANCE.permissions
    assert apply_roles(session, (FINANCE,)) == ()


def test_the_command_shows_them_without_a_database():
    """As a table, and as JSON with every permission."""
    folder = ["--teams", str(REPOSITORY / "k8s/teams")]
    shown = CliRunner().invoke(app, ["roles", *folder])
    assert "DAG:finance__finance" in shown.output
    listed = json.loads(CliRunner().invoke(app, ["roles", "--json", *folder]).output)
    assert {tuple(permission) for permission in listed["team-growth"]} == GROWTH.permissions


def test_applying_needs_the_fab_auth_manager(tmp_path: Path):
    """The error names the auth manager that was found, and what to set."""
    done = CliRunner().invoke(app, ["roles", "--apply", "--teams", str(REPOSITORY / "k8s/teams")])
    assert done.exit_code == 1
    assert "SimpleAuthManager" in str(done.exception)
    assert "auth.manager=fab" in str(done.exception)
