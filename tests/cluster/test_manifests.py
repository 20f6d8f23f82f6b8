"""What `task up` puts into a cluster, without one."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts.conftest import CHARTS, module
from wherry.cluster import kind, manifests
from wherry.cluster.images import Images, build_arguments
from wherry.cluster.settings import Settings
from wherry.demo.layout import REPOSITORY
from wherry.teams import Team, load_teams

IMAGES = Images(
    "wherry.local/platform/airflow:1",
    "wherry.local/platform/dbt-runner:2",
    "wherry.local/platform/snowflake-emulator:3",
    "postgres:17",
)
SETTINGS = Settings.read({"WHERRY_UP_STATE": "/tmp/state of mine", "WHERRY_UI_PORT": "18080"})
TEAMS = {team.name: team for team in load_teams(REPOSITORY / "k8s/teams")}


def rendered(chart: str, values: dict, *arguments: str) -> list[dict]:
    helm = module(CHARTS / "tools.py").find("helm")
    if helm is None:
        pytest.skip("helm is missing")
    command = [helm, "template", chart, str(CHARTS / chart), "--namespace", "airflow", *arguments, "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def test_the_cluster_file_is_complete() -> None:
    """kind's file has the port and the folders of this machine in it, also where a path has spaces."""
    text = kind.cluster_file((REPOSITORY / "k8s/kind/cluster.yaml").read_text(), SETTINGS)
    (node,) = yaml.safe_load(text)["nodes"]
    assert node["extraPortMappings"][0] == {"containerPort": 30080, "hostPort": 18080, "listenAddress": "127.0.0.1"}
    assert [mount["hostPath"] for mount in node["extraMounts"]] == [
        "/tmp/state of mine/releases",
        "/tmp/state of mine/results",
        "/tmp/state of mine/logs",
    ]


def test_the_warehouses_meet_the_restricted_standard() -> None:
    """Their namespace enforces it, so a pod that didn't would never run; each has a volume that stays."""
    text = manifests.warehouses((REPOSITORY / "k8s/kind/warehouses.yaml").read_text(), IMAGES, 999)
    objects = list(yaml.safe_load_all(text))
    (namespace,) = [o for o in objects if o["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    deployments = [o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment"]
    assert [spec["securityContext"]["runAsUser"] for spec in deployments] == [10002, 999]
    for spec in deployments:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        assert "persistentVolumeClaim" in spec["volumes"][0]


def test_airflows_chart_takes_our_values() -> None:
    """The chart refuses unknown values: these are known, and reach where they should."""
    files = {name: (REPOSITORY / "k8s/teams" / f"{name}.yaml").read_text() for name in TEAMS}
    values = manifests.airflow_values(SETTINGS, IMAGES, files, 100)
    objects = rendered("airflow", values)
    (service,) = [o for o in objects if o["kind"] == "Service" and o["spec"].get("type") == "NodePort"]
    assert service["spec"]["ports"][0]["nodePort"] == 30080
    (scheduler,) = [o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"].endswith("-scheduler")]
    spec = scheduler["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "wherry.local/platform/airflow:1"
    assert {"path": "/wherry/releases", "type": "Directory"} in [v.get("hostPath") for v in spec["volumes"]]
    (postgres,) = [o for o in objects if o["kind"] == "StatefulSet"]
    assert postgres["spec"]["template"]["spec"]["containers"][0]["image"] == "docker.io/library/postgres:17"


@pytest.mark.parametrize("name", sorted(TEAMS))
def test_the_teams_chart_takes_our_values(name: str) -> None:
    """The team file and the platform's part make a namespace whose pods reach their own warehouse only."""
    file = REPOSITORY / "k8s/teams" / f"{name}.yaml"
    objects = rendered(
        "team", manifests.team_values(TEAMS[name], "wherry.local", IMAGES.airflow), "--values", str(file)
    )
    ports = [
        rule["ports"]
        for policy in objects
        if policy["kind"] == "NetworkPolicy" and policy["metadata"]["name"] == "warehouses"
        for rule in policy["spec"]["egress"]
    ]
    assert ports == [[{"protocol": "TCP", "port": {"finance": 8085, "growth": 5432}[name]}]]
    assert not [o for o in objects if o["kind"] == "Secret"]
    (test,) = [o for o in objects if o["kind"] == "Pod"]  # nothing is pulled: the nodes have this image
    assert test["spec"]["containers"][0]["image"] == IMAGES.airflow


def test_a_real_account_is_left_alone() -> None:
    """A team that names its host in the team file has its own warehouse: no Secret of ours, no raw data."""
    own = TEAMS["growth"].model_dump(mode="json", by_alias=True)
    own["warehouses"]["main"]["host"] = "db.example.com"
    assert manifests.is_local(TEAMS["growth"])
    assert not manifests.is_local(Team.model_validate(own))
    assert manifests.databases([Team.model_validate(own)]) == {}


def test_a_secret_can_be_read_back() -> None:
    """Its values are encoded as Kubernetes wants them."""
    values = {"DBT_ENV_SECRET_PASSWORD": "a b'c\"ü"}
    made = manifests.secret("team-growth", "warehouse", values)
    assert manifests.read_secret(made) == values


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("postgres:17", "docker.io/library/postgres:17"),
        ("kindest/node:v1", "docker.io/kindest/node:v1"),
        ("localhost/x:1", "localhost/x:1"),
        ("mirror:5000/library/postgres:17", "mirror:5000/library/postgres:17"),
    ],
)
def test_nodes_know_images_by_their_whole_name(image: str, whole: str) -> None:
    """As Docker would complete it."""
    assert kind.qualified(image) == whole


def test_a_mirror_is_one_variable() -> None:
    """All public images are named behind it; the package index is pip's own variable."""
    settings = Settings.read({"WHERRY_REGISTRY": "mirror.example.com/hub/", "PIP_INDEX_URL": "https://mirror/simple"})
    assert settings.public("postgres:17") == "mirror.example.com/hub/library/postgres:17"
    assert build_arguments(settings) == {
        "PYTHON_IMAGE": "mirror.example.com/hub/library/python:3.13-slim-trixie",
        "PIP_INDEX_URL": "https://mirror/simple",
    }
    assert Settings.read({}).public("kindest/node:v1") == "kindest/node:v1"
    assert Path(Settings.read({}).layout.state) == REPOSITORY / ".wherry/up"
