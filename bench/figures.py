"""What was measured: samples with their unit, their medians, spreads and ratios. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

OURS: Final = "ours"


@dataclass(frozen=True)
class Figure:
    """One quantity of one arm: `what` is the same for all arms that are compared."""

    what: str
    arm: str
    unit: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle sample."""
        return median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most."""
        return min(self.samples), max(self.samples)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        low, high = self.spread
        facts = {"what": self.what, "arm": self.arm, "unit": self.unit, "median": self.median, "min": low, "max": high}
        return facts | {"samples": list(self.samples)}


@dataclass(frozen=True)
class Report:
    """One run of the bench: figures, where the time of a node goes (by arm and stage, seconds), and remarks.

    `remarks` are said as they stand: what an arm is, what differs, why one did not run.
    """

    title: str
    machine: Mapping[str, str]
    figures: tuple[Figure, ...]
    stages: Mapping[str, Mapping[str, float]]
    remarks: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "title": self.title,
            "machine": dict(self.machine),
            "figures": [figure.document() for figure in self.figures],
            "stages": {arm: dict(stages) for arm, stages in self.stages.items()},
            "remarks": list(self.remarks),
        }


def of_samples(samples: Iterable[tuple[str, str, str, float]]) -> tuple[Figure, ...]:
    """Figures out of (what, arm, unit, value), in the order in which each was first seen."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for what, arm, unit, value in samples:
        found.setdefault((what, arm, unit), []).append(value)
    whats = list(dict.fromkeys(what for what, _, _ in found))
    ordered = sorted(found.items(), key=lambda item: whats.index(item[0][0]))
    return tuple(Figure(*key, tuple(values)) for key, values in ordered)


def ratios(figures: Iterable[Figure], base: str = OURS) -> Iterator[tuple[Figure, float | None]]:
    """Each figure with its median over that of the base arm; None where there is nothing to divide by."""
    all_of_them = tuple(figures)
    medians = {figure.what: figure.median for figure in all_of_them if figure.arm == base}
    for figure in all_of_them:
        divisor = medians.get(figure.what)
        yield figure, figure.median / divisor if divisor and figure.arm != base else None


def medians_by_stage(nodes: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The median seconds of each stage over the nodes that have it, in the stages' own order."""
    found: dict[str, list[float]] = {}
    for stages in nodes:
        for stage, seconds in stages.items():
            found.setdefault(stage, []).append(seconds)
    return {stage: median(values) for stage, values in found.items()}
