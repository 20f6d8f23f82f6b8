"""What an installation may set, read from the environment at each call (never frozen at import)."""

import os
from pathlib import Path


def releases_folder(default: Path = Path("releases")) -> Path:
    """The folder that holds the releases (`WHERRY_RELEASES`)."""
    return Path(os.environ.get("WHERRY_RELEASES") or default)


def teams_folder() -> Path:
    """The folder with one YAML file a team (`WHERRY_TEAMS`, default `k8s/teams`)."""
    return Path(os.environ.get("WHERRY_TEAMS", "k8s/teams"))


def results_folder() -> Path | None:
    """Where each pod's result record is kept, one file a try (`WHERRY_RESULTS`); None: only in XCom."""
    folder = os.environ.get("WHERRY_RESULTS")
    return Path(folder) if folder else None


def runner_python() -> Path:
    """The Python of the runner's environment, which holds dbt (`WHERRY_RUNNER_PYTHON`)."""
    return Path(os.environ.get("WHERRY_RUNNER_PYTHON", "images/dbt-runner/.venv/bin/python"))


def execution() -> str | None:
    """The execution mode of every project, whatever its team file says (`WHERRY_EXECUTION`); None: the team file's."""
    return os.environ.get("WHERRY_EXECUTION") or None


def executions_allowed() -> tuple[str, ...]:
    """The execution modes that a team file may choose (`WHERRY_EXECUTIONS_ALLOWED`, with commas between).

    By default those that isolate teams: in `local` and `virtualenv` a team's code runs beside Airflow's own.
    """
    return tuple(os.environ.get("WHERRY_EXECUTIONS_ALLOWED", "kubernetes,watcher_kubernetes").split(","))


def dbt_executable() -> Path:
    """The dbt of execution mode `local` (`WHERRY_DBT_EXECUTABLE`, default: the runner's)."""
    return Path(os.environ.get("WHERRY_DBT_EXECUTABLE") or runner_python().with_name("dbt")).absolute()


def dbt_requirements() -> Path:
    """What mode `virtualenv` installs (`WHERRY_DBT_REQUIREMENTS`): `uv export` of the runner's lock writes it."""
    return Path(os.environ.get("WHERRY_DBT_REQUIREMENTS", "images/dbt-runner/requirements.txt")).absolute()


def virtualenvs_folder() -> Path:
    """Where mode `virtualenv` keeps its environments (`WHERRY_VIRTUALENVS`)."""
    return Path(os.environ.get("WHERRY_VIRTUALENVS", ".wherry/virtualenvs")).absolute()


def secrets_folder() -> Path:
    """Each team's Secret for `local` and `virtualenv`, as a file <team>.env (`WHERRY_SECRETS`)."""
    return Path(os.environ.get("WHERRY_SECRETS", ".wherry/secrets")).absolute()


def image_repository() -> str:
    """The repository that release images are named in (`WHERRY_IMAGE_REPOSITORY`)."""
    return os.environ.get("WHERRY_IMAGE_REPOSITORY", "wherry.local")


def image_builder() -> str:
    """How release images are made (`WHERRY_IMAGE_BUILDER`): local (the embedded cluster's), docker, or none."""
    return os.environ.get("WHERRY_IMAGE_BUILDER", "local")


def runner_image() -> str:
    """The image that release images are made of (`WHERRY_RUNNER_IMAGE`), where Docker makes them."""
    return os.environ.get("WHERRY_RUNNER_IMAGE", "ghcr.io/wherry-data/dbt-runner:0.1.0")


def image_store() -> Path:
    """The folder in which the embedded cluster finds its images (`WHERRY_IMAGE_STORE`)."""
    return Path(os.environ.get("WHERRY_IMAGE_STORE", ".wherry/images"))
