"""What a pod must look like to be taken: validation, and the defaults that the real API fills in. Pure."""

import copy
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from wherry.localcluster.errors import ApiError, Cause, Json, invalid
from wherry.localcluster.quota import quantity

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(rf"({_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_ANNOTATIONS_LIMIT = 256 * 1024
_ENV_SOURCES = ("secretKeyRef", "configMapKeyRef", "fieldRef")
_FIELD_PATH = re.compile(
    r"metadata\.(name|namespace|uid|(labels|annotations)\['[^']+'\])|spec\.(nodeName|serviceAccountName)|status\.(podIP|hostIP)"
)
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_NOT_HERE = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "volumeDevices")
_CLOSED = frozenset({"metadata", "spec"})


def named(item: Json, kind: str, namespace: str) -> Json:
    """A copy of a new object with its namespace and, from generateName, its name. ApiError 400 or 422 otherwise."""
    item = copy.deepcopy(item)
    if item.get("kind", kind) != kind or item.get("apiVersion", "v1") != "v1":
        raise ApiError(400, f"expected a {kind} of v1, found {item.get('kind')!r} of {item.get('apiVersion')!r}")
    meta = item.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise ApiError(400, f"{kind} in version v1 cannot be handled: metadata isn't an object")
    if namespace and meta.setdefault("namespace", namespace) != namespace:
        raise ApiError(400, "the namespace of the provided object does not match the namespace sent on the request")
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = f"{str(meta['generateName'])[:248]}{secrets.token_hex(3)[:5]}"
    for key in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        meta.pop(key, None)
    causes = tuple(metadata_causes(meta, label=kind == "Namespace"))
    if causes:
        raise invalid(kind, str(meta.get("name") or ""), causes)
    return item


def metadata_causes(meta: Json, label: bool = False) -> Iterator[Cause]:
    """What is wrong with an object's name, labels and annotations."""
    name = meta.get("name")
    pattern, limit = (_DNS_LABEL, 63) if label else (_DNS_SUBDOMAIN, 253)
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    elif not isinstance(name, str) or len(name) > limit or not pattern.fullmatch(name):
        what = "a lowercase RFC 1123 label" if label else "a lowercase RFC 1123 subdomain"
        yield Cause("metadata.name", f'Invalid value: "{name}": {what} is expected, at most {limit} characters')
    for key, value in _mapping(meta, "labels").items():
        if not _QUALIFIED.fullmatch(key):
            yield Cause("metadata.labels", f'Invalid value: "{key}": a qualified name is expected')
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            yield Cause(
                "metadata.labels",
                f'Invalid value: "{value}": a valid label must be empty or consist of alphanumeric characters,'
                " '-', '_' or '.', start and end with an alphanumeric character, and have at most 63 characters",
            )
    annotations = _mapping(meta, "annotations")
    for key, value in annotations.items():
        if not _QUALIFIED.fullmatch(key.lower()) or not isinstance(value, str):
            yield Cause("metadata.annotations", f'Invalid value: "{key}": a qualified name and a string are expected')
    if sum(len(str(key)) + len(str(value)) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        yield Cause("metadata.annotations", "Too long: must have at most 262144 bytes", "FieldValueTooLong")


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key) or {}
    if not isinstance(value, Mapping):
        raise ApiError(400, f"cannot unmarshal {key}: an object is expected, found {type(value).__name__}")
    return value


def admit_pod(item: Json, namespace: str) -> Json:
    """The pod as it is kept: named, validated, with defaults. ApiError 400 or 422, naming every fault."""
    pod = named(item, "Pod", namespace)
    name = pod["metadata"]["name"]
    try:
        causes = tuple(_pod_causes(pod["spec"] if isinstance(pod.get("spec"), dict) else {}))
    except (TypeError, AttributeError, KeyError) as error:
        raise ApiError(400, f"Pod in version v1 cannot be handled as a Pod: {error}") from None
    if causes:
        raise invalid("Pod", name, causes)
    return {**{key: value for key, value in pod.items() if key in _CLOSED}, "spec": _with_defaults(pod["spec"])}


