"""``drorch run``: the daemon, or passes until nothing is left to start."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.wiring.host import Host


@click.command()
@click.option("--once", is_flag=True, help="Passes until nothing can be started and nothing started here is pending.")
@click.option("--timeout", metavar="D", help="With --once: leave the rest pending after this long (exit 4).")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON document on stdout.")
@click.pass_obj
def run(config: str | None, once: bool, timeout: str | None, as_json: bool) -> int:
    """The daemon; with --once, passes until there is nothing left to start and nothing started here is pending.

    Logs go to stderr: JSON under systemd and in a pipe, lines on a terminal.

    \b
    In a cron job, due drills included, at most two hours:
      drorch run --once --timeout 2h
    """
    from drorch.app.clock import SystemClock
    from drorch.cli.opening import the_host
    from drorch.domain.errors import Usage

    stop = threading.Event()
    host = the_host(config, clock=SystemClock(stop), asks_servers=True)
    if once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        return _once(host, stop, timeout, as_json=as_json)
    if timeout or as_json:
        raise Usage("--timeout and --json go with --once")
    from drorch.daemon import DaemonSettings, run_daemon

    listen = host.config.http.listen
    settings = DaemonSettings(host.config.state, host.config.tick, (listen.host, listen.port) if listen else None)
    return run_daemon(host.reconciler, settings, check=lambda: the_host(config).vocabulary)


def _once(host: Host, stop: threading.Event, timeout: str | None, *, as_json: bool) -> int:
    from drorch.app.once import run_once
    from drorch.cli.screen import emit_json, say, tell
    from drorch.cli.typed import duration

    limit = duration(timeout, "--timeout") if timeout else None
    with host.locks.held("daemon", "drorch run --once"):
        try:
            report = run_once(host.reconciler, host.clock, timeout=limit, stop=stop)
        finally:
            host.reconciler.close()
    if as_json:
        finished = [{**f.action.to_json(), "outcome": f.outcome, "error": _text(f.error)} for f in report.finished]
        emit_json(
            {
                "passes": report.passes,
                "finished": finished,
                "pending": list(report.pending),
                "problems": list(report.problems),
                "exit_code": report.exit_code,
            }
        )
        return report.exit_code
    done = sum(finished.error is None for finished in report.finished)
    passes = "1 pass" if report.passes == 1 else f"{report.passes} passes"
    say(f"{passes}, {done} of {len(report.finished)} actions done")
    for pending in report.pending:
        tell(f"pending: {pending}", color="yellow")
    for problem in report.problems:
        tell(problem, color="red")
    return report.exit_code


def _text(error: Exception | None) -> str | None:
    return None if error is None else str(error)
