"""`task up` from its first step to its last, with programs that only write down how they were called."""

import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from wherry.cli.main import app
from wherry.cluster import kube, shell, up
from wherry.cluster.images import Images
from wherry.cluster.kube import Kube
from wherry.cluster.settings import Settings
from wherry.cluster.up import Cluster
from wherry.demo.ports import free_port
from wherry.errors import WherryError
from wherry.settings import runner_python

PROGRAMS = Path(__file__).with_name("programs.py")
Call = dict[str, Any]
needs_runner = pytest.mark.skipif(
    not runner_python().exists(), reason=f"the runner's environment is not there: {runner_python()}"
)


class Airflow:
    """Answers for Airflow's API."""

    def __init__(self, *pools: str) -> None:
        self.known = frozenset(pools)
        self.given: dict[str, dict[str, Any]] = {}
        self.paused: list[str] = []

    def wait_until_ready(self, check: object, timeout: float) -> None: ...

    def log_in(self) -> None: ...

    def pools(self) -> frozenset[str]:
        return self.known

    def set_pools(self, pools: dict[str, dict[str, Any]]) -> None:
        self.given = pools

    def dag_ids(self) -> frozenset[str]:
        return frozenset({"finance__finance", "growth__growth"})

    def pause(self, dag_id: str) -> None:
        self.paused.append(dag_id)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembering_runner: Path) -> Path:
    """Where the programs write; docker and kind on PATH, and what runs helm and kubectl, are ours."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "kind"):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{PROGRAMS}" {name} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PROGRAMS", str(programs))
    for name in (
        "WHERRY_TEAMS",
        "WHERRY_RELEASES",
        "WHERRY_RESULTS",
        "WHERRY_IMAGE_STORE",
        "WHERRY_RUNNER_PYTHON",
        "KUBECONFIG",
    ):
        monkeypatch.setenv(name, "")  # so that what a cluster sets for this process is put back
    for name in ("WHERRY_CLUSTER", "WHERRY_NODE_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WHERRY_UI_PORT", str(free_port(0)))
    monkeypatch.setattr("wherry.cluster.settings.RUNNER_PYTHON", remembering_runner)
    monkeypatch.setenv("WHERRY_UP_STATE", str(tmp_path / "state"))
    tool = (sys.executable, "-S", str(PROGRAMS))
    monkeypatch.setattr("wherry.cluster.kube.kubernetes_tool", lambda name: (*tool, name))
    monkeypatch.setattr(up, "ensure_databases", lambda *_: None)
    monkeypatch.setattr(up, "load_raw", lambda *_: None)

    @contextmanager
    def forward(*_: object) -> Iterator[int]:
        yield 5432

    monkeypatch.setattr(Kube, "forward", forward)
    return programs


@pytest.fixture
def cluster(folder: Path) -> Cluster:
    made = Cluster(Settings.read(), Console(quiet=True))
    made.api = Airflow("finance__transform", "finance__heavy", "growth__main")  # type: ignore[assignment]
    return made


def calls(folder: Path, *words: str) -> list[Call]:
    """The calls that begin with these words."""
    lines = (folder / "calls.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [call for call in found if call["argv"][: len(words)] == list(words)]


@needs_runner
def test_up_does_each_step_once(cluster: Cluster, folder: Path) -> None:
    """And a second time only what is asked again: no cluster is made, no image is copied."""
    cluster.up()
    assert len(calls(folder, "kind", "create")) == 1
    (load,) = calls(folder, "kind", "load")
    assert len(load["argv"][5:]) == 4
    charts = [call["argv"][3] for call in calls(folder, "helm", "upgrade")]
    assert charts == ["airflow", "team-finance", "team-growth"]
    assert len(calls(folder, "docker", "exec")) > 0
    assert sorted(path.name for path in cluster.layout.releases.iterdir()) == ["finance", "growth"]
    cluster.up()
    assert len(calls(folder, "kind", "create")) == 1
    assert len(calls(folder, "kind", "load")) == 1


@needs_runner
def test_no_secret_is_on_a_command_line(cluster: Cluster, folder: Path) -> None:
    """Whoever lists this machine's processes sees no password; they go through standard input, encoded as Secrets."""
    cluster.up()
    passwords = (cluster.login[1], cluster._secrets.postgres)
    everything = calls(folder)
    assert not [call for call in everything if any(password in word for password in passwords for word in call["argv"])]
    assert not [call for call in calls(folder, "helm") if any(password in call["stdin"] for password in passwords)]


@needs_runner
def test_what_an_interruption_left_is_no_obstacle(cluster: Cluster, folder: Path) -> None:
    """A half-made cluster is made anew; a Helm release that Helm takes for going on is let go before the next."""
    (folder / "broken").write_text("kind create")
    with pytest.raises(WherryError):
        cluster.up()
    (folder / "cluster").touch()  # kind leaves its containers when it is killed
    (folder / "broken").unlink()
    cluster.up()
    assert [call["argv"][1] for call in calls(folder, "kind") if call["argv"][1] in ("create", "delete")] == [
        "create", "delete", "create",
    ]  # fmt: skip
    freed = [call["argv"] for call in calls(folder, "kubectl", "delete", "secret")]
    assert "owner=helm,name=airflow,status in (pending-install,pending-upgrade,pending-rollback)" in freed[0]
    cluster.up()
    assert len(calls(folder, "kind", "delete")) == 1


