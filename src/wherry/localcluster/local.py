"""A cluster inside this process, in a thread of its own: for tests and for the demo."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from wherry.errors import WherryError
from wherry.localcluster.cluster import Cluster
from wherry.localcluster.errors import ApiError, Json
from wherry.localcluster.kubeconfig import write_private
from wherry.localcluster.server import Server

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

T = TypeVar("T")
_START = 30.0  # seconds


class LocalFaults:
    """The fault API without HTTP. Kinds and options: docs/reference/localcluster-faults.md."""

    def __init__(self, call: Callable[[Callable[[Cluster], Any]], Any]) -> None:
        self._call = call

    def add(self, kind: str, **options: Any) -> int:
        """Take a fault; returns its id. WherryError when an option can't be read."""
        added: int = self._call(lambda cluster: cluster.faults.add({"kind": kind, **options}).id)
        return added

    def clear(self, id_: int | None = None) -> None:
        """Forget one fault, or all."""
        self._call(lambda cluster: cluster.faults.clear(id_))

    def list(self) -> list[Json]:
        """The faults that wait for their turn."""
        waiting: list[Json] = self._call(lambda cluster: [fault.to_json() for fault in cluster.faults.list()])
        return waiting


class LocalCluster:
    """A context manager. `history`: how many changes of each kind are kept for watches."""

    def __init__(
        self, data: Path, images: Path, *, port: int = 0, kubeconfig: Path | None = None, history: int = 2000
    ) -> None:
        self._server = Server(Path(data), Path(images), port, kubeconfig, history)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="wherry-localcluster", daemon=True)
        self.faults = LocalFaults(self.call)

    @property
    def kubeconfig(self) -> Path:
        """The file that names the server, its certificate and its token."""
        return self._server.kubeconfig

    @property
    def server(self) -> str:
        """The server's URL."""
        return f"https://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START):
            raise WherryError(f"localcluster: not up after {_START:.0f} s")
        if self._error:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._server.run(self._ready))
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    def call(self, function: Callable[[Cluster], T]) -> T:
        """Call a function with the cluster on its event loop. An ApiError becomes a WherryError."""

        async def work() -> T:
            return function(self._server.cluster)

        try:
            return asyncio.run_coroutine_threadsafe(work(), self._loop).result()
        except ApiError as error:
            raise WherryError(f"localcluster: {error.message}") from None

    def api_client(self) -> "ApiClient":
        """A new `kubernetes` client of this cluster, apart from the process's default configuration."""
        from kubernetes import config

        return config.new_client_from_config(str(self.kubeconfig), persist_config=False)

    def create_namespace(
        self,
        name: str,
        *,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        config_maps: Mapping[str, Mapping[str, str]] | None = None,
        service_accounts: Sequence[str] = (),
        quota: Mapping[str, str | int] | None = None,
    ) -> None:
        """Make a namespace, with Secrets ({name: {key: value}}), ConfigMaps, accounts and a quota ({"pods": 4})."""

        def create(cluster: Cluster) -> None:
            cluster.create("namespaces", "", {"metadata": {"name": name}})
            for secret, values in (secrets or {}).items():
                cluster.create("secrets", name, {"metadata": {"name": secret}, "stringData": dict(values)})
            for config_map, values in (config_maps or {}).items():
                cluster.create("configmaps", name, {"metadata": {"name": config_map}, "data": dict(values)})
            for account in service_accounts:
                cluster.create("serviceaccounts", name, {"metadata": {"name": account}})
            if quota:
                hard = {key: str(value) for key, value in quota.items()}
                cluster.create("resourcequotas", name, {"metadata": {"name": "quota"}, "spec": {"hard": hard}})

        self.call(create)

    def put_image(
        self,
        reference: str,
        entrypoint: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        preload: Sequence[str] = (),
    ) -> None:
        """Put an image into the store: what its containers run."""
        image = {
            "reference": reference,
            "entrypoint": list(entrypoint),
            "env": dict(env or {}),
            "workdir": workdir,
            "preload": list(preload),
        }
        path = self._server.images / re.sub("[/:]", "_", reference) / "image.json"
        write_private(path, json.dumps(image).encode())
