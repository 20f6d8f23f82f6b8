"""The pod's PID 1: from arguments and environment to an exit code and a result record."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NoReturn

from wherry.results.codec import EXIT_CODES, Record, Status, as_line
from wherry_runner import diet, signals, slices, waiting
from wherry_runner.classify import classify, classify_error
from wherry_runner.mask import MaskedStream, Masker
from wherry_runner.report import Stopwatch, cpu_seconds, peak_memory_mb, write_record
from wherry_runner.request import Request, UsageError, read_request, why_not_slice
from wherry_runner.signals import Interrupter

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

    from wherry_runner.invoke import Listener, Run

# What dbt's own code raises over a slice that isn't as it expects: its words for a user's mistake are other classes.
_AT_A_LOSS: Final = {
    *("GraphDependencyNotFoundError", "DbtInternalError"),
    *("KeyError", "IndexError", "AttributeError", "TypeError", "AssertionError"),
}
_LOOKUP_FAILED: Final = re.compile(
    r"which was not found|not found in manifest|Found dependency not in graph|Graph dependency"
)


@dataclass
class Progress:
    """What is known so far: the record of a pod that is stopped half-way is made of it."""

    clock: Stopwatch = field(default_factory=Stopwatch)
    node: str = ""
    adapter: str = ""
    loaded: str = ""
    why: str = ""
    listener: Listener | None = None

    def record(self, status: Status, message: str = "", run: Run | None = None) -> Record:
        """Return the record of the work as it stands."""
        timings = self.clock.total()
        results = tuple(self.listener.results) if self.listener else ()
        if self.listener:
            timings["connect"] = self.listener.connect_seconds
            timings["query"] = self.listener.query_seconds - self.listener.connect_seconds
        return Record(
            status=status,
            node=self.node,
            results=results if run is None else run.results,
            message=message,
            timings=timings,
            loaded=self.loaded,
            loaded_why=self.why,
            peak_memory_mb=peak_memory_mb(),
            cpu_seconds=cpu_seconds(),
            dbt=version("dbt-core"),
            adapter=self.adapter,
            began=round(self.clock.began, 3),
        )


def main() -> NoReturn:
    """Run, report, and leave without the interpreter's tear-down, which costs a tenth of a second and may hang.

    Signals interrupt only while dbt works (see `Interrupter`): one that came before does then, one that comes after the
    record is written changes nothing, the exit code least of all.
    """
    signals.hold()
    os.dup2(1, 2)  # two streams have no order; the record's line is the last
    args = sys.argv[1:]
    code = _run_what_comes(args[1:]) if args[:1] == [waiting.VERB] else run(args, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_what_comes(args: Sequence[str]) -> int:
    """Wait for a node's work, and do it as if the pod had been made for it. The node's time begins when it has come."""
    data, clock = waiting.wait(args, os.environ), Stopwatch(age=0.0)
    try:
        work = waiting.read_work(data)
    except UsageError as error:
        write_record(Progress(clock).record(Status.BROKEN, str(error)), Masker(os.environ), os.environ)
        return EXIT_CODES[Status.BROKEN]
    os.environ.update(work.env)
    return run(work.args, os.environ, clock)


def run(args: Sequence[str], env: Mapping[str, str], clock: Stopwatch | None = None) -> int:
    """Do what the arguments and the environment ask for, write the record, return the exit code."""
    mask = Masker(env)
    progress = Progress(clock or Stopwatch(), node=env.get("WHERRY_NODE", ""))
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = MaskedStream(stdout, mask), MaskedStream(stderr, mask)

    def give_up() -> None:
        write_record(progress.record(Status.CANCELLED, "cancelled; dbt didn't stop in time"), mask, env)
        os._exit(EXIT_CODES[Status.CANCELLED])

    try:
        with Interrupter(_cancel_queries, give_up) as interrupter:
            record = _interruptible(interrupter, args, env, progress)
            if interrupter.signalled and record.status not in {Status.SUCCESS, Status.WARN}:
                record = replace(record, status=Status.CANCELLED, message=record.message or "cancelled")
            written, code = write_record(record, mask, env), EXIT_CODES[record.status]
            if record.message:
                print(f"wherry-runner: {record.status}: {record.message}", file=sys.stderr)
            if written and code == 0:
                stdout.write(as_line(written))
            return code
    finally:
        sys.stdout, sys.stderr = stdout, stderr


def _interruptible(interrupter: Interrupter, args: Sequence[str], env: Mapping[str, str], progress: Progress) -> Record:
    """Return the record of the pod's work, which a signal may end."""
    try:
        interrupter.arm()
        record = _work(args, env, progress)
        interrupter.disarm()
    except KeyboardInterrupt:  # there is no second one
        interrupter.disarm()
        return progress.record(Status.CANCELLED, "cancelled")
    return record


