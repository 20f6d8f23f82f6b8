"""The runner's pure parts: what is transient, what is masked, what a slice can answer, what the diet relies on."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from wherry_runner import main
from wherry_runner.classify import classify, classify_error, is_transient
from wherry_runner.invoke import Run, merge_comment
from wherry_runner.mask import MaskedStream, Masker
from wherry_runner.report import write_record
from wherry_runner.request import Request, read_request, why_not_slice
from wherry_runner.signals import Interrupter
from wherry_runner.slices import LazyGraph, pack, unpack

from wherry.results.codec import NodeResult, Record, Status, as_line, encode, of_line


@pytest.mark.parametrize(
    "message",
    [
        "Database Error\n  250001: Could not connect to Snowflake backend after 2 attempt(s).Aborting",
        "Database Error in model x\n  390114 (08001): Authentication token has expired. Log in again.",
        "000625 (57014): Statement '01b' has locked table 'T' in transaction 1.",
        "290503 (08001): 503 Service Unavailable: Will be retried",
        'connection to server at "10.0.0.1", port 5432 failed: Connection refused',
        "could not connect to server: Connection timed out",
        "FATAL:  terminating connection due to administrator command",
        "FATAL:  sorry, too many clients already",
        "could not serialize access due to concurrent update",
        "deadlock detected\nDETAIL:  Process 1 waits for ShareLock",
        "server closed the connection unexpectedly",
        'could not translate host name "db" to address: Temporary failure in name resolution',
        "error (40001): try again",
        "HTTP status 429",
        'duplicate key value violates unique constraint "pg_namespace_nspname_index"',
    ],
)
def test_outages_are_transient(message: str) -> None:
    """An outage, a lock or an expired session may have passed in a minute."""
    assert is_transient(message)


@pytest.mark.parametrize(
    "message",
    [
        "250001 (08001): None: Failed to connect to DB: acme. Incorrect username or password was specified.",
        'FATAL:  password authentication failed for user "x"',
        "002003 (42S02): SQL compilation error: Object 'X' does not exist or not authorized.",
        "000604 (57014): SQL execution canceled",
        "division by zero",
        'duplicate key value violates unique constraint "orders_pkey"',
        'relation "x_503" does not exist',
        "Got 429 results, configured to fail if != 0",
        "canceling statement due to statement timeout",
        "",
    ],
)
def test_mistakes_are_not(message: str) -> None:
    """Trying again changes nothing, and a refused login may lock the account."""
    assert not is_transient(message)


def result(status: str, message: str = "") -> NodeResult:
    """Return a result."""
    return NodeResult("model.shop.x", status, message=message)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], Status.SUCCESS),
        ([result("success"), result("pass"), result("no-op")], Status.SUCCESS),
        ([result("success"), result("warn")], Status.WARN),
        ([result("warn"), result("fail")], Status.FAIL),
        ([result("fail"), result("error", "division by zero")], Status.ERROR),
        ([result("error", "Connection refused"), result("skipped")], Status.TRANSIENT),
        ([result("error", "Connection refused"), result("fail")], Status.FAIL),
        ([result("error", "Connection refused"), result("error", "bad SQL")], Status.ERROR),
        ([result("partial success")], Status.ERROR),
        ([result("skipped")], Status.ERROR),
    ],
)
def test_a_run_is_as_bad_as_its_worst_cause(results: list[NodeResult], status: Status) -> None:
    """Only if nothing but outages went wrong is a retry worth it."""
    assert classify(results) is status


@pytest.mark.parametrize(
    ("kind", "message", "status"),
    [
        ("KeyboardInterrupt", "", Status.CANCELLED),
        ("DbtDatabaseError", "Connection refused", Status.TRANSIENT),
        ("DbtUsageException", "no such option", Status.BROKEN),
        ("ParsingError", "Env var required but not provided: 'X'", Status.BROKEN),
        ("CompilationError", "x", Status.ERROR),
    ],
)
def test_exceptions_have_causes_too(kind: str, message: str, status: Status) -> None:
    """dbt gave up before or between nodes."""
    assert classify_error(kind, message) is status


def test_all_forms_of_a_secret_are_masked() -> None:
    """Raw, JSON-escaped, URL-quoted, base64, and a key's lines one by one."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nsecondlineofthekey/+==\n-----END PRIVATE KEY-----\n"
    mask = Masker(
        {"DBT_ENV_SECRET_PRIVATE_KEY": key, "DB_PASSWORD": 'p@ss/"w0rd"', "FLAG_KEY": "true", "PIN_KEY": "12"}
    )
    for value in (key, 'p@ss/"w0rd"'):
        forms = [
            value,
            json.dumps(value),
            quote(value, safe=""),
            base64.b64encode(value.encode()).decode(),
            repr(value),
        ]
        for form in forms:
            masked = mask(f"before {form} after")
            assert "*****" in masked
            assert not any(part in masked for part in ("p@ss", "MIIE", "secondline", "w0rd"))
    assert mask("  MIIEvQIBADANBgkqhkiG9w0BAQ\n") == "  *****\n"
    assert mask("true 12 -----BEGIN PRIVATE KEY-----") == "true 12 -----BEGIN PRIVATE KEY-----"
    assert Masker({})("as it is") == "as it is"


