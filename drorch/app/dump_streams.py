"""Artefacts that stream at the same time: each has writers of its own to every vault, and all of them one fate.

A vault that is lost by one stream is lost for the point; an error of one stream ends the others. Memory is that of one
stream times their number: each holds the few parts of its own `VaultWriters`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from drorch.app.pipeline import StreamProgress, StreamResult
from drorch.app.vault_writers import VaultWriters
from drorch.domain.errors import Unavailable
from drorch.ports import Artefact

_POLL = 0.1
"""Real seconds between two looks at the cancel event while the streams run."""

Opener = Callable[[Sequence[str], threading.Event], VaultWriters]
Streamer = Callable[[Artefact, VaultWriters, Callable[[StreamProgress], None]], StreamResult]


class Streams:
    """The writers of one point: `main` for what goes one after the other, more for what goes at the same time.

    A context: leaving it aborts what was not committed. All methods belong to one thread.
    """

    def __init__(
        self,
        main: VaultWriters,
        open_writers: Opener,
        stream: Streamer,
        cancel: threading.Event,
        progress: Callable[[StreamProgress], None],
    ) -> None:
        self._main = main
        self._open = open_writers
        self._stream = stream
        self._cancel = cancel
        self._stop = threading.Event()
        self._progress = progress
        self._more: list[VaultWriters] = []
        self._told = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writers in self._more:
            writers.abort()

    def send(self, batch: Sequence[Artefact]) -> list[StreamResult]:
        """Send the artefacts, all at once when there are several. Raises the first error of any, after all ended."""
        self._main.check()
        if len(batch) == 1:
            return [self._stream(batch[0], self._main, self._tell)]
        results: dict[str, StreamResult] = {}
        errors: list[BaseException] = []

        def run(artefact: Artefact, writers: VaultWriters) -> None:
            try:
                results[artefact.name] = self._stream(artefact, writers, self._tell)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller's thread must hear of it
                errors.append(error)
                self._stop.set()

        opened = [self._open(self._main.good, self._stop) for _ in batch]
        self._more += opened
        threads = [
            threading.Thread(target=run, args=pair, name=f"stream {pair[0].name}", daemon=True)
            for pair in zip(batch, opened, strict=True)
        ]
        for thread in threads:
            thread.start()
        self._wait(threads)
        if errors:
            raise errors[0]
        self._share_losses()
        return [results[artefact.name] for artefact in batch]

    def commit(self) -> None:
        """Make everything visible in the vaults that took all of it: all are waited for before anything is."""
        for writers in self._more:
            writers.settle()
        self._share_losses()
        for writers in self._more:
            writers.commit()
            self._share_losses()
        self._main.commit()

    def _wait(self, threads: Sequence[threading.Thread]) -> None:
        try:
            while any(thread.is_alive() for thread in threads):
                if self._cancel.is_set():
                    self._stop.set()
                for thread in threads:
                    thread.join(_POLL / len(threads))
        except BaseException:
            self._stop.set()
            raise

    def _share_losses(self) -> None:
        everyone = (self._main, *self._more)
        lost = {vault: error for writers in everyone for vault, error in writers.lost.items()}
        for vault, error in lost.items():
            for writers in everyone:
                writers.drop(vault, error)
        if not self._main.good:
            causes = "; ".join(f"{vault}: {error}" for vault, error in lost.items())
            raise Unavailable("no vault is left to write to", operation="dump", cause=causes)

    def _tell(self, progress: StreamProgress) -> None:
        """What each vault has taken of the whole dump, from whichever stream the news comes."""
        written: Counter[str] = Counter()
        for writers in (self._main, *self._more):
            written.update(writers.written())
        with self._told:
            self._progress(replace(progress, vaults=dict(written)))
