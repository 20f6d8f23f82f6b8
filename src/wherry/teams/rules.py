"""Rules between the parts of one team file. Pure: each yields what is broken and where."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from wherry.teams.units import parse_quantity
from wherry.teams.words import Location, names

if TYPE_CHECKING:
    from wherry.teams.models import Project, Quota, Resources, Team, Warehouse


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken rule: where (keys and indexes from the place that is validated), what was found, what was expected."""

    location: Location
    found: object
    expected: str


def refuse_all(broken: Iterable[Broken]) -> None:
    """Fail a pydantic validation with every broken rule at its own place; pass when there is none.

    Pydantic lifts the errors of a ValidationError that a validator raises into its own, with their locations.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("expected", "expected {expected}", {"expected": rule.expected}),
            loc=rule.location,
            input=rule.found,
        )
        for rule in broken
    ]
    if details:
        raise ValidationError.from_exception_data("team file", details)


def over_quota(place: Location, resources: "Resources", quota: "Quota") -> Iterator[Broken]:
    """Limits beyond what the quota gives to one pod: the namespace would never admit such a pod."""
    for limit, most in (("cpu_limit", "cpu_per_pod"), ("memory_limit", "memory_per_pod")):
        if parse_quantity(getattr(resources, limit)) > parse_quantity(getattr(quota, most)):
            yield Broken(
                (*place, limit), getattr(resources, limit), f"at most quota.{most}, which is {getattr(quota, most)}"
            )


def unwatchable(project: "Project") -> Iterator[Broken]:
    """What one pod for all nodes can't do: wait for a source's freshness, or give a node settings of its own."""
    why = "with execution watcher_kubernetes, where one pod builds all nodes"
    if project.freshness:
        yield Broken(("freshness",), project.freshness, f"false {why} and waits for no source")
    if project.nodes:
        yield Broken(("nodes",), [rule.select for rule in project.nodes], f"no rules {why} alike")


def too_many_threads(place: Location, project: "Project", warehouse: "Warehouse") -> Iterator[Broken]:
    """More threads of the one pod that builds all nodes than its pool has slots: Airflow would never start it."""
    if project.threads > warehouse.slots:
        slots = f"the slots of warehouse {project.warehouse}, of which each thread takes one"
        yield Broken((*place, "threads"), project.threads, f"at most {warehouse.slots}, {slots}")


def too_warm(team: "Team") -> Iterator[Broken]:
    """So many pods that wait that none could run: they count in the quota as every pod does."""
    if team.warm_pods * len(team.projects) >= team.quota.pods:
        expected = f"for all projects together fewer than quota.pods, which is {team.quota.pods}"
        yield Broken(("warm_pods",), team.warm_pods, expected)


def broken_references(team: Mapping[str, Any]) -> Iterator[Broken]:
    """Uses of warehouses that aren't there, or aren't what they should be.

    Reads plain data of any shape, so that a file with other mistakes still gets these reported with them.
    """
    warehouses = _mapping(team.get("warehouses"))
    yield from _ambiguous(warehouses)
    for name, project in _mapping(team.get("projects")).items():
        default = _mapping(project).get("warehouse")
        yield from _unknown(("projects", name, "warehouse"), default, warehouses)
        rules = _mapping(project).get("nodes")
        for index, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
            place: Location = ("projects", name, "nodes", index, "warehouse")
            used = _mapping(rule).get("warehouse")
            yield from _unknown(place, used, warehouses)
            kinds = [_mapping(warehouses.get(key)).get("type") for key in (used, default) if isinstance(key, str)]
            if len(kinds) == 2 and None not in kinds and kinds[0] != kinds[1]:
                yield Broken(place, used, f"a warehouse of the project's own type, {kinds[1]}")


def _unknown(place: Location, used: object, warehouses: Mapping[str, Any]) -> Iterator[Broken]:
    if isinstance(used, str) and warehouses and used not in warehouses:
        yield Broken(place, used, f"a warehouse of this file: {names(warehouses)}")


def _ambiguous(warehouses: Mapping[str, Any]) -> Iterator[Broken]:
    """A model's `snowflake_warehouse` chooses its pool: two entries for one virtual warehouse leave the choice open."""
    seen: dict[tuple[str, str], str] = {}
    for name, warehouse in warehouses.items():
        compute = _mapping(warehouse).get("warehouse")
        if isinstance(compute, str):
            first = seen.setdefault((repr(warehouse.get("account")), compute.upper()), name)
            if first != name:
                yield Broken(
                    ("warehouses", name, "warehouse"),
                    compute,
                    f"another virtual warehouse than that of {names([first])}",
                )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
