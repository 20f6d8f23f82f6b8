"""What both charts make: valid for Kubernetes, restricted, consistent, and without a secret where none belongs."""

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.charts.conftest import CHARTS, ROOT, TEAMS, Object, Render, containers, of_kind, one, pods

KUBERNETES = json.loads(Path(__file__).with_name("kubernetes.schema.json").read_text())
CUSTOM = {"ExternalSecret", "CiliumNetworkPolicy", "HTTPRoute"}  # not in a bare cluster
LONG_RUNNING = {"Deployment", "StatefulSet"}


def _problems(item: Object) -> list[str]:
    kind = f"{item['apiVersion']} {item['kind']}"
    schema = {**KUBERNETES["kinds"][kind], "$defs": KUBERNETES["$defs"]}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(item)
    return [f"{kind} {item['metadata']['name']}: {error.json_path}: {error.message}" for error in errors]


class TestEveryObject:
    """What holds for each object of each chart."""

    def test_is_valid_for_kubernetes(self, airflow: list[Object], team: list[Object]) -> None:
        """A real API server's schema, closed, knows every key."""
        found = [problem for item in [*airflow, *team] if item["kind"] not in CUSTOM for problem in _problems(item)]
        assert found == []

    def test_a_misspelt_key_would_be_seen(self, airflow: list[Object]) -> None:
        """The schema is closed in depth: the test above can fail."""
        deployment = json.loads(json.dumps(one(airflow, "Deployment", "scheduler")))
        deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
        assert len(_problems(deployment)) == 1

    def test_says_where_it_belongs(self, airflow: list[Object], team: list[Object]) -> None:
        """Names are DNS labels of at most 63 characters; namespaces are written out; labels name chart and release."""
        for item in [*airflow, *team]:
            metadata = item["metadata"]
            if metadata["name"] in ("airflow-extra", "airflow-text"):
                continue
            assert len(metadata["name"]) <= 63
            assert metadata["labels"]["app.kubernetes.io/part-of"] == "wherry"
            assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
            if item["kind"] not in ("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
                assert metadata["namespace"]

    def test_has_a_name_of_its_own(self, airflow: list[Object], team: list[Object]) -> None:
        """No two objects of a chart are the same one."""
        for chart in (airflow, team):
            keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in chart]
            assert len(keys) == len(set(keys))


class TestEveryPod:
    """What holds for each pod that the charts make."""

    def test_is_restricted(self, airflow: list[Object], team: list[Object]) -> None:
        """Pod Security "restricted", and a read-only root file system besides."""
        for name, _, spec in pods([*airflow, *team]):
            context = spec["securityContext"]
            assert context["runAsNonRoot"] is True, name
            assert context["runAsUser"] > 0, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
            for container in containers(spec):
                inner = container["securityContext"]
                assert inner["allowPrivilegeEscalation"] is False, name
                assert inner["capabilities"] == {"drop": ["ALL"]}, name
                assert inner["readOnlyRootFilesystem"] is True, name
                assert "hostPort" not in str(container.get("ports")), name

    def test_uses_volumes_that_restricted_allows(self, airflow: list[Object], team: list[Object]) -> None:
        """No host path, unless values ask for one; what is mounted is there."""
        allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        claims = {"data"}
        for name, _, spec in pods([*airflow, *team]):
            volumes = spec.get("volumes", [])
            assert {kind for volume in volumes for kind in volume.keys() - {"name"}} <= allowed, name
            mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
            assert mounted - claims == {volume["name"] for volume in volumes}, name

    def test_has_requests_and_limits(self, airflow: list[Object], team: list[Object]) -> None:
        """Of CPU and memory, in each container."""
        for name, _, spec in pods([*airflow, *team]):
            for container in containers(spec):
                for part in ("requests", "limits"):
                    assert {"cpu", "memory"} <= container["resources"][part].keys(), name

    def test_gets_a_token_only_if_it_speaks_with_kubernetes(self, airflow: list[Object]) -> None:
        """That is who watches or removes dbt pods: the tasks' process, and the reaper."""
        with_token = {name.split("/airflow-")[-1].split("/wherry-airflow-")[-1] for name, _, spec in pods(airflow)
                      if spec["automountServiceAccountToken"]}  # fmt: skip
        celery = any(name.endswith("workers") for name, _, _ in pods(airflow))
        assert with_token == {"workers" if celery else "scheduler", "reaper"}

    def test_is_probed(self, airflow: list[Object]) -> None:
        """Each long-running container has a startup and a liveness probe; what serves others has a readiness probe."""
        served = [item["spec"]["selector"] for item in of_kind(airflow, "Service")]
        for name, metadata, spec in pods(of_kind(airflow, *LONG_RUNNING)):
            for container in spec["containers"]:
                assert {"startupProbe", "livenessProbe"} <= container.keys(), name
                if any(selector.items() <= metadata["labels"].items() for selector in served):
                    assert "readinessProbe" in container, name

    def test_tasks_find_an_api_server_that_has_built_their_api(self, airflow: list[Object]) -> None:
        """Its first answer costs seconds, in which it gives no other: a pod that hasn't given it hasn't started."""
        (found,) = [spec for name, _, spec in pods(airflow) if name.endswith("-api-server")]
        assert found["containers"][0]["startupProbe"]["httpGet"]["path"] == "/execution/health/ping"

    def test_can_connect_only_as_a_policy_allows(self, airflow: list[Object]) -> None:
        """Each pod is under a NetworkPolicy, and each policy is for a pod."""
        policies = {item["metadata"]["name"]: item["spec"]["podSelector"]["matchLabels"]
                    for item in of_kind(airflow, "NetworkPolicy")}  # fmt: skip
        labels = {name: metadata["labels"] for name, metadata, _ in pods(airflow) if not name.startswith("Pod/")}
        for name, own in labels.items():
            assert any(selector.items() <= own.items() for selector in policies.values()), name
        for name, selector in policies.items():
            assert any(selector.items() <= own.items() for own in labels.values()), name


