"""Free ports on loopback."""

import socket
from contextlib import closing


def free_port(preferred: int) -> int:
    """The preferred port where it is free on loopback, else one that the system picks."""
    for port in (preferred, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no free port on loopback")
