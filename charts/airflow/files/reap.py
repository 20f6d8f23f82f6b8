"""Delete ended dbt pods that Airflow left behind, for example because its worker died first.

    python reap.py MINUTES NAMESPACE...

An ended pod is left for MINUTES, so that a task that comes back still finds its result. Running pods are bounded by
their own deadline and are never touched.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

SELECTOR = "app.kubernetes.io/managed-by=wherry"


def expired(pods: Iterable[Any], now: datetime, keep: timedelta) -> Iterator[Any]:
    """The pods that ended longer than `keep` ago."""
    for pod in pods:
        if pod.status.phase not in ("Succeeded", "Failed"):
            continue
        states = [status.state.terminated for status in pod.status.container_statuses or () if status.state.terminated]
        ended = max(
            (state.finished_at for state in states if state.finished_at), default=pod.metadata.creation_timestamp
        )
        if now - ended > keep:
            yield pod


def main(keep: timedelta, namespaces: Iterable[str]) -> int:
    """Delete them in every namespace; a namespace that can't be read doesn't stop the others. Returns the failures."""
    from kubernetes import client, config

    config.load_incluster_config()
    core, failed = client.CoreV1Api(), 0
    for namespace in namespaces:
        try:
            pods = core.list_namespaced_pod(namespace, label_selector=SELECTOR).items
            for pod in expired(pods, datetime.now(UTC), keep):
                uid = client.V1Preconditions(uid=pod.metadata.uid)
                core.delete_namespaced_pod(pod.metadata.name, namespace, body=client.V1DeleteOptions(preconditions=uid))
                print(f"{namespace}/{pod.metadata.name}: deleted")
        except client.ApiException as error:
            if error.status != 404:
                failed += 1
                print(f"{namespace}: {error.status} {error.reason}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main(timedelta(minutes=int(sys.argv[1])), sys.argv[2:])))
