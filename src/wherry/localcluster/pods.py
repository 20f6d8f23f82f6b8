"""The life of pods: one `PodRun` a pod, from Pending to its end, and the `Pods` that keeps them."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from wherry.localcluster import keeper, status
from wherry.localcluster.command import Command, ConfigError, make_command
from wherry.localcluster.errors import ApiError, Json
from wherry.localcluster.events import Events
from wherry.localcluster.faults import Fault, PodFault, concerns
from wherry.localcluster.images import Image, ImageError, find_image
from wherry.localcluster.logs import PodLog
from wherry.localcluster.process import MemoryWatch, Process
from wherry.localcluster.quota import TERMINAL, quantity
from wherry.localcluster.status import DEADLINE, DELETED, EVICTED, NODE_LOST, OOM_KILLED, Ending, Exit
from wherry.localcluster.store import Collection, Store, timestamp
from wherry.localcluster.templates import Templates
from wherry.localcluster.volumes import fill

_log_to = logging.getLogger(__name__)
T = TypeVar("T")
MESSAGE_LIMIT = 4096
_RETRY = (0.5, 1, 2, 5, 10)  # seconds between tries to find an image or a Secret that is missing
_SWEEP_EVERY = 0.3  # seconds
_LOST_FOR = 1.0  # seconds between a node's loss, the deletion of its pods, and their removal


class PodRun:
    """One pod's life. It ends by itself, or because `end` is called."""

    def __init__(self, pods: "Pods", pod: Json, faults: tuple[PodFault, ...]) -> None:
        self.pods = pods
        self.pod = pod
        self.faults = {fault.kind: fault.seconds for fault in faults}
        self.folder = pods.folder / pod["metadata"]["uid"]
        self.ending: Ending | None = None
        self.process: Process | None = None
        self._preparing: asyncio.Task[Process | None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._began: float | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def end(self, ending: Ending) -> None:
        """Bring the pod to an end; the first reason stays, a shorter grace wins."""
        self.ending = self.ending or ending
        if self.process:
            if ending.reason in (DELETED, DEADLINE, EVICTED):
                self.pods.events.record(self.pod, "Killing", f"Stopping container {self._container['name']}")
            self.process.terminate(ending.grace)
        elif self._preparing:
            self._preparing.cancel()

    def hit(self, fault: PodFault) -> None:
        """Let a fault befall this pod, once it runs."""
        self.faults[fault.kind] = fault.seconds
        if self.process:
            self._arm(fault.kind, fault.seconds)

    def changed(self, pod: Json) -> None:
        """Take over what somebody has changed: what its metadata says in files, its deadline."""
        self.pod = pod
        if self.process:
            fill(self.folder, pod)
        if self._began is not None:
            self._set_deadline()

    async def run(self) -> None:
        """Live."""
        self._preparing = asyncio.create_task(self._prepare())
        try:
            await asyncio.wait({self._preparing})
            if self._preparing.cancelled():
                self._set(status.never_started(self.pod, self.ending or Ending(DELETED)))
                return
            if process := self._preparing.result():
                await self._finish(await process.wait())
        except Exception as error:  # ours, not the pod's: it still must end
            _log_to.exception("pod %s", self.pod["metadata"]["name"])
            self._fail_to_start(f"{type(error).__name__} in localcluster")
        finally:
            for timer in (*self._timers, *filter(None, [self._deadline])):
                timer.cancel()
            if self.process:
                self.pods.memory.remove(self.process.pid)
            self.pods.ended(self)

    @property
    def _container(self) -> Json:
        container: Json = self.pod["spec"]["containers"][0]
        return container

    def _set(self, new: Json) -> None:
        with suppress(ApiError):
            self.pod = self.pods.collection.update(self.pod, lambda pod: pod.update(status=new))

    async def _prepare(self) -> Process | None:
        self.pod = self.pods.collection.update(self.pod, lambda pod: pod["spec"].update(nodeName=status.NODE))
        name = f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"
        self.pods.events.record(self.pod, "Scheduled", f"Successfully assigned {name} to {status.NODE}")
        self._set(status.waiting(self.pod, "ContainerCreating"))
        self._began = asyncio.get_running_loop().time()
        self._set_deadline()
        await asyncio.sleep(self.faults.get("slow-start", 0))
        image = await self._pull()
        command = await self._configure(image)
        return await self._start(command)

    async def _pull(self) -> Image:
        reference = self._container["image"]

        def pull() -> Image:
            if "image-pull" in self.faults:
                raise ImageError(f'failed to pull image "{reference}": injected fault')
            return find_image(self.pods.images, reference)

        image = await self._until(pull, ("ErrImagePull", "ImagePullBackOff"), f'Back-off pulling image "{reference}"')
        self.pods.events.record(self.pod, "Pulled", f'Container image "{reference}" already present on machine')
        return image

    async def _configure(self, image: Image) -> Command:
        namespace = self.pod["metadata"]["namespace"]

        def configure() -> Command:
            if "create-failed" in self.faults:
                raise ConfigError("injected fault")
            return make_command(
                self.pod, image, self.folder, lambda kind, name: self.pods.store[kind].find(namespace, name)
            )

        return await self._until(configure, ("CreateContainerConfigError",) * 2, "")

    async def _until(self, attempt: Callable[[], T], reasons: tuple[str, str], back_off: str) -> T:
        """Try until it works, as the kubelet does: waiting with the first reason, then with the second."""
        for turn in range(10**9):
            try:
                return attempt()
            except (ImageError, ConfigError) as error:
                self._set(status.waiting(self.pod, reasons[0], str(error)))
                self.pods.events.record(self.pod, "Failed", f"Error: {error}", "Warning")
                if back_off:
                    self.pods.events.record(self.pod, "BackOff", back_off, "Normal")
                    self._set(status.waiting(self.pod, reasons[1], f"{back_off}: {error}"))
            await asyncio.sleep(_RETRY[min(turn, len(_RETRY) - 1)])
        raise AssertionError

    async def _start(self, command: Command) -> Process | None:
        fill(self.folder, self.pod)
        name, log = self._container["name"], self.pods.logs[self.pod["metadata"]["uid"]]
        self.pods.events.record(self.pod, "Created", f"Created container: {name}")
        (self.folder / "pid").write_text("")
        try:
            process = await Process.start(command, log, self.pods.templates)
        except (OSError, ValueError) as error:
            self._fail_to_start(str(error))
            return None
        self.process = process
        (self.folder / "pid").write_text(str(process.pid))
        self.pods.events.record(self.pod, "Started", f"Started container {name}")
        self._set(status.running(self.pod, process.started))
        if limit := (self._container["resources"].get("limits") or {}).get("memory"):
            self.pods.memory.add(process.pid, int(quantity(limit)), lambda: self.end(Ending(OOM_KILLED)))
        for kind, after in self.faults.items():
            self._arm(kind, after)
        return process

    def _fail_to_start(self, message: str) -> None:
        now, name = datetime.now(UTC), self._container["name"]
        self._set(status.start_failed(self.pod, message, Exit(128, None, now, now)))
        self.pods.events.record(self.pod, "Failed", f"Error: failed to start container {name}: {message}", "Warning")

    def _arm(self, kind: str, after: float) -> None:
        endings = {
            "oom": Ending(OOM_KILLED),
            "evict": Ending(EVICTED, 0, "The node was low on resource: memory."),
            "lost-node": Ending(NODE_LOST),
        }
        if kind in endings:
            self._later(after, lambda: self.end(endings[kind]))

    def _set_deadline(self) -> None:
        """Counted from the pod's start, as the kubelet does; it may be brought nearer meanwhile."""
        if self._deadline:
            self._deadline.cancel()
        if (limit := self.pod["spec"].get("activeDeadlineSeconds")) and self._began is not None:
            message = "Pod was active on the node longer than the specified deadline"
            grace = self.pod["spec"]["terminationGracePeriodSeconds"]
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_at(self._began + limit, lambda: self.end(Ending(DEADLINE, grace, message)))

    def _later(self, after: float, call: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(after, call))

    async def _finish(self, exit_: Exit) -> None:
        self.pods.logs[self.pod["metadata"]["uid"]].close()
        if self.ending and self.ending.reason == NODE_LOST:
            await self._be_lost()
        elif "status-gone" in self.faults:
            self.pods.collection.remove(self.pod)
        else:
            if self.ending and self.ending.reason in (EVICTED, DEADLINE):
                kind = "Warning" if self.ending.reason == EVICTED else "Normal"
                self.pods.events.record(self.pod, self.ending.reason, self.ending.message, kind)
            self._set(status.ended(self.pod, exit_, self.ending, self._message(exit_)))

    async def _be_lost(self) -> None:
        self._set(status.lost(self.pod, deleting=False))
        await asyncio.sleep(_LOST_FOR)
        with suppress(ApiError):
            grace = self.pod["spec"]["terminationGracePeriodSeconds"]
            self.pod = mark_deleted(self.pods.collection, self.pod, grace)
        self._set(status.lost(self.pod, deleting=True))
        await asyncio.sleep(_LOST_FOR)
        self.pods.collection.remove(self.pod)

    def _message(self, exit_: Exit) -> str:
        path = self.folder / "termination-log"
        text = path.read_bytes()[-MESSAGE_LIMIT:].decode(errors="replace") if path.is_file() else ""
        if text or exit_.code == 0 or self._container["terminationMessagePolicy"] != "FallbackToLogsOnError":
            return text
        return self.pods.logs[self.pod["metadata"]["uid"]].tail()


def mark_deleted(collection: Collection, pod: Json, grace: float) -> Json:
    """Note when a pod will be gone."""
    when = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
    return collection.update(
        pod, lambda item: item["metadata"].update(deletionTimestamp=when, deletionGracePeriodSeconds=int(grace))
    )


class Pods:
    """Starts pods, ends them, and clears up after them."""

    def __init__(self, store: Store, images: Path, folder: Path) -> None:
        self.store = store
        self.collection = store["pods"]
        self.events = Events(store["events"])
        self.memory = MemoryWatch()
        self.templates = Templates()
        self.images = images
        self.folder = folder
        self.logs: dict[str, PodLog] = {}
        self.runs: dict[str, PodRun] = {}
        self._ended: set[bytes] = set()
        self._tasks: set[asyncio.Future[object]] = set()

    def start(self, pod: Json, faults: tuple[PodFault, ...]) -> None:
        """Begin a pod's life."""
        run = PodRun(self, pod, faults)
        for folder in (run.folder, run.folder / "home"):
            folder.mkdir(mode=0o700)
        uid = pod["metadata"]["uid"]
        self.logs[uid] = PodLog(run.folder / "log")
        self.runs[uid] = run
        self.later(run.run())

    def delete(self, pod: Json, grace: float) -> Json:
        """Delete a pod: TERM, then KILL after `grace` seconds, then it is gone (once it has no finalizers)."""
        run = self.runs.get(pod["metadata"]["uid"])
        pod = mark_deleted(self.collection, pod, grace if run else 0)
        if run:
            run.end(Ending(DELETED, grace))
        if not run or grace == 0:
            self.release(pod)
        return pod

    def changed(self, pod: Json) -> None:
        """Let a pod take over what somebody has changed of it; one that has ended may now go."""
        if run := self.runs.get(pod["metadata"]["uid"]):
            run.changed(pod)
        else:
            self.release(pod)

    def release(self, pod: Json) -> None:
        """Drop a pod that is being deleted and that nothing holds any more."""
        meta = pod["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.collection.remove(pod)
            if meta["uid"] not in self.runs:
                self._clear(meta["uid"])

    def ended(self, run: PodRun) -> None:
        """A pod's life is over: its process is gone and its last status is set."""
        uid, meta = run.pod["metadata"]["uid"], run.pod["metadata"]
        self.logs[uid].close()
        del self.runs[uid]
        current = self.collection.find(meta["namespace"], meta["name"])
        if current and current["metadata"]["uid"] == uid:
            self.release(current)
        else:
            self._clear(uid)
        self._ended.add(uid.encode())
        if len(self._ended) == 1:
            self.later(self._sweep())

    async def _sweep(self) -> None:
        """Kill what left its session before its pod ended; one look at /proc for all pods that ended meanwhile."""
        await asyncio.sleep(_SWEEP_EVERY)
        ended, self._ended = self._ended, set()
        await asyncio.to_thread(keeper.kill_all, ended)

    def hit(self, fault: Fault) -> int:
        """Let a fault befall the pods that it concerns and that run, at most `count`; how many there were."""
        concerned = [run for run in self.runs.values() if not run.ending and concerns(fault, run.pod)][: fault.count]
        for run in concerned:
            run.hit(PodFault(fault.kind, fault.seconds))
        return len(concerned)

    def is_lost(self, pod: Json) -> bool:
        """Whether the pod's node doesn't answer."""
        run = self.runs.get(pod["metadata"]["uid"])
        return bool(run and run.ending and run.ending.reason == NODE_LOST)

    async def stop(self, grace: float) -> None:
        """End all pods, the stubborn ones by KILL after `grace` seconds, and wait until that is done."""
        for run in list(self.runs.values()):
            run.end(Ending(DELETED, grace))
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self.templates.stop()

    def _clear(self, uid: str) -> None:
        if log := self.logs.pop(uid, None):
            log.close()
        self.later(asyncio.to_thread(shutil.rmtree, self.folder / uid, ignore_errors=True))

    def later(self, work: Awaitable[object]) -> None:
        """Do some work on the side; `stop` waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def is_terminal(pod: Json) -> bool:
    """Whether a pod has ended."""
    return pod["status"].get("phase") in TERMINAL
