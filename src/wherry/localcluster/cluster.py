"""The cluster behind the HTTP API: what creating, changing and deleting each kind of object means."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.localcluster import objects, status
from wherry.localcluster.errors import ApiError, Json, conflict, forbidden, invalid, not_found, success
from wherry.localcluster.faults import Faults
from wherry.localcluster.logs import PodLog
from wherry.localcluster.patch import patched
from wherry.localcluster.pods import Pods, is_terminal
from wherry.localcluster.quota import check, quota_status
from wherry.localcluster.spec import admit_pod, change_causes, metadata_causes, named
from wherry.localcluster.store import Store, check_preconditions

_METADATA = ("labels", "annotations", "finalizers")


class Cluster:
    """All of the cluster's state. Its methods are called on one event loop and don't block."""

    def __init__(self, images: Path, folder: Path, history: int = 2000) -> None:
        self.store = Store(history)
        self.pods = Pods(self.store, images, folder)
        self.faults = Faults(self.pods.hit)
        self.never = asyncio.Event()
        for name in ("default", "kube-system"):
            self.create("namespaces", "", {"metadata": {"name": name}})

    def create(self, resource: str, namespace: str, item: Json) -> Json:
        """Take a new object; returns it as a response may show it."""
        if resource != "namespaces":
            self._check_namespace(resource, namespace)
        if resource == "pods":
            return self._create_pod(namespace, item)
        if resource == "events":
            return self.pods.events.take(named(item, "Event", namespace))
        created = self.store[resource].create(objects.admit(item, resource, namespace))
        if resource == "namespaces":
            account = {"metadata": {"name": "default", "namespace": created["metadata"]["name"]}}
            self.store["serviceaccounts"].create(account)
        return self.view(created)

    def _check_namespace(self, resource: str, namespace: str) -> None:
        if not namespace:
            raise ApiError(405, f"{resource} live in a namespace: POST /api/v1/namespaces/<namespace>/{resource}")
        if self.store["namespaces"].get("", namespace)["status"]["phase"] == "Terminating":
            raise forbidden(
                resource, "", f"unable to create new content in namespace {namespace} because it is being terminated"
            )

    def _create_pod(self, namespace: str, item: Json) -> Json:
        pod = admit_pod(item, namespace)
        name, account = pod["metadata"]["name"], pod["spec"]["serviceAccountName"]
        if self.store["serviceaccounts"].find(namespace, account) is None:
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise forbidden("pods", name, why)
        if self.store["pods"].find(namespace, name) is None:
            check(pod, self.store["resourcequotas"].list(namespace), self.store["pods"].list(namespace))
        pod["status"] = status.unscheduled(pod)
        faults = self.faults.for_pod(pod) if self.store["pods"].find(namespace, name) is None else ()
        created = self.store["pods"].create(pod)
        self.pods.start(created, faults)
        return created

    def replace(self, resource: str, namespace: str, name: str, item: Json) -> Json:
        """Put another version of an object in its place (not of a pod: patch its metadata)."""
        if resource in ("pods", "events"):
            raise ApiError(405, f"{resource} can't be replaced here; patch their metadata")
        current = self.store[resource].get("" if resource == "namespaces" else namespace, name)
        new = objects.admit(item, resource, namespace)
        if new["metadata"]["name"] != name:
            raise ApiError(400, "the name of the object does not match the name on the URL")
        self._check_version(current, item, resource)
        return self.view(self._change(resource, current, new))

    def patch(self, resource: str, namespace: str, name: str, patch: Json, content_type: str) -> Json:
        """Change an object's metadata, a pod's deadline, or a Secret's, ConfigMap's or quota's contents."""
        current = self.store[resource].get("" if resource == "namespaces" else namespace, name)
        self._check_version(current, patch, resource)
        new = patched(current, patch, content_type)
        if causes := tuple(metadata_causes(new["metadata"])):
            raise invalid(current["kind"], name, causes)
        if resource == "pods":
            return self._patch_pod(current, new)
        return self.view(self._change(resource, current, objects.admit(new, resource, namespace)))

    def _patch_pod(self, current: Json, new: Json) -> Json:
        if causes := tuple(change_causes(current["spec"], new.get("spec"))):
            raise invalid("Pod", current["metadata"]["name"], causes)
        pod = self._change("pods", current, {"metadata": new["metadata"], "spec": new["spec"]})
        self.pods.changed(pod)
        return pod

    def _change(self, resource: str, current: Json, new: Json) -> Json:
        def change(item: Json) -> None:
            kept = {key: value for key, value in item["metadata"].items() if key not in _METADATA}
            given = {key: new["metadata"][key] for key in _METADATA if new["metadata"].get(key)}
            item.update(
                {**{key: value for key, value in new.items() if key != "status"}, "metadata": {**kept, **given}}
            )

        return self.store[resource].update(current, change)

    def _check_version(self, current: Json, item: Json, resource: str) -> None:
        wanted = (item.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != current["metadata"]["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(resource, current["metadata"]["name"], why)

    def delete(self, resource: str, namespace: str, name: str, options: Json) -> Json:
        """Delete an object; `options` is a DeleteOptions."""
        current = self.store[resource].get("" if resource == "namespaces" else namespace, name)
        check_preconditions(current, options.get("preconditions") or {}, resource)
        if resource == "pods":
            grace = options.get("gracePeriodSeconds")
            grace = current["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
            if not isinstance(grace, int) or isinstance(grace, bool) or grace < 0:
                raise ApiError(400, f"gracePeriodSeconds: found {grace!r}, expected a whole number, at least 0")
            return self.pods.delete(current, grace)
        if resource == "namespaces":
            return self._delete_namespace(current)
        self.store[resource].remove(current)
        return success({"name": name, "kind": resource, "uid": current["metadata"]["uid"]})

    def _delete_namespace(self, namespace: Json) -> Json:
        name = namespace["metadata"]["name"]
        if name in ("default", "kube-system"):
            raise forbidden("namespaces", name, "this namespace may not be deleted")
        terminating = self.store["namespaces"].update(
            namespace, lambda item: item["status"].update(phase="Terminating")
        )
        for pod in self.store["pods"].list(name):
            self.pods.delete(pod, pod["spec"]["terminationGracePeriodSeconds"])
        self.pods.later(self._empty(terminating))
        return terminating

    async def _empty(self, namespace: Json) -> None:
        name = namespace["metadata"]["name"]
        while True:
            signal = self.store["pods"].signal.next
            if not self.store["pods"].list(name):
                break
            await signal.wait()
        for resource in ("events", "secrets", "configmaps", "serviceaccounts", "resourcequotas"):
            for item in self.store[resource].list(name):
                self.store[resource].remove(item)
        self.store["namespaces"].remove(namespace)

    def view(self, item: Json) -> Json:
        """An object as a response may show it: no values of Secrets and ConfigMaps, a quota with what is used."""
        if item["kind"] in ("Secret", "ConfigMap"):
            return objects.without_values(item)
        if item["kind"] == "ResourceQuota":
            return {**item, "status": quota_status(item, self.store["pods"].list(item["metadata"]["namespace"]))}
        return item

    def log(self, namespace: str, name: str, query: Mapping[str, Any]) -> PodLog:
        """A pod's log; ApiError 400 while the container waits, 404, or 500 when the pod's node is lost."""
        pod = self.store["pods"].get(namespace, name)
        own = pod["spec"]["containers"][0]["name"]
        container = query.get("container") or own
        if container != own:
            raise ApiError(400, f"container {container} is not valid for pod {name}")
        if str(query.get("previous", "")).lower() in ("true", "1"):
            raise ApiError(400, f'previous terminated container "{own}" in pod "{name}" not found')
        if self.pods.is_lost(pod):
            raise ApiError(500, f"Get https://{status.NODE}:10250/containerLogs/{namespace}/{name}/{own}: i/o timeout")
        waiting = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
        if waiting or pod["status"]["phase"] == "Pending":
            why = waiting.get("reason", "ContainerCreating")
            raise ApiError(400, f'container "{own}" in pod "{name}" is waiting to start: {why}')
        log = self.pods.logs.get(pod["metadata"]["uid"])
        if log is None or (is_terminal(pod) and not log.path.exists()):
            raise not_found("pods", name)
        return log
