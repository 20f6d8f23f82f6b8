"""What can be measured without a cluster and without Airflow's programs: reading DAGs, and the runner's own work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

from bench import project, synthetic
from bench.figures import OURS
from wherry.demo.layout import REPOSITORY, RUNNER_PYTHON
from wherry.demo.postgres import Postgres
from wherry.errors import WherryError
from wherry.results.codec import Record, decode

Sample = tuple[str, str, str, float]  # (what, arm, unit, value), as figures.of_samples takes it
STOCK: Final = "stock Cosmos"
HOST: Final = "dbt in a shell"
_OUR_DAGS: Final = REPOSITORY / "dags" / "wherry_dags.py"
_STOCK_DAGS: Final = Path(__file__).parent / "stock" / "parse_dags.py"
_PASSWORD: Final = "bench"  # noqa: S105 - of a database that lives for the bench, on loopback


def parse(cache: Path, sizes: Sequence[int], rounds: int) -> Iterator[Sample]:
    """CPU-seconds in which the dag-processor reads a whole DAG, after what its parent has imported."""
    grown = {size: project.grown(cache, size) for size in sizes}
    for _, (size, (release, manifest)), arm in product(range(rounds), grown.items(), (OURS, STOCK)):
        found = _read(arm, manifest, release.manifest_path.parents[3])
        yield f"parse, {size:,} models", arm, "CPU-s", found["parse"]
        yield f"serialise, {size:,} models", arm, "CPU-s", found["serialise"]
        yield f"memory of a parse, {size:,} models", arm, "MB", found["peak_mb"]
        yield f"tasks, {size:,} models", arm, "tasks", found["tasks"]
        yield f"modules imported by a parse, {size:,} models", arm, "modules", len(found["modules"])


def task(cache: Path, sizes: Sequence[int], rounds: int) -> Iterator[Sample]:
    """CPU-seconds in which a task's own process reads its DAG, before it can begin."""
    grown = {size: project.grown(cache, size) for size in sizes}
    middle = {size: f"{synthetic.layered(size)[size // 2].name}.build" for size in sizes}
    for _, (size, (release, manifest)), arm in product(range(rounds), grown.items(), (OURS, STOCK)):
        dag_id = release.dag_id if arm == OURS else "stock"
        found = _read(arm, manifest, release.manifest_path.parents[3], dag_id, middle[size])
        yield f"a task's own parse, {size:,} models", arm, "CPU-s", found["parse"]
        yield f"operators built for a task, {size:,} models", arm, "tasks", found["tasks"]


def runner(cache: Path, sizes: Sequence[int], rounds: int) -> Iterator[Sample]:
    """CPU-seconds and bytes read of one node's process, by stage, and of `dbt build` in a shell beside it."""
    releases = {size: project.built(cache, size) for size in sizes}
    _run([str(RUNNER_PYTHON), "-m", "wherry_runner.bake", "--bundle"], _plain_environment(), cache)  # as images have it
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder, _postgres(Path(folder)) as secret:
        for _, (size, release) in product(range(rounds), releases.items()):
            image = release.manifest_path.parent / "image"
            node = next(model for model in synthetic.layered(size) if not model.parents).name
            yield from _node(image, node, size, secret, Path(folder))
            if size <= 1000:  # dbt parses a larger one for minutes
                yield from _in_a_shell(image, node, size, secret, Path(folder))


