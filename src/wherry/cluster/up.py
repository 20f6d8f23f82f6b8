"""`task up`: from nothing to a green run, in steps that can each be repeated."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from wherry.cluster import images, kind, manifests
from wherry.cluster.images import Images
from wherry.cluster.kube import Kube
from wherry.cluster.settings import AIRFLOW, WAREHOUSES, Settings
from wherry.demo.airflow import USER, AirflowApi
from wherry.demo.layout import REPOSITORY
from wherry.demo.postgres import SUPERUSER, ensure_databases
from wherry.demo.raw import load_raw
from wherry.demo.state import State
from wherry.demo.steps import step
from wherry.errors import WherryError
from wherry.release import Release, build_release
from wherry.settings import image_repository
from wherry.teams import Team, load_teams, pool_entries

_IMAGES_FILE = "images.json"
_WORKLOADS = ("api-server", "scheduler", "dag-processor", "triggerer")


class Cluster:
    """The local cluster and what `task up` puts into it. Each step does nothing where it has been done."""

    def __init__(self, settings: Settings, console: Console) -> None:
        """Read the team files; nothing is started."""
        os.environ.update(settings.environment())
        self.settings = settings
        self.layout = settings.layout
        self.began = datetime.min.replace(tzinfo=UTC)  # runs in the cluster outlive this process
        self.kube = Kube(settings.layout.kubeconfig)
        self.teams: tuple[Team, ...] = load_teams(settings.layout.teams)
        self.console = console
        self._secrets = State(settings.layout.state).secrets()
        self.api = AirflowApi(settings.url, self._secrets.admin)

    def team(self, name: str) -> Team:
        """A team by its name."""
        found = next((team for team in self.teams if team.name == name), None)
        if found is None:
            known = ", ".join(team.name for team in self.teams)
            raise WherryError(f"{self.layout.teams}: found no team {name!r}, expected one of: {known}")
        return found

    @property
    def login(self) -> tuple[str, str]:
        """The admin's name and password."""
        return USER, self._secrets.admin

    def up(self) -> None:
        """Make everything that is missing and change what differs; then wait until Airflow answers."""
        kind.check(self.settings)
        with ThreadPoolExecutor() as pool:
            creating = pool.submit(kind.create, self.settings)
            made = images.build_all(self.settings, partial(step, self.console))
            with step(self.console, f"kind cluster {self.settings.name}"):
                creating.result()
        with step(self.console, "images on the nodes"):
            kind.load(self.settings.name, made.all())
        self._remember(made)
        postgres_uid = images.user_of(made.postgres, "postgres")
        with step(self.console, "warehouses, Airflow and a namespace per team"):
            self._apply_warehouses(made, postgres_uid)
            self._apply_airflow(made, postgres_uid)
            for team in self.teams:
                self.apply_team(team)
        with step(self.console, "raw data and releases"):
            self._load_raw()
            for team in self.teams:
                for project in team.projects:
                    self.release(team, project)
        with step(self.console, "Airflow is ready"):
            self.kube.wait_rolled_out(AIRFLOW, [f"deployment/airflow-{name}" for name in _WORKLOADS])
            self.api.wait_until_ready(self.check, timeout=600)
            self._wait_for_pools()

    def check(self) -> None:
        """Nothing of ours runs on this machine; Kubernetes restarts what dies."""

    def apply_team(self, team: Team) -> None:
        """Make or change a team's namespace, and its Secret where the cluster's own warehouses are meant."""
        file = self.layout.teams / f"{team.name}.yaml"
        values = manifests.team_values(team, image_repository(), self._images().airflow)
        chart = REPOSITORY / "charts" / "team"
        self.kube.install(f"team-{team.name}", chart, AIRFLOW, "--values", str(file), values=values)
        known = self.kube.get("secret", team.secret, team.namespace)
        ours = known is None or manifests.DEMO_LABEL in known["metadata"].get("labels", {})
        if ours and manifests.is_local(team):
            held = manifests.warehouse_secret(manifests.SNOWFLAKE, manifests.POSTGRES, self._secrets.postgres)
            self.kube.apply(manifests.secret(team.namespace, team.secret, held))
        elif known is None:
            self.console.print(
                f"[yellow]{team.name}: make the Secret {team.secret} in namespace {team.namespace}[/]; "
                "`task snowflake:connect` says how"
            )

    def apply_pools(self) -> None:
        """Let Airflow know the teams' pools."""
        self.api.log_in()
        self.api.set_pools(pool_entries(self.teams))

    def remove_team(self, name: str) -> str:
        """Take a team's DAGs, rights and policies out; says what stays. The team file may be gone already."""
        self.api.log_in()
        dags = [known for known in self.api.dag_ids() if known.startswith(f"{name}__")]
        chart = self.kube.items("secrets", "--namespace", AIRFLOW, "--selector", f"owner=helm,name=team-{name}")
        if not (dags or chart):
            raise WherryError(f"the cluster has no team {name!r}: no DAG and no Helm release of that name")
        for dag_id in dags:
            self.api.pause(dag_id)
        shutil.rmtree(self.layout.releases / name, ignore_errors=True)
        self.kube.helm("uninstall", f"team-{name}", "--namespace", AIRFLOW, "--ignore-not-found")
        return f"namespace team-{name} with its Secret, the warehouse's data, Airflow's history of its runs"

    def release(self, team: Team, project: str) -> Release:
        """Release a project: Airflow sees the files at once, the nodes have the image."""
        builder = kind.KindImages(self.settings.name, self._images().runner)
        return build_release(team, project, self.layout.releases, root=self.layout.repository, images=builder).release

    def load_raw_of(self, team: Team) -> None:
        """Load the raw data of a team's projects into the cluster's own warehouses."""
        if not manifests.is_local(team):
            return
        with (
            self.kube.forward(WAREHOUSES, "service/snowflake", manifests.SNOWFLAKE[1]) as snowflake,
            self.kube.forward(WAREHOUSES, "service/postgres", manifests.POSTGRES[1]) as postgres,
        ):
            self._ensure_databases(postgres)
            here = ("127.0.0.1", snowflake), ("127.0.0.1", postgres)
            secret = manifests.warehouse_secret(*here, self._secrets.postgres)
            for project in team.projects.values():
                load_raw(team, project, secret, self.layout.repository)

    def _load_raw(self) -> None:
        self.kube.wait_rolled_out(WAREHOUSES, ["deployment/snowflake", "deployment/postgres"])
        for team in self.teams:
            self.load_raw_of(team)

    def _ensure_databases(self, port: int) -> None:
        databases = manifests.databases(self.teams)
        roles = dict.fromkeys(databases.values(), self._secrets.postgres)
        ensure_databases(
            f"postgresql://{SUPERUSER}:{self._secrets.postgres}@127.0.0.1:{port}/postgres", roles, databases
        )

    def _apply_warehouses(self, made: Images, postgres_uid: int) -> None:
        text = (REPOSITORY / "k8s" / "kind" / "warehouses.yaml").read_text()
        self.kube.apply_text(manifests.warehouses(text, made, postgres_uid))
        self.kube.apply(manifests.secret(WAREHOUSES, "postgres", {"password": self._secrets.postgres}))

    def _apply_airflow(self, made: Images, postgres_uid: int) -> None:
        login = manifests.secret(AIRFLOW, "airflow-login", {"password": self._secrets.admin})
        self.kube.apply(manifests.namespace(AIRFLOW), login, *manifests.volumes())
        files = {team.name: (self.layout.teams / f"{team.name}.yaml").read_text() for team in self.teams}
        values = manifests.airflow_values(self.settings, made, files, postgres_uid)
        self.kube.install("airflow", REPOSITORY / "charts" / "airflow", AIRFLOW, values=values)

    def _wait_for_pools(self, timeout: float = 300) -> None:
        """Wait for the bootstrap job: a task whose pool isn't there waits for ever."""
        wanted = {name for team in self.teams for name in team.pools()}
        deadline = time.monotonic() + timeout
        while missing := wanted - self.api.pools():
            if time.monotonic() > deadline:
                raise WherryError(f"Airflow has no pools {', '.join(sorted(missing))}; see: task logs NAME=bootstrap")
            time.sleep(1)

    def _remember(self, made: Images) -> None:
        """Note the images, so that a release or a team needs no build of them."""
        (self.layout.state / _IMAGES_FILE).write_text(json.dumps(asdict(made)))

    def _images(self) -> Images:
        try:
            return Images(**json.loads((self.layout.state / _IMAGES_FILE).read_text()))
        except FileNotFoundError:
            raise WherryError("there is no local cluster yet; make it with: task up") from None
