"""What the server says about itself: versions, groups and kinds; enough for the Python client and kubectl. Pure."""

from wherry.localcluster.errors import Json
from wherry.localcluster.store import KINDS

_SHORT = {
    "namespaces": ["ns"],
    "pods": ["po"],
    "events": ["ev"],
    "configmaps": ["cm"],
    "serviceaccounts": ["sa"],
    "resourcequotas": ["quota"],
}
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.0+wherry",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "local/processes",
}


def document(path: str) -> Json | None:
    """The discovery document at a path, or None."""
    return _DOCUMENTS.get(path.rstrip("/"))


def _resource(name: str) -> Json:
    readable = [] if name in ("secrets", "configmaps") else ["get", "list", "watch"]
    return {
        "name": name,
        "singularName": KINDS[name].lower(),
        "namespaced": name != "namespaces",
        "kind": KINDS[name],
        "verbs": sorted(_WRITE + readable),
        **({"shortNames": _SHORT[name]} if name in _SHORT else {}),
        **({"categories": ["all"]} if name == "pods" else {}),
    }


def _pod_part(name: str) -> Json:
    return {"name": f"pods/{name}", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]}


_DOCUMENTS: dict[str, Json] = {
    "/version": _VERSION,
    "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [*(_resource(name) for name in KINDS), _pod_part("log"), _pod_part("status")],
    },
}
