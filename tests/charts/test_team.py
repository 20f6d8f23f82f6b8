"""charts/team: what may happen in a team's namespace."""

from pathlib import Path

import pytest
import yaml

from tests.charts.conftest import CHARTS, ROOT, TEAM_FILES, Object, Render, of_kind, one
from tests.pod.examples import FINANCE as FINANCE_PLAN
from tests.pod.examples import FIRST
from wherry.pod.spec import labels

FINANCE = ROOT / "k8s/teams/finance.yaml"
EVERYTHING = CHARTS / "team/ci/everything-values.yaml"


def test_airflow_may_manage_pods_and_nothing_else(team: list[Object]) -> None:
    """The whole list of rights: no Secret, no exec, no wildcard, nothing cluster-wide."""
    (role,) = of_kind(team, "Role")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
    ]
    assert of_kind(team, "ClusterRole", "ClusterRoleBinding") == []


def test_only_airflows_account_has_them(render: Render) -> None:
    """The binding names one subject; the runner is bound to nothing."""
    (binding,) = of_kind(render("team", FINANCE, EVERYTHING), "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "tasks", "namespace": "data-platform"}]


def test_the_namespace_enforces_restricted_and_is_kept(team: list[Object]) -> None:
    """Pod Security at all three levels; removing the release doesn't remove the team's data."""
    (namespace,) = of_kind(team, "Namespace")
    labels = namespace["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}
    assert namespace["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("file", TEAM_FILES, ids=lambda file: file.stem)
def test_the_quota_is_the_team_files(render: Render, file: Path) -> None:
    """Together and for one pod."""
    quota = yaml.safe_load(file.read_text())["quota"]
    objects = render("team", file)
    hard = one(objects, "ResourceQuota", "team")["spec"]["hard"]
    assert (hard["pods"], hard["limits.cpu"], hard["limits.memory"]) == (
        str(quota["pods"]),
        quota["cpu"],
        quota["memory"],
    )
    (limit,) = one(objects, "LimitRange", "team")["spec"]["limits"]
    assert limit == {"type": "Pod", "max": {"cpu": quota["cpu_per_pod"], "memory": quota["memory_per_pod"]}}


def test_a_number_is_a_quantity_too(render: Render) -> None:
    """`cpu: 8` in a team file is as good as `cpu: "8"`."""
    objects = render("team", FINANCE, settings=("quota.cpu=8",))
    assert one(objects, "ResourceQuota", "team")["spec"]["hard"]["limits.cpu"] == "8"


def test_nothing_is_reachable_but_dns(render: Render) -> None:
    """By default: deny both ways for every pod, and one way out, to DNS."""
    policies = {item["metadata"]["name"]: item["spec"] for item in of_kind(render("team", FINANCE), "NetworkPolicy")}
    assert policies.keys() == {"default-deny", "dns"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {(port["protocol"], port["port"]) for port in policies["dns"]["egress"][0]["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
    }


def test_the_warehouses_are_reachable_but_not_the_clouds_metadata(render: Render) -> None:
    """The link-local block is taken out of "everywhere"; all else stays as it is named."""
    spec = one(render("team", FINANCE, EVERYTHING), "NetworkPolicy", "warehouses")["spec"]
    everywhere, block, labelled, whole = (rule["to"][0] for rule in spec["egress"])
    assert everywhere == {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
    assert block == {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    assert labelled["podSelector"] == {"matchLabels": {"app": "postgres"}}
    assert "podSelector" not in whole


def test_the_secret_is_nobodys_by_default(render: Render) -> None:
    """The chart makes none, unless it is asked to."""
    assert of_kind(render("team", FINANCE), "Secret", "ExternalSecret") == []
    external = of_kind(render("team", FINANCE, CHARTS / "team/ci/production-values.yaml"), "ExternalSecret")
    assert external[0]["spec"]["target"]["name"] == "warehouse"
    assert of_kind(render("team", FINANCE, EVERYTHING), "Secret")[0]["metadata"]["name"] == "warehouse"


class TestPolicy:
    """The admission policy's text; tests/e2e/test_isolation.py sees it at work."""

    def test_it_is_for_one_namespace_and_binding_and_policy_belong_together(self, team: list[Object]) -> None:
        """By the namespace's own, unchangeable label; failing closed."""
        (policy,) = of_kind(team, "ValidatingAdmissionPolicy")
        (binding,) = of_kind(team, "ValidatingAdmissionPolicyBinding")
        namespace = of_kind(team, "Namespace")[0]["metadata"]["name"]
        selector = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
        assert selector == {"kubernetes.io/metadata.name": namespace}
        assert policy["spec"]["failurePolicy"] == "Fail"
        assert binding["spec"]["policyName"] == policy["metadata"]["name"]
        assert "Deny" in binding["spec"]["validationActions"]

    def test_the_images_are_the_projects(self, render: Render) -> None:
        """By digest or by tag; a prefix ends where a project's name ends, so `finance` doesn't allow `finance2`."""
        policy = of_kind(render("team", FINANCE), "ValidatingAdmissionPolicy")[0]["spec"]
        (images,) = [part["expression"] for part in policy["variables"] if part["name"] == "images"]
        assert images == "['wherry.local/finance-finance@sha256:', 'wherry.local/finance-finance:']"

    def test_what_waits_reads_its_own_work_and_nothing_else(self, render: Render) -> None:
        """Only where a team has pods that wait: one file, of one annotation; otherwise no such volume at all."""

        def volumes(*settings: str) -> str:
            policy = of_kind(render("team", FINANCE, settings=settings), "ValidatingAdmissionPolicy")[0]["spec"]
            (found,) = [part["expression"] for part in policy["validations"] if "spec.?volumes" in part["expression"]]
            return str(found)

        assert volumes() == "object.spec.?volumes.orValue([]).all(v, has(v.emptyDir))"
        assert volumes("warm_pods=4") == (
            "object.spec.?volumes.orValue([]).all(v, has(v.emptyDir)"
            " || (has(v.downwardAPI) && v.downwardAPI.?items.orValue([]).all(i,"
            " i.?fieldRef.?fieldPath.orValue('') == \"metadata.annotations['wherry.dev/work']\")))"
        )

    def test_a_pod_is_claimed_once(self, team: list[Object]) -> None:
        """What says whose a pod is may change on a pod that waits, and never again: with or without such pods."""
        spec = of_kind(team, "ValidatingAdmissionPolicy")[0]["spec"]
        variables = {part["name"]: part["expression"] for part in spec["variables"]}
        expressions = [part["expression"] for part in spec["validations"]]
        assert {"variables.same || variables.claimed", "variables.work == '' || !variables.waits"} <= {*expressions}
        assert list(variables).index("work") < list(variables).index("same")  # a variable knows those before it
        keys = {key.removeprefix("wherry.dev/") for key in labels(FINANCE_PLAN, FIRST)} - {"team", "project", "release"}
        assert all(f"'{key}'" in variables["same"] for key in keys if "/" not in key)

    def test_every_refusal_has_a_message(self, team: list[Object]) -> None:
        """Whoever is refused reads why."""
        validations = of_kind(team, "ValidatingAdmissionPolicy")[0]["spec"]["validations"]
        assert len(validations) >= 14
        assert all(len(part["message"]) > 15 for part in validations)

    def test_it_can_be_left_out(self, render: Render) -> None:
        """For a cluster whose own policies do the same."""
        objects = render("team", FINANCE, settings=("platform.admission.enabled=false",))
        assert of_kind(objects, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding") == []


def test_two_teams_share_no_object(render: Render) -> None:
    """Cluster-wide names hold the namespace; all else is in it."""

    def keys(file: Path) -> set[tuple[str, str, str]]:
        objects = render("team", file, name=f"team-{file.stem}")
        return {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in objects}

    finance, growth = (keys(ROOT / f"k8s/teams/{name}.yaml") for name in ("finance", "growth"))
    assert finance.isdisjoint(growth)
