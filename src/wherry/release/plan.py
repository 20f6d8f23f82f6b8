"""Which tasks a release has, and how they hang together, without building one. Pure.

The ids are those that Cosmos gives the same nodes (with `normalize_task_id`, so that a test that is added or taken away
never renames a task). The whole DAG is rendered by Cosmos and completed from here; what a task's own process needs of
it is kept in the release (`tasks`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

Tests = Literal["build", "after_each", "after_all", "none"]
PRODUCER = "dbt_producer_watcher"  # Cosmos' name for the task whose pod builds all nodes

_NAME_LENGTH = 180  # of a task group's id; Airflow takes 200
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")
_NOT_IN_SELECTOR = re.compile(r"[\s,+@*?\[\]]")  # dbt's selector syntax gives these a meaning


class Verb(StrEnum):
    """What a task does, as in its id and in Cosmos' suffixes."""

    BUILD = "build"
    RUN = "run"
    SEED = "seed"
    SNAPSHOT = "snapshot"
    SOURCE = "source"
    TEST = "test"


_VERBS = {"model": Verb.RUN, "seed": Verb.SEED, "snapshot": Verb.SNAPSHOT, "source": Verb.SOURCE}


@dataclass(frozen=True)
class TaskSpec:
    """One task: `node` is the dbt node's unique_id ("" for the whole project), `select` dbt's selection.

    `group` is the task group that the id begins with, or None. `cautious`: of the tests, dbt runs those only whose
    every parent is selected. `empty`: there is nothing to run (an ephemeral model).
    """

    id: str
    verb: Verb
    node: str
    title: str
    select: str | None = None
    group: str | None = None
    cautious: bool = False
    empty: bool = False

    @property
    def label(self) -> str:
        """The id within its group."""
        return self.id if self.group is None else self.id.removeprefix(f"{self.group}.")


