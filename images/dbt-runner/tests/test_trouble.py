"""What goes wrong around a pod: signals, secrets, outages, broken releases, fallbacks, long records."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE, SECRET, Done, Release, make_release, run_node, until_signals_count
from wherry_runner import build, slices

from wherry.results.codec import LIMIT, MARK, Status, of_line

Pod = Callable[..., Done]
Sql = Callable[..., list[tuple[Any, ...]]]


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until the condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came true")


def sleeping(sql: Sql) -> list[tuple[Any, ...]]:
    """Return the queries of other sessions that sleep."""
    return sql(
        "select query, pid from pg_stat_activity"
        " where query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_query(shop: Release, sql: Sql, number: int) -> None:
    """TERM, or INT, while a query runs: the query is gone, the exit code is 130, the record says cancelled."""
    process = shop.start("model.shop.sleeper", "run", "--select", "fqn:shop.sleeper")
    wait_for(lambda: sleeping(sql))
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert sleeping(sql) == []
    record = shop.record()
    assert (record.status, record.node, record.loaded) == (Status.CANCELLED, "model.shop.sleeper", "slice")


def test_a_signal_that_comes_first_cancels_too(shop: Release, sql: Sql) -> None:
    """A pod that is deleted as soon as it was made: what it was made for isn't begun, and its record says so."""
    process = shop.start("model.shop.sleeper", "run", "--select", "fqn:shop.sleeper")
    until_signals_count(process)
    process.terminate()
    log, _ = process.communicate(timeout=30)
    assert (process.returncode, shop.record().status) == (130, Status.CANCELLED)
    assert "START" not in log


def test_a_signal_cancels_a_hooks_query_too(shop: Release, sql: Sql, tmp_path: Path) -> None:
    """A hook's query runs in the main thread, inside of libpq, where no Python signal handler gets a turn."""
    folder = tmp_path / "release"
    shutil.copytree(shop.folder, folder)
    config = folder / "project" / "dbt_project.yml"
    config.write_text(config.read_text().replace("on-run-end: ", "on-run-end: 'select pg_sleep(60)' # "))
    release = Release(folder, shop.env, {}, tmp_path)
    assert build.main(build_arguments(folder)) == 0
    process = release.start("model.shop.contracted", "run", "--select", "fqn:shop.contracted")
    wait_for(lambda: sleeping(sql))
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert sleeping(sql) == []
    assert release.record().status is Status.CANCELLED


def test_a_second_signal_gives_up_at_once(shop: Release, sql: Sql) -> None:
    """Somebody who asks twice doesn't want to wait; the record is written all the same."""
    process = shop.start("model.shop.sleeper", "run", "--select", "fqn:shop.sleeper")
    wait_for(lambda: sleeping(sql))
    process.terminate()
    process.terminate()
    time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert shop.record().status is Status.CANCELLED
    for _, pid in sleeping(sql):
        sql(f"select pg_terminate_backend({pid})")


def test_every_query_carries_the_tag(shop: Release, sql: Sql) -> None:
    """Who runs what is seen in the warehouse: our tag and dbt's own comment are one JSON object."""
    process = shop.start("model.shop.sleeper", "run", "--select", "fqn:shop.sleeper")
    query = wait_for(lambda: sleeping(sql))[0][0]
    process.terminate()
    process.communicate(timeout=30)
    comment = json.loads(query[query.index("/*") + 2 : query.index("*/")])
    assert comment["team"] == "demo"
    assert comment["run"] == "manual__100%"
    assert comment["node"] == comment["node_id"] == "model.shop.sleeper"
    assert comment["app"] == "dbt"


def test_an_outage_is_worth_a_retry(pod: Pod) -> None:
    """A warehouse that isn't there: exit code 3."""
    done = pod("model.shop.orders", "run", PG_HOST="127.0.0.1", PG_PORT="1")
    assert (done.code, done.record.status) == (3, Status.TRANSIENT)
    assert "refused" in done.record.message


def test_secrets_are_masked_in_the_log_and_in_the_record(pod: Pod) -> None:
    """A value that dbt prints, and that the warehouse repeats in its error, is seen nowhere."""
    done = pod("model.shop.chatty", "run", API_TOKEN="tok-0123456789")
    assert done.code == 1
    assert "the token is *****" in done.log
    assert "tok-0123456789" not in done.log
    assert "0123456789" not in str(done.record)


def test_the_log_of_a_success_ends_with_its_record(shop: Release) -> None:
    """So it is known before Kubernetes has seen the container's end."""
    log, _ = shop.start("model.shop.stg_orders", "run", "--select", "fqn:shop.stg_orders").communicate(timeout=60)
    *before, last = log.splitlines()
    assert of_line(last) == shop.record()
    assert shop.record().status is Status.SUCCESS
    assert not [line for line in before if MARK in line]


