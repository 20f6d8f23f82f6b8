"""Merge patches and the part of strategic merge patches that metadata needs. Pure."""

from typing import Any

from wherry.localcluster.errors import ApiError, Json

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def patched(item: Json, patch: Any, content_type: str) -> Json:
    """The object with a patch applied. ApiError 415 for another kind of patch, 400 for a patch that isn't an object."""
    if content_type not in (MERGE, STRATEGIC):
        raise ApiError(
            415,
            f"the body of the request was in an unknown format - accepted media types include: {MERGE}, {STRATEGIC}",
        )
    if not isinstance(patch, dict):
        raise ApiError(400, "a patch must be a JSON object")
    return _strategic(item, patch) if content_type == STRATEGIC else _merged(item, patch)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _strategic(item: Json, patch: Json) -> Json:
    """As a merge patch, but finalizers are added to those that are there, or taken out by name."""
    meta = dict(patch.get("metadata") or {})
    dropped = set(meta.pop("$deleteFromPrimitiveList/finalizers", ()))
    meta = {key: value for key, value in meta.items() if not key.startswith("$")}
    present = [name for name in item["metadata"].get("finalizers") or () if name not in dropped]
    added = meta.get("finalizers") or ()
    if "finalizers" not in meta or meta["finalizers"] is not None:
        meta["finalizers"] = [*present, *(name for name in added if name not in present)] or None
    result: Json = _merged(item, {**patch, "metadata": meta})
    return result
