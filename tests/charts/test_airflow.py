"""charts/airflow: how Airflow is configured, and what happens at an upgrade."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.charts.conftest import CHARTS, TEAMS, Object, Render, module, of_kind, one, pods

reap = module(CHARTS / "airflow/files/reap.py")


def config(objects: list[Object]) -> dict[str, str]:
    """Airflow's configuration as its programs get it."""
    data: dict[str, str] = one(objects, "ConfigMap", "-config")["data"]
    return data


def container(objects: list[Object], component: str) -> dict[str, Any]:
    """The container of a component's Deployment."""
    found: dict[str, Any] = one(objects, "Deployment", f"-{component}")["spec"]["template"]["spec"]["containers"][0]
    return found


def cleanup(objects: list[Object]) -> str:
    """What the cleaning job runs."""
    pod = one(objects, "CronJob", "-cleanup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return str(pod["containers"][0]["command"][-1])


class TestConfiguration:
    """The environment of Airflow's programs."""

    def test_every_setting_is_one_that_airflow_has(self, airflow: list[Object]) -> None:
        """A misspelt option would be ignored without a word: Airflow's own description knows all of them."""
        from airflow.configuration import conf

        known = {
            f"AIRFLOW__{section}__{option}".upper().replace(".", "_")
            for section, parts in conf.configuration_description.items()
            for option in parts["options"]
        }
        others = ("AIRFLOW__CELERY__", "AIRFLOW__COMMON_IO__", "AIRFLOW__FAB__", "AIRFLOW__COSMOS__")
        ours = [name for name in config(airflow) if name.startswith("AIRFLOW__") and not name.startswith(others)]
        assert len(ours) > 10
        assert [name for name in ours if name not in known] == []

    def test_values_are_text(self, airflow: list[Object]) -> None:
        """Numbers and booleans are written as Airflow reads them, large ones without an exponent."""
        assert all(isinstance(value, str) for value in config(airflow).values())
        assert not any("e+" in value for value in config(airflow).values())

    def test_the_users_settings_win(self, render: Render) -> None:
        """`config` goes over what the chart sets, and adds to it."""
        settings = ("config.core.load_examples=true", "config.scheduler.parsing_cleanup_interval=120000000")
        found = config(render("airflow", settings=settings))
        assert found["AIRFLOW__CORE__LOAD_EXAMPLES"] == "true"
        assert found["AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL"] == "120000000"

    def test_a_large_file_of_dags_has_time(self, airflow: list[Object]) -> None:
        """An import that takes too long is reported as one: before Airflow kills the process that reads the file."""
        reading = int(config(airflow)["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"])
        assert 30 < reading < int(config(airflow)["AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT"])

    def test_a_scheduler_that_ends_is_not_taken_for_dead(self, render: Render) -> None:
        """While it waits for its tasks it has no heartbeat: another scheduler would start them again as lost ones."""
        grace = "scheduler.terminationGracePeriodSeconds=300"
        found = config(render("airflow", settings=(grace,)))
        assert int(found["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD"]) > 300
        celery = config(render("airflow", settings=(grace, "executor=CeleryExecutor")))
        assert "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD" not in celery  # its tasks aren't the scheduler's

    def test_what_is_kept_on_volumes_is_forgotten_in_time(self, render: Render) -> None:
        """Logs and results would fill them; without volumes there is nothing but the database to clean."""
        kept = ("logs.existingClaim=logs", "logs.retentionDays=7", "results.existingClaim=results")
        found = cleanup(render("airflow", settings=kept))
        assert "find /opt/airflow/logs -type f -mtime +7 -delete" in found
        assert "find /opt/airflow/results -type f -mtime +90 -delete" in found
        assert "find" not in cleanup(render("airflow"))

    def test_no_configuration_file_is_written(self, render: Render) -> None:
        """Airflow finds an empty one, so it doesn't write its own with the environment's secrets in it."""
        objects = render("airflow")
        assert one(objects, "ConfigMap", "-files")["data"]["airflow.cfg"] == ""
        assert config(objects)["AIRFLOW_CONFIG"] == "/etc/airflow/airflow.cfg"

    def test_the_database_is_named_without_a_password(self, render: Render) -> None:
        """The URL is the same for programs that go through PgBouncer but for its host and port."""
        plain = {v["name"]: v.get("value") for v in container(render("airflow"), "scheduler")["env"]}
        assert (
            plain["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
            == "postgresql+psycopg2://airflow@airflow-postgres:5432/airflow"
        )
        pooled = render("airflow", CHARTS / "airflow/ci/production-values.yaml", set_files=TEAMS)
        env = {v["name"]: v.get("value") for v in container(pooled, "scheduler")["env"]}
        assert (
            env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://airflow@airflow-pgbouncer:6432/airflow"
        )
        bouncer = {v["name"]: v.get("value") for v in container(pooled, "pgbouncer")["env"]}
        assert bouncer["SERVER_TLS_SSLMODE"] == "verify-full"


class TestReleases:
    """Where DAGs come from."""

    def test_from_git_the_bundle_is_versioned_and_reads_one_folder(self, render: Render) -> None:
        """Only the DAG file's folder is searched for DAGs: the releases beside it hold a team's Python models."""
        found = config(render("airflow", CHARTS / "airflow/ci/production-values.yaml", set_files=TEAMS))
        (bundle,) = json.loads(found["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
        assert bundle["classpath"] == "airflow.providers.git.bundles.git.GitDagBundle"
        assert bundle["kwargs"]["subdir"] == "dags"
        assert bundle["kwargs"]["submodules"] is True
        assert bundle["kwargs"]["git_conn_id"] == "wherry_releases"
        assert "WHERRY_RELEASES" not in found

    def test_from_a_volume_they_are_read_only(self, render: Render) -> None:
        """No program of Airflow's can write a release."""
        objects = render("airflow", settings=("releases.source=volume", "releases.volume.hostPath=/releases"))
        assert config(objects)["WHERRY_RELEASES"] == "/opt/airflow/releases"
        for component in ("scheduler", "dag-processor"):
            (mount,) = [m for m in container(objects, component)["volumeMounts"] if m["name"] == "releases"]
            assert mount["readOnly"] is True

    def test_from_the_image_nothing_is_mounted(self, render: Render) -> None:
        """The image's own folder isn't hidden."""
        mounts = [mount["mountPath"] for mount in container(render("airflow"), "scheduler")["volumeMounts"]]
        assert "/opt/airflow/releases" not in mounts


class TestAccess:
    """Who reaches the API server."""

    def test_everyone_by_default(self, render: Render) -> None:
        """A rule without peers: the port is open to the cluster's network."""
        (rule,) = one(render("airflow"), "NetworkPolicy", "-api-server")["spec"]["ingress"]
        assert rule == {"ports": [{"protocol": "TCP", "port": 8080}]}

    def test_the_named_peers_and_our_own_programs(self, render: Render) -> None:
        """With peers named, tasks still reach it: they report their state to it."""
        objects = render("airflow", CHARTS / "airflow/ci/everything-values.yaml", set_files=TEAMS)
        (rule,) = one(objects, "NetworkPolicy", "-api-server")["spec"]["ingress"]
        components = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for peer in rule["from"]
            if "podSelector" in peer
        }
        assert components == {"scheduler", "workers", "triggerer", "dag-processor", "test"}
        assert {"ipBlock": {"cidr": "10.0.0.0/8"}} in rule["from"]

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            (("apiServer.ingress.enabled=true", "apiServer.ingress.host=a.example.com"), "http://a.example.com"),
            (
                (
                    "apiServer.ingress.enabled=true",
                    "apiServer.ingress.host=a.example.com",
                    "apiServer.ingress.tlsSecret=tls",
                    "apiServer.ingress.path=/airflow/",
                ),
                "https://a.example.com/airflow",
            ),
            (("api.baseUrl=http://localhost:30080",), "http://localhost:30080"),
        ],
        ids=["ingress", "tls-and-path", "given"],
    )
    def test_the_url_follows_from_what_serves_it(
        self, render: Render, settings: tuple[str, ...], expected: str
    ) -> None:
        """Links in the UI and in alerts point where users come in."""
        assert config(render("airflow", settings=settings))["AIRFLOW__API__BASE_URL"] == expected


class TestExecutors:
    """One value decides where tasks wait."""

    def test_local(self, render: Render) -> None:
        """The scheduler runs the tasks, as the account that teams trust; no Redis, no workers."""
        objects = render("airflow")
        scheduler = one(objects, "Deployment", "-scheduler")["spec"]["template"]["spec"]
        assert scheduler["serviceAccountName"] == "airflow-worker"
        assert not [name for name, _, _ in pods(objects) if name.endswith(("redis", "workers"))]

    def test_celery(self, render: Render) -> None:
        """Workers have that account; the scheduler has one without rights and without a token."""
        objects = render("airflow", settings=("executor=CeleryExecutor",))
        workers = one(objects, "Deployment", "-workers")["spec"]["template"]["spec"]
        scheduler = one(objects, "Deployment", "-scheduler")["spec"]["template"]["spec"]
        assert workers["serviceAccountName"] == "airflow-worker"
        assert scheduler["serviceAccountName"] == "airflow-scheduler"
        assert scheduler["automountServiceAccountToken"] is False
        assert one(objects, "StatefulSet", "-redis")

    def test_replicas_are_left_to_the_autoscaler(self, render: Render) -> None:
        """A Deployment under an HPA doesn't set replicas: an upgrade would undo the scaling."""
        objects = render("airflow", CHARTS / "airflow/ci/everything-values.yaml", set_files=TEAMS)
        scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, "HorizontalPodAutoscaler")}
        assert scaled == {"wherry-airflow-api-server", "wherry-airflow-workers"}
        for item in of_kind(objects, "Deployment"):
            assert ("replicas" in item["spec"]) == (item["metadata"]["name"] not in scaled)


