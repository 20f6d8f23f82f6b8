"""The command line: `snowflake-emulator --db-path DIR --port-file FILE`."""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

import duckdb
import uvicorn

from snowflake_emulator.patches import PATCHES, install


class Server(uvicorn.Server):
    """Uvicorn that says in a file where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, port_file: Path | None) -> None:
        """Serve as configured; write host:port to the file, if one is given."""
        super().__init__(config)
        self._port_file = port_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        if self.started and self._port_file is not None and sockets:
            host, port = sockets[0].getsockname()[:2]
            partial = self._port_file.with_suffix(".partial")
            partial.write_text(f"{host}:{port}\n")
            partial.replace(self._port_file)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then write the databases to their files and exit."""
    arguments = _parser().parse_args()
    install(without=arguments.without)

    from snowflake_emulator.server import IDLE_LIMIT, create_app

    logging.getLogger("fakesnow.server").setLevel(arguments.log_level.upper())  # its import has set INFO
    listener = socket.create_server((arguments.host, arguments.port), backlog=128)
    try:
        app = create_app(arguments.db_path, arguments.idle_limit or IDLE_LIMIT)
    except duckdb.IOException as error:  # another emulator has the folder, most likely
        sys.exit(f"snowflake-emulator: the databases in {arguments.db_path} can't be opened: {error}")
    config = uvicorn.Config(
        app,
        log_level=arguments.log_level,
        access_log=arguments.log_level == "debug",
        timeout_graceful_shutdown=1,
    )
    Server(config, arguments.port_file).run(sockets=[listener])
    os._exit(0)  # a statement still running in a worker thread would keep the interpreter alive


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="snowflake-emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; it checks no password (%(default)s)")
    parser.add_argument("--port", type=int, default=64616, help="0: the system chooses (%(default)s)")
    parser.add_argument("--db-path", type=Path, help="folder of the databases; without it all is in memory")
    parser.add_argument("--port-file", type=Path, help="write host:port here once it listens")
    parser.add_argument("--idle-limit", type=float, help="seconds without a request after which a session ends (4 h)")
    parser.add_argument("--log-level", default="warning", choices=["debug", "info", "warning", "error"])
    parser.add_argument(
        "--without", action="append", default=[], choices=list(PATCHES), help="leave a patch out, to see what it cures"
    )
    return parser


if __name__ == "__main__":
    main()