@dataclass(frozen=True)
class PlannedTask:
    """A task and all that its operator is made from, so that it can be made without the others.

    `node` is its dbt node, None where it is for the whole project. `published`: the public model that others may read
    once it is done. `tests`: the data tests by the node that they alone look at: its own node's; all, for the task that
    builds all nodes. `upstream`, `downstream`: the ids of the tasks that it waits for, and that wait for it.
    """

    spec: TaskSpec
    node: Mapping[str, Any] | None
    published: str | None
    tests: Mapping[str, tuple[str, ...]]
    upstream: frozenset[str]
    downstream: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """All tasks of one project. `manifest` is the slim manifest of its release.

    `watched`: one more task builds all nodes, and theirs watch it; none of them waits for it to end.
    """

    manifest: Mapping[str, Any]
    project: str
    tests: Tests
    freshness: bool
    watched: bool = False

    @cached_property
    def nodes(self) -> dict[str, Mapping[str, Any]]:
        """Models, seeds and snapshots, then sources, by unique_id."""
        of_project = {**self.manifest["nodes"], **self.manifest["sources"]}
        return {unique_id: node for unique_id, node in of_project.items() if node["resource_type"] in _VERBS}

    @cached_property
    def _homes(self) -> dict[str, str]:
        """The one node that each data or unit test looks at; a test that isn't here looks at several, or at none."""
        tests = [node for node in self.manifest["nodes"].values() if node["resource_type"] == "test"]
        homes = {}
        for test in (*tests, *self.manifest.get("unit_tests", {}).values()):
            parents = set(test["depends_on"]["nodes"])
            if len(parents) == 1 and parents <= self.nodes.keys():
                homes[test["unique_id"]] = parents.pop()
        return homes

    @cached_property
    def _tested(self) -> frozenset[str]:
        return frozenset(self._homes.values())

    @cached_property
    def detached(self) -> dict[str, Mapping[str, Any]]:
        """The tests that run in a task of their own, once all their parents have been built."""
        if self.tests in ("after_all", "none"):
            return {}
        return {
            unique_id: node
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] == "test" and unique_id not in self._homes
        }

    @cached_property
    def _tests_of(self) -> dict[str, tuple[str, ...]]:
        """The data tests by the node that they alone look at; a test with a task of its own by itself."""
        tests: dict[str, tuple[str, ...]] = {unique_id: (unique_id,) for unique_id in self.detached}
        for unique_id, home in self._homes.items():
            if unique_id in self.manifest["nodes"]:
                tests[home] = (*tests.get(home, ()), unique_id)
        return tests

    @cached_property
    def names(self) -> dict[str, str]:
        """What each node's task ids begin with, and each detached test's id: valid, unique, always the same."""
        names: dict[str, str] = {}
        taken = {PRODUCER}
        for unique_id in (*sorted(self.nodes, key=_by_kind), *sorted(self.detached)):
            name = _id_safe(unique_id) + ("_test" if unique_id in self.detached else "")
            if name.casefold() in taken:
                name = f"{name}_{_short_hash(unique_id)}"
            taken.add(name.casefold())
            names[unique_id] = name
        return names

    @cached_property
    def _folders(self) -> frozenset[str]:
        """What dbt would take as a folder of nodes when it is selected by fqn."""
        fqns = [node["fqn"] for node in self.manifest["nodes"].values()]
        return frozenset(".".join(fqn[:depth]) for fqn in fqns for depth in range(2, len(fqn)))

    def runs(self, unique_id: str) -> bool:
        """Whether the node has a task beside its tests' one: a source needs a freshness that is to be checked."""
        node = self.nodes.get(unique_id)
        if node is None or node["resource_type"] != "source":
            return node is not None
        return self.freshness and _declares_freshness(node)

    def is_grouped(self, unique_id: str) -> bool:
        """Whether the node's task and its tests' task form a task group."""
        return self.tests == "after_each" and unique_id in self._tested and self.runs(unique_id)

    def has_test_task(self, unique_id: str) -> bool:
        """Whether the node's tests run in a task of their own, `<name>.test`: not where its `dbt build` runs them."""
        inline = self.tests == "build" and self.runs(unique_id) and not _runs_no_tests(self.nodes[unique_id])
        return unique_id in self._tested and self.tests in ("build", "after_each") and not inline

    @cached_property
    def tasks(self) -> dict[str, TaskSpec]:
        """Every task by its id."""
        return {spec.id: spec for spec in self._specs()}

    @cached_property
    def upstream(self) -> dict[str, frozenset[str]]:
        """The ids of the tasks that each task waits for."""
        return {spec.id: self._waits_for(spec) for spec in self.tasks.values()}

    @cached_property
    def downstream(self) -> dict[str, frozenset[str]]:
        """The ids of the tasks that wait for each task."""
        found: dict[str, set[str]] = {task_id: set() for task_id in self.tasks}
        for task_id, before in self.upstream.items():
            for other in before:
                found[other].add(task_id)
        return {task_id: frozenset(after) for task_id, after in found.items()}

    def planned(self, task_id: str) -> PlannedTask:
        """The task of this id."""
        spec, tests = self.tasks[task_id], self._tests_of
        own = {spec.node: tests[spec.node]} if spec.node in tests else {}
        return PlannedTask(
            spec=spec,
            node=self.nodes.get(spec.node) or self.detached.get(spec.node),
            published=self._published_by(spec),
            tests=tests if spec.id == PRODUCER else own,
            upstream=self.upstream[task_id],
            downstream=self.downstream[task_id],
        )

    def _waits_for(self, spec: TaskSpec) -> frozenset[str]:
        """The ids of the tasks that this one waits for."""
        if not spec.node:
            return frozenset(self._leaves() if spec.id == self._after_all else ())
        if spec.verb == Verb.TEST and spec.node in self.nodes:
            return frozenset([self.task_of(spec.node)] if self.runs(spec.node) else ())
        return frozenset(task for parent in self.parents(spec.node) for task in self._done_when(parent))

    def parents(self, unique_id: str) -> tuple[str, ...]:
        """The nodes that this node is made from and that have a task."""
        node = self.nodes.get(unique_id) or self.detached[unique_id]
        return tuple(dict.fromkeys(parent for parent in node["depends_on"]["nodes"] if parent in self.nodes))

    def _published_by(self, spec: TaskSpec) -> str | None:
        """The public model that others may read once this task is done, by the name that its ids begin with."""
        node = self.nodes.get(spec.node)
        if node is None or node["config"].get("access") != "public" or _is_ephemeral(node):
            return None
        return self.names[spec.node] if spec.id == self._done_when(spec.node)[-1] else None

    def task_of(self, unique_id: str) -> str:
        """The id of the task that builds this node."""
        return f"{self.names[unique_id]}.{self._verb(unique_id)}"

    @property
    def _after_all(self) -> str:
        return f"{self.project}_test"

    def _test_task(self, unique_id: str) -> str:
        return f"{self.names[unique_id]}.{Verb.TEST}"

    def _verb(self, unique_id: str) -> Verb:
        verb = _VERBS[self.nodes[unique_id]["resource_type"]]
        return Verb.BUILD if self.tests == "build" and verb != Verb.SOURCE else verb

    def _specs(self) -> Iterator[TaskSpec]:
        for unique_id in (*self.nodes, *self.detached):
            yield from self._specs_of(unique_id)
        yield from self._whole()

    def _whole(self) -> Iterator[TaskSpec]:
        if self.watched:
            yield TaskSpec(PRODUCER, Verb.BUILD, "", f"{self.project} (all nodes)")
        if self.tests == "after_all" and any(map(self.runs, self.nodes)):
            yield TaskSpec(self._after_all, Verb.TEST, "", f"{self.project} (all tests)")

    def _specs_of(self, unique_id: str) -> Iterator[TaskSpec]:
        if unique_id in self.detached:
            test = self.detached[unique_id]
            title = f"{one_line(test['name'])} (test)"
            yield TaskSpec(self.names[unique_id], Verb.TEST, unique_id, title, self._selector(test))
            return
        node = self.nodes[unique_id]
        group = self.names[unique_id] if self.is_grouped(unique_id) else None
        title, select = one_line(_own_name(unique_id)), self._selector(node)
        if self.runs(unique_id):
            verb = self._verb(unique_id)
            yield TaskSpec(
                id=self.task_of(unique_id),
                verb=verb,
                node=unique_id,
                title=f"{title} ({'freshness' if verb == Verb.SOURCE else verb})",
                select=select,
                group=group,
                cautious=verb == Verb.BUILD,
                empty=_is_ephemeral(node),
            )
        if self.has_test_task(unique_id):
            task_id = self._test_task(unique_id)
            yield TaskSpec(task_id, Verb.TEST, unique_id, f"{title} (test)", select, group, cautious=True)

    def _done_when(self, unique_id: str) -> list[str]:
        """The tasks after which a node may be read: its own and its tests'."""
        tested = [self._test_task(unique_id)] if self.has_test_task(unique_id) else []
        built = [self.task_of(unique_id)] if self.runs(unique_id) and not self.is_grouped(unique_id) else []
        return built + tested

    def _leaves(self) -> list[str]:
        inner = {parent for unique_id in self.nodes for parent in self.parents(unique_id)}
        return [self.task_of(unique_id) for unique_id in self.nodes if self.runs(unique_id) and unique_id not in inner]

    def _selector(self, node: Mapping[str, Any]) -> str:
        """dbt's selector for this node alone: not for a folder of the same name, which fqn would match too."""
        parts = [_NOT_IN_SELECTOR.sub("?", part) for part in node["fqn"]]
        if node["resource_type"] == "source":
            table = _own_name(node["unique_id"])
            return f"source:{node['package_name']}.{_NOT_IN_SELECTOR.sub('?', table)}"
        if ".".join(node["fqn"]) in self._folders:
            parts[-1] = f"{parts[-1][:-1]}[{parts[-1][-1]}]"
        return f"fqn:{'.'.join(parts)}"


