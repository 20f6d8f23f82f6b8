"""What a team is: frozen pydantic models of its one YAML file.

The docstring below a field is its help: `wherry.teams.schema` puts it into the JSON schema and the reference page.
(Not pydantic's `use_attribute_docstrings`, which reads the source again for each class: 20 ms of each task's start.)
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, Tag, model_validator

from wherry.teams import fields as f
from wherry.teams.rules import (
    Broken,
    broken_references,
    over_quota,
    refuse_all,
    too_many_threads,
    too_warm,
    unwatchable,
)
from wherry.teams.units import parse_quantity

Overridable = Literal["resources", "retries", "pool", "timeout", "priority"]
Execution = Literal["kubernetes", "watcher_kubernetes", "local", "virtualenv"]


class Model(BaseModel):
    """Frozen and closed: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class EnvRef(Model):
    """A fact that the pod reads from an environment variable, which comes from the team's Secret."""

    env: f.EnvName
    """The environment variable's name, as it is in the team's Secret."""


def _fact_kind(value: Any) -> str:
    return "<env>" if isinstance(value, dict | EnvRef) else "<literal>"


_Env = Annotated[EnvRef, Tag("<env>")]
AccountFact = Annotated[Annotated[f.Account, Tag("<literal>")] | _Env, Discriminator(_fact_kind)]
HostFact = Annotated[Annotated[f.Host, Tag("<literal>")] | _Env, Discriminator(_fact_kind)]
PortFact = Annotated[Annotated[f.Port, Tag("<literal>")] | _Env, Discriminator(_fact_kind)]
LoginFact = Annotated[Annotated[f.Login, Tag("<literal>")] | _Env, Discriminator(_fact_kind)]
ProtocolFact = Annotated[Annotated[Literal["http", "https"], Tag("<literal>")] | _Env, Discriminator(_fact_kind)]


class Snowflake(Model):
    """A Snowflake connection and the virtual warehouse whose load it bounds. Without any secret value."""

    type: Literal["snowflake"]
    """The kind of warehouse."""
    account: AccountFact
    """Snowflake's account identifier; or `{env: NAME}`."""
    host: HostFact | None = None
    """The host, where it doesn't follow from the account (a private link, an emulator); or `{env: NAME}`."""
    port: PortFact | None = None
    """The port, where it isn't 443; or `{env: NAME}`."""
    protocol: ProtocolFact | None = None
    """The protocol, where it isn't https; or `{env: NAME}`."""
    user: LoginFact
    """The user that dbt logs in as; or `{env: NAME}`."""
    role: LoginFact | None = None
    """The role that dbt takes; the user's default role when absent; or `{env: NAME}`."""
    database: f.Identifier
    """The database that dbt builds in. Always literal: it is part of each relation's name in a release."""
    schema_: f.Identifier = Field(alias="schema")
    """The schema that dbt builds in. Always literal, as `database`."""
    warehouse: f.Identifier
    """The Snowflake virtual warehouse. A model whose config `snowflake_warehouse` names it runs in this pool."""
    auth: Literal["key_pair", "password"] = "key_pair"
    """How dbt logs in. `key_pair`: the Secret holds DBT_ENV_SECRET_PRIVATE_KEY and, if the key is encrypted,
    DBT_ENV_SECRET_PRIVATE_KEY_PASSPHRASE. `password`: it holds DBT_ENV_SECRET_PASSWORD."""
    slots: f.Slots
    """How many nodes may run at once on this warehouse: the slots of its Airflow pool."""


class Postgres(Model):
    """A PostgreSQL connection. The password is DBT_ENV_SECRET_PASSWORD in the team's Secret."""

    type: Literal["postgres"]
    """The kind of warehouse."""
    host: HostFact
    """The server's host; or `{env: NAME}`."""
    port: PortFact = 5432
    """The server's port; or `{env: NAME}`."""
    user: LoginFact
    """The user that dbt logs in as; or `{env: NAME}`."""
    database: f.Identifier
    """The database that dbt builds in. Always literal: it is part of each relation's name in a release."""
    schema_: f.Identifier = Field(alias="schema")
    """The schema that dbt builds in. Always literal, as `database`."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's sslmode. In production use `verify-full`."""
    slots: f.Slots
    """How many nodes may run at once on this server: the slots of its Airflow pool."""


Warehouse = Annotated[Snowflake | Postgres, Field(discriminator="type")]


class ResourceOverrides(Model):
    """Some of a pod's resources; those not named stay as they are."""

    cpu: f.Cpu | None = None
    """CPU that is reserved (the request)."""
    memory: f.Memory | None = None
    """Memory that is reserved (the request)."""
    cpu_limit: f.Cpu | None = None
    """CPU that the pod can't go beyond; at least `cpu`."""
    memory_limit: f.Memory | None = None
    """Memory at which the pod is killed; at least `memory`."""


