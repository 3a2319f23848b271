"""The home region is lost: simulated, planned, brought back by the runbook, the orders out of their newest dump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from bench.crisis.estate import Contents, Estate, contents
from bench.crisis.record import Record, asked, drorch, outcomes_of, steps_of
from bench.crisis.terminal import Shot
from drorch.demo import site
from drorch.demo.postgres import EmbeddedPostgres
from drorch.demo.world import World

WHOLE = "all of it, from the command to its end"
INTO = f"drorch restore shop --into region:{site.SECOND}"


def live(estate: Estate, record: Record, *, quick: bool) -> None:
    """An ordinary day of the installation: marked vaults, everything cut, copied, dumped and drilled once."""
    if not quick:
        drorch(estate, "drorch policy check", record=record)
    for vault in ("s3-eu", "gcs-eu"):
        drorch(estate, f"drorch vault init {vault}", record=record)
    drorch(estate, "drorch run --once", record=record)
    if not quick:
        drorch(estate, "drorch status shop", record=record)


def lose_region(world: World, estate: Estate, record: Record, folder: Path) -> None:
    """The scenario. Raises Wrong when a command ends otherwise than it should, or what came back differs."""
    world.lose_home()
    record.say(f"## {site.HOME} is lost\n\nEvery connection to it is closed without an answer, its databases are gone.")
    drorch(estate, f"drorch simulate --lose region:{site.HOME}", record=record)
    forecasts = asked(estate, f"drorch simulate --lose region:{site.HOME}")
    drorch(estate, f"{INTO} --plan", record=record)
    planned = asked(estate, f"{INTO} --plan")
    with EmbeddedPostgres(folder) as server:
        orders = _Orders(estate, server, record)
        record.say("The person at the terminal answers; the orders are restored in a second terminal, shown below.")
        shot = drorch(estate, INTO, record=record, answer=orders.answer)
        orders.show()
        with psycopg.connect(server.dsn(site.ORDERS), autocommit=True) as connection:
            record.compare("orders", estate.orders, contents(connection))
    record.compare("ledger", estate.ledger, _ledger(world))
    _time_runbook(record, planned, shot)
    orders.time()
    forecast = max(float(d["recovery_s"] or 0) for d in forecasts["applications"][0]["datasets"])
    record.time(WHOLE, forecast or None, shot.seconds, "the forecast is that of the slowest dataset")


class _Orders:
    """The person who is asked for the orders goes to another terminal and brings them back."""

    def __init__(self, estate: Estate, server: EmbeddedPostgres, record: Record) -> None:
        self._estate, self._record = estate, record
        site.write_secret(estate.folder / "new-server.password", server.password + "\n")
        self._line = (
            f"drorch restore shop orders --into {server.url(site.ORDERS)} \\\n"
            "    --into-password-file new-server.password"
        )
        self._planned: Shot | None = None
        self._done: Shot | None = None
        self._estimated: float | None = None

    def answer(self, question: str) -> str:
        """Yes, once it is done."""
        if "orders:" in question and self._done is None:
            self._planned = drorch(self._estate, f"{self._line} --plan")
            self._estimated = loading(asked(self._estate, f"{self._line} --plan"))
            self._done = drorch(self._estate, f"{self._line} --yes")
        return "y"

    def show(self) -> None:
        """What the second terminal showed."""
        self._record.say("In the second terminal, while the runbook waited:")
        for shot in (self._planned, self._done):
            if shot is not None:
                self._record.show(shot)

    def time(self) -> None:
        """Its lines of the table."""
        if self._done is not None:
            time_dump(self._record, self._estimated, self._done)


def loading(plan: dict[str, Any]) -> float | None:
    """What the plan of a dump's restore says its loading takes."""
    known = [step["estimate_s"] for step in plan["steps"] if step["estimate_s"] is not None]
    return sum(known) if known else None


def time_dump(record: Record, estimated: float | None, shot: Shot) -> None:
    """The steps of a dump's restore; only loading is estimated."""
    for name, seconds in steps_of(shot).items():
        record.time(f"orders: {name}", estimated if name == "load" else None, seconds)


def _time_runbook(record: Record, planned: dict[str, Any], shot: Shot) -> None:
    estimates = {step["step"]: step["estimate_s"] for step in planned["steps"]}
    for name, (ended, took) in outcomes_of(shot).items():
        record.time(f"runbook: {name}", estimates.get(name), took or 0, "" if ended == "done" else ended)


def _ledger(world: World) -> Contents:
    """What the restored instance holds, found as AWS names it."""
    (made,) = world.client("rds", site.SECOND).describe_db_instances(DBInstanceIdentifier=site.LEDGER)["DBInstances"]
    with psycopg.connect(world.databases.dsn(made["DBName"]), autocommit=True) as connection:
        return contents(connection)
