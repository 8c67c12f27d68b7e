"""Free ports for servers and process groups of tests, several of which may run at once."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of this machine on which nobody listens, chosen by the system."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
