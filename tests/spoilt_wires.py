"""A TCP proxy that lets so many bytes of a connection through and then spoils it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fault = Literal["reset", "truncate", "stall"]
"""Both ends get an RST, an orderly end in the middle, or nothing more."""

_PART = 65536


class Wire:
    """Listens on `port` of the loopback address. While `fault` is set, a connection is spoilt after `after` bytes of
    one direction; `spoilt` counts them.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.fault: Fault | None = None
        self.after = 0
        self.spoilt = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Cut everything."""
        self._closing.set()
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        carried = 0
        with suppress(OSError):
            while part := source.recv(_PART):
                carried += len(part)
                if self.fault is not None and carried > self.after:
                    self.spoilt += 1
                    self._spoil(self.fault, source, sink)
                    return
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)

    def _spoil(self, fault: Fault, *ends: socket.socket) -> None:
        if fault == "stall":
            self._closing.wait()
            return
        for end in ends:
            if fault == "reset":
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Whoever reads from it in another thread holds it open until it is shut.
            end.shutdown(socket.SHUT_RD if fault == "reset" else socket.SHUT_RDWR)
        for end in ends:
            end.close()


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    """A proxy before a port of the loopback address."""
    found = Wire(("127.0.0.1", port))
    try:
        yield found
    finally:
        found.close()
