"""The real Snowflake adapter, over HTTP, against the emulator of this repository."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from conftest import HERE, Release, make_release, run_node

from wherry.results.codec import Status

EMULATOR = HERE.parents[1] / "snowflake-emulator" / ".venv" / "bin" / "snowflake-emulator"


@pytest.fixture(scope="module")
def frosty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Start the emulator; return a release of the small Snowflake project, its seed loaded."""
    if not EMULATOR.exists():
        pytest.skip(f"{EMULATOR} is not there: run `uv sync` in images/snowflake-emulator")
    folder = tmp_path_factory.mktemp("frosty")
    command = [str(EMULATOR), "--db-path", str(folder / "db"), "--port-file", str(folder / "port")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as emulator:
        try:
            deadline = time.monotonic() + 60
            while not (folder / "port").exists():
                assert emulator.poll() is None, "the emulator ended"
                assert time.monotonic() < deadline, "the emulator doesn't listen"
                time.sleep(0.1)
            host, port = (folder / "port").read_text().strip().split(":")
            env = {"SNOWFLAKE_HOST": host, "SNOWFLAKE_PORT": port, "DBT_ENV_SECRET_PASSWORD": "a long password"}
            release = make_release(HERE / "projects" / "frosty", folder / "release", env, profile="frosty")
            assert run_node(release, "seed.frosty.raw", "seed", select="raw").code == 0
            yield release
        finally:
            emulator.terminate()


def test_every_session_carries_the_query_tag(frosty: Release) -> None:
    """Snowflake's own QUERY_TAG is what the pod was given, and the record holds the query's id."""
    done = run_node(frosty, "model.frosty.tagged", "run", select="fqn:frosty.tagged")
    assert (done.code, done.record.loaded) == (0, "slice")
    assert done.record.results[0].query_id
    assert done.record.adapter.startswith("snowflake 1.11.")
    written = (frosty.scratch / "target" / "run" / "frosty" / "models" / "tagged.sql").read_text()
    assert json.dumps("model.frosty.tagged") in written


def test_an_incremental_merge_with_unit_and_data_tests(frosty: Release) -> None:
    """The second run merges; all of the node's tests run with it."""
    for _ in range(2):
        done = run_node(frosty, "model.frosty.merged", "build", select="fqn:frosty.merged")
        assert (done.code, done.record.status, done.record.loaded) == (0, Status.SUCCESS, "slice")
        assert sorted(result.status for result in done.record.results) == ["pass", "pass", "pass", "success"]


def test_an_emulator_that_is_gone_is_an_outage(frosty: Release) -> None:
    """No connection: worth a retry."""
    done = run_node(frosty, "model.frosty.merged", "run", select="fqn:frosty.merged", SNOWFLAKE_PORT="1")
    assert (done.code, done.record.status) == (3, Status.TRANSIENT)
