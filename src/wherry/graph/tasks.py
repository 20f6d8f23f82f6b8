"""One Airflow task out of its spec: the same in the dag-processor, which builds all, and in the task's own process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, TaskGroup

from wherry.graph.docs import task_doc
from wherry.graph.modes import Mode, Wanted
from wherry.pod import PodPlan
from wherry.release.model import Release
from wherry.release.plan import Plan, PlannedTask, TaskSpec
from wherry.release.policy import NodePolicy, Refusal, resolve
from wherry.teams.assets import PublicModel

GRACE: Final = timedelta(seconds=60)  # for dbt to cancel its query
_WHOLE_PROJECT: Final[Mapping[str, Any]] = {"unique_id": "", "config": {}}


@dataclass(frozen=True)
class TaskFactory:
    """Makes the tasks of one release."""

    release: Release
    mode: Mode
    _resolved: dict[str, tuple[NodePolicy, tuple[Refusal, ...]]] = field(default_factory=dict)

    def refusals(self, plan: Plan) -> tuple[Refusal, ...]:
        """What nodes ask for and don't get. Empty for a release of `wherry release`, which refuses it."""
        nodes = (*plan.nodes.values(), *plan.detached.values())
        return tuple(refusal for node in nodes for refusal in self._resolve(node)[1])

    def make(self, planned: PlannedTask, dag: DAG, group: TaskGroup | None) -> BaseOperator:
        """The task, in `dag`, without its dependencies."""
        spec, node = planned.spec, planned.node
        shown: dict[str, Any] = {
            "task_id": spec.label,
            "dag": dag,
            "task_group": group,
            "task_display_name": spec.title,
            "doc_md": task_doc(node),
            "outlets": self._outlets(planned),
        }
        if spec.empty:
            return EmptyOperator(**shown)
        policy, _ = self._resolve(node or _WHOLE_PROJECT)
        return self.mode.make(Wanted(planned, policy, self._pod(spec, policy), shown))

    def _outlets(self, planned: PlannedTask) -> list[Asset]:
        """The asset that the task updates: others wait for public models only, so no other node costs an event."""
        name = planned.published
        return [Asset(PublicModel(self.release.team, self.release.project, name).uri)] if name else []

    def _resolve(self, node: Mapping[str, Any]) -> tuple[NodePolicy, tuple[Refusal, ...]]:
        """Asked for twice where the whole DAG is built: for the refusals, which its tags tell of, and for the task."""
        known = self._resolved.get(node["unique_id"])
        if known is None:
            known = resolve(node, self.release.settings, node.get("wherry_rules", ()))
            self._resolved[node["unique_id"]] = known
        return known

    @cached_property
    def _image(self) -> str:
        digest = self.release.image_digest
        return f"{self.release.image}@{digest}" if digest else self.release.image

    def _warm(self, policy: NodePolicy) -> int:
        """Pods that wait are like those of most nodes: none for a node whose pod is another, or for all nodes."""
        project = self.release.settings.project
        usual = policy.resources == project.resources and project.execution == "kubernetes"
        return self.release.settings.team.warm_pods if usual else 0

    def _pod(self, spec: TaskSpec, policy: NodePolicy) -> PodPlan:
        team = self.release.settings.team
        return PodPlan(
            team=team.name,
            project=self.release.project,
            namespace=team.namespace,
            image=self._image,
            service_account=team.service_account,
            secret=team.secret,
            node=spec.node,
            resources=policy.resources,
            memory_ceiling=policy.memory_ceiling,
            timeout=policy.timeout,
            grace=GRACE,
            release_id=self.release.id,
            compute=policy.compute,
            warm=self._warm(policy),
        )