def test_the_log_of_a_failure_ends_with_its_message(shop: Release) -> None:
    """How its container ended counts too. All that is printed is one stream, in the order in which it is printed."""
    command = [sys.executable, "-m", "wherry_runner", "run", "--select", "fqn:shop.chatty"]
    env = {**os.environ, **shop.environment("model.shop.chatty")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "\nwherry-runner: error: " in done.stdout
    assert MARK not in done.stdout


def test_a_missing_secret_is_named(shop: Release) -> None:
    """Without the Secret's key the release can't be used: which key is said."""
    process = subprocess.run(
        [sys.executable, "-m", "wherry_runner", "run", "--select", "fqn:shop.orders"],
        env={
            k: v
            for k, v in {**os.environ, **shop.environment("model.shop.orders")}.items()
            if k != "DBT_ENV_SECRET_PASSWORD"
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert "DBT_ENV_SECRET_PASSWORD" in shop.record().message


@pytest.mark.parametrize(
    ("args", "env", "word"),
    [
        ([], {}, "expected dbt's arguments"),
        (["--select", "x"], {}, "expected dbt's arguments"),
        (["run", "--target", "dev"], {}, "--target"),
        (["run", "--profiles-dir=/x"], {}, "--profiles-dir"),
        (["run", "--wrong-flag"], {}, "wrong-flag"),
        (["run"], {"WHERRY_RELEASE": ""}, "WHERRY_RELEASE"),
        (["run"], {"WHERRY_RELEASE": "/nowhere"}, "/nowhere/project"),
    ],
)
def test_wrong_use_is_broken(shop: Release, args: list[str], env: dict[str, str], word: str) -> None:
    """What no release can serve: exit code 2, and the record says what was expected."""
    from wherry_runner import main

    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.environment("model.shop.orders", **env).items():
            patch.setenv(name, value)
        assert main.run(args, dict(os.environ)) == 2
    assert shop.record().status is Status.BROKEN
    assert word in shop.record().message


@pytest.mark.parametrize("damage", ["missing", "garbage", "other format"])
def test_unreadable_slices_are_a_broken_release(shop: Release, tmp_path: Path, damage: str) -> None:
    """Without the index nobody knows what the release is."""
    folder = tmp_path / "release"
    shutil.copytree(shop.folder, folder)
    index = folder / "slices" / slices.INDEX
    text = {"missing": "", "garbage": "{", "other format": index.read_text().replace('"format": 1', '"format": 9')}[
        damage
    ]
    index.unlink() if damage == "missing" else index.write_text(text)
    done = run_node(Release(folder, shop.env, {}, tmp_path), "model.shop.orders", "run")
    assert (done.code, done.record.status) == (2, Status.BROKEN)
    assert slices.INDEX in done.record.message


@pytest.mark.parametrize(
    ("node", "verb", "args", "more", "why"),  # the pod's arguments and environment beyond the usual
    [
        ("model.shop.orders", "run", ("--vars", "{smallest_order: 0}"), {}, "--vars"),
        ("model.shop.contracted", "run", (), {"select": "contracted+"}, "contracted+"),
        ("model.shop.contracted", "compile", (), {}, "dbt compile"),
        ("model.shop.by_env", "run", (), {"ALIAS": "other"}, "ALIAS is not what it was"),
        ("model.shop.by_profile", "run", (), {}, "value of PG_HOST"),
        ("model.shop.unheard_of", "run", (), {"select": "contracted"}, "no slice"),
    ],
)
def test_the_project_is_parsed_where_a_slice_cannot_serve(
    pod: Pod, node: str, verb: str, args: tuple[str, ...], more: dict[str, str], *, why: str
) -> None:
    """And the record says so, with the reason."""
    done = pod(node, verb, *args, **more)
    assert (done.code, done.record.loaded) == (0, "project")
    assert why in done.record.loaded_why


def test_the_environment_decides_as_in_a_full_parse(pod: Pod, sql: Sql) -> None:
    """A variable that shaped a node's configuration isn't frozen into the release."""
    pod("model.shop.by_env", "run", ALIAS="renamed")
    assert sql("select count(*) from pg_tables where tablename = 'renamed'") == [(1,)]
    assert pod("model.shop.by_env", "run").record.loaded == "slice"


def test_the_whole_project_runs_in_one_pod(shop: Release) -> None:
    """Without a node, as for tests after all models, everything that was selected runs."""
    from wherry_runner import main

    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.environment("").items():
            patch.setenv(name, value)
        assert main.run(["test", "--select", "stg_orders", "orders"], dict(os.environ)) == 0
    assert (shop.record().loaded, shop.record().loaded_why) == ("project", "no single node was asked for")


def test_a_slice_that_lacks_a_node_gives_way_to_the_project(shop: Release, tmp_path: Path) -> None:
    """Nothing had been sent to the warehouse, so running the project instead is safe; the record says why."""
    folder = tmp_path / "release"
    shutil.copytree(shop.folder, folder)
    config = folder / "project" / "dbt_project.yml"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("on-run")))
    release = Release(folder, shop.env, {}, tmp_path)
    assert build.main(build_arguments(folder)) == 0
    path = slices.node_path(folder / "slices", "model.shop.customers")
    found = slices.unpack(path.read_bytes())
    found["members"] = [member for member in found["members"] if "stg_orders" not in member[2]["unique_id"]]
    found["members"][0][2]["depends_on"]["nodes"] = []
    path.write_bytes(slices.pack(found))
    done = run_node(release, "model.shop.customers", "run")
    assert (done.code, done.record.loaded) == (0, "project")
    assert "lacked" in done.record.loaded_why


def test_slices_of_another_dbt_are_not_used(shop: Release, tmp_path: Path) -> None:
    """An image with another dbt than the release was built with parses the project."""
    folder = tmp_path / "release"
    shutil.copytree(shop.folder, folder)
    index = folder / "slices" / slices.INDEX
    index.write_text(index.read_text().replace('"dbt": "1.', '"dbt": "0.'))
    done = run_node(Release(folder, shop.env, {}, tmp_path), "model.shop.contracted", "run")
    assert (done.code, done.record.loaded) == (0, "project")
    assert "dbt-core is 1." in done.record.loaded_why


def test_a_release_is_not_written_to(pod: Pod, shop: Release) -> None:
    """A pod's root is read-only: dbt writes below the scratch folder only."""
    before = {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*")}
    pod("model.shop.orders", "build")
    pod("model.shop.orders", "run", select="orders+")
    assert {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*")} == before


def test_many_failing_tests_fit_the_record(shop: Release, tmp_path: Path) -> None:
    """Sixty failing tests: 4,096 bytes, the failing ones first, the rest counted."""
    project = tmp_path / "project"
    shutil.copytree(HERE / "projects" / "shop", project)
    tests = "".join(f"      - name: c{i}\n        data_tests: [not_null]\n" for i in range(60))
    (project / "models" / "wide.yml").write_text(f"models:\n  - name: wide\n    columns:\n{tests}")
    columns = ", ".join(f"null::int as c{i}" for i in range(60))
    (project / "models" / "wide.sql").write_text(f"select {columns}")
    release = make_release(project, tmp_path / "release", shop.env)
    done = run_node(release, "model.shop.wide", "build")
    assert (done.code, done.record.status) == (1, Status.FAIL)
    assert (release.scratch / "message").stat().st_size <= LIMIT
    assert {result.status for result in done.record.results} == {"fail"}
    assert len(done.record.results) + done.record.omitted == 63


def test_building_twice_gives_the_same_bytes(shop: Release, tmp_path: Path) -> None:
    """Whatever the hash seed, the clock and the builder's own environment say."""
    line = {}
    for seed in ("1", "2"):
        shutil.copytree(shop.folder / "project", tmp_path / seed / "project")
        shutil.copytree(shop.folder / "profiles", tmp_path / seed / "profiles")
        env = {**os.environ, "PYTHONHASHSEED": seed, "PG_HOST": f"host-{seed}"}
        command = [sys.executable, "-m", "wherry_runner.build", *build_arguments(tmp_path / seed)]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        line[seed] = json.loads(done.stdout)
    files = {seed: {p.name: p.read_bytes() for p in (tmp_path / seed / "slices").rglob("*.*")} for seed in line}
    assert files["1"] == files["2"]
    assert line["1"] == line["2"] == {**shop.built, "selected": {}}


def test_the_built_line_says_what_was_built(shop: Release) -> None:
    """Versions, the number of nodes, and selectors resolved by dbt itself."""
    assert shop.built["ok"]
    assert shop.built["adapter"]["type"] == "postgres"
    assert shop.built["selected"]["tag:none"] == []
    assert "model.shop.orders" in shop.built["selected"]["orders+"]


def test_a_broken_project_is_refused_in_dbts_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line, exit code 1, and no slices."""
    (tmp_path / "project" / "models").mkdir(parents=True)
    (tmp_path / "project" / "dbt_project.yml").write_text(
        "name: shop\nprofile: shop\nversion: '1.0'\nconfig-version: 2\n"
    )
    (tmp_path / "project" / "models" / "lost.sql").write_text("select * from {{ ref('nothing') }}")
    shutil.copytree(HERE / "projects" / "profiles" / "shop", tmp_path / "profiles")
    assert build.main(build_arguments(tmp_path)) == 1
    line = json.loads(capsys.readouterr().out)
    assert not line["ok"]
    assert "depends on a node named 'nothing' which was not found" in line["error"]
    assert not (tmp_path / "slices").exists()


def test_no_secret_enters_a_release(shop: Release) -> None:
    """What the builder's environment held is not in the files."""
    forms = [SECRET.encode(), SECRET.splitlines()[1].encode()]
    files = [path for path in shop.folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files for form in forms if form in path.read_bytes()]


def build_arguments(folder: Path) -> list[str]:
    """Return the arguments that build the release of a folder in place."""
    places = {"project": folder / "project", "profiles": folder / "profiles", "out": folder, "target": "prod"}
    return [word for name, value in places.items() for word in (f"--{name}", str(value))]
