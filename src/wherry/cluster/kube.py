"""helm and kubectl against the local cluster."""

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

from wherry.cluster.shell import kubernetes_tool, run
from wherry.errors import WherryError

# kubectl's words for an API server that is away for a moment, or too busy to answer.
_AWAY: Final = re.compile(r"Unable to connect to the server|The connection to the server .* was refused|\bEOF\b")
_AGAIN: Final = 2.0  # seconds


class Kube:
    """One cluster, by its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        """Nothing is asked of the cluster yet."""
        self._environment = {"KUBECONFIG": str(kubeconfig)}

    def kubectl(self, *arguments: str, stdin: bytes | None = None, timeout: float = 120) -> str:
        """What kubectl printed; WherryError where it failed."""
        command = (*kubernetes_tool("kubectl"), *arguments)
        return run(*command, stdin=stdin, environment=self._environment, timeout=timeout).decode()

    def helm(self, *arguments: str, values: Mapping[str, Any] | None = None, timeout: float = 900) -> str:
        """What helm printed; `values` are what `--values -` reads, so that none is on a command line."""
        stdin = None if values is None else json.dumps(values).encode()
        command = (*kubernetes_tool("helm"), *arguments)
        return run(*command, stdin=stdin, environment=self._environment, timeout=timeout).decode()

    def install(self, release: str, chart: Path, namespace: str, *options: str, values: Mapping[str, Any]) -> None:
        """Install a chart, or upgrade it; also where the last time was interrupted, which Helm takes for going on."""
        pending = f"owner=helm,name={release},status in (pending-install,pending-upgrade,pending-rollback)"
        self.kubectl("delete", "secret", "--namespace", namespace, "--selector", pending, "--ignore-not-found")
        command = ("upgrade", "--install", release, str(chart), "--namespace", namespace, *options, "--values", "-")
        self.helm(*command, values=values)

    def apply(self, *documents: Mapping[str, Any]) -> None:
        """Create or change objects; their content is on no command line."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(items).encode())

    def apply_text(self, text: str) -> None:
        """Create or change the objects of a YAML text."""
        self.kubectl("apply", "--filename", "-", stdin=text.encode())

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """One object; None where there is none."""
        text = self.kubectl("get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output", "json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def items(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """All objects of a kind that the arguments select."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *arguments, "--output", "json"))["items"]
        return found

    def wait_rolled_out(self, namespace: str, workloads: Iterable[str], timeout: int = 600) -> None:
        """Wait until every workload's pods are the new ones, and ready; WherryError says what ails the others."""
        for workload in workloads:
            try:
                self._wait_rolled_out(namespace, workload, timeout)
            except WherryError as error:
                found = ailments(self.items("pods", "--namespace", namespace))
                raise WherryError("\n".join((f"{workload} in namespace {namespace}: {error}", *found))) from None

    def _wait_rolled_out(self, namespace: str, workload: str, timeout: int) -> None:
        deadline = time.monotonic() + timeout
        while True:
            left = max(1, int(deadline - time.monotonic()))
            arguments = ("rollout", "status", workload, "--namespace", namespace, f"--timeout={left}s")
            try:
                self.kubectl(*arguments, timeout=left + 30)
                return
            except WherryError as error:
                if time.monotonic() > deadline or not _AWAY.search(str(error)):
                    raise
            time.sleep(_AGAIN)

    @contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """Forward a free port of this machine to a Service's; yields it."""
        arguments = ("port-forward", "--namespace", namespace, target, f":{port}", "--address", "127.0.0.1")
        command = [*kubernetes_tool("kubectl"), "--kubeconfig", self._environment["KUBECONFIG"], *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                said = cast(IO[str], process.stdout).readline()
                found = re.search(r"127\.0\.0\.1:(\d+) ->", said)
                if not found:
                    raise WherryError(f"{target} in namespace {namespace} can't be reached: {said.strip()}")
                yield int(found[1])
            finally:
                process.terminate()


def ailments(pods: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each pod that has no node, or a container that can't start: why, and where to read on. Pure."""
    for pod in pods:
        name, status = pod["metadata"]["name"], pod["status"]
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                yield f"pod {name} has no node: {condition.get('message', condition.get('reason', ''))}"
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            waiting = container["state"].get("waiting", {})
            if waiting.get("reason", "") not in ("", "ContainerCreating", "PodInitializing"):
                component = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component")
                said = f"; its log: task logs NAME={component}" if component else ""
                yield f"pod {name}: {waiting['reason']}: {waiting.get('message', '')}{said}"