class Resources(Model):
    """What one pod reserves, and its limits."""

    cpu: f.Cpu = "250m"
    """CPU that is reserved (the request)."""
    memory: f.Memory = "512Mi"
    """Memory that is reserved (the request)."""
    cpu_limit: f.Cpu = "1"
    """CPU that the pod can't go beyond; at least `cpu`."""
    memory_limit: f.Memory = "1Gi"
    """Memory at which the pod is killed; at least `memory`."""

    def updated(self, overrides: ResourceOverrides) -> "Resources":
        """These resources with the overrides put in. Raises ValueError where a limit would be below its request."""
        return Resources.model_validate(self.model_dump() | overrides.model_dump(exclude_none=True))

    @model_validator(mode="after")
    def _limits(self) -> Self:
        refuse_all(
            Broken((limit,), getattr(self, limit), f"at least {request}, which is {getattr(self, request)}")
            for request, limit in (("cpu", "cpu_limit"), ("memory", "memory_limit"))
            if parse_quantity(getattr(self, limit)) < parse_quantity(getattr(self, request))
        )
        return self


class Quota(Model):
    """What the team's namespace may use at once, and the most that one pod may ask for."""

    cpu: f.Cpu = "4"
    """CPU limits of all the team's pods together."""
    memory: f.Memory = "8Gi"
    """Memory limits of all the team's pods together."""
    pods: f.Pods = 20
    """Pods at once."""
    memory_per_pod: f.Memory = "4Gi"
    """The most memory of one pod; a retry after out-of-memory grows up to it."""
    cpu_per_pod: f.Cpu = "2"
    """The most CPU of one pod."""

    @model_validator(mode="after")
    def _one_pod_fits(self) -> Self:
        refuse_all(
            Broken((one,), getattr(self, one), f"at most {whole}, which is {getattr(self, whole)}")
            for one, whole in (("cpu_per_pod", "cpu"), ("memory_per_pod", "memory"))
            if parse_quantity(getattr(self, one)) > parse_quantity(getattr(self, whole))
        )
        return self


class Git(Model):
    """A dbt project in another repository."""

    url: f.GitUrl
    """An https:// or ssh address, without credentials."""
    ref: f.GitRef
    """A branch, a tag or a commit."""
    path: f.RepositoryPath = "."
    """The folder of dbt_project.yml in that repository."""