def test_a_masked_stream_is_a_stream() -> None:
    """Libraries ask streams for more than write."""
    inner = io.StringIO()
    stream = MaskedStream(inner, Masker({"A_TOKEN": "abcdef"}))
    print("x abcdef y", file=stream)
    assert inner.getvalue() == "x ***** y\n"
    print(as_line(encode(Record(Status.SUCCESS))), end="", file=stream)
    assert of_line(inner.getvalue().splitlines()[1]) is None, "only the runner itself tells a record"
    stream.writelines(["abcdef\n"])
    assert inner.getvalue().endswith("\n*****\n")
    assert not stream.isatty()


def asked(*args: str, node: str = "model.shop.x") -> Request:
    """Return a request."""
    return Request(Path("/r"), args, node, "", Path("/s"))


@pytest.mark.parametrize(
    "args",
    [
        ("run", "--select", "fqn:shop.marts.x"),
        ("build", "-s", "x", "--full-refresh", "--threads", "2"),
        ("test", "--models", "x", "--exclude", "fqn:shop.t1", "t2"),
        ("source", "freshness", "--select", "source:raw.events"),
        ("run", "--select=fqn:shop.x", "--indirect-selection", "cautious"),
        ("run", "--select", "fqn:shop.mart[s]"),
    ],
)
def test_a_slice_answers_the_selection_of_its_node(args: tuple[str, ...]) -> None:
    """What Cosmos sends for one node."""
    assert why_not_slice(asked(*args)) == ""


@pytest.mark.parametrize(
    "args",
    [
        ("run",),
        ("run", "--select", "x+"),
        ("run", "--select", "tag:x"),
        ("run", "--select", "x", "y"),
        ("run", "--select", "x", "--select", "y"),
        ("run", "--select", "x,y"),
        ("run", "--select", "x*"),
        ("run", "--select", "fqn:shop.[a-z]"),
        ("run", "--select", "x", "--defer"),
        ("run", "--select", "x", "--vars", "{a: 1}"),
        ("run", "--selector", "x"),
        ("docs", "generate"),
        ("run-operation", "x"),
    ],
)
def test_anything_else_needs_the_project(args: tuple[str, ...]) -> None:
    """And says what it was."""
    assert why_not_slice(asked(*args))
    assert why_not_slice(asked("run", "--select", "x", node="")) == "no single node was asked for"


def test_the_scratch_folder_has_defaults(tmp_path: Path) -> None:
    """A pod says where; outside of one, the usual place for temporary files serves."""
    for folder in ("project", "profiles"):
        (tmp_path / folder).mkdir()
    assert read_request(["run"], {"WHERRY_RELEASE": str(tmp_path), "TMPDIR": "/there"}).scratch == Path("/there")


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ('{"app": "dbt", "node": "x"}', '{"app":"dbt","node":"n\\u0025 *\\/"}'),
        ("", '{"node":"n\\u0025 *\\/"}'),
        ("by hand", '{"node": "n "} by hand'),
    ],
)
def test_comments_are_merged(own: str, text: str) -> None:
    """One JSON object where both are; nothing in it ends the comment or reads as a driver's placeholder."""
    assert merge_comment('{"node": "n% */"}', own) == text
    assert "%" not in text
    assert "*/" not in text


def test_dates_survive_packing() -> None:
    """dbt's meta may hold what YAML calls a date."""
    from datetime import date, datetime

    data = {"d": date(2026, 1, 2), "t": datetime(2026, 1, 2, 3, 4), "p": Path("x"), 1: "one"}
    assert unpack(pack(data)) == {**data, "p": "x"}


def test_the_graph_is_read_at_the_first_look(tmp_path: Path) -> None:
    """However a macro looks at it, once."""
    (tmp_path / "g").write_bytes(pack({"nodes": {"a": 1}, "sources": {}}))
    looks = [len, list, lambda g: g["nodes"], lambda g: g.get("nodes"), lambda g: "nodes" in g, lambda g: g.keys()]
    looks += [lambda g: g.values(), lambda g: g.items()]
    for look in looks:
        read: list[int] = []
        graph = LazyGraph(tmp_path / "g", lambda read=read: read.append(1))
        assert read == []
        assert look(graph)
        assert graph["nodes"] == {"a": 1}
        assert read == [1]
        with pytest.raises(KeyError):
            graph["nope"]


