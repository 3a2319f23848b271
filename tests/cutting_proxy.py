"""A TCP proxy that carries so many bytes of one direction and then fails as networks do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fate = Literal["reset", "truncate", "stall"]


class CuttingProxy:
    """Carries `allowed` bytes `down` (from the server) or up, over all connections together; then its fate comes.

    `reset` sends RST to both ends, `truncate` closes as if all had been said, `stall` keeps every connection open and
    acknowledges what it never passes on. What is opened after that meets the same fate.
    """

    def __init__(self, port: int, fate: Fate, allowed: int, *, down: bool) -> None:
        self._server, self._fate, self._left, self._down = port, fate, allowed, down
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.struck = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                with self._lock:
                    self._sockets += [client, server]
                for source, sink, counted in ((server, client, self._down), (client, server, not self._down)):
                    threading.Thread(target=self._carry, args=(source, sink, counted), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(16384):
                if counted:
                    with self._lock:
                        self._left -= len(data)
                        if self._left < 0:
                            self._strike()
                if not self.struck.is_set():
                    sink.sendall(data)
            if not self.struck.is_set():
                sink.shutdown(socket.SHUT_WR)

    def _strike(self) -> None:
        if self.struck.is_set():
            return
        self.struck.set()
        if self._fate != "stall":
            self._close(reset=self._fate == "reset")

    def _close(self, *, reset: bool) -> None:
        for one in self._sockets:
            with suppress(OSError):
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RD)  # a thread that reads it would keep it open
                else:
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def close(self) -> None:
        """End everything."""
        self._listener.close()
        self._close(reset=True)


@contextmanager
def cutting_proxy(port: int, fate: Fate, allowed: int, *, down: bool) -> Iterator[CuttingProxy]:
    """A proxy before the server at `port` of the loopback interface."""
    proxy = CuttingProxy(port, fate, allowed, down=down)
    try:
        yield proxy
    finally:
        proxy.close()
