"""The result record survives its journey through a container's termination message, and nothing else passes for one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.results import codec
from wherry.results.codec import EXIT_CODES, LIMIT, NodeResult, Record, RecordError, Status, as_dict, decode, encode

ALPHABETS = (
    "abc xyz",
    "äöüß€",
    "漢字かな",
    "🙂🚣‍♀️👩‍👩‍👧‍👦",
    '"\\/\b\f\n\r\t',
    "\x00\x01\x1f\x7f\x1b[31m",
    "\ud800\udfff",
    'a"é🙂\n\x00\ud83d',
)
WORDS = ("success", "pass", "warn", "fail", "error", "skipped", "runtime error", "no-op")


def test_a_record_survives_as_a_line() -> None:
    """One line, whatever its texts hold; any other line tells none."""
    record = Record(Status.SUCCESS, node="model.shop.é", message="two\nlines\x1f\u2028")
    line = codec.as_line(encode(record))
    assert line.count("\n") == 1
    assert codec.of_line(line.rstrip("\n")) == decode(encode(record))
    for other in ("", "wherry-runner: {}", line[1:], f" {line}", f"{codec.MARK}wherry-runner: {{}}", line[:-5]):
        assert codec.of_line(other) is None


def text(dice: random.Random, longest: int) -> str:
    """Return a text of one alphabet, some of them hostile."""
    alphabet = dice.choice(ALPHABETS)
    return "".join(dice.choice(alphabet) for _ in range(dice.choice((0, 1, 40, longest))))


def any_result(dice: random.Random) -> NodeResult:
    """Return a result in which anything may be too long, odd or out of range."""
    return NodeResult(
        unique_id=text(dice, 1500),
        status=dice.choice((*WORDS, text(dice, 300))),
        seconds=dice.choice((0.0, 1.25, 1e300, float("nan"), float("inf"))),
        rows=dice.choice((None, 0, -1, 10**400)),
        failures=dice.choice((None, 0, 7)),
        message=text(dice, 9000),
        query_id=dice.choice((None, text(dice, 500))),
        adapter_response=text(dice, 5000),
    )


def any_record(seed: int) -> Record:
    """Return the record of this seed, the same on every run."""
    dice = random.Random(seed)
    return Record(
        status=dice.choice(list(Status)),
        node=text(dice, 2000),
        results=tuple(any_result(dice) for _ in range(dice.choice((0, 1, 3, 60)))),
        message=text(dice, 20_000),
        timings={text(dice, 90): dice.random() for _ in range(dice.choice((0, 5, 40)))},
        loaded=text(dice, 200),
        loaded_why=text(dice, 3000),
        peak_memory_mb=dice.choice((0, 150, 10**30)),
        cpu_seconds=dice.choice((0.0, 2.5, float("-inf"))),
        dbt=text(dice, 100),
        adapter=text(dice, 100),
        omitted=dice.choice((0, 3)),
    )


SMALL = Record(
    status=Status.FAIL,
    node="model.shop.orders",
    results=(
        NodeResult("model.shop.orders", "success", 0.125, rows=3, query_id="01b2", adapter_response="SELECT 3"),
        NodeResult("test.shop.unique_orders", "fail", 0.5, failures=2, message='Got 2 results 🙂 "x"'),
    ),
    message="1 of 2 failed",
    timings={"boot": 0.1, "total": 2.0},
    loaded="slice",
    peak_memory_mb=140,
    cpu_seconds=2.5,
    dbt="1.11.16",
    adapter="postgres 1.11.0",
)


@pytest.mark.parametrize("seed", range(60))
def test_any_record_fits_is_valid_and_can_be_read(seed: int) -> None:
    """Whatever dbt said, 4,096 bytes of valid UTF-8 JSON come out, and decode reads them."""
    record = any_record(seed)
    data = encode(record)
    assert len(data) <= LIMIT
    json.loads(data.decode("utf-8", "strict"))
    read = decode(data)
    assert read.status is record.status
    assert len(read.results) + read.omitted == len(record.results) + record.omitted


def test_a_small_record_comes_back_as_it_was() -> None:
    """Nothing is lost where everything fits, from bytes and from text."""
    assert decode(encode(SMALL)) == SMALL
    assert decode(encode(SMALL).decode()) == SMALL


def test_the_bytes_of_a_record_are_a_fixed_point() -> None:
    """What was cut once is not cut again."""
    once = encode(any_record(7))
    assert encode(decode(once)) == once


@pytest.mark.parametrize("character", ["a", "é", "漢", "🙂", '"', "\\", "\n", "\x00"])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_message_is_cut_between_characters_and_fills_the_room(character: str, shift: int) -> None:
    """The limit is used to the last bytes and no character is halved."""
    data = encode(replace(SMALL, message="x" * shift + character * 5000))
    assert LIMIT - 12 <= len(data) <= LIMIT
    message = decode(data).message
    assert message.endswith("…")
    assert set(message[shift:-1]) == {"\ufffd" if character == "\x00" else character}


def test_texts_are_cut_before_results_are_left_out() -> None:
    """Ten results with long messages all stay, each with a part of its message."""
    results = tuple(NodeResult(f"test.shop.t{i}", "fail", message="é" * 2000) for i in range(10))
    read = decode(encode(Record(Status.FAIL, results=results)))
    assert (len(read.results), read.omitted) == (10, 0)
    assert all(len(result.message) > 70 for result in read.results)


def test_failing_results_are_kept_first_and_the_rest_is_counted() -> None:
    """With hundreds of results the failing ones stay, then the pod's own node, in dbt's order."""
    passing = [NodeResult(f"test.shop.pass_{i}", "pass") for i in range(300)]
    failing = [NodeResult(f"test.shop.fail_{i}", "fail", failures=1, message="Got 1 result") for i in range(5)]
    own = NodeResult("model.shop.orders", "success", rows=9)
    everything = (*passing[:150], own, *passing[150:], *failing)
    read = decode(encode(Record(Status.FAIL, node="model.shop.orders", results=everything)))
    assert read.results[-5:] == tuple(failing)
    assert own in read.results
    assert len(read.results) + read.omitted == len(everything)
    assert 10 < len(read.results) < 200


def test_what_was_omitted_before_is_still_counted() -> None:
    """A record that is cut twice adds up."""
    results = tuple(NodeResult(f"test.shop.{'t' * 60}_{i}", "fail") for i in range(200))
    read = decode(encode(Record(Status.FAIL, results=results, omitted=4)))
    assert read.omitted == 4 + 200 - len(read.results)


def test_a_smaller_limit_is_kept_and_a_senseless_one_refused() -> None:
    """The limit is the caller's; one in which no record fits is a mistake."""
    assert len(encode(any_record(3), limit=2048)) <= 2048
    with pytest.raises(ValueError, match="at least 2048"):
        encode(SMALL, limit=100)


