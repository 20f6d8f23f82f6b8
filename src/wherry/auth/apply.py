"""Roles into Airflow's database, so that each is exactly what the team files say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow.providers.fab.auth_manager.models import Action, Group, Resource, Role, User
from airflow.providers.fab.auth_manager.models import Permission as PermissionRow
from sqlalchemy import select
from sqlalchemy.orm import Session

from wherry.auth.roles import PREFIX, Permission, TeamRole


@dataclass(frozen=True)
class Change:
    """What became of one role; `holders` have a role that no team stands behind."""

    role: str
    granted: frozenset[Permission] = frozenset()
    revoked: frozenset[Permission] = frozenset()
    deleted: bool = False
    holders: tuple[str, ...] = ()


def apply_roles(session: Session, roles: Iterable[TeamRole]) -> tuple[Change, ...]:
    """Make the teams' roles what they should be, and those of teams that are gone worth nothing; return what changed.

    A role that no team stands behind is deleted when no user or group has it. Else it is kept, empty: a team file
    forgotten once would cost every member the role. Nothing is committed; the same call again changes nothing.
    Raises IntegrityError when another program, such as the dag-processor, makes the same permission just then.
    """
    wanted = {role.name: role.permissions for role in roles}
    found = {role.name: role for role in session.scalars(select(Role).where(Role.name.startswith(PREFIX))).unique()}
    rows = _rows(session, frozenset().union(*wanted.values()))
    changes = [_set(session, name, found.get(name), permissions, rows) for name, permissions in wanted.items()]
    changes += [_retire(session, role) for name, role in found.items() if name not in wanted]
    session.flush()
    return tuple(sorted((change for change in changes if change is not None), key=lambda change: change.role))


def _set(
    session: Session,
    name: str,
    role: Role | None,
    wanted: frozenset[Permission],
    rows: Mapping[Permission, PermissionRow],
) -> Change | None:
    has = _permissions(role) if role else frozenset()
    if role and has == wanted:
        return None
    if role is None:
        role = Role(name=name)
        session.add(role)
    role.permissions = [rows[permission] for permission in sorted(wanted)]
    return Change(name, granted=wanted - has, revoked=has - wanted)


def _retire(session: Session, role: Role) -> Change | None:
    has, holders = _permissions(role), _holders(session, role)
    if not holders:
        session.delete(role)
        return Change(role.name, revoked=has, deleted=True)
    role.permissions = []
    return Change(role.name, revoked=has, holders=holders)


def _permissions(role: Role) -> frozenset[Permission]:
    return frozenset((row.action.name, row.resource.name) for row in role.permissions)


def _holders(session: Session, role: Role) -> tuple[str, ...]:
    users = session.scalars(select(User.username).where(User.roles.contains(role)))
    groups = session.scalars(select(Group.name).where(Group.roles.contains(role)))
    return (*sorted(users), *(f"group {name}" for name in sorted(groups)))


def _rows(session: Session, wanted: frozenset[Permission]) -> dict[Permission, PermissionRow]:
    """The row of each permission; those that aren't there yet are made, the DAGs' before the DAGs."""
    actions = {row.name: row for row in session.scalars(select(Action))}
    resources = {row.name: row for row in session.scalars(select(Resource))}
    rows = {
        (row.action.name, row.resource.name): row
        for row in session.scalars(select(PermissionRow)).unique()
        if row.action and row.resource
    }
    for action, resource in sorted(wanted - rows.keys()):
        made = PermissionRow(
            action=actions.setdefault(action, Action(name=action)),
            resource=resources.setdefault(resource, Resource(name=resource)),
        )
        session.add(made)
        rows[action, resource] = made
    return rows