def test_a_port_that_is_taken_is_said_before_anything_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one that is free; no image is built first."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("WHERRY_UI_PORT", str(port))
        with pytest.raises(WherryError, match=rf"port {port} is taken.*WHERRY_UI_PORT=\d+"):
            Cluster(Settings.read(), Console(quiet=True)).up()
    assert not calls(folder, "docker")


@pytest.mark.parametrize("known", ["", "current-context: kind-another"], ids=["nothing", "another cluster"])
def test_a_cluster_of_another_folder_is_left_alone(cluster: Cluster, folder: Path, known: str) -> None:
    """Passwords that this folder has, if any, don't fit what is in it: that is said before anything is made."""
    (folder / "cluster").touch()  # made from elsewhere
    if known:
        cluster.layout.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        cluster.layout.kubeconfig.write_text(known)
    with pytest.raises(WherryError, match=r"wasn't made from here: .* `kind delete cluster --name \w+` removes it"):
        cluster.up()
    assert not calls(folder, "docker")


def test_the_port_stays_that_of_the_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needn't be named again, and can't be another: the cluster's node listens there."""
    monkeypatch.setenv("WHERRY_UI_PORT", "18080")
    settings = Settings.read()
    settings.layout.state.mkdir()
    settings.remember_port()
    monkeypatch.delenv("WHERRY_UI_PORT")
    assert Settings.read().ui_port == 18080
    monkeypatch.setenv("WHERRY_UI_PORT", "18081")
    with pytest.raises(WherryError, match="found 18081, but the cluster's port is 18080"):
        Settings.read()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none(port: str) -> None:
    """Said in a line."""
    with pytest.raises(WherryError, match=f"WHERRY_UI_PORT: found '{port}', expected a port such as 8080"):
        Settings.read({"WHERRY_UI_PORT": port})


def test_a_program_that_fails_is_quoted(cluster: Cluster, folder: Path) -> None:
    """With its own words, and nothing after it is begun."""
    (folder / "broken").write_text("kind create")
    with pytest.raises(WherryError, match=r"`kind create cluster --name \.\.\.` failed .*\nthe disk is full"):
        cluster.up()
    assert not calls(folder, "helm")


