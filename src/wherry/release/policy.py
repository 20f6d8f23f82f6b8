"""How one node runs: the team's settings, its node rules and what the dbt author asks for, in this order.

Pure, and used twice: a release is refused for what `resolve` refuses; a DAG is built from what it decides.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from wherry.release.execution import is_watched
from wherry.release.model import ReleaseSettings
from wherry.teams import NodeMeta, NodeRule, Postgres, Project, Resources, Snowflake, parse_quantity, pool_name

DEFAULT_PRIORITY = 1
_T = TypeVar("_T")
_WAREHOUSE = "snowflake_warehouse"
_JINJA = re.compile(r"\{[{%#]")
_NOTHING_ASKED = NodeMeta()


@dataclass(frozen=True)
class NodePolicy:
    """What is decided for a node.

    `compute` is the Snowflake virtual warehouse that it runs on, which its pool bounds; None elsewhere.
    `memory_ceiling` is the most that a retry after out-of-memory may ask for.
    """

    pool: str
    compute: str | None
    priority: int
    retries: int
    retry_delay: timedelta
    timeout: timedelta
    resources: Resources
    memory_ceiling: str


@dataclass(frozen=True)
class Refusal:
    """Something that a node asks for and doesn't get."""

    node: str
    file: str
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.node} ({self.file}): {self.key}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class _Ask:
    """A refusal before it is known whose it is."""

    key: str
    found: str
    expected: str


def resolve(
    node: Mapping[str, Any], settings: ReleaseSettings, matched_rules: Sequence[int]
) -> tuple[NodePolicy, tuple[Refusal, ...]]:
    """Decide how `node` (of a full or slim manifest) runs; `matched_rules` are the indexes of the rules that select it.

    Later rules win, and the node's own meta.wherry wins over them where the project allows the key. A model that sets
    snowflake_warehouse runs there whatever anybody else says (dbt switches to it), so that comes first for the pool;
    then meta.wherry.pool, the last rule's warehouse, the project's. What is refused never takes effect.
    """
    team, project = settings.team, settings.project
    asks: list[_Ask] = [*_names(node), *_cosmos(node), *_unwatchable(node, settings)]
    wanted = NodeMeta() if is_watched(settings.project.execution) else _wanted(node, settings, asks)
    rules = [(f"nodes[{index}].resources", project.nodes[index]) for index in sorted(matched_rules)]
    named = _snowflake_warehouse(node, settings, asks)
    if named and wanted.pool and wanted.pool != named:
        asks.append(_Ask("meta.wherry.pool", repr(wanted.pool), f"{named!r}, where its snowflake_warehouse is"))
    warehouse = named or wanted.pool or _last([rule.warehouse for _, rule in rules]) or project.warehouse
    priority = _last([*(rule.priority for _, rule in rules), wanted.priority])
    layers: list[Project | NodeRule | NodeMeta] = [project, *(rule for _, rule in rules), wanted]
    policy = NodePolicy(
        pool=pool_name(team.name, warehouse),
        compute=_compute(team.warehouses[warehouse]),
        priority=DEFAULT_PRIORITY if priority is None else priority,
        retries=_last([layer.retries for layer in layers]) or 0,
        retry_delay=project.retry_delay,
        timeout=_last([layer.timeout for layer in layers]) or project.timeout,
        resources=_resources([*rules, ("meta.wherry.resources", wanted)], settings, asks),
        memory_ceiling=team.quota.memory_per_pod,
    )
    return policy, tuple(
        Refusal(str(node["unique_id"]), str(node.get("original_file_path")), ask.key, ask.found, ask.expected)
        for ask in asks
    )