def _pod_causes(spec: Json) -> Iterator[Cause]:
    containers = spec.get("containers") or []
    if not containers:
        yield Cause("spec.containers", "Required value", "FieldValueRequired")
    if len(containers) > 1:
        yield _unsupported("spec.containers", f"{len(containers)} containers: one only is not supported here")
    yield from (_unsupported(f"spec.{key}", "") for key in ("initContainers", "ephemeralContainers") if spec.get(key))
    policy = spec.get("restartPolicy", "Always")
    if policy != "Never":
        message = f'Unsupported value: "{policy}": supported values: "Never" (others are not supported here)'
        yield Cause("spec.restartPolicy", message, "FieldValueNotSupported")
    for key, least in (("activeDeadlineSeconds", 1), ("terminationGracePeriodSeconds", 0)):
        value = spec.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            yield Cause(f"spec.{key}", f"Invalid value: {value!r}: must be a whole number, at least {least}")
    for key in ("serviceAccountName", "serviceAccount"):
        if not isinstance(spec.get(key) or "", str):
            yield Cause(f"spec.{key}", "Invalid value: a string is expected", "FieldValueTypeInvalid")
    volumes = spec.get("volumes") or []
    for index, volume in enumerate(volumes):
        kinds = sorted(key for key, value in volume.items() if key != "name" and value is not None)
        if kinds not in (["emptyDir"], ["downwardAPI"], []):
            yield _unsupported(f"spec.volumes[{index}]", f"{', '.join(kinds)}: emptyDir and downwardAPI only")
        yield from _downward_causes(volume.get("downwardAPI") or {}, f"spec.volumes[{index}].downwardAPI")
        if not _DNS_LABEL.fullmatch(str(volume.get("name"))):
            yield Cause(f"spec.volumes[{index}].name", f"Invalid value: {volume.get('name')!r}")
    for index, container in enumerate(containers[:1]):
        yield from _container_causes(container, f"spec.containers[{index}]", {volume.get("name") for volume in volumes})


def _downward_causes(source: Json, place: str) -> Iterator[Cause]:
    for index, item in enumerate(source.get("items") or []):
        if not _FILE.fullmatch(str(item.get("path") or "")):
            yield _unsupported(
                f"{place}.items[{index}].path", f"{item.get('path')!r}: other than one plain file name is"
            )
        path = str((item.get("fieldRef") or {}).get("fieldPath"))
        if not path.startswith("metadata.") or not _FIELD_PATH.fullmatch(path):
            yield Cause(f"{place}.items[{index}].fieldRef.fieldPath", f'Invalid value: "{path}"')


def change_causes(old: Json, new: Any) -> Iterator[Cause]:
    """What is wrong with a change of a pod's spec: it may bring the deadline nearer, and nothing else here."""
    key = "activeDeadlineSeconds"
    before, after = old.get(key), new.get(key) if isinstance(new, dict) else None
    if not isinstance(new, dict) or {**old, key: None} != {**new, key: None}:
        why = f"Forbidden: pod updates may not change fields other than `spec.{key}` here"
        yield Cause("spec", why, "FieldValueForbidden")
    elif after is None and before is not None:
        yield Cause(f"spec.{key}", "Invalid value: null: must not update from a positive integer to nil value")
    elif after is not None and (not isinstance(after, int) or isinstance(after, bool) or after < 1):
        yield Cause(f"spec.{key}", f"Invalid value: {after!r}: must be a whole number, at least 1")
    elif after is not None and before is not None and after > before:
        yield Cause(f"spec.{key}", f"Invalid value: {after}: must be less than or equal to previous value")


