"""One comparison from the start of a platform to its report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import arms, nodes
from bench.figures import Report, of_samples
from bench.kind import KindLayout, KindStack
from bench.report import machine
from bench.stack import PARALLELISM, BenchLayout, BenchStack, prepare
from wherry.errors import WherryError


@dataclass(frozen=True)
class Comparison:
    """Which arms run which projects (name to folder), how often, and how many nodes at once.

    `patience`: seconds that the stock operators give a pod to start, instead of their default. `part`: which runs
    count in part.
    """

    projects: Mapping[str, Path]
    arms: Sequence[arms.Arm]
    rounds: int
    parallelism: int = PARALLELISM
    floors: bool = True
    warm_up: bool = True
    patience: int = 0
    part: nodes.Part = nodes.WHOLE

    def measure(self, state: Path, console: Console) -> Report:
        """Start the platform, measure, stop it. Ctrl-C while it measures ends that early."""
        stack = self._stack(state, console)
        facts = machine(stack.cluster)
        prepare(stack.bench, self.projects, warm=arms.WARM in self.arms)
        stack.makes_stock = self.floors or not {*self.arms} <= {arms.OURS_ARM, arms.WARM}
        with stack:
            bench = nodes.Bench(stack, self.arms, self.part, console)
            floors: list[nodes.Sample] = []
            runs: list[nodes.Run] = []
            try:
                runs.extend(bench.rounds(self.rounds, warm_up=self.warm_up))
                floors.extend(bench.floors(self.rounds) if self.floors else ())  # in a shell, on what the arms built
            except KeyboardInterrupt:
                bench.remarks.append("interrupted: what had been measured by then")
        figures = of_samples([*nodes.samples(runs), *floors])
        title = f"{', '.join(self.projects)}: {self.rounds} rounds, {self.parallelism} at once"
        allowed = (f"stock gives a pod {self.patience} s to start, not 120; two retries",) if self.patience else ()
        return Report(title, facts, figures, nodes.stages(runs), (*arms.remarks(self.arms), *allowed, *bench.remarks))

    def _stack(self, state: Path, console: Console) -> BenchStack:
        """On kind where a kubeconfig is named or `task up` has left one, else on the embedded cluster."""
        named = os.environ.get("WHERRY_E2E_KUBECONFIG")
        config = Path(named or ".wherry/up/kubeconfig").absolute()
        if named and not config.exists():
            raise WherryError(f"WHERRY_E2E_KUBECONFIG: found no file {config}, expected a kind cluster's kubeconfig")
        if named or config.exists():
            folder = state / "kind"
            kind = KindLayout(folder, folder / "repository", self.parallelism, self.patience, config)
            return KindStack(kind, console)
        folder = state / "embedded"
        embedded = BenchLayout(folder, folder / "repository", self.parallelism, self.patience)
        return BenchStack(embedded, console)
