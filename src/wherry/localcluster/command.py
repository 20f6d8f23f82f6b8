"""From a pod's spec, its image and what it refers to, to the command line and environment of its process. Pure."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.localcluster.errors import Json
from wherry.localcluster.images import Image
from wherry.localcluster.status import ADDRESS, NODE

Find = Callable[[str, str], Json | None]  # (resource, name) -> the object in the pod's namespace
MARK = "WHERRY_POD_UID"  # in each pod's environment: how leftovers are known to be ours
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^()\s]+)\))")


class ConfigError(Exception):
    """The container's configuration refers to what isn't there (CreateContainerConfigError)."""


@dataclass(frozen=True)
class Command:
    """A process to be: its arguments, its whole environment (secrets included: never print it), its folder.

    `preload`: modules that it may find imported, as in `Image`.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    preload: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Command(argv={self.argv!r}, cwd={self.cwd})"


def make_command(pod: Json, image: Image, folder: Path, find: Find) -> Command:
    """Resolve a pod's only container. ConfigError names a Secret, ConfigMap or key that is missing.

    There is no mount namespace: environment values and arguments that begin with a volume's mountPath (or are the
    termination message's path) are rewritten to the pod's own folder for it.
    """
    container = pod["spec"]["containers"][0]
    message = folder / "termination-log"
    mounts = {
        mount["mountPath"].rstrip("/"): folder / "volumes" / mount["name"]
        for mount in container.get("volumeMounts") or ()
    }
    paths = {**mounts, container["terminationMessagePath"]: message}
    home = folder / "home"
    env = {"PATH": PATH, "HOME": str(home), "HOSTNAME": pod["metadata"]["name"], **image.env}
    for source in container.get("envFrom") or ():
        env |= _all_keys(source, find)
    for variable in container.get("env") or ():
        if found := _variable(variable, pod, env, find):
            env[variable["name"]] = relocated(found[0], paths) if found[1] else found[0]
    env |= {"TERMINATION_MESSAGE_PATH": str(message), MARK: pod["metadata"]["uid"]}
    entrypoint = container.get("command") or image.entrypoint
    argv = tuple(relocated(expanded(part, env), paths) for part in (*entrypoint, *(container.get("args") or ())))
    if not argv:
        raise ConfigError("no command specified")
    cwd = relocated(container.get("workingDir") or image.workdir or str(home), paths)
    return Command(argv, env, Path(cwd), () if container.get("command") else image.preload)


def relocated(text: str, paths: Mapping[str, Path]) -> str:
    """The text, its leading mountPath (the longest that fits) replaced by the pod's own folder."""
    for path in sorted(paths, key=len, reverse=True):
        if text == path or text.startswith(f"{path}/"):
            return f"{paths[path]}{text[len(path) :]}"
    return text


def expanded(text: str, env: Mapping[str, str]) -> str:
    """The text, each `$(NAME)` that the environment knows replaced by its value; `$$` is a dollar sign."""
    return _REFERENCE.sub(lambda found: env.get(found["name"], found[0]) if found["name"] else "$", text)


def _variable(variable: Json, pod: Json, env: Mapping[str, str], find: Find) -> tuple[str, bool] | None:
    """A variable's value, and whether it is a literal (which may name a mounted path)."""
    source = variable.get("valueFrom") or {}
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"]), False
    for key, resource in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if reference := source.get(key):
            found = _one_key(reference, resource, find)
            return (found, False) if found is not None else None
    return expanded(variable.get("value") or "", env), True


def _one_key(reference: Json, resource: str, find: Find) -> str | None:
    item = find(resource, reference.get("name", ""))
    values = _values(resource, item) if item else {}
    if reference.get("key") in values:
        return values[reference["key"]]
    if reference.get("optional"):
        return None
    kind = resource.removesuffix("s")
    if item is None:
        raise ConfigError(f'{kind} "{reference.get("name")}" not found')
    raise ConfigError(f"couldn't find key {reference.get('key')} in {kind} {reference.get('name')}")


def _all_keys(source: Json, find: Find) -> dict[str, str]:
    resource = "secrets" if source.get("secretRef") else "configmaps"
    reference = source.get("secretRef") or source["configMapRef"]
    item = find(resource, reference.get("name", ""))
    if item is None and not reference.get("optional"):
        raise ConfigError(f'{resource.removesuffix("s")} "{reference.get("name")}" not found')
    return {f"{source.get('prefix') or ''}{key}": value for key, value in _values(resource, item or {}).items()}


def _values(resource: str, item: Json) -> dict[str, str]:
    data: Mapping[str, Any] = item.get("data") or {}
    if resource == "secrets":
        return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}
    return dict(data)


def field(pod: Json, path: str) -> str:
    """What the downward API says of a pod: "" for a label or annotation that it hasn't."""
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((pod["metadata"].get(found[1]) or {}).get(found[2], ""))
    facts = {
        **{f"metadata.{key}": pod["metadata"][key] for key in ("name", "namespace", "uid")},
        "spec.nodeName": NODE,
        "spec.serviceAccountName": pod["spec"]["serviceAccountName"],
        "status.podIP": ADDRESS,
        "status.hostIP": ADDRESS,
    }
    return str(facts[path])
