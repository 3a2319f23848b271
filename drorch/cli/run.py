"""``drorch run``: the daemon, or passes until nothing is left to start."""

from __future__ import annotations

import signal
import threading

import click


@click.command()
@click.option("--once", is_flag=True, help="Passes until nothing can be started and nothing started here is pending.")
@click.option("--timeout", metavar="D", help="With --once: leave the rest pending after this long (exit 4).")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON document on stdout.")
@click.pass_obj
def run(config: str | None, once: bool, timeout: str | None, as_json: bool) -> int:
    """The daemon. Logs are JSON under systemd, lines on a terminal."""
    from drorch.app.clock import SystemClock
    from drorch.domain.errors import Usage
    from drorch.telemetry.log import set_up
    from drorch.wiring.host import open_host

    stop = threading.Event()
    host = open_host(config, clock=SystemClock(stop))
    set_up()
    if not once:
        if timeout or as_json:
            raise Usage("--timeout and --json go with --once")
        from drorch.daemon import run_daemon

        return run_daemon(host, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return _once(host, stop, timeout, as_json=as_json)