def test_a_secret_of_someone_else_is_left_alone(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that `task up` made is written again."""
    cluster._remember(Images(*(f"wherry.local/platform/{name}:1" for name in ("airflow", "runner", "emulator", "pg"))))
    monkeypatch.setattr(Kube, "get", lambda *_: {"metadata": {"labels": {"owner": "ana"}}})
    cluster.apply_team(cluster.team("growth"))
    assert not calls(folder, "kubectl", "apply")
    monkeypatch.setattr(Kube, "get", lambda *_: {"metadata": {"labels": {"wherry.dev/demo": "true"}}})
    cluster.apply_team(cluster.team("growth"))
    (applied,) = calls(folder, "kubectl", "apply")
    assert json.loads(applied["stdin"])["items"][0]["metadata"]["namespace"] == "team-growth"


def test_a_removed_team_keeps_its_data(cluster: Cluster, folder: Path) -> None:
    """Its DAGs are paused and gone, its chart's release too; nothing else is deleted."""
    release = cluster.layout.releases / "growth/growth"
    release.mkdir(parents=True)
    assert "the warehouse's data" in cluster.remove_team("growth")
    assert cluster.api.paused == ["growth__growth"]  # type: ignore[attr-defined]
    assert not release.exists()
    assert [call["argv"][1:3] for call in calls(folder, "helm")] == [["uninstall", "team-growth"]]
    assert not calls(folder, "kubectl", "delete")


def test_a_team_that_is_not_there_is_not_removed(cluster: Cluster, folder: Path) -> None:
    """A name with a typing mistake isn't said to be out."""
    with pytest.raises(WherryError, match="the cluster has no team 'grwoth'"):
        cluster.remove_team("grwoth")
    assert not calls(folder, "helm")


def test_a_release_needs_a_cluster(cluster: Cluster) -> None:
    """And says how to make one; an unknown team is named too."""
    with pytest.raises(WherryError, match="make it with: task up"):
        cluster.release(cluster.team("growth"), "growth")
    with pytest.raises(WherryError, match="found no team 'sales', expected one of: finance, growth"):
        cluster.team("sales")


def test_pools_that_do_not_come_are_said(cluster: Cluster) -> None:
    """Rather than that a task waits for ever."""
    cluster.api = Airflow("growth__main")  # type: ignore[assignment]
    with pytest.raises(WherryError, match="no pools finance__heavy, finance__transform"):
        cluster._wait_for_pools(timeout=0)
    cluster.apply_pools()
    slots = {name: entry["slots"] for name, entry in cluster.api.given.items()}
    assert slots == {"finance__heavy": 2, "finance__transform": 8, "growth__main": 6}


@pytest.mark.parametrize("command", ["cluster status", "cluster ui", "cluster release growth", "team apply growth"])
def test_without_a_cluster_it_is_said_how_to_make_one(folder: Path, command: str) -> None:
    """In one line, and nothing is written; the same where the cluster was deleted behind our back."""
    settings = Settings.read()
    for _ in range(2):
        with pytest.raises(WherryError, match=r"^there is no local cluster wherry; make it with: task up$"):
            CliRunner().invoke(app, command.split(), catch_exceptions=False)
        assert not list(settings.layout.state.glob("secrets.json"))
        settings.layout.state.mkdir(exist_ok=True)
        settings.layout.kubeconfig.touch()


@pytest.mark.parametrize("command", ["cluster down", "cluster images", "cluster status"])
def test_an_engine_that_does_not_run_is_said(folder: Path, command: str) -> None:
    """With what to do, rather than in the words of the program that found out."""
    (folder / "broken").write_text("docker version")
    settings = Settings.read()
    settings.layout.state.mkdir()
    settings.layout.kubeconfig.touch()
    with pytest.raises(WherryError, match=r"missing, or not running:\n  docker   install Docker and start it: http"):
        CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert settings.layout.kubeconfig.exists()


def test_what_does_not_get_ready_is_named_with_its_reason(folder: Path) -> None:
    """After minutes of waiting, a person reads what to look at, not that a time has run out."""
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}}
    crashing = {
        "metadata": {"name": "airflow-scheduler-1", "labels": {"app.kubernetes.io/component": "scheduler"}},
        "status": {"initContainerStatuses": [{"state": {"terminated": {}}}], "containerStatuses": [crash]},
    }
    no_room = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    pending = {"metadata": {"name": "airflow-triggerer-1"}, "status": {"conditions": [no_room]}}
    starting = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    fine = {"metadata": {"name": "airflow-api-server-1"}, "status": {"containerStatuses": [starting]}}
    (folder / "pods.json").write_text(json.dumps({"items": [crashing, pending, fine]}))
    (folder / "broken").write_text("rollout status deployment/airflow-scheduler")
    with pytest.raises(WherryError) as error:
        Kube(folder / "kubeconfig").wait_rolled_out("airflow", ["deployment/airflow-scheduler"])
    assert str(error.value).splitlines()[-2:] == [
        "pod airflow-scheduler-1: CrashLoopBackOff: back-off 5m0s; its log: task logs NAME=scheduler",
        "pod airflow-triggerer-1 has no node: Insufficient cpu",
    ]


def test_a_wait_outlasts_an_api_server_that_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's doesn't answer now and then: that ends no wait, but the time that it has."""
    monkeypatch.setattr(kube, "_AGAIN", 0.0)
    cluster = Kube(folder / "kubeconfig")
    (folder / "away").touch()
    cluster.wait_rolled_out("airflow", ["deployment/airflow-scheduler"])
    assert len(calls(folder, "kubectl", "rollout")) == 2
    (folder / "broken").write_text("rollout")
    with pytest.raises(WherryError, match="the disk is full"):
        cluster.wait_rolled_out("airflow", ["deployment/airflow-scheduler"])
    assert len(calls(folder, "kubectl", "rollout")) == 3


def test_down_removes_the_cluster_and_its_state(folder: Path) -> None:
    """So that the next one begins anew."""
    settings = Settings.read()
    settings.layout.state.mkdir()
    shown = CliRunner().invoke(app, ["cluster", "down"], catch_exceptions=False)
    assert "is gone" in shown.output
    (forgotten,) = calls(folder, "docker", "exec")  # what Airflow wrote isn't this user's to delete
    (deleted,) = calls(folder, "kind", "delete", "cluster", "--name", "wherry")
    everything = calls(folder)
    assert everything.index(forgotten) < everything.index(deleted)
    assert {"/wherry/results", "/wherry/logs"} <= set(forgotten["argv"])
    assert not settings.layout.state.exists()


def test_down_says_what_it_could_not_remove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of Airflow's user stay where no node runs that could delete them."""
    Settings.read().layout.state.mkdir()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(WherryError, match=r"not all of its files; remove them with: sudo rm -r /"):
        CliRunner().invoke(app, ["cluster", "down"], catch_exceptions=False)


def test_a_missing_program_is_named() -> None:
    """And where to read how to get it."""
    with pytest.raises(WherryError, match="no-such-program is missing; see: wherry cluster tools"):
        shell.run("no-such-program")
    with pytest.raises(WherryError, match="did not end within 0 s"):
        shell.run("sleep", "5", timeout=0.1)
