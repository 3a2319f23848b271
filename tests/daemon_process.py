"""A process that runs the daemon over a reconciler which is driven by files in its state folder (`orders/NAME`):

    heavy    a dump is under way as long as the file is there; `stubborn`: it does not end when cancelled either
    light    a light action hangs in a thread as long as the file is there
    fail     a pass ends in the error whose class the file names
    hang     a pass does not come back as long as the file is there
    invalid  the configuration is invalid

What happens is written to `story`, a line each. Run: python daemon_process.py STATE TICK GRACE [PORT]
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from passes import HandReconciler, cut

from drorch.app.clock import SystemClock
from drorch.app.passing import Finished, Pass
from drorch.daemon import DaemonSettings, run_daemon
from drorch.domain import errors
from drorch.domain.action import Action
from drorch.domain.errors import DrorchError, InvalidInput
from drorch.telemetry.log import configure


class FileReconciler(HandReconciler):
    """As above."""

    def __init__(self, state: Path) -> None:
        super().__init__(SystemClock())  # type: ignore[arg-type]
        self._state = state
        self._pool = ThreadPoolExecutor()
        self._hanging = False

    def ordered(self, name: str) -> bool:
        return (self._state / "orders" / name).exists()

    def tell(self, text: str) -> None:
        with (self._state / "story").open("a") as story:
            story.write(f"{text}\n")

    def run_pass(self, *, start: object = True) -> Pass:
        if self.ordered("hang"):
            self.tell("hangs")
        while self.ordered("hang"):
            time.sleep(0.01)
        if self.ordered("fail"):
            name = (self._state / "orders" / "fail").read_text()
            raise getattr(errors, name, RuntimeError)("password=hunter2-Zq was refused")
        self.tell("starts" if start else "only looks")
        return super().run_pass(start=start)

    def harvest(self) -> tuple[Finished, ...]:
        if self.ordered("light") and not self._hanging:
            self._hanging = True
            self._pool.submit(self._hang)
        return super().harvest()

    def _hang(self) -> None:
        while self.ordered("light"):
            time.sleep(0.01)

    def running_count(self) -> int:
        return len(self.heavy_running()) + self.ordered("light")

    def heavy_running(self) -> tuple[Action, ...]:
        return (cut("orders", heavy=True),) if self.ordered("heavy") else ()

    def cancel(self) -> None:
        self.tell("cancels")
        if not self.ordered("stubborn"):
            (self._state / "orders" / "heavy").unlink()

    def close(self) -> None:
        self.tell("closes")
        self._pool.shutdown()


def check(reconciler: FileReconciler) -> None:
    if reconciler.ordered("invalid"):
        raise InvalidInput("drorch.yaml: tick is not a duration")


def main() -> int:
    state, tick, grace, *port = sys.argv[1:]
    configure(environ=os.environ)
    reconciler = FileReconciler(Path(state))
    reconciler.tell(f"image {os.getpid()} {threading.current_thread().name}")
    listen = ("127.0.0.1", int(port[0])) if port else None
    settings = DaemonSettings(Path(state), timedelta(seconds=float(tick)), listen, timedelta(seconds=float(grace)))
    try:
        return run_daemon(reconciler, settings, check=lambda: check(reconciler))
    except DrorchError as error:
        print(error, file=sys.stderr)  # noqa: T201  what the command line would tell
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
