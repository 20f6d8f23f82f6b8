"""What is put into the cluster, as data. Pure: files of the repository in, documents and Helm values out."""

import base64
from collections.abc import Iterable, Mapping
from string import Template
from typing import Any

from wherry.cluster.images import Images
from wherry.cluster.settings import AIRFLOW, UI_NODE_PORT, WAREHOUSES, WRITTEN, Settings
from wherry.teams import EnvRef, Team

Json = dict[str, Any]
DEMO_LABEL = "wherry.dev/demo"
"""Marks what `task up` made and may replace; a Secret without it is someone's own."""
SNOWFLAKE = (f"snowflake.{WAREHOUSES}", 8085)
POSTGRES = (f"postgres.{WAREHOUSES}", 5432)
_LITTLE: Json = {"resources": {"requests": {"cpu": "25m"}}}
"""So that on two cores there is room for the teams' pods: what isn't used by a component is theirs."""
_SLOW: Json = {"probes": {"startup": 900, "failures": 10}}
"""So that a busy laptop's Airflow isn't ended while it starts, again and again."""
_PASSWORD = "DBT_ENV_SECRET_PASSWORD"  # noqa: S105 - the variable's name


def warehouses(text: str, images: Images, postgres_uid: int) -> str:
    """k8s/kind/warehouses.yaml with its variables filled in."""
    return Template(text).substitute(
        EMULATOR_IMAGE=images.emulator, POSTGRES_IMAGE=images.postgres, POSTGRES_UID=postgres_uid
    )


def is_local(team: Team) -> bool:
    """Whether all of the team's warehouses are found by its Secret, which then may point to the cluster's own."""
    return all(isinstance(warehouse.host, EnvRef) for warehouse in team.warehouses.values())


def warehouse_secret(snowflake: tuple[str, int], postgres: tuple[str, int], password: str) -> dict[str, str]:
    """What a team's Secret holds where both warehouses are at these addresses; the emulator takes any password."""
    return {
        _PASSWORD: password,
        "SNOWFLAKE_HOST": snowflake[0],
        "SNOWFLAKE_PORT": str(snowflake[1]),
        "SNOWFLAKE_PROTOCOL": "http",
        "POSTGRES_HOST": postgres[0],
        "POSTGRES_PORT": str(postgres[1]),
    }


def secret(namespace: str, name: str, values: Mapping[str, str]) -> Json:
    """A Secret."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    meta = {"name": name, "namespace": namespace, "labels": {DEMO_LABEL: "true", "app.kubernetes.io/part-of": "wherry"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": encoded}


def read_secret(found: Json) -> dict[str, str]:
    """A Secret's values."""
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def namespace(name: str) -> Json:
    """A Namespace."""
    meta = {"name": name, "labels": {"app.kubernetes.io/part-of": "wherry"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def volumes() -> list[Json]:
    """The host's folders of results and logs as volumes and claims on them: the cluster's file lets nodes see them.

    A log that lies on the host outlives the scheduler that wrote it, which an upgrade replaces.
    """
    return [document for name in WRITTEN for document in _volume(name)]


def _volume(name: str) -> tuple[Json, Json]:
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"wherry-{name}"},
        "spec": {
            **spec,
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/wherry/{name}"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": AIRFLOW},
        "spec": {**spec, "volumeName": f"wherry-{name}", "resources": {"requests": {"storage": "1Gi"}}},
    }
    return volume, claim


def airflow_values(settings: Settings, images: Images, team_files: Mapping[str, str], postgres_uid: int) -> Json:
    """The values of charts/airflow here: small, reached by a node port, with the releases of this machine."""
    return {
        "image": _image(images.airflow),
        "teams": dict(team_files),
        "releases": {"source": "volume", "volume": {"hostPath": "/wherry/releases"}},
        "results": {"existingClaim": "results"},
        "logs": {"existingClaim": "logs"},
        "api": {"baseUrl": settings.url},
        "admin": {"existingSecret": "airflow-login"},
        "postgres": {"image": _image(images.postgres), "runAsUser": postgres_uid, **_LITTLE},
        "apiServer": {"service": {"type": "NodePort", "nodePort": UI_NODE_PORT}, **_LITTLE, **_SLOW},
        **{component: {**_LITTLE, **_SLOW} for component in ("scheduler", "dagProcessor", "triggerer")},
        "jobs": _LITTLE,
        # The UI comes in by the node; the host's address is not known beforehand.
        "networkPolicies": {"apiServerFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
    }


def team_values(team: Team, image_repository: str, airflow: str) -> Json:
    """The platform's part of charts/team here; the team file is the rest."""
    ports = {"snowflake": SNOWFLAKE[1], "postgres": POSTGRES[1]}
    used = sorted({ports[warehouse.type] for warehouse in team.warehouses.values()})
    local = [{"namespace": WAREHOUSES, "ports": used}]
    anywhere = [{"cidr": "0.0.0.0/0", "ports": [443, 5432]}]
    return {
        "platform": {
            "airflow": {"namespace": AIRFLOW},
            "images": {"repository": image_repository},
            "network": {"egress": local if is_local(team) else anywhere},
            "secret": {"source": "existing"},
            "test": {"image": airflow},
        }
    }


def databases(teams: Iterable[Team]) -> dict[str, str]:
    """The databases of the teams that use the cluster's PostgreSQL, with the role that owns each."""
    return {
        warehouse.database: str(warehouse.user)
        for team in teams
        if is_local(team)
        for warehouse in team.warehouses.values()
        if warehouse.type == "postgres"
    }


def _image(reference: str) -> Json:
    """An image as the charts' values name it. `postgres:17` is docker.io's library/postgres."""
    name, _, tag = reference.rpartition(":")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first):
        return {"registry": first, "repository": rest, "tag": tag}
    return {"registry": "docker.io", "repository": name if slash else f"library/{name}", "tag": tag}
