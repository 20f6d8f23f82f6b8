"""Write kubernetes.schema.json: what a real API server says about the kinds that the charts make, and nothing else.

    KUBECONFIG=... python -m tests.charts.kubernetes_schema

It takes the server's OpenAPI documents, leaves descriptions out and closes every object, so that a misspelt key fails.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("kubernetes.schema.json")
KINDS = {
    "api/v1": ["ConfigMap", "LimitRange", "Namespace", "Pod", "ResourceQuota", "Secret", "Service", "ServiceAccount"],
    "apis/admissionregistration.k8s.io/v1": ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
    "apis/apps/v1": ["Deployment", "StatefulSet"],
    "apis/autoscaling/v2": ["HorizontalPodAutoscaler"],
    "apis/batch/v1": ["CronJob", "Job"],
    "apis/networking.k8s.io/v1": ["Ingress", "NetworkPolicy"],
    "apis/policy/v1": ["PodDisruptionBudget"],
    "apis/rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
}
KEPT = {"type", "format", "enum", "required", "items", "properties", "additionalProperties", "oneOf", "anyOf", "allOf"}


def main() -> None:
    """Ask the API server that KUBECONFIG names, and write the file."""
    definitions: dict[str, Any] = {}
    kinds = {}
    for path, names in KINDS.items():
        schemas = json.loads(_get(f"/openapi/v3/{path}"))["components"]["schemas"]
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                if kind["kind"] in names and path.endswith("/".join(filter(None, (kind["group"], kind["version"])))):
                    kinds[f"{path.split('/', 1)[1]} {kind['kind']}"] = {"$ref": f"#/$defs/{_short(name)}"}
                    definitions |= {_short(used): reduced(schemas[used]) for used in _closure(name, schemas)}
    version = json.loads(_get("/version"))["gitVersion"]
    FILE.write_text(json.dumps({"version": version, "kinds": kinds, "$defs": definitions}, sort_keys=True) + "\n")


def reduced(schema: Any) -> Any:
    """The schema without prose, its references local, its objects closed."""
    if isinstance(schema, list):
        return [reduced(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{_short(schema['$ref'].rsplit('/', 1)[1])}"}
    if [part for part in schema.get("allOf", []) if "$ref" in part]:
        return reduced(schema["allOf"][0])
    small = {key: reduced(value) for key, value in schema.items() if key in KEPT and key != "properties"}
    if "properties" in schema:
        small["properties"] = {key: reduced(value) for key, value in schema["properties"].items()}
        small["additionalProperties"] = False
    return small


def _closure(name: str, schemas: dict[str, Any]) -> set[str]:
    seen, left = set(), [name]
    while left:
        if (current := left.pop()) not in seen:
            seen.add(current)
            left += _references(schemas[current])
    return seen


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[1]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _short(name: str) -> str:
    return ".".join(name.split(".")[-3:])


def _get(path: str) -> str:
    return subprocess.run(["kubectl", "get", "--raw", path], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