@pytest.mark.parametrize("size", range(0, len(encode(SMALL)), 7))
def test_a_truncated_record_is_refused(size: int) -> None:
    """What the kubelet or a crash cut is no record."""
    with pytest.raises(RecordError):
        decode(encode(SMALL)[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"\x00" * 10,
        "null",
        "[]",
        '"x"',
        "1",
        "{}",
        '{"v":2,"status":"fail"}',
        '{"v":true,"status":"fail"}',
        '{"v":1}',
        '{"v":1,"status":"great"}',
        '{"v":1,"status":["fail"]}',
        '{"v":1,"status":"fail","node":7}',
        '{"v":1,"status":"fail","node":null}',
        '{"v":1,"status":"fail","node":"\\u0000"}',
        '{"v":1,"status":"fail","node":"\\ud800"}',
        '{"v":1,"status":"fail","results":{}}',
        '{"v":1,"status":"fail","results":[1]}',
        '{"v":1,"status":"fail","results":[{}]}',
        '{"v":1,"status":"fail","results":[{"unique_id":"x","status":"y","rows":"3"}]}',
        '{"v":1,"status":"fail","results":[{"unique_id":"x","status":"y","rows":true}]}',
        '{"v":1,"status":"fail","timings":[]}',
        '{"v":1,"status":"fail","timings":{"a":"b"}}',
        '{"v":1,"status":"fail","timings":{"a":NaN}}',
        '{"v":1,"status":"fail","cpu_seconds":1e999}',
        '{"v":1,"status":"fail","omitted":1.5}',
        '{"v":1,"status":"fail","omitted":' + "9" * 30 + "}",
        '{"v":1,"status":"fail","omitted":' + "9" * 6000 + "}",
        "[" * 60_000,
        '{"v":1,"status":"fail","message":"' + "x" * 70_000 + '"}',
        "Traceback (most recent call last):\n  ...",
    ],
)
def test_anything_else_is_refused(data: bytes | str) -> None:
    """A hostile or broken pod can make the reader say no, and nothing else."""
    with pytest.raises(RecordError):
        decode(data)


def test_random_bytes_never_do_more_than_be_refused() -> None:
    """Flipped bytes of a true record give a record or a RecordError, no other exception."""
    dice = random.Random(1)
    original = encode(SMALL)
    for _ in range(500):
        data = bytearray(original)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            decode(bytes(data))
        except RecordError:
            continue


def test_unknown_keys_are_ignored() -> None:
    """A newer runner may say more than this reader knows."""
    assert decode('{"v":1,"status":"success","more":[1]}') == Record(Status.SUCCESS)


def test_as_dict_is_plain_json() -> None:
    """The operator hands the record on as XCom and stores it."""
    assert json.loads(json.dumps(as_dict(SMALL)))["results"][1]["failures"] == 2


def test_every_status_has_an_exit_code() -> None:
    """The exit code tells the cause also where the record got lost."""
    assert set(EXIT_CODES) == set(Status)
    assert {status for status, code in EXIT_CODES.items() if code == 0} == {Status.SUCCESS, Status.WARN}


def test_the_module_needs_the_standard_library_only(tmp_path: Path) -> None:
    """The runner's wheel carries this one file: it must import where nothing else of wherry is."""
    copy = tmp_path / "lonely.py"
    copy.write_text(Path(codec.__file__).read_text())
    done = subprocess.run([sys.executable, "-I", "-S", copy], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
