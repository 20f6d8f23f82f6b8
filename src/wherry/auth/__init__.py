"""Who may do what in Airflow: one role a team, for its own DAGs only. `wherry.auth.apply` needs the FAB provider."""

from wherry.auth.roles import PREFIX, Permission, TeamRole, role_name, team_roles

__all__ = ["PREFIX", "Permission", "TeamRole", "role_name", "team_roles"]
