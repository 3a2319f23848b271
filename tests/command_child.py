"""The process that the kill tests type commands at: it imports once, and forks a child for each command.

Orders come as JSON lines ``{"argv", "environ", "out", "err", "terminal"}`` on standard input; each is answered by the
child's wait status. `environ` is set in the child alone. Everything is the product's own but the time between two
looks, which is short and passes for as long as it would be. `terminal` is where a person sits, "" for none.
"""

from __future__ import annotations

import fcntl
import json
import os
import pkgutil
import sys
import termios
import time
import traceback
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drorch.app.clock import SystemClock

SHORT_S = 0.05
_WORKER = Path(__file__).with_name("command_worker.py")


def _obey(order: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        _become(order)
    except BaseException:  # noqa: BLE001 - whatever happens, no second server goes on from here
        traceback.print_exc()
    os._exit(70)


def _become(order: dict[str, Any]) -> None:
    """The command."""
    os.setsid()
    terminal = order["terminal"]
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    streams = ((terminal or os.devnull, os.O_RDWR), (order["out"], write), (terminal or order["err"], write))
    for number, (path, how) in enumerate(streams):
        os.dup2(os.open(path, how, 0o600), number)
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # The server's own streams remember what they were opened on.
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    os.environ.update(order["environ"])
    from drorch.app.clock import SystemClock
    from drorch.app.runner import LocalRunner
    from drorch.cli.main import main

    LocalRunner.__init__.__kwdefaults__["command"] = (sys.executable, str(_WORKER))
    _hurry(SystemClock)
    try:
        main(list(order["argv"]))
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 70)


def _hurry(clock: type[SystemClock]) -> None:
    """Time passes as it is slept, and the sleep is short."""
    skipped = [timedelta()]

    def sleep(_self: SystemClock, seconds: float) -> None:
        time.sleep(min(seconds, SHORT_S))
        skipped[0] += timedelta(seconds=max(seconds - SHORT_S, 0))

    clock.sleep = sleep  # type: ignore[method-assign]
    clock.now = lambda _self: datetime.now(UTC) + skipped[0]  # type: ignore[method-assign]


def _import_all() -> None:
    """All that commands import when they run, and the models of the services that they ask, once for all children."""
    import botocore.loaders
    import botocore.session

    load = cache(partial(botocore.loaders.JSONFileLoader.load_file, botocore.loaders.JSONFileLoader()))
    botocore.loaders.JSONFileLoader.load_file = lambda _self, path: load(path)
    loader = botocore.session.Session().get_component("data_loader")
    for service in ("ec2", "rds", "sts", "kms", "autoscaling", "elbv2", "route53"):
        for what in ("service-2", "paginators-1"):
            loader.load_service_model(service, what)
    for room in ("app", "cli", "kinds", "steps", "stores", "telemetry", "wiring"):
        package = import_module(f"drorch.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(found.name)


def main() -> None:
    """Obey until there are no orders any more."""
    _import_all()
    for line in sys.stdin:
        sys.stdout.write(f"{_obey(json.loads(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