def _container_causes(container: Json, field: str, volumes: set[Any]) -> Iterator[Cause]:
    if not _DNS_LABEL.fullmatch(str(container.get("name") or "")):
        yield Cause(
            f"{field}.name", f"Invalid value: {container.get('name')!r}: a lowercase RFC 1123 label is expected"
        )
    if not container.get("image"):
        yield Cause(f"{field}.image", "Required value", "FieldValueRequired")
    yield from (_unsupported(f"{field}.{key}", "") for key in _NOT_HERE if container.get(key))
    for key in ("command", "args"):
        if not all(isinstance(part, str) for part in container.get(key) or []):
            yield Cause(f"{field}.{key}", "Invalid value: strings are expected", "FieldValueTypeInvalid")
    for key in ("image", "workingDir", "terminationMessagePath", "terminationMessagePolicy"):
        if not isinstance(container.get(key) or "", str) or "\0" in (container.get(key) or ""):
            yield Cause(f"{field}.{key}", "Invalid value: a string is expected", "FieldValueTypeInvalid")
    for index, variable in enumerate(container.get("env") or []):
        yield from _variable_causes(variable, f"{field}.env[{index}]")
    for index, source in enumerate(container.get("envFrom") or []):
        names = [source[key]["name"] for key in ("secretRef", "configMapRef") if source.get(key)]
        if len(names) != 1 or not isinstance(names[0], str):
            yield Cause(f"{field}.envFrom[{index}]", "Invalid value: one of secretRef, configMapRef is expected")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            yield Cause(
                f"{field}.volumeMounts[{index}].name", f'Not found: "{mount.get("name")}"', "FieldValueNotFound"
            )
        path = str(mount.get("mountPath") or "")
        if not path.startswith("/") or not path.strip("/") or mount.get("subPath"):
            yield _unsupported(f"{field}.volumeMounts[{index}]", "other than an absolute mountPath without subPath is")
    yield from _resource_causes(container.get("resources") or {}, f"{field}.resources")


def _variable_causes(variable: Json, field: str) -> Iterator[Cause]:
    name, source = str(variable.get("name") or ""), variable.get("valueFrom") or {}
    if not isinstance(variable.get("value") or "", str):
        yield Cause(f"{field}.value", "Invalid value: a string is expected", "FieldValueTypeInvalid")
    if not name or "=" in name or "\0" in f"{name}{variable.get('value') or ''}":
        yield Cause(f"{field}.name", f"Invalid value: {name!r}: a name without '=' or NUL is expected")
    if source and variable.get("value"):
        yield Cause(f"{field}.valueFrom", "Invalid value: may not be specified when `value` is not empty")
    given = [key for key, value in source.items() if value]
    if source and (len(given) != 1 or given[0] not in _ENV_SOURCES):
        yield _unsupported(f"{field}.valueFrom", f"{given}: one of {', '.join(_ENV_SOURCES)}")
    for reference in (source[key] for key in given if key.endswith("KeyRef")):
        if not all(isinstance(reference.get(part), str) for part in ("name", "key")):
            yield Cause(f"{field}.valueFrom", "Required value: name and key", "FieldValueRequired")
    path = str((source.get("fieldRef") or {}).get("fieldPath"))
    if source.get("fieldRef") and not _FIELD_PATH.fullmatch(path):
        yield Cause(f"{field}.valueFrom.fieldRef.fieldPath", f'Invalid value: "{path}"')


def _resource_causes(resources: Json, field: str) -> Iterator[Cause]:
    amounts: dict[str, dict[str, Any]] = {"requests": {}, "limits": {}}
    for kind, parsed in amounts.items():
        for name, value in (resources.get(kind) or {}).items():
            try:
                parsed[name] = quantity(value)
            except ValueError as error:
                yield Cause(f"{field}.{kind}[{name}]", f"Invalid value: {error}")
    for name, value in amounts["requests"].items():
        if name in amounts["limits"] and value > amounts["limits"][name]:
            limit = resources["limits"][name]
            message = (
                f'Invalid value: "{resources["requests"][name]}": must be less than or equal to {name} limit of {limit}'
            )
            yield Cause(f"{field}.requests", message)


def _unsupported(field: str, what: str) -> Cause:
    return Cause(field, f"Forbidden: {what} not supported here".replace("  ", " "), "FieldValueForbidden")


def _with_defaults(spec: Json) -> Json:
    container = spec["containers"][0]
    resources = dict(container.get("resources") or {})
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    return {
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        **{key: value for key, value in spec.items() if value is not None},
        "serviceAccountName": account,
        "serviceAccount": account,
        "containers": [
            {
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                **{key: value for key, value in container.items() if value is not None},
                "resources": resources,
            }
        ],
    }
