"""Free ports for servers that take theirs seconds later."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port below the range that the system hands out: granian takes it seconds later, when it must still be free."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