class TestReferences:
    """Objects that name each other."""

    def test_every_service_account_is_used_and_there(self, airflow: list[Object], team: list[Object]) -> None:
        """No account that nothing runs as; no pod with an account that nobody makes."""
        made = {item["metadata"]["name"] for item in of_kind(airflow, "ServiceAccount")}
        assert made == {spec["serviceAccountName"] for _, _, spec in pods(airflow)}
        policy = of_kind(team, "ValidatingAdmissionPolicy")[0]
        for account in of_kind(team, "ServiceAccount"):
            assert f"serviceAccountName == '{account['metadata']['name']}'" in str(policy)

    @pytest.mark.parametrize("kind", ["PodDisruptionBudget", "Service"])
    def test_a_selector_selects_one_workload(self, airflow: list[Object], kind: str) -> None:
        """Budgets and Services match the pods of exactly one workload."""
        labels = [metadata["labels"] for _, metadata, _ in pods(of_kind(airflow, *LONG_RUNNING))]
        assert of_kind(airflow, kind)
        for item in of_kind(airflow, kind):
            selector: Any = item["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            assert len([own for own in labels if selector.items() <= own.items()]) == 1, item["metadata"]["name"]

    def test_a_workload_selects_its_own_pods(self, airflow: list[Object]) -> None:
        """And those of no other."""
        workloads = of_kind(airflow, *LONG_RUNNING)
        for item in workloads:
            selector = item["spec"]["selector"]["matchLabels"]
            matching = [name for name, metadata, _ in pods(workloads) if selector.items() <= metadata["labels"].items()]
            assert matching == [f"{item['kind']}/{item['metadata']['name']}"]

    def test_peers_of_a_network_policy_exist(self, airflow: list[Object]) -> None:
        """A policy that lets in a component which isn't there would be a mistake in its labels."""
        labels = [metadata["labels"] for _, metadata, _ in pods(airflow)]
        celery = any(name.endswith("workers") for name, _, _ in pods(airflow))
        for item in of_kind(airflow, "NetworkPolicy"):
            for rule in item["spec"].get("ingress", []):
                for peer in rule.get("from", []):
                    selector = peer.get("podSelector", {}).get("matchLabels", {})
                    if celery or selector.get("app.kubernetes.io/component") != "workers":
                        assert any(selector.items() <= own.items() for own in labels), item["metadata"]["name"]

    def test_config_maps_and_secrets_are_there(self, airflow: list[Object]) -> None:
        """What pods refer to is made by the chart or named by the values."""
        named = {"registry", "otel", "ca", "releases", "results", "logs", "airflow-connections", "airflow-settings",
                 "airflow-db", "airflow-keys", "airflow-admin", "airflow-redis", "airflow-git"}  # fmt: skip
        made = {item["metadata"]["name"] for item in of_kind(airflow, "ConfigMap", "Secret")}
        for name, _, spec in pods(airflow):
            assert _referred(spec) <= made | named, name


def _referred(node: Any) -> set[str]:
    """The names of ConfigMaps and Secrets in a pod's spec."""
    if isinstance(node, list):
        return {name for item in node for name in _referred(item)}
    if not isinstance(node, dict):
        return set()
    names = {node[key]["name"] for key in ("configMap", "configMapRef", "secretRef", "secretKeyRef") if key in node}
    names |= {node["secretName"]} if "secretName" in node else set()
    return names | {name for value in node.values() for name in _referred(value)}


class TestSecrets:
    """Secrets are in Secrets."""

    def test_no_generated_value_is_anywhere_else(self, airflow: list[Object], team: list[Object]) -> None:
        """The value of a Secret occurs in no other object, plain or encoded."""
        objects = [*airflow, *team]
        values = [
            base64.b64decode(value).decode() for item in of_kind(objects, "Secret") for value in item["data"].values()
        ]
        rest = json.dumps([item for item in objects if item["kind"] != "Secret"])
        for value in values:
            if len(value) > 4:
                assert value not in rest
                assert base64.b64encode(value.encode()).decode() not in rest

    def test_the_environment_holds_none(self, airflow: list[Object]) -> None:
        """A variable whose name speaks of a secret comes from a Secret; a URL has no password."""
        for name, _, spec in pods(airflow):
            for container in containers(spec):
                for variable in container.get("env", []):
                    if any(word in variable["name"] for word in ("PASSWORD", "SECRET", "KEY", "BROKER", "CONN_")):
                        assert "secretKeyRef" in variable["valueFrom"], f"{name} {variable['name']}"
                    assert ":" not in variable.get("value", "").partition("://")[2].partition("@")[0], name

    def test_celery_workers_hold_little(self, render: Render) -> None:
        """Neither the database's password nor the keys for tokens and connections: nothing to forge or to read with."""
        objects = render("airflow", CHARTS / "airflow/ci/production-values.yaml", set_files=TEAMS)
        (container,) = one(objects, "Deployment", "-workers")["spec"]["template"]["spec"]["containers"]
        names = {variable["name"] for variable in container["env"]}
        assert names == {"AIRFLOW__API__SECRET_KEY", "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND",
                         "AIRFLOW_CONN_WHERRY_RELEASES", "POD_IP"}  # fmt: skip

    def test_existing_secrets_replace_all_generated_ones(self, render: Render) -> None:
        """With each secret named, the chart makes none."""
        objects = render("airflow", CHARTS / "airflow/ci/production-values.yaml", set_files=TEAMS)
        assert of_kind(objects, "Secret") == []

    def test_generated_ones_outlive_the_release(self, render: Render) -> None:
        """They are kept, as the data that they open is."""
        for item in of_kind(render("airflow"), "Secret"):
            assert item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"

    def test_the_fernet_key_is_one(self, render: Render) -> None:
        """Airflow can encrypt with the generated key."""
        from cryptography.fernet import Fernet

        key = base64.b64decode(one(render("airflow"), "Secret", "-keys")["data"]["fernet-key"])
        assert Fernet(key).decrypt(Fernet(key).encrypt(b"x")) == b"x"


def test_long_names_fit(render: Render) -> None:
    """The longest release name that Helm allows gives names that Kubernetes allows (52 for a CronJob)."""
    for item in render("airflow", set_files=TEAMS, name="a" * 53):
        assert len(item["metadata"]["name"]) <= (52 if item["kind"] == "CronJob" else 63)
        assert all(len(value) <= 63 for value in item["metadata"]["labels"].values())


def test_a_registry_mirror_is_one_value(render: Render) -> None:
    """Every image comes from `global.imageRegistry`."""
    everything = CHARTS / "airflow/ci/everything-values.yaml"
    objects = render("airflow", everything, settings=("global.imageRegistry=mirror.example.com:5000",), set_files=TEAMS)
    images = {container["image"] for _, _, spec in pods(objects) for container in containers(spec)}
    assert len(images) == 4
    assert all(image.startswith("mirror.example.com:5000/") for image in images)


def test_the_team_file_in_use_is_the_repositorys(render: Render) -> None:
    """The two sample teams are what the tests render."""
    assert {path.stem for path in (ROOT / "k8s/teams").glob("*.yaml")} >= {"finance", "growth"}
    assert render("team", ROOT / "k8s/teams/finance.yaml")[0]["metadata"]["name"] == "team-finance"