def test_a_record_that_cannot_be_written_is_no_disaster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code still tells the cause; outside of a pod nothing is written."""
    write_record(Record(Status.SUCCESS), Masker({}), {"TERMINATION_MESSAGE_PATH": str(tmp_path)})
    assert "could not be written" in capsys.readouterr().err
    if not Path("/dev/termination-log").exists():
        assert write_record(Record(Status.SUCCESS), Masker({}), {}) == b""


def test_a_start_imports_what_it_needs() -> None:
    """Counts, not seconds: no child process, no schema builder, no other adapter, no parser of semantic manifests."""
    program = (
        "import sys, json, time, wherry_runner.main as m; m._import_dbt(m.Stopwatch());"
        "import multiprocessing.resource_tracker as t; from dbt.contracts.graph.manifest import Manifest; Manifest();"
        "from wherry_runner import later;"
        "loaded = [name for name in sys.modules if not later.stands_in(name)];"
        "print(json.dumps([loaded, t._resource_tracker._pid]))"
    )
    env = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "0"}
    modules, tracker = json.loads(
        subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True).stdout
    )
    assert tracker is None
    for name in (
        "mashumaro.jsonschema.builder",
        "mashumaro.jsonschema.schema",
        "snowflake.connector",
        "psycopg2",
        "boto3",
    ):
        assert name not in modules
    assert len(modules) < 1000


def test_the_diet_keeps_what_dbt_answers() -> None:
    """Stored schemas are those that dbt builds, unknown ones are built; a flag's source is found as dbt would."""
    from dbt.adapters.factory import FACTORY
    from dbt_common.behavior_flags import BehaviorFlagRendered
    from dbt_common.dataclass_schema import ValidationError, dbtClassMixin
    from wherry_runner import diet

    FACTORY.load_plugin("postgres")
    kept = dbtClassMixin.__dict__["json_schema"], BehaviorFlagRendered.__dict__["_default_source"]
    try:
        schemas = diet.schemas()
        diet.use_schemas({name: json.loads(json.dumps(schema)) for name, schema in schemas.items()})
        from dbt.contracts.graph.unparsed import UnparsedGroup
        from dbt.contracts.project import ProfileConfig

        assert ProfileConfig.json_schema() == schemas[diet.schema_name(ProfileConfig)]
        with pytest.raises(ValidationError):
            ProfileConfig.validate({"threads": "many"})
        assert UnparsedGroup.json_schema()["properties"]
        diet.after_import()
        flag = BehaviorFlagRendered({"name": "x", "default": True, "description": "d"}, {})
        assert flag._behavior_change_event.flag_source == __name__
    finally:
        dbtClassMixin.json_schema, BehaviorFlagRendered._default_source = kept


@pytest.mark.parametrize(
    ("kind", "executed", "lack"),
    [("IndexError", False, "IndexError: x"), ("IndexError", True, ""), ("DbtRuntimeError", False, "")],
)
def test_a_slice_at_which_dbt_is_at_a_loss(kind: str, executed: bool, lack: str) -> None:
    """An error of dbt's own code gives way to the project while nothing was sent; a user's mistake stays one."""
    assert main._lack(Run(False, (), kind, "x", executed=executed)) == lack


def test_a_process_that_is_being_ended_writes_no_other_record() -> None:
    """Who gives up holds the process's end: nobody comes to the point of writing over its record."""
    giving_up, go_on, disarmed = threading.Event(), threading.Event(), threading.Event()
    with Interrupter(lambda: None, lambda: giving_up.set() or go_on.wait(10)) as interrupter:
        interrupter.arm()
        with pytest.raises(KeyboardInterrupt):
            terminate()
        terminate()
        assert giving_up.wait(10)
        other = threading.Thread(target=lambda: interrupter.disarm() or disarmed.set())
        other.start()
        assert not disarmed.wait(0.2)
        go_on.set()
        assert disarmed.wait(10)


def test_a_signal_that_comes_too_late_ends_nothing() -> None:
    """The work is done: its record is the last word."""
    given_up: list[bool] = []
    with Interrupter(lambda: None, lambda: given_up.append(True)) as interrupter:
        interrupter.arm()
        interrupter.disarm()
        terminate()
        terminate()
        time.sleep(0.3)
    assert not given_up


def terminate() -> None:
    """Send this process a TERM, and wait until Python has handled it."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.05)
