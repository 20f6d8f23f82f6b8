"""docker-compose.yml and `task dev`: what they start, what they reach, and what they say where a tool is missing."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from wherry.demo.compose import PASSWORD
from wherry.demo.layout import REPOSITORY
from wherry.teams import EnvRef, load_teams

FILE = REPOSITORY / "docker-compose.yml"
AIRFLOW = {"prepare", "releaser", "api-server", "scheduler", "dag-processor", "triggerer"}


def compose(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WHERRY_")}
    command = ["docker", "compose", "--file", str(FILE), "--profile", "images", *words]
    return subprocess.run(command, capture_output=True, text=True, env=kept | environment, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as compose itself reads them."""
    if shutil.which("docker") is None or compose("version").returncode:
        pytest.skip("docker compose is missing: install it (https://docs.docker.com/compose/install/)")
    shown = compose("config", "--format", "json")
    assert (shown.returncode, shown.stderr) == (0, "")
    return cast(dict[str, Any], json.loads(shown.stdout)["services"])


def test_only_the_ui_is_reached_and_only_from_this_machine(services: dict[str, Any]) -> None:
    """Passwords are the same for everybody, so nothing else than 127.0.0.1 may reach them."""
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports.keys() == {"api-server"}
    assert [port["host_ip"] for port in ports["api-server"]] == ["127.0.0.1"]


def test_every_part_of_airflow_is_alike(services: dict[str, Any]) -> None:
    """One image and one environment: the mode that the scheduler's tasks see is the mode that was parsed."""
    assert {name for name, service in services.items() if service["image"] == "wherry-dev/airflow-dbt"} == AIRFLOW
    first = services["scheduler"]
    assert first["environment"]["WHERRY_EXECUTION"] == "local"
    for name in AIRFLOW:
        assert services[name]["environment"] == first["environment"]
        assert services[name]["volumes"] == first["volumes"]


def test_one_variable_is_the_mode(services: dict[str, Any]) -> None:
    """And a mirror is one, too."""
    environment = {"WHERRY_EXECUTION": "virtualenv", "WHERRY_REGISTRY": "mirror.example.com"}
    found = json.loads(compose("config", "--format", "json", **environment).stdout)["services"]
    assert found["scheduler"]["environment"]["WHERRY_EXECUTION"] == "virtualenv"
    assert found["postgres"]["image"] == "mirror.example.com/library/postgres:17"
    assert found["runner-image"]["build"]["args"]["PYTHON_IMAGE"].startswith("mirror.example.com/library/python:")


def test_people_files_are_read_only() -> None:
    """What is mounted from the checkout can't be changed by a task; it needs no tool to see that."""
    described = yaml.safe_load(FILE.read_text())
    mounted = [volume for volume in described["x-airflow"]["volumes"] if volume.startswith((".", "$"))]
    assert len(mounted) == 4
    assert all(volume.endswith(":ro") for volume in mounted)


def test_every_image_is_built_by_a_file_of_the_repository() -> None:
    """Each Dockerfile that is named is there."""
    described = yaml.safe_load(FILE.read_text())["services"]
    files = {service["build"]["dockerfile"] for service in described.values() if "build" in service}
    assert len(files) == 4
    assert all((REPOSITORY / file).is_file() for file in files)


def test_every_team_has_a_secret_that_its_warehouses_need() -> None:
    """Each `{env: NAME}` of a team file is in the team's file, and the password is the stack's own."""
    from dotenv import dotenv_values

    for team in load_teams(REPOSITORY / "k8s/teams"):
        secret = dotenv_values(REPOSITORY / f"dev/secrets/{team.name}.env")
        facts = [value for warehouse in team.warehouses.values() for value in dict(warehouse).values()]
        assert {fact.env for fact in facts if isinstance(fact, EnvRef)} <= secret.keys()
        assert secret["DBT_ENV_SECRET_PASSWORD"] in (PASSWORD, "not-checked")


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    """`task dev` says which program is missing and where it is to be had, before anything is started."""
    task = shutil.which("task") or REPOSITORY / ".wherry/tools/bin/task"
    if not Path(task).exists():
        pytest.skip("task is missing: install go-task (https://taskfile.dev)")
    fake = tmp_path / "docker"
    for script, missing in (
        (None, "docker is missing: https://docs.docker.com/engine/install/"),
        ('[ "$1" != compose ]', "docker compose is missing: https://docs.docker.com/compose/install/"),
        ('[ "$1" != info ]', "no Docker engine answers"),
    ):
        if script:
            fake.write_text(f"#!/bin/sh\n{script}\n")
            fake.chmod(0o755)
        done = subprocess.run(
            [str(task), "dev"], cwd=REPOSITORY, capture_output=True, text=True, env={"PATH": str(tmp_path)}, check=False
        )
        assert missing in done.stderr
        assert done.returncode
