"""The embedded stand-in for the Kubernetes API: a server on loopback that runs each pod as a local process.

It serves the part of the API that the operator, Cosmos, the `kubernetes` client and kubectl's get, describe, logs and
delete use, over TLS with a bearer token, and injects faults on demand (docs/reference/localcluster-faults.md).

    from wherry.localcluster import LocalCluster

    with LocalCluster(data=tmp_path / "data", images=tmp_path / "images") as cluster:
        cluster.create_namespace("team-finance", secrets={"warehouse": {"DBT_ENV_SECRET_PASSWORD": "..."}},
                                 quota={"pods": 4}, service_accounts=["runner"])
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)          # what the operator reads
        pods = kubernetes.client.CoreV1Api(cluster.api_client())     # the real client
        cluster.put_image("wherry.local/finance:1", entrypoint=["/bin/sh", "-c"])
        cluster.faults.add("evict", seconds=1, selector="wherry.dev/node=orders")   # hits the next (or a running) pod
        cluster.faults.add("error", status=429, count=2, verb="create", resource="pods", retry_after=1)
        cluster.faults.clear()

As a program: `python -m wherry.localcluster --data DIR --images DIR [--port 0] [--kubeconfig FILE]`.

What it is **not**. No sandbox: a pod is a process of the user who runs the server, with that user's files and
network; security contexts, network policies, node selectors and volumes other than emptyDir and downwardAPI do
nothing or are refused. No scheduler and no nodes: every pod starts at once. No images: an image is a folder of the
image store that says what to run. No roles: the one token may do all that is served, but nobody can read a Secret's
or ConfigMap's values. Nothing is kept on disk: when the server ends, its pods end and its objects are gone. Memory
limits are measured (resident memory, every 0.2 s, on Linux), cpu limits are not enforced.
"""

from wherry.localcluster.local import LocalCluster

__all__ = ["LocalCluster"]
