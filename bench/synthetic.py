"""dbt projects of any size, shaped like real ones: layers, folders, tags, descriptions, two tests a model. Pure.

The same size gives the same bytes. Nothing but `select` is in the models: a node's query takes next to no time, so that
what is measured is what surrounds it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_AREAS: Final = ("billing", "events", "ledger", "product", "sales", "support")
_WORDS: Final = (
    "accounts",
    "carts",
    "clicks",
    "contracts",
    "invoices",
    "orders",
    "payments",
    "plans",
    "refunds",
    "visits",
)
_LAYERS: Final = (("staging", "stg", 0.4), ("intermediate", "int", 0.25), ("marts", "fct", 0.35))
_MOST_PARENTS: Final = 4
_NEAR: Final = 400  # a model's parents are among so many models before it: projects grow in neighbourhoods
TRUNK: Final = 5  # links of the chain that is measured within a large project


@dataclass(frozen=True)
class Model:
    """One model: its name, where it lies, what it reads from."""

    name: str
    layer: str
    area: str
    parents: tuple[str, ...]
    fails: bool = False

    @property
    def folder(self) -> str:
        """Its folder, below the project's."""
        return f"models/{self.layer}/{self.area}"

    @property
    def sql(self) -> str:
        """Its query: one row, whatever its parents hold; nothing that is there, where it is to fail."""
        ctes = "".join(f"-- depends on {{{{ ref('{parent}') }}}}\n" for parent in self.parents)
        if self.fails:
            return f"{ctes}table nowhere\n"
        return f"{ctes}select 1 as id, '{self.name}' as label, current_timestamp as loaded_at\n"

    @property
    def yaml(self) -> str:
        """Its entry in the folder's properties file: description, columns, two tests."""
        return (
            f"  - name: {self.name}\n"
            f"    description: >\n      One row for each of the {self.area} team's {self.name.split('_')[-2]}, "
            f"as of the last load. Read by people and by other models; late rows are taken up on the next day.\n"
            f"    columns:\n"
            f"      - name: id\n        description: The key.\n        data_tests: [unique, not_null]\n"
            f"      - name: label\n        description: What people call it.\n"
            f"      - name: loaded_at\n        description: When it was loaded.\n"
        )


def layered(size: int) -> tuple[Model, ...]:
    """`size` models in three layers, some ten levels deep, each with up to four parents."""
    chance = random.Random(size)  # noqa: S311 - the same each time
    models: list[Model] = []
    for number in range(size):
        layer, prefix = _layer(number / size)
        area, word = chance.choice(_AREAS), chance.choice(_WORDS)
        near = models[max(0, number - _NEAR) :]
        count = 0 if layer == "staging" else min(len(near), chance.randint(1, _MOST_PARENTS))
        parents = tuple(sorted(parent.name for parent in chance.sample(near, count)))
        models.append(Model(f"{prefix}_{area}__{word}_{number:05}", layer, area, parents))
    return tuple(models)


def wide(size: int) -> tuple[Model, ...]:
    """`size` models that wait for nothing."""
    return tuple(Model(f"wide__noop_{number:05}", "wide", "noop", ()) for number in range(size))


def chain(size: int) -> tuple[Model, ...]:
    """`size` models, each of which waits for the one before: nothing but one node runs at a time."""
    names = [f"chain_links__link_{number:05}" for number in range(size)]
    parents = [(), *((name,) for name in names)]
    return tuple(Model(name, "chain", "links", above) for name, above in zip(names, parents, strict=False))


def trunk(size: int) -> tuple[Model, ...]:
    """`size` models: a chain of `TRUNK`, one after it that fails, and all others wait for that."""
    links = chain(TRUNK)
    gate = Model("chain_gates__gate_00000", "chain", "gates", (links[-1].name,), fails=True)
    leaves = (Model(f"chain_leaves__leaf_{n:05}", "chain", "leaves", (gate.name,)) for n in range(size - TRUNK - 1))
    return (*links, gate, *leaves)


def files(models: Sequence[Model], *, name: str = "synthetic", tests: bool = True) -> Iterator[tuple[str, str]]:
    """Each file of the project, with its path."""
    yield "dbt_project.yml", _project(name, models)
    folders: dict[str, list[Model]] = {}
    for model in models:
        folders.setdefault(model.folder, []).append(model)
        yield f"{model.folder}/{model.name}.sql", model.sql
    if tests:
        for folder, own in folders.items():
            yield f"{folder}/_models.yml", "version: 2\nmodels:\n" + "".join(model.yaml for model in own)


def write(folder: Path, models: Sequence[Model], *, name: str = "synthetic", tests: bool = True) -> Path:
    """Write the project; returns its folder."""
    for path, text in files(models, name=name, tests=tests):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def _layer(place: float) -> tuple[str, str]:
    for layer, prefix, share in _LAYERS:
        if place < share:
            return layer, prefix
        place -= share
    return _LAYERS[-1][:2]


def _project(name: str, models: Sequence[Model]) -> str:
    layers: Mapping[str, set[str]] = {model.layer: set() for model in models}
    for model in models:
        layers[model.layer].add(model.area)
    lines = [f"name: {name}", "version: 1.0.0", "config-version: 2", f"profile: {name}", "models:", f"  {name}:"]
    for layer, areas in layers.items():
        kind = "table" if layer == "marts" else "view"
        lines += [f"    {layer}:", f"      +materialized: {kind}", f"      +tags: [{layer}]"]
        for area in sorted(areas):
            lines += [f"      {area}:", f"        +tags: [{area}]"]
    return "\n".join(lines) + "\n"
