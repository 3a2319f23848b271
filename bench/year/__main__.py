"""A simulated year of many applications through the product's own domain, admission, brake and executor.

``python -m bench.year`` prints what happened and exits 0 when every invariant held, 1 when one broke, saying which,
of which application, on which day. See README.md beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from bench.year.applications import Class, Site
from bench.year.report import as_json, as_text
from bench.year.sabotage import GUARDS
from bench.year.simulation import Outcome, simulate

TWO, THREE = ("s3-west", "gcs-eu"), ("s3-west", "gcs-eu", "s3-home")
USUAL = {"last": 3, "daily": 7, "weekly": 4, "monthly": 6}
FEW = {"last": 3, "weekly": 4}


def classes(*, dense: bool = False) -> tuple[Class, ...]:
    """The mix: shares of a hundred. `dense` is that of a site with daily applications, for a machine with a night."""
    cron = "30 2 * * *"
    daily = (
        Class("dump daily, three vaults", 0.1, "memory", {"every": "1d", "offset": "3h"}, USUAL, THREE, 14),
        Class("ebs daily", 0.1, "ebs", {"every": "1d", "offset": "4h"}, {"last": 3, "daily": 7}),
        Class("dump daily 30 -> 7", 0.2, "memory", {"every": "1d"}, {"daily": 30}, TWO, 0, {"daily": 7}),
        Class("dump every 12 h", 0.1, "memory", {"every": "12h"}, {"last": 4, "daily": 4}, TWO),
        Class("rds cron Berlin", 0.1, "rds-instance", {"cron": cron, "timezone": "Europe/Berlin"}, FEW),
        Class("dump cron New York", 0.1, "memory", {"cron": cron, "timezone": "America/New_York"}, FEW, TWO),
        Class("dump cron Sydney", 0.1, "memory", {"cron": cron, "timezone": "Australia/Sydney"}, FEW, TWO),
        Class("ebs cron Santiago", 0.1, "ebs", {"cron": "30 0 * * *", "timezone": "America/Santiago"}, FEW),
    )
    if dense:
        shares = (46, 20, 14, 4, 5, 4, 3, 4)
        return tuple(replace(of, share=share) for of, share in zip(daily, shares, strict=True))
    return (
        *daily,
        Class("dump weekly 30 -> 7", 3.8, "memory", {"every": "7d"}, {"weekly": 30}, TWO, 0, {"weekly": 7}),
        Class("dump weekly", 0.5, "memory", {"every": "7d"}, {"last": 3, "monthly": 6}, TWO, 56),
        Class("ebs weekly", 0.5, "ebs", {"every": "7d"}, {"last": 4}),
        Class("dump fortnightly, three vaults", 1, "memory", {"every": "14d"}, {"last": 3, "monthly": 6}, THREE),
        Class("rds fortnightly", 1, "rds-instance", {"every": "14d"}, {"last": 4}),
        Class("dump every eight weeks", 68.3, "memory", {"every": "56d"}, {"last": 4}, TWO),
        Class("ebs every eight weeks", 24, "ebs", {"every": "56d"}, {"last": 4}),
    )


def sites(applications: int, days: int, seed: int, sabotage: str = "", *, dense: bool = False) -> list[Site]:
    """Every site of the year; of a small year every daily class gets at least its share of one."""
    found: list[Site] = []
    for of, count in _counts(applications, dense=dense):
        every = of.schedule.get("every", "1d")
        spread = min(7, int(every[:-1])) if every.endswith("d") and every != "1d" else 1
        for offset in range(spread):
            of_site = range(offset, count, spread)
            if not of_site:
                continue
            slug = of.name.replace(",", "").replace(" -> ", "-").replace(" ", "-").lower()
            names = tuple(f"{slug}-{number:03}" for number in of_site)
            own = of if spread == 1 else _shifted(of, offset * int(every[:-1]) // spread)
            number = len(found)
            found.append(Site(number, own, names, seed * 1_000 + number, days, sabotage))
    return found


def _counts(applications: int, *, dense: bool) -> Iterator[tuple[Class, int]]:
    """How many applications each class has: by its share, the largest remainders first, so that all add up."""
    wanted = [(of, of.share * applications / 100) for of in classes(dense=dense)]
    if applications < 100 and not dense:  # a small year is one of daily applications, else hardly anything would happen
        daily = [of for of in classes() if of.share < 1]
        wanted = [(of, applications / len(daily)) for of in daily]
    whole = [int(share) for _, share in wanted]
    order = sorted(range(len(wanted)), key=lambda i: (whole[i] - wanted[i][1], i))
    for i in order[: applications - sum(whole)]:
        whole[i] += 1
    return ((of, count) for (of, _), count in zip(wanted, whole, strict=True) if count)


def _shifted(of: Class, days: int) -> Class:
    return replace(of, schedule={**of.schedule, "offset": f"{days}d"}) if days else of


def run(work: Sequence[Site], processes: int) -> tuple[list[Outcome], float]:
    """Every site's outcome and the seconds that all of it took."""
    began = time.monotonic()
    ordered = sorted(work, key=_cost, reverse=True)
    if processes <= 1:
        return [simulate(site) for site in ordered], time.monotonic() - began
    with ProcessPoolExecutor(max_workers=processes) as pool:
        return list(pool.map(simulate, ordered)), time.monotonic() - began


def _cost(site: Site) -> float:
    every = site.of.schedule.get("every", "1d")
    days = int(every[:-1]) if every.endswith("d") else 0.5
    return len(site.names) / days


def main(given: Sequence[str] | None = None) -> int:
    """0: everything held. 1: something broke."""
    parser = argparse.ArgumentParser(prog="bench.year", description="a simulated year with what goes wrong in one")
    parser.add_argument("--applications", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dense", action="store_true", help="daily applications: hours, not minutes")
    parser.add_argument(
        "--break", dest="sabotage", choices=GUARDS, default="", help="take out one guard of the product"
    )
    parser.add_argument("--json", type=Path, help="write the outcome there, too")
    options = parser.parse_args(given)
    work = sites(options.applications, options.days, options.seed, options.sabotage, dense=options.dense)
    outcomes, seconds = run(work, options.processes)
    sys.stdout.write(as_text(outcomes, seconds, options.days))
    if options.json:
        options.json.write_text(json.dumps(as_json(outcomes, seconds, options.days), indent=2) + "\n")
    return 1 if any(o.broken for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