class TestUpgrades:
    """What a second installation does."""

    @staticmethod
    def jobs(objects: list[Object]) -> set[str]:
        """The names of the jobs, which hold a hash of what they run."""
        return {item["metadata"]["name"] for item in of_kind(objects, "Job")}

    def test_nothing_changed_runs_nothing(self, render: Render) -> None:
        """The jobs' names stay, though new secrets were generated: Kubernetes sees the same, ended jobs."""
        first = render("airflow", set_files=TEAMS)
        again = render("airflow", set_files=TEAMS, settings=("scheduler.replicas=2",))
        assert one(first, "Secret", "-keys")["data"] != one(again, "Secret", "-keys")["data"]
        assert self.jobs(first) == self.jobs(again)

    def test_a_new_image_migrates(self, render: Render) -> None:
        """The migration has a new name, so it runs again."""
        assert self.jobs(render("airflow")).isdisjoint(self.jobs(render("airflow", settings=("image.tag=3.3.3",))))

    def test_another_team_makes_its_pools(self, render: Render) -> None:
        """The bootstrap job runs again for a changed set of teams; the migration doesn't."""
        both = self.jobs(render("airflow", set_files=TEAMS))
        less = self.jobs(render("airflow", set_files=TEAMS[:1]))
        assert {name.split("-")[1] for name in both ^ less} == {"bootstrap"}

    def test_changed_settings_restart_the_programs(self, render: Render) -> None:
        """The pods' annotation changes with the configuration."""

        def checksums(objects: list[Object]) -> set[str]:
            return {
                metadata["annotations"]["checksum/config"] for _, metadata, _ in pods(of_kind(objects, "Deployment"))
            }

        assert checksums(render("airflow")).isdisjoint(checksums(render("airflow", settings=("parallelism=33",))))

    def test_every_program_waits_for_the_migration(self, render: Render) -> None:
        """Each Deployment that uses the database has the waiting container first."""
        for name, metadata, spec in pods(of_kind(render("airflow"), "Deployment")):
            assert metadata["labels"]["wherry.dev/database-client"] == "true", name
            assert spec["initContainers"][0]["name"] == "wait-for-migrations", name


