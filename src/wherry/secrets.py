"""A team's secret where Airflow's worker runs dbt: the platform's file takes the place of the Kubernetes Secret."""

from dotenv import dotenv_values

from wherry import settings
from wherry.errors import WherryError


def team_secret(team: str) -> dict[str, str]:
    """A team's secret by the platform's own file for it. Raises WherryError where there is none."""
    file = settings.secrets_folder() / f"{team}.env"
    try:
        with file.open(encoding="utf-8") as stream:
            return {name: value or "" for name, value in dotenv_values(stream=stream, interpolate=False).items()}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise WherryError(
            f"{file}: {why}; expected the team's secret, a line NAME=value each, in the folder WHERRY_SECRETS"
        ) from None
