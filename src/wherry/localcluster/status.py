"""A pod's status at each station of its life, as the kubelet would report it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from wherry.localcluster.errors import Json
from wherry.localcluster.quota import qos_class
from wherry.localcluster.store import timestamp

NODE = "wherry-local"
ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Exit:
    """How a process ended: its exit code (128 + the signal that killed it), that signal, and when."""

    code: int
    signal: int | None
    started: datetime
    finished: datetime


@dataclass(frozen=True)
class Ending:
    """Why a pod is brought to an end by another than itself. `grace`: seconds between TERM and KILL."""

    reason: str
    grace: float = 0
    message: str = ""


DEADLINE = "DeadlineExceeded"
DELETED = "Deleted"
EVICTED = "Evicted"
NODE_LOST = "NodeLost"
OOM_KILLED = "OOMKilled"
DISRUPTIONS = {EVICTED: "TerminationByKubelet", NODE_LOST: "DeletionByTaintManager"}


def _conditions(initialized: bool, ready: bool, reason: str = "") -> list[Json]:
    now = timestamp()
    why = {"reason": reason} if reason else {}

    def condition(kind: str, true: bool) -> Json:
        extra = {} if true else why
        return {"type": kind, "status": str(true), "lastProbeTime": None, "lastTransitionTime": now, **extra}

    return [
        condition("PodReadyToStartContainers", initialized),
        condition("Initialized", initialized),
        condition("Ready", ready),
        condition("ContainersReady", ready),
        condition("PodScheduled", True),
    ]


def unscheduled(pod: Json) -> Json:
    """The status of a pod that was just created."""
    return {"phase": "Pending", "qosClass": qos_class(pod)}


def waiting(pod: Json, reason: str, message: str = "") -> Json:
    """Scheduled, its container not yet started, and why."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {
        **pod["status"],
        "phase": "Pending",
        "conditions": _conditions(initialized=True, ready=False, reason="ContainersNotReady"),
        "hostIP": ADDRESS,
        "hostIPs": [{"ip": ADDRESS}],
        "startTime": pod["status"].get("startTime") or timestamp(),
        "containerStatuses": [_container(pod, state)],
    }


def running(pod: Json, started: datetime) -> Json:
    """The container's process runs."""
    return {
        **pod["status"],
        "phase": "Running",
        "conditions": _conditions(initialized=True, ready=True),
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "containerStatuses": [_container(pod, {"running": {"startedAt": timestamp(started)}}, started=True)],
    }


def ended(pod: Json, exit_: Exit, ending: Ending | None, message: str) -> Json:
    """The container has ended: Succeeded when its exit code was 0 and nobody ended it, else Failed."""
    reason = ending.reason if ending else ""
    failed = exit_.code != 0 or reason in (DEADLINE, EVICTED)
    word = OOM_KILLED if reason == OOM_KILLED else "Error" if exit_.code else "Completed"
    state = {
        "exitCode": exit_.code,
        **({"signal": exit_.signal} if exit_.signal else {}),
        "reason": word,
        **({"message": message} if message else {}),
        "startedAt": timestamp(exit_.started),
        "finishedAt": timestamp(exit_.finished),
        "containerID": _container_id(pod),
    }
    return {
        **_final(pod, "Failed" if failed else "Succeeded", ending),
        "containerStatuses": [_container(pod, {"terminated": state})],
    }


def never_started(pod: Json, ending: Ending) -> Json:
    """Ended before its container was started."""
    return _final(pod, "Failed", ending)


def start_failed(pod: Json, message: str, exit_: Exit) -> Json:
    """The container's program could not be started."""
    final = ended(pod, exit_, None, message)
    final["containerStatuses"][0]["state"]["terminated"]["reason"] = "StartError"
    return final


def lost(pod: Json, deleting: bool) -> Json:
    """The node is silent: the last known status stays, but for readiness and, once deletion began, a reason."""
    status = {**pod["status"], "conditions": _conditions(initialized=True, ready=False, reason="NodeStatusUnknown")}
    if not deleting:
        return status
    message = f"Node {NODE} which was running pod {pod['metadata']['name']} is unresponsive"
    disruption = _disruption(NODE_LOST, message)
    return {**status, "reason": NODE_LOST, "message": message, "conditions": [*status["conditions"], disruption]}


def _final(pod: Json, phase: str, ending: Ending | None) -> Json:
    conditions = _conditions(
        initialized=True, ready=False, reason="PodCompleted" if phase == "Succeeded" else "PodFailed"
    )
    status = {**pod["status"], "phase": phase, "conditions": conditions}
    if ending and ending.reason in (DEADLINE, EVICTED):
        status |= {"reason": ending.reason, "message": ending.message}
    if ending and ending.reason in DISRUPTIONS:
        status["conditions"] = [*conditions, _disruption(ending.reason, ending.message)]
    return status


def _disruption(reason: str, message: str) -> Json:
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": DISRUPTIONS[reason],
        "message": message,
        "lastTransitionTime": timestamp(),
    }


def _container(pod: Json, state: Mapping[str, Json], started: bool = False) -> Json:
    container = pod["spec"]["containers"][0]
    ran = "waiting" not in state
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"wherry://{container['image']}" if ran else "",
        **({"containerID": _container_id(pod)} if ran else {}),
        "ready": started,
        "started": started,
        "restartCount": 0,
        "state": dict(state),
        "lastState": {},
    }


def _container_id(pod: Json) -> str:
    return f"process://{pod['metadata']['uid']}"