class TestTeams:
    """What the team files give to Airflow."""

    def test_pools_are_made_by_our_own_command(self, render: Render) -> None:
        """The bootstrap job gets the team files unchanged."""
        objects = render("airflow", set_files=TEAMS)
        files = one(objects, "ConfigMap", "-teams")["data"]
        for setting in TEAMS:
            path = setting.partition("=")[2]
            assert files[Path(path).name].rstrip() == Path(path).read_text().rstrip()
        assert "wherry pools --json" in str(of_kind(objects, "Job"))

    def test_the_reaper_visits_their_namespaces(self, render: Render) -> None:
        """And no other; without teams there is none."""
        command = one(render("airflow", set_files=TEAMS), "CronJob", "-reaper")["spec"]["jobTemplate"]["spec"][
            "template"
        ]
        assert command["spec"]["containers"][0]["command"][2:] == ["60", "team-finance", "team-growth"]
        assert not [
            item for item in of_kind(render("airflow"), "CronJob") if item["metadata"]["name"].endswith("reaper")
        ]


class TestUsers:
    """Who may log in, and as what."""

    @staticmethod
    def webserver_config(objects: list[Object]) -> dict[str, Any]:
        """What Python reads out of webserver_config.py."""
        found: dict[str, Any] = {}
        exec(one(objects, "ConfigMap", "-files")["data"]["webserver_config.py"], found)
        return found

    @staticmethod
    def bootstrap(objects: list[Object]) -> str:
        """What the bootstrap job runs."""
        (job,) = [item for item in of_kind(objects, "Job") if "-bootstrap-" in item["metadata"]["name"]]
        command: list[str] = job["spec"]["template"]["spec"]["containers"][0]["command"]
        return command[-1]

    def test_roles_are_made_by_our_own_command(self, render: Render) -> None:
        """Before the admin, from the team files that the pools come from; only FAB keeps roles."""
        script = self.bootstrap(render("airflow", settings=("auth.manager=fab",), set_files=TEAMS))
        assert script.index("wherry roles --apply --teams /etc/wherry/teams") < script.index("airflow users create")
        assert "roles" not in self.bootstrap(render("airflow", set_files=TEAMS))

    def test_without_team_files_roles_are_left_alone(self, render: Render) -> None:
        """A forgotten `--set-file` takes nobody's rights away."""
        assert "wherry roles" not in self.bootstrap(render("airflow", settings=("auth.manager=fab",)))

    def test_passwords_are_in_the_database_unless_told_otherwise(self, render: Render) -> None:
        """And nobody registers themselves."""
        from flask_appbuilder.const import AUTH_DB

        found = self.webserver_config(render("airflow", settings=("auth.manager=fab",), set_files=TEAMS))
        assert found["AUTH_TYPE"] == AUTH_DB
        assert "AUTH_USER_REGISTRATION" not in found

    def test_groups_become_roles(self, render: Render) -> None:
        """At each login; who is in no mapped group gets a role that may do nothing."""
        from flask_appbuilder.const import AUTH_OAUTH

        objects = render("airflow", CHARTS / "airflow/ci/everything-values.yaml", set_files=TEAMS)
        found = self.webserver_config(objects)
        assert found["AUTH_TYPE"] == AUTH_OAUTH
        assert found["AUTH_ROLES_MAPPING"] == {
            "platform": ["Admin"],
            "finance-data": ["team-finance"],
            "CN=growth,OU=data": ["team-growth", "Viewer"],
        }
        assert found["AUTH_ROLES_SYNC_AT_LOGIN"] is True
        assert found["AUTH_USER_REGISTRATION_ROLE"] == "Public"
        assert found["OAUTH_PROVIDERS"][0]["name"] == "keycloak"

    def test_another_mapping_restarts_the_api_server(self, render: Render) -> None:
        """It reads the mapping when it starts."""
        everything = CHARTS / "airflow/ci/everything-values.yaml"

        def checksum(*settings: str) -> str:
            objects = render("airflow", everything, set_files=TEAMS, settings=settings)
            metadata = one(objects, "Deployment", "-api-server")["spec"]["template"]["metadata"]
            return str(metadata["annotations"]["checksum/config"])

        assert checksum() != checksum("auth.roles.platform[0]=Op")


