"""Airflow assets between teams: the URI of a public model, which another project's `assets` may name."""

import re
from dataclasses import dataclass

SCHEME = "wherry://"
_PARTS = re.compile(r"wherry://(?P<team>[a-z][a-z0-9-]*)/(?P<project>[a-z][a-z0-9_]*)/(?P<model>[A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class PublicModel:
    """A dbt model with `access: public`, of one team's project; `model` as its task id begins."""

    team: str
    project: str
    model: str

    @property
    def uri(self) -> str:
        """The asset's URI, and its name in Airflow: it says whose model it is, wherever its warehouse is."""
        return f"{SCHEME}{self.team}/{self.project}/{self.model}"


def public_model(uri: str) -> PublicModel | None:
    """The model that a URI names; None for a URI that isn't of this form."""
    found = _PARTS.fullmatch(uri)
    return PublicModel(**found.groupdict()) if found else None