class NodeRule(Model):
    """Settings for the nodes that a dbt selector selects. Of two rules that match, the later one wins, key by key."""

    select: f.Selector
    """dbt's own selector syntax (`tag:heavy`, `path:models/marts`, `orders+`), resolved by dbt at release time."""
    warehouse: f.Key | None = None
    """The warehouse, and so the pool, that these nodes run on. A model's own `snowflake_warehouse` comes first."""
    resources: ResourceOverrides | None = None
    """Resources that differ from the project's."""
    timeout: f.Duration | None = None
    """The most time that one try may take."""
    retries: f.Retries | None = None
    """Further tries after a cause that is worth one."""
    priority: f.Priority | None = None
    """Airflow's priority weight: higher ones get a free slot first."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude={"select"}, exclude_none=True):
            f.refuse("a setting beside select: warehouse, resources, timeout, retries or priority")
        return self


class Project(Model):
    """A dbt project: where it is, when it runs, and how its nodes run."""

    path: f.RepositoryPath | None = None
    """The folder of dbt_project.yml, relative to the repository that holds the team file. Either `path` or `git`."""
    git: Git | None = None
    """A project in another repository. Either `path` or `git`."""
    warehouse: f.Key
    """The warehouse that nodes run on by default; its connection is the dbt target."""
    target: f.TargetName = "prod"
    """The dbt target's name."""
    schedule: f.Schedule | None = None
    """Five cron fields (UTC), a preset (`@daily`), or null: only when it is triggered. Not together with `assets`."""
    assets: Annotated[tuple[f.AssetUri, ...], Field(max_length=100)] = ()
    """Run when each of these Airflow assets has been updated. Not together with `schedule`."""
    tests: Literal["build", "after_each", "after_all", "none"] = "build"
    """Where data tests run. `build`: in their node's own pod; `after_each`: in a task after each node;
    `after_all`: in one task at the end; `none`: nowhere."""
    execution: Execution = "kubernetes"
    """Cosmos' execution mode. `kubernetes`: each node in a pod of its own. `watcher_kubernetes`: one pod builds all
    nodes with dbt's threads, and a task a node watches it; a node that failed is tried again in a pod of its own.
    `local`, `virtualenv`: Airflow's worker runs dbt, and nothing isolates teams; only where the platform allows it."""
    freshness: StrictBool = False
    """Whether sources that declare freshness become tasks, which check it."""
    retries: f.Retries = 2
    """Further tries after a cause that is worth one (a lost pod, a warehouse away); never after dbt's own errors."""
    retry_delay: Annotated[f.Duration, Field(json_schema_extra={"default": "30s"})] = timedelta(seconds=30)
    """The time between two tries."""
    timeout: Annotated[f.Duration, Field(json_schema_extra={"default": "30m"})] = timedelta(minutes=30)
    """The most time that one try of a node may take; then its query is cancelled.
    With `watcher_kubernetes`, the most that the one pod may take."""
    threads: f.Threads = 4
    """dbt's threads in a pod: so many tests of one node run in parallel."""
    resources: Resources = Resources()
    """What each pod gets unless a rule or the node's own meta says otherwise."""
    nodes: Annotated[tuple[NodeRule, ...], Field(max_length=100)] = ()
    """Rules for some nodes; later ones win."""
    allow: tuple[Overridable, ...] = ("resources", "retries", "pool", "timeout", "priority")
    """What a dbt author may set in a node's `meta.wherry`. Any other key there is refused when a release is made."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.path is None) == (self.git is None):
            f.refuse("one of the keys path and git")
        if self.schedule is not None and self.assets:
            f.refuse("one of the keys schedule and assets, not both")
        return self

    @model_validator(mode="after")
    def _can_be_watched(self) -> Self:
        if self.execution == "watcher_kubernetes":
            refuse_all(unwatchable(self))
        return self


class Team(Model):
    """A team: its namespace, its people, its warehouses and its dbt projects."""

    name: f.TeamName
    """The team's name; the file is called `<name>.yaml`."""
    namespace: f.Namespace
    """The Kubernetes namespace in which the team's pods run; no other team's."""
    owners: Annotated[tuple[f.Email, ...], Field(min_length=1, max_length=20)]
    """Email addresses of the people who answer for the projects."""
    slack: f.SlackChannel | None = None
    """The Slack channel for alerts."""
    secret: f.ObjectName
    """The Kubernetes Secret in the namespace; its keys become the pods' environment. Only its name is written here."""
    service_account: f.ObjectName = "runner"
    """The Kubernetes service account of the pods."""
    warehouses: Annotated[dict[f.Key, Warehouse], Field(min_length=1, max_length=50)]
    """Compute that bounds concurrency: each becomes an Airflow pool `<team>__<warehouse>`.
    `like: other` takes over the keys of another warehouse of this file; the keys beside it replace those."""
    projects: Annotated[dict[f.Key, Project], Field(min_length=1, max_length=100)]
    """The dbt projects: each becomes a DAG `<team>__<project>`."""
    quota: Quota = Quota()
    """What the namespace may use."""
    warm_pods: f.WarmPods = 0
    """How many pods of each project's release may wait, dbt imported, for one node each: a node then starts sooner.
    They have the project's `resources` and count in the quota. 0: every node's pod is made when the node begins."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        refuse_all(self._broken())
        return self

    def _broken(self) -> Iterator[Broken]:
        yield from broken_references(self.model_dump())
        yield from too_warm(self)
        for name, project in self.projects.items():
            yield from over_quota(("projects", name, "resources"), project.resources, self.quota)
            if project.execution == "watcher_kubernetes" and project.warehouse in self.warehouses:
                yield from too_many_threads(("projects", name), project, self.warehouses[project.warehouse])
            for index, rule in enumerate(project.nodes):
                if rule.resources is None:
                    continue
                place = ("projects", name, "nodes", index, "resources")
                try:
                    yield from over_quota(place, project.resources.updated(rule.resources), self.quota)
                except ValueError:
                    yield Broken(
                        place, rule.resources.model_dump(), "limits of at least the requests, with the project's own"
                    )

    def pools(self) -> dict[str, int]:
        """The team's Airflow pools and their slots: `{"finance__transform": 8}`."""
        return {pool_name(self.name, name): warehouse.slots for name, warehouse in self.warehouses.items()}

    def dag_ids(self) -> dict[str, str]:
        """The DAG id of each project: `{"finance": "finance__finance"}`."""
        return {project: dag_id(self.name, project) for project in self.projects}


def pool_entries(teams: Iterable[Team]) -> dict[str, dict[str, Any]]:
    """All teams' pools by name, in the form of `airflow pools import`; a deferred task keeps its slot."""
    return {
        name: {"slots": slots, "description": "made from the team file", "include_deferred": True}
        for team in teams
        for name, slots in team.pools().items()
    }


class NodeMeta(Model):
    """What a dbt author may set for one node, in `meta.wherry` or `config.meta.wherry`."""

    pool: f.Key | None = None
    """A warehouse of the own team; the node waits for a slot of its pool."""
    resources: ResourceOverrides | None = None
    """Resources that differ from the project's; within the team's quota."""
    retries: f.Retries | None = None
    """Further tries after a cause that is worth one."""
    timeout: f.Duration | None = None
    """The most time that one try may take."""
    priority: f.Priority | None = None
    """Airflow's priority weight: higher ones get a free slot first."""


def dag_id(team: str, project: str) -> str:
    """The id of a project's DAG, at most 102 characters. No two teams' ids clash: a team's name holds no `_`."""
    return f"{team}__{project}"


def pool_name(team: str, warehouse: str) -> str:
    """The name of a warehouse's Airflow pool; unique for the reason that `dag_id` is."""
    return f"{team}__{warehouse}"
