"""Run command lines of `airflow` and `wherry` one after the other in one process: importing Airflow is what costs.

python -m tests.auth.commands '[["airflow", "db", "migrate"], ["wherry", "roles", "--apply"]]'
"""

import json
import sys


def run(command: list[str]) -> None:
    program, *arguments = command
    if program == "airflow":
        from airflow.cli.cli_parser import get_parser

        parsed = get_parser().parse_args(arguments)
        parsed.func(parsed)
    elif program == "login":
        print(json.dumps(login(*arguments)))
    else:
        from wherry.cli.main import app

        app(arguments, standalone_mode=False)


def login(name: str, *groups: str) -> list[str]:
    """The roles that a user gets who comes from the identity provider with these groups."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    person = {"username": name, "email": f"{name}@example.com", "first_name": name, "last_name": "Test"}
    with get_application_builder() as builder:
        user = builder.sm.auth_user_oauth({**person, "role_keys": groups}, rotate_session_id=False)
        return sorted(role.name for role in user.roles)


if __name__ == "__main__":
    for one in json.loads(sys.argv[1]):
        run(one)
