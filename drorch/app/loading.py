"""One artefact from a vault into a loading process: verified, decrypted, decompressed, poured; nothing half is a whole.

Every way out but the good one kills the process before its input is closed: an early end must never look like the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from drorch.app.progress import Meter, Progress, ProgressSink, ignore
from drorch.app.reading import TrustedKey, open_artefact
from drorch.domain import layout
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.record import Record, StoredArtefact
from drorch.ports import Clock, Consumer, ObjectStore, RestoreTarget

_POLL = 0.2
"""Seconds between looks at the cancel event while the loading process works."""
_BEAT = 10.0
"""Seconds between two looks at work that moves no bytes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading needs: whose signatures count, what opens the dumps, the present, who watches, whether to stop.

    `ticker` counts seconds from anywhere; it measures how long things take.
    """

    keys: Sequence[TrustedKey]
    identities: Sequence[str] = field(repr=False)
    clock: Clock
    sink: ProgressSink = ignore
    cancel: threading.Event | None = None
    ticker: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Pace:
    """Where the seconds of a load went: waiting for verified data, opening them, waiting for the loading process."""

    download: float = 0.0
    decrypt: float = 0.0
    load: float = 0.0

    def add(self, other: Pace) -> None:
        """Count the seconds of another load, too; of loads at the same time all are counted."""
        self.download += other.download
        self.decrypt += other.decrypt
        self.load += other.load

    def downloading(self, leaves: Iterator[memoryview], ticker: Callable[[], float]) -> Iterator[memoryview]:
        """The leaves as they come; what is waited for them is not time of the decryptor, within which they come."""
        ended = False
        while not ended:
            began = ticker()
            try:
                leaf = next(leaves, None)
            finally:
                waited = ticker() - began
                self.download += waited
                self.decrypt -= waited
            ended = leaf is None
            if leaf is not None:
                yield leaf


def load_artefact(
    store: ObjectStore, manifest: Record, artefact: StoredArtefact, target: RestoreTarget, reader: Reader, pace: Pace
) -> tuple[str, ...]:
    """Load one artefact; the loading process's warnings. Raises what `open_artefact` and the process raise."""
    meter = Meter("load", manifest.resource, artefact.bytes, reader.clock.now())

    def passed(count: int) -> None:
        reader.sink(meter.advance(count, reader.clock.now()))

    parts = open_artefact(
        store,
        manifest,
        artefact,
        reader.identities,
        reader.clock,
        passed=passed,
        timed=lambda leaves: pace.downloading(leaves, reader.ticker),
        cancel=reader.cancel,
        keys=reader.keys,
    )
    with closing(parts):
        consumer = target.load(artefact.name.removesuffix(layout.ENCRYPTED))
        with _killing(consumer, reader.cancel):
            _pour(parts, consumer.stdin, reader.ticker, pace, consumer)
            began = reader.ticker()
            with beating(meter, reader):
                warnings = consumer.finish()
            pace.load += reader.ticker() - began
    return warnings


def load_together(
    store: ObjectStore,
    manifest: Record,
    batch: Sequence[StoredArtefact],
    target: RestoreTarget,
    reader: Reader,
    pace: Pace,
) -> tuple[str, ...]:
    """Load one artefact, or several at the same time. Raises the first error of any, after all ended."""
    if len(batch) == 1:
        return load_artefact(store, manifest, batch[0], target, reader, pace)
    stop, told = threading.Event(), threading.Lock()
    warnings: dict[str, tuple[str, ...]] = {}
    errors: list[BaseException] = []

    def sink(progress: Progress) -> None:
        with told:
            reader.sink(progress)

    def run(artefact: StoredArtefact) -> None:
        own = Pace()
        try:
            warnings[artefact.name] = load_artefact(store, manifest, artefact, target, one, own)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller's thread must hear of it
            errors.append(error)
            stop.set()
        with told:
            pace.add(own)

    one = replace(reader, cancel=stop, sink=sink)
    threads = [threading.Thread(target=run, args=(artefact,), daemon=True) for artefact in batch]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            if reader.cancel is not None and reader.cancel.is_set():
                stop.set()
            for thread in threads:
                thread.join(_POLL / len(threads))
    except BaseException:
        stop.set()
        raise
    if errors:
        raise errors[0]
    return tuple(note for artefact in batch for note in warnings[artefact.name])


@contextmanager
def beating(meter: Meter, reader: Reader) -> Iterator[None]:
    """Go on reporting while a database builds indexes or counts rows: silence would be taken for a standstill."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_BEAT):
            reader.sink(meter.at(reader.clock.now()))

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _pour(
    parts: Generator[memoryview, None, None],
    sink: BinaryIO,
    ticker: Callable[[], float],
    pace: Pace,
    consumer: Consumer,
) -> None:
    before = ticker()
    for part in parts:
        ready = ticker()
        pace.decrypt += ready - before
        try:
            _write(sink, part)
        except (OSError, ValueError) as error:
            # A broken pipe, or an input that `kill` closed: why the process left, it says itself.
            consumer.finish()
            raise Refused("the loading process ended before its data did", operation="load") from error
        before = ticker()
        pace.load += before - ready
    pace.decrypt += ticker() - before


def _write(sink: BinaryIO, part: memoryview) -> None:
    """An unbuffered pipe may take less than it is given."""
    while part:
        written = sink.write(part)
        part = part[len(part) if written is None else written :]


@contextmanager
def _killing(consumer: Consumer, cancel: threading.Event | None) -> Iterator[None]:
    """Kill the process on any error, and as soon as `cancel` is set, whatever this thread is waiting for."""
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(consumer, cancel, ended), name="cancel", daemon=True)
    if cancel is not None:
        watch.start()
    try:
        yield
    except BaseException as error:
        consumer.kill()
        if cancel is not None and cancel.is_set() and isinstance(error, Exception):
            raise Unavailable(
                "it was interrupted", operation="load", hint="the same command may be given again"
            ) from error
        raise
    finally:
        ended.set()


def _watch(consumer: Consumer, cancel: threading.Event, ended: threading.Event) -> None:
    while not ended.is_set():
        if cancel.wait(_POLL):
            with suppress(OSError):
                consumer.kill()
            return