def meta(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node's meta. dbt keeps it in the config and, for older readers' sake, beside it."""
    return {**(node.get("meta") or {}), **((node.get("config") or {}).get("meta") or {})}


def _compute(warehouse: Snowflake | Postgres) -> str | None:
    return warehouse.warehouse if isinstance(warehouse, Snowflake) else None


def _last(values: Sequence[_T | None]) -> _T | None:
    return next((value for value in reversed(values) if value is not None), None)


def _names(node: Mapping[str, Any]) -> Iterator[_Ask]:
    """Names become task ids and dbt arguments; braces in them have no honest use."""
    for key in ("unique_id", "fqn", "original_file_path"):
        if _JINJA.search(str(node.get(key))):
            yield _Ask(key, "Jinja's delimiters", "a plain name")


def _cosmos(node: Mapping[str, Any]) -> Iterator[_Ask]:
    """Cosmos takes meta.cosmos as the operator's own arguments, the image and the namespace among them."""
    if "cosmos" not in meta(node):
        return
    cosmos = meta(node)["cosmos"]
    asked = [
        f"meta.cosmos.{key}.{inner}" if inner else f"meta.cosmos.{key}"
        for key, value in (cosmos.items() if isinstance(cosmos, Mapping) else ())
        for inner in (value if isinstance(value, Mapping) and value else ("",))
    ]
    for key in asked or ["meta.cosmos"]:
        yield _Ask(f"{key:.120}", "a setting for Cosmos", "none; use meta.wherry, or the team file")


def _unwatchable(node: Mapping[str, Any], settings: ReleaseSettings) -> Iterator[_Ask]:
    """What one pod for all nodes can't do: settings of a node's own, or slots of a second warehouse."""
    if not is_watched(settings.project.execution):
        return
    why = "with execution watcher_kubernetes, where one pod builds all nodes"
    if "wherry" in meta(node):
        yield _Ask("meta.wherry", f"{meta(node)['wherry']!r:.80}", f"nothing {why} alike")
    own, asked = settings.team.warehouses[settings.project.warehouse], (node.get("config") or {}).get(_WAREHOUSE)
    if isinstance(own, Snowflake) and asked and str(asked).strip('"').casefold() != own.warehouse.casefold():
        yield _Ask(f"config.{_WAREHOUSE}", f"{asked!r:.80}", f"{own.warehouse} {why} in the slots of one warehouse")


def _wanted(node: Mapping[str, Any], settings: ReleaseSettings, asks: list[_Ask]) -> NodeMeta:
    """The part of meta.wherry that is well formed and allowed."""
    asked = meta(node).get("wherry", {})
    if asked == {}:
        return _NOTHING_ASKED
    if not isinstance(asked, Mapping):
        asks.append(_Ask("meta.wherry", f"{asked!r:.80}", "a mapping: {retries: 1}"))
        return NodeMeta()
    allowed = [key for key in NodeMeta.model_fields if key in settings.project.allow]
    granted: dict[str, Any] = {}
    for key, value in asked.items():
        if key not in allowed:
            asks.append(
                _Ask(f"meta.wherry.{key!s:.80}", "a key that isn't allowed", f"one of: {', '.join(allowed) or 'none'}")
            )
            continue
        try:
            granted[key] = getattr(NodeMeta.model_validate({key: value}), key)
        except ValidationError as error:
            asks.extend(
                _Ask(
                    f"meta.wherry.{'.'.join(map(str, e['loc'])):.80}",
                    f"{e['input']!r:.80}",
                    _expectation(e["msg"]),
                )
                for e in error.errors(include_url=False)
            )
    if granted.get("pool") is not None and granted["pool"] not in (usable := _usable_warehouses(settings)):
        asks.append(
            _Ask("meta.wherry.pool", repr(granted.pop("pool")), f"a warehouse of the team: {', '.join(usable)}")
        )
    return NodeMeta.model_construct(**granted)


def _expectation(message: str) -> str:
    """What a validation message expects, ours or pydantic's own."""
    return message.removeprefix("expected ").removeprefix("Input should be ")


def _usable_warehouses(settings: ReleaseSettings) -> list[str]:
    """The team's warehouses of the project's own type: a node runs on one connection."""
    warehouses = settings.team.warehouses
    own = warehouses[settings.project.warehouse].type
    return [name for name, warehouse in warehouses.items() if warehouse.type == own]


def _snowflake_warehouse(node: Mapping[str, Any], settings: ReleaseSettings, asks: list[_Ask]) -> str | None:
    """The team's warehouse that the config's snowflake_warehouse names; its names don't differ by case."""
    default = settings.team.warehouses[settings.project.warehouse]
    asked = (node.get("config") or {}).get(_WAREHOUSE)
    if asked is None or not isinstance(default, Snowflake):
        return None
    names = {
        warehouse.warehouse.casefold(): name
        for name, warehouse in settings.team.warehouses.items()
        if isinstance(warehouse, Snowflake) and warehouse.account == default.account
    }
    name = names.get(str(asked).strip('"').casefold())
    if name is None:
        known = ", ".join(sorted(compute.upper() for compute in names))
        asks.append(_Ask(f"config.{_WAREHOUSE}", f"{asked!r:.80}", f"one of the team's warehouses: {known}"))
    return name


def _resources(
    layers: Sequence[tuple[str, NodeRule | NodeMeta]], settings: ReleaseSettings, asks: list[_Ask]
) -> Resources:
    """The project's resources with each layer's on top; one that makes a pod impossible is refused."""
    resources, quota = settings.project.resources, settings.team.quota
    for key, layer in layers:
        if layer.resources is None:
            continue
        found = str(layer.resources.model_dump(exclude_none=True))
        try:
            wished = resources.updated(layer.resources)
        except ValueError:
            asks.append(_Ask(key, found, f"limits of at least the requests, on top of {resources.model_dump()}"))
            continue
        if parse_quantity(wished.memory_limit) > parse_quantity(quota.memory_per_pod) or parse_quantity(
            wished.cpu_limit
        ) > parse_quantity(quota.cpu_per_pod):
            asks.append(_Ask(key, found, f"limits of at most {quota.memory_per_pod} and {quota.cpu_per_pod} CPU a pod"))
            continue
        resources = wished
    return resources