def _pod(phase: str, ended: timedelta | None, created: timedelta, now: datetime) -> SimpleNamespace:
    terminated = SimpleNamespace(finished_at=now - ended) if ended is not None else None
    status = SimpleNamespace(state=SimpleNamespace(terminated=terminated))
    return SimpleNamespace(
        metadata=SimpleNamespace(creation_timestamp=now - created),
        status=SimpleNamespace(phase=phase, container_statuses=[status]),
    )


@pytest.mark.parametrize(
    ("phase", "ended", "created", "expected"),
    [
        ("Succeeded", timedelta(minutes=61), timedelta(hours=2), True),
        ("Failed", timedelta(minutes=61), timedelta(hours=2), True),
        ("Succeeded", timedelta(minutes=59), timedelta(hours=2), False),
        ("Failed", None, timedelta(hours=2), True),
        ("Running", None, timedelta(days=9), False),
        ("Pending", None, timedelta(days=9), False),
    ],
)
def test_the_reaper_takes_what_ended_long_ago(
    phase: str, ended: timedelta | None, created: timedelta, expected: bool
) -> None:
    """By the end of its container, or by its creation where none ever started; never a pod that may still run."""
    now = datetime.now(UTC)
    pod = _pod(phase, ended, created, now)
    assert bool(list(reap.expired([pod], now, timedelta(hours=1)))) == expected
