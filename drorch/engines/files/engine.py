"""The engine of files as the core sees it."""

# ruff: noqa: ARG002 - the port names arguments that files have no use for

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.engines.files.into import folder_of
from drorch.engines.files.options import Options

if TYPE_CHECKING:
    from drorch.ports import DumpSession, RestoreTarget

_DRILL = "files-"


def _present() -> datetime:
    return datetime.now(UTC)


class FilesEngine:
    """Paths on this host, as one tar stream.

    `granted`: what may be read (nothing by default). `scratch`: where drills unpack (the system's temporary folder by
    default). `now` is this host's clock.
    """

    kind = "files"

    def __init__(
        self, *, granted: Sequence[str] = (), scratch: Path | None = None, now: Callable[[], datetime] = _present
    ) -> None:
        self._granted = tuple(granted)
        self._scratch = scratch
        self._now = now

    def dump(self, options: object, secrets: Mapping[str, str], inventory: str) -> AbstractContextManager[DumpSession]:
        """See the port. Refused: a path that is not granted, not there or a link; then, for what cannot be read."""
        from drorch.engines.files.dump import open_session

        if not isinstance(options, Options):
            raise Refused("these are no options of the files engine", resource=type(options).__name__)
        return open_session(options, self._granted, inventory, self._now)

    def target(self, url: str, password: str | None, *, with_globals: bool) -> RestoreTarget:
        """The folder PATH of ``dir:/PATH``. Usage for any other URL."""
        from drorch.engines.files.restore import FilesTarget

        return FilesTarget(folder_of(url))

    def scratch(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[RestoreTarget]:
        """See the port. There is nothing but a private folder: Refused for any options."""
        if options is not None:
            raise Refused("files are drilled in a folder of their own: private", operation="scratch")
        return _private(self._scratch or Path(tempfile.gettempdir()))


@contextmanager
def _private(parent: Path) -> Iterator[RestoreTarget]:
    """A folder below `parent`, gone at the end; what drills that died left there goes first."""
    from drorch.engines.files.restore import FilesTarget

    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=_DRILL, dir=parent))
        held = _lock(folder)
    except OSError as error:
        cause = error.strerror or str(error)
        raise Unavailable(
            "there is no place for a drill", operation="scratch", resource=str(parent), cause=cause
        ) from error
    target = FilesTarget(folder / "restored")
    try:
        yield target
    finally:
        with suppress(DrorchError):
            target.abandon()
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _lock(folder: Path) -> int:
    """Held for as long as a drill lives. OSError while another holds it."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_DRILL}*"):
        with suppress(OSError):
            held = _lock(folder)
            try:
                if os.fstat(held).st_uid == os.geteuid():
                    shutil.rmtree(folder)
            finally:
                os.close(held)