def _work(args: Sequence[str], env: Mapping[str, str], progress: Progress) -> Record:
    """Return the record of the pod's work, whatever goes wrong in it."""
    try:
        request = read_request(args, env)
        index = slices.read_index(request.slices)
        progress.adapter = f"{index.adapter} {version(f'dbt-{index.adapter}')}"
        if missing := [name for name in index.needs if name not in env]:
            raise UsageError(f"{', '.join(missing)}: not set, expected from the team's Secret (profiles.yml reads it)")
        done = _run_dbt(request, index, env, progress)
        status, message = _judge(request, done)
        return progress.record(status, message, done)
    except (UsageError, slices.BadReleaseError) as error:
        return progress.record(Status.BROKEN, str(error))
    except Exception as error:
        return progress.record(Status.ERROR, f"{type(error).__name__}: {error}")


def _run_dbt(request: Request, index: slices.Index, env: Mapping[str, str], progress: Progress) -> Run:
    """Run dbt on the node's slice; on the project where a slice can't serve, or failed to before anything was run."""
    manifest = _load(request, index, env, progress)
    done = _invoke(request, index.target, manifest, progress)
    if manifest is not None and (lack := _lack(done)):
        progress.loaded, progress.why = "project", f"the slice lacked something: {lack}"
        print(f"wherry-runner: {progress.why}; parsing the project")
        done = _invoke(request, index.target, None, progress)
    return done


def _load(request: Request, index: slices.Index, env: Mapping[str, str], progress: Progress) -> Manifest | None:
    """Return the manifest of the node's slice, or None, with the reason in `progress`, where dbt must parse."""

    def graph_was_read() -> None:
        progress.why = "a macro read the whole graph"

    gc.disable()  # importing dbt makes a million objects that stay
    try:
        if why := why_not_slice(request):
            raise slices.NoSliceError(why)
        found = slices.read_slice(request.slices, request.node, index, env)
        _import_dbt(progress.clock)
        manifest = slices.load(request.slices, found, index, graph_was_read)
        progress.loaded = "slice"
    except slices.NoSliceError as reason:
        _import_dbt(progress.clock)
        progress.loaded, progress.why = "project", str(reason)
        manifest = None
    finally:
        gc.freeze()
        gc.enable()
    progress.clock.stop("load")
    print(f"wherry-runner: dbt {request.verb} {request.node} from its {progress.loaded} {progress.why}".rstrip())
    return manifest


def _import_dbt(clock: Stopwatch) -> None:
    diet.before_import()
    import dbt.cli.main  # noqa: F401

    diet.after_import()
    clock.stop("import")


def _invoke(request: Request, target: str, manifest: Manifest | None, progress: Progress) -> Run:
    from wherry_runner.invoke import Listener, run_dbt

    progress.listener = Listener(request.tag)
    try:
        return run_dbt(request, target, manifest, progress.listener)
    finally:
        progress.clock.stop("run")


def _lack(done: Run) -> str:
    """Return what a slice lacked, if running the project instead is safe: nothing was sent to the warehouse."""
    if done.executed:
        return ""
    if done.success and not done.results:
        return "nothing was selected"
    if done.error_kind in _AT_A_LOSS:
        return f"{done.error_kind}: {done.error}"
    failed = next((result.message for result in done.results if _LOOKUP_FAILED.search(result.message)), "")
    return failed or (done.error if _LOOKUP_FAILED.search(done.error) else "")


def _judge(request: Request, done: Run) -> tuple[Status, str]:
    """Return the status of a run and the message that a person should read first."""
    if done.error_kind:
        return classify_error(done.error_kind, done.error), done.error
    untested = request.verb == "test" and not request.node.startswith(("test.", "unit_test."))
    if not done.results and request.node and not untested:
        return Status.BROKEN, f"dbt {request.verb} selected nothing: {' '.join(request.args)}"
    status = _freshness(classify(done.results), request)
    if not done.success and status in {Status.SUCCESS, Status.WARN}:
        status = Status.ERROR
    bad = [result for result in done.results if result.status in {"error", "runtime error", "fail", "partial success"}]
    return status, bad[0].message if bad else ""


def _freshness(status: Status, request: Request) -> Status:
    """Return the status of a freshness check: what dbt calls "error" is a source that is too old, a failed test."""
    return Status.FAIL if status is Status.ERROR and request.verb == "source freshness" else status


def _cancel_queries() -> None:
    from wherry_runner.invoke import cancel_queries

    cancel_queries()