def _read(arm: str, manifest: Path, releases: Path, dag_id: str = "", task_id: str = "") -> dict[str, Any]:
    """Read the arm's DAG file in a fresh process."""
    file = _OUR_DAGS if arm == OURS else _STOCK_DAGS
    settings = {
        "AIRFLOW_HOME": tempfile.gettempdir() + "/wherry-bench-airflow",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "1800",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "BENCH_MANIFEST": str(manifest),
        "WHERRY_RELEASES": str(releases),
    }
    command = [sys.executable, "-m", "bench.parse_process", str(file), *([dag_id, task_id] if task_id else [])]
    done = subprocess.run(
        command, env=_plain_environment() | settings, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WherryError(f"{arm}: {file.name} could not be read: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _node(image: Path, node: str, size: int, secret: Mapping[str, str], scratch: Path) -> Iterator[Sample]:
    """Run one node as its pod would."""
    own = {
        "TERMINATION_MESSAGE_PATH": str(scratch / "message"),
        "WHERRY_NODE": f"model.{project.SYNTHETIC}.{node}",
        "WHERRY_QUERY_TAG": "{}",
        "WHERRY_RELEASE": str(image),
        "WHERRY_SCRATCH": str(scratch / "scratch"),
    }
    select = ["--select", f"fqn:{project.SYNTHETIC}.staging.*.{node}".replace(".*.", f".{node.split('_')[1]}.")]
    command = [str(RUNNER_PYTHON), "-m", "wherry_runner", "build", *select, "--indirect-selection", "cautious"]
    wall, read = _run(command, {**_plain_environment(), **secret, **own}, image)
    record = decode((scratch / "message").read_bytes())
    what = f"one node, {size:,} models"
    yield f"{what}: CPU", OURS, "CPU-s", record.cpu_seconds
    yield f"{what}: wall", OURS, "s", wall
    yield f"{what}: read", OURS, "MB", read
    yield f"{what}: memory", OURS, "MB", record.peak_memory_mb
    yield from ((f"{what}: stage {stage}", OURS, "s", seconds) for stage, seconds in _stages(record).items())


def _stages(record: Record) -> dict[str, float]:
    return {stage: seconds for stage, seconds in record.timings.items() if stage != "total"}


def _in_a_shell(image: Path, node: str, size: int, secret: Mapping[str, str], scratch: Path) -> Iterator[Sample]:
    """Run the same node by dbt's command line, which has parsed the project before (partial parsing)."""
    folders = ["--project-dir", "project", "--profiles-dir", "profiles", "--target", "prod"]
    outputs = ["--target-path", str(scratch / f"target-{size}"), "--log-path", str(scratch / "logs")]
    dbt = [str(RUNNER_PYTHON.parent / "dbt"), "--no-send-anonymous-usage-stats"]
    environment = {**_plain_environment(), **secret}
    if not (scratch / f"target-{size}" / "partial_parse.msgpack").exists():
        _run([*dbt, "parse", *folders, *outputs], environment, image)
    began = _children_cpu()
    wall, read = _run([*dbt, "build", "--select", node, *folders, *outputs], environment, image)
    what = f"one node, {size:,} models"
    yield f"{what}: CPU", HOST, "CPU-s", _children_cpu() - began
    yield f"{what}: wall", HOST, "s", wall
    yield f"{what}: read", HOST, "MB", read


def _run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[float, float]:
    """Run it to its end; wall seconds, and MB read by system calls. WherryError with its output when it fails."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=output, stderr=output)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still to be looked at
        wall, read = time.perf_counter() - began, _bytes_read(process.pid)
        if process.wait():
            output.seek(0)
            raise WherryError(f"{command[0]} failed:\n{output.read().decode(errors='replace')[-3000:]}")
    return wall, read / 1e6


def _bytes_read(pid: int) -> int:
    """What a process has read from files and sockets, in bytes; 0 where there is no Linux /proc."""
    try:
        found = re.search(r"^rchar: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _plain_environment() -> dict[str, str]:
    """This environment without Airflow's and wherry's settings, and with bytecode: Python compiles once."""
    own = ("AIRFLOW", "WHERRY", "DBT_")
    banned = {"PYTHONDONTWRITEBYTECODE"}
    return {key: value for key, value in os.environ.items() if not key.startswith(own) and key not in banned}


@contextmanager
def _postgres(folder: Path) -> Iterator[dict[str, str]]:
    """A warehouse; yields what the team's Secret would hold."""
    databases = {"bench": project.TEAM}
    with Postgres(folder / "postgres", roles={project.TEAM: _PASSWORD}, databases=databases) as server:
        yield {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(server.port),
            "DBT_ENV_SECRET_PASSWORD": _PASSWORD,
        }