def one_line(text: str, most: int = 200) -> str:
    """A team's words as one printable line of at most `most` characters."""
    line = " ".join(text.split())  # most are printable then; a look at each character costs a large DAG a tenth
    if not line.isprintable():
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in line).split())
    return line[:most]


def _own_name(unique_id: str) -> str:
    return unique_id.split(".", 2)[-1]


def _by_kind(unique_id: str) -> tuple[bool, str]:
    return unique_id.startswith("source."), unique_id


def _id_safe(unique_id: str) -> str:
    """The node's name as Cosmos takes it for ids; with a hash where characters had to go."""
    kind, _, name = unique_id.split(".", 2)
    if kind == "test":
        name = name.split(".", 1)[0]  # what follows is dbt's hash
    name = name.replace(".", "_")
    safe = _NOT_IN_ID.sub("_", name)[:_NAME_LENGTH]
    return safe if safe == name else f"{safe}_{_short_hash(unique_id)}"


def _short_hash(unique_id: str) -> str:
    return sha256(unique_id.encode()).hexdigest()[:8]


def _is_ephemeral(node: Mapping[str, Any]) -> bool:
    return bool(node["resource_type"] == "model" and node["config"].get("materialized") == "ephemeral")


def _runs_no_tests(node: Mapping[str, Any]) -> bool:
    """Whether the node's own task isn't a `dbt build`, which would run its tests."""
    return node["resource_type"] == "source" or _is_ephemeral(node)


def _declares_freshness(node: Mapping[str, Any]) -> bool:
    """Whether any period is set: dbt writes all of them, as nulls, where none is."""
    periods = (node.get("freshness") or {}).values()
    return any(value is not None for period in periods if isinstance(period, Mapping) for value in period.values())
