"""`python -m wherry.localcluster`: the cluster as a program of its own."""

import argparse
import asyncio
import signal
import sys
import threading
from pathlib import Path

from wherry.errors import WherryError
from wherry.localcluster.server import Server

_EXAMPLE = """\
example:
  python -m wherry.localcluster --data .wherry/cluster --images .wherry/images --kubeconfig .wherry/kubeconfig
  KUBECONFIG=.wherry/kubeconfig kubectl get pods --all-namespaces

Pods run as processes of the user who starts this: it is no sandbox. TERM or Ctrl-C ends all pods, then the server.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m wherry.localcluster",
        description="Serve the part of the Kubernetes API that Wherry uses; each pod is a local process.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="where pods' folders and logs live while it runs"
    )
    result.add_argument("--images", type=Path, required=True, metavar="DIR", help="the image store")
    result.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default 0: any free one)")
    result.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="written once it listens (default: DATA/kubeconfig)"
    )
    return result


async def serve(server: Server) -> None:
    """Serve until TERM or INT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    ready = threading.Event()
    running = asyncio.create_task(server.run(ready))
    while not ready.is_set() and not running.done():
        await asyncio.sleep(0.01)
    if ready.is_set():
        print(f"localcluster: https://127.0.0.1:{server.port} kubeconfig {server.kubeconfig}", flush=True)
    await running


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 after an orderly end, 1 with a message when it couldn't start."""
    options = parser().parse_args(arguments)
    try:
        asyncio.run(serve(Server(options.data, options.images, options.port, options.kubeconfig)))
    except WherryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
