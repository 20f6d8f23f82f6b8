"""Kubernetes quantities, what a pod asks for, and whether a namespace's quotas still have room for it. Pure."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from wherry.localcluster.errors import ApiError, Json, forbidden

_SUFFIXES = {
    **{"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)(?P<suffix>[A-Za-z]{0,2})")
TERMINAL = ("Succeeded", "Failed")
Used = dict[str, Decimal]


def quantity(text: object) -> Decimal:
    """`512Mi`, `250m`, `1e3` as a number; ValueError when it is none."""
    found = _QUANTITY.fullmatch(str(text))
    if not found or found["suffix"] not in _SUFFIXES:
        raise ValueError(f"{text!r} isn't a quantity such as 250m, 1 or 512Mi")
    return Decimal(found["number"]) * _SUFFIXES[found["suffix"]]


def requested(pod: Json) -> Used:
    """What a pod counts for in a quota: pods, requests.* and limits.* (its one container's)."""
    resources = pod["spec"]["containers"][0].get("resources") or {}
    asked = {
        f"{kind}.{name}": quantity(v) for kind in ("requests", "limits") for name, v in resources.get(kind, {}).items()
    }
    short = {name: asked[f"requests.{name}"] for name in ("cpu", "memory") if f"requests.{name}" in asked}
    return {"pods": Decimal(1), "count/pods": Decimal(1), **short, **asked}


def used(pods: Iterable[Json], names: Iterable[str]) -> Used:
    """What the pods of a namespace use of each named resource; a pod that has ended counts for `count/pods` only."""
    total = dict.fromkeys(names, Decimal(0))
    for pod in pods:
        ended = pod["status"].get("phase") in TERMINAL
        for name, amount in requested(pod).items():
            if name in total and (not ended or name == "count/pods"):
                total[name] += amount
    return total


def check(pod: Json, quotas: Iterable[Json], pods: list[Json]) -> None:
    """ApiError 403, in the real API's words, when a quota has no room for the pod or the pod names no amount."""
    name, asked = pod["metadata"]["name"], requested(pod)
    for item in quotas:
        hard = {key: quantity(value) for key, value in (item["spec"].get("hard") or {}).items()}
        if missing := sorted(key for key in hard if _counted(key) and key not in asked):
            container = pod["spec"]["containers"][0]["name"]
            said = "; ".join(f"{key} for: {container}" for key in missing)
            raise forbidden("pods", name, f"failed quota: {item['metadata']['name']}: must specify {said}")
        have = used(pods, hard)
        if over := sorted(key for key in hard if _counted(key) and have[key] + asked[key] > hard[key]):
            raise _exceeded(item, name, over, asked, have)


def _exceeded(item: Json, name: str, over: list[str], asked: Used, have: Used) -> ApiError:
    listed = [
        ",".join(f"{key}={value}" for key, value in amounts.items())
        for amounts in (
            {key: written(key, asked[key]) for key in over},
            {key: written(key, have[key]) for key in over},
            {key: item["spec"]["hard"][key] for key in over},
        )
    ]
    why = f"exceeded quota: {item['metadata']['name']}, requested: {listed[0]}, used: {listed[1]}, limited: {listed[2]}"
    return forbidden("pods", name, why)


def _counted(name: str) -> bool:
    return name in ("pods", "count/pods", "cpu", "memory") or name.startswith(("requests.", "limits."))


def written(name: str, amount: Decimal) -> str:
    """An amount as a quota's status shows it: cpu in m, memory in Mi or Ki, where that is a whole number."""
    if amount == amount.to_integral_value() and (not name.endswith("memory") or amount % 1024):
        return str(int(amount))
    if name.endswith("memory"):
        return f"{int(amount / 1024**2)}Mi" if amount % 1024**2 == 0 else f"{int(amount / 1024)}Ki"
    return f"{int(amount * 1000)}m"


def quota_status(item: Json, pods: list[Json]) -> Mapping[str, Mapping[str, str]]:
    """A ResourceQuota's status: what it allows, and what is used."""
    hard = item["spec"].get("hard") or {}
    return {"hard": hard, "used": {key: written(key, value) for key, value in used(pods, hard).items()}}


def qos_class(pod: Json) -> str:
    """Guaranteed, Burstable or BestEffort, from the container's requests and limits."""
    resources = pod["spec"]["containers"][0].get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    if not requests and not limits:
        return "BestEffort"
    full = all(
        name in limits and quantity(requests.get(name, limits[name])) == quantity(limits[name])
        for name in ("cpu", "memory")
    )
    return "Guaranteed" if full else "Burstable"
