"""What `helm test` runs as Airflow's worker account: each refusal that the team's isolation rests on, asked for once.

Pods are asked for as a dry run: nothing is started. Exits with 1 where something is allowed that must not be.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FORBIDDEN = [
    ("get", "secrets", ""),
    ("list", "secrets", ""),
    ("create", "pods", "exec"),
    ("create", "pods", "attach"),
    ("create", "pods", "portforward"),
    ("patch", "pods", "ephemeralcontainers"),
    ("create", "serviceaccounts", "token"),
    ("create", "deployments", ""),
    ("create", "rolebindings", ""),
    ("update", "networkpolicies", ""),
    ("delete", "resourcequotas", ""),
]
ALLOWED = [(verb, "pods", "") for verb in ("create", "get", "list", "watch", "patch", "delete")] + [
    ("get", "pods", "log")
]
GROUPS = {
    "deployments": "apps",
    "rolebindings": "rbac.authorization.k8s.io",
    "networkpolicies": "networking.k8s.io",
}


def call(method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
    """One call of the Kubernetes API as the pod's own account: the status and the answer."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def may(namespace: str, verb: str, resource: str, subresource: str) -> bool:
    """Whether this account may do it, by the API server's own word."""
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": GROUPS.get(resource, ""),
        "resource": resource,
        "subresource": subresource,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    _, answer = call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def pod(**changed: object) -> dict[str, object]:
    """A pod as Airflow makes them, with parts of its spec changed."""
    env = os.environ
    container = {
        "name": "dbt",
        "image": changed.pop("image", env["IMAGE"]),
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "serviceAccountName": env["SERVICE_ACCOUNT"],
        "automountServiceAccountToken": False,
        "activeDeadlineSeconds": 60,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        **changed,
    }
    labels = {"app.kubernetes.io/managed-by": "wherry", "wherry.dev/team": env["TEAM"]}
    metadata = {"generateName": "isolation-test-", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def hostile() -> dict[str, dict[str, object]]:
    """Pods that must be refused, by what is wrong with them."""
    return {
        "another service account": pod(serviceAccountName="default"),
        "a service account token": pod(automountServiceAccountToken=True),
        "a foreign image": pod(image="docker.io/library/busybox:latest"),
        "the host's network": pod(hostNetwork=True),
        "a host path": pod(volumes=[{"name": "host", "hostPath": {"path": "/"}}]),
    }


def main() -> int:
    """Ask for everything; return how many answers were wrong."""
    namespace = os.environ["NAMESPACE"]
    checks = {
        f"{verb} {resource}/{sub}".rstrip("/"): may(namespace, verb, resource, sub) for verb, resource, sub in ALLOWED
    }
    checks |= {
        f"no {verb} {resource}/{sub}".rstrip("/"): not may(namespace, verb, resource, sub)
        for verb, resource, sub in FORBIDDEN
    }
    pods = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
    status, answer = call("POST", pods, pod())
    checks[f"a pod of the team ({status}: {answer.get('message', '')[:300]})"] = status == 201
    if os.environ["POLICY"] == "true":
        for what, body in hostile().items():
            status, answer = call("POST", pods, body)
            checks[f"no pod with {what} ({status}: {answer.get('message', '')[:200]})"] = status in (403, 422)
    for what, right in checks.items():
        print("ok  " if right else "FAIL", what)
    return sum(not right for right in checks.values())


if __name__ == "__main__":
    sys.exit(min(main(), 1))
