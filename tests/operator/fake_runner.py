"""Stands in for the runner: does what the STEPS of its image say, one after the other, and reports with the real codec.

STEPS_<n> counts for try n. A step is `word` or `word:argument`. Told to wait, it does so by the runner's own code.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from wherry.results.codec import EXIT_CODES, NodeResult, Record, Status, as_line, encode

if sys.argv[1:2] == ["wait"]:
    sys.path.append(str(Path(__file__).parents[2] / "images/dbt-runner/src"))
    from wherry_runner import waiting

    waiting._get_ready = lambda _: None  # dbt isn't here
    work = waiting.read_work(waiting.wait(sys.argv[2:], os.environ))
    os.environ.update(work.env)
    sys.argv[1:] = work.args
NODE = os.environ["WHERRY_NODE"]
BALLAST = []


def tell(word: str) -> None:
    """Report by the log."""
    sys.stdout.write(as_line(report(word)))
    sys.stdout.flush()


def report(word: str) -> bytes:
    """Write the record; `status` or `status=message`."""
    name, _, message = word.partition("=")
    status = Status(name)
    results = (NodeResult(NODE, name, seconds=0.1, rows=3, message=message),) if message else ()
    path = Path(os.environ.get("TERMINATION_MESSAGE_PATH", "/dev/termination-log"))
    data = encode(Record(status, node=NODE, results=results, message=message, timings={"run": 0.1}))
    path.write_bytes(data)
    return data


def finish(word: str) -> None:
    """Report and leave by the codec's exit code."""
    report(word)
    sys.stdout.flush()
    os._exit(EXIT_CODES[Status(word.partition("=")[0])])


def on_term(*_: object) -> None:
    """Cancel as the runner does: it takes a moment, then it is told."""
    time.sleep(float(os.environ.get("CANCEL_SECONDS", "0.2")))
    print("query cancelled", flush=True)
    trace("cancelled")
    finish("cancelled")


def trace(word: str) -> None:
    """Leave a line in the file that the test reads."""
    with Path(os.environ["TRACE"]).open("a") as file:
        file.write(f"{os.environ['WHERRY_TRY']} {word}\n")


def wait_for(path: str) -> None:
    """Wait until the test makes the file."""
    while not Path(path).exists():
        time.sleep(0.02)


def allocate(size: str) -> None:
    """Take so many MiB."""
    BALLAST.append(bytearray(os.urandom(2**20)) * int(size))


STEPS = {
    "print": lambda text: print(text, flush=True),
    "count": lambda n: [print(f"line {i}", flush=i % 7 == 0) for i in range(int(n))],
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "wait": wait_for,
    "allocate": allocate,
    "report": report,
    "tell": tell,
    "finish": finish,
    "exit": lambda code: (sys.stdout.flush(), os._exit(int(code))),
    "garbage": lambda text: Path(os.environ["TERMINATION_MESSAGE_PATH"]).write_text(text),
    "environ": lambda _: print(json.dumps(dict(os.environ)), flush=True),
    "args": lambda _: print(json.dumps(sys.argv[1:]), flush=True),
    "slowly": lambda n: [(print(f"line {i}", flush=True), time.sleep(0.01)) for i in range(int(n))],
}

signal.signal(signal.SIGTERM, on_term)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # the runner's `wait` holds it
trace("began")
for step in json.loads(os.environ.get(f"STEPS_{os.environ['WHERRY_TRY']}", os.environ["STEPS"])):
    name, _, argument = step.partition(":")
    STEPS[name](argument)
sys.stdout.flush()
