"""Ports that are taken."""

import socket

from wherry.demo.ports import free_port


def test_a_free_port_is_taken_as_it_is():
    """The preferred port is used where nothing listens on it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert free_port(port) == port


def test_a_taken_port_is_passed_over():
    """Another port is picked where something listens on the preferred one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
