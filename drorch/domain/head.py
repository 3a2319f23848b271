"""Heads: what was live, signed hourly and on change; and what is missing since, that nobody let go. Pure.

A vault cannot show that something was taken from it. What a head in another vault (or the same) says was live, and no
signed `expired` mark says was let go, was removed by somebody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Hold, WriteHead
from drorch.domain.catalogue import Catalogue
from drorch.domain.instant import from_text, to_text

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

EVERY = timedelta(hours=1)
FRESH = timedelta(hours=2)
"""So long a head of another host says that it may still be at work here."""
_INSTANT = timedelta(seconds=1)
"""What records can tell apart: two heads of one second would be one."""
REMEMBERED = timedelta(days=35)
"""So long what is missing is told again; as long as heads are kept."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A copy that was live and is gone without a mark: somebody removed it. `since` is when that was first seen."""

    vault: str
    resource: str
    point: str
    since: datetime | None = None


def removed(catalogue: Catalogue, unread: Mapping[str, str]) -> tuple[Removed, ...]:
    """What somebody removed, as far as the vaults in question were read completely in this pass."""
    there = {(copy.vault, point.id): copy for point in catalogue.points for copy in point.copies}
    resources = {point.id: point.resource for point in catalogue.points}
    gone = {(entry.vault, entry.point) for entry in catalogue.let_go if entry.gone}
    expected: dict[tuple[str, str], datetime | None] = {}
    if catalogue.head is not None:
        expected |= {(vault, point): None for vault, points in catalogue.head.live.items() for point in points}
        for vault, points in catalogue.head.lost.items():
            expected |= {(vault, point): _time(since) for point, since in points.items()}
    expected |= {where: expected.get(where) for where, copy in there.items() if copy.gone}
    return tuple(
        Removed(vault, resources.get(point, ""), point, since)
        for (vault, point), since in sorted(expected.items())
        if vault not in unread
        and (vault, point) not in gone
        and ((vault, point) not in there or there[(vault, point)].gone)
    )


def head_content(
    catalogue: Catalogue, unread: Mapping[str, str], now: datetime
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """(live, lost) as a head of this instant says it; of a vault that was not read, what the head before said."""
    live: dict[str, dict[str, str]] = {}
    lost: dict[str, dict[str, str]] = {}
    for (vault, point), digest in catalogue.digests.items():
        if vault not in unread:
            live.setdefault(vault, {})[point] = digest
    for entry in removed(catalogue, unread):
        since = entry.since or now
        if now - since < REMEMBERED:
            lost.setdefault(entry.vault, {})[entry.point] = to_text(since)
    if catalogue.head is not None:
        for vault in unread:
            live |= {vault: dict(catalogue.head.live[vault])} if vault in catalogue.head.live else {}
            lost |= {vault: dict(catalogue.head.lost[vault])} if vault in catalogue.head.lost else {}
    return live, lost


def plan_head(application: str, observed: Observed, now: datetime) -> Iterator[Action]:
    """A new head when an hour has passed or something has changed, and alarms for what was removed."""
    catalogue, head = observed.catalogue, observed.catalogue.head
    for entry in removed(catalogue, observed.unread):
        since = f" (missing since {to_text(entry.since)})" if entry.since else ""
        what = f"it was live in {entry.vault}, and nobody let it go: somebody removed it{since}"
        yield Hold(application, entry.resource, entry.vault, entry.point, what, "removed")
    if not observed.host or not observed.writable or observed.skewed:
        return  # a head signed by a clock that is ahead would stand before all that follow, until that time comes
    live, lost = head_content(catalogue, observed.unread, now)
    if head is None and not live and not lost:
        return
    if head is not None and now < head.at + _INSTANT:
        reason = f"the last head is of {to_text(head.at)}: no new one before that"
        yield Hold(application, "", "", "", reason, "clock" if head.at - now > timedelta(minutes=5) else "")
        return
    reason = ""
    if head is None:
        reason = "there is no head yet"
    elif (head.live, head.lost) != (live, lost):
        reason = "what is live has changed"
    elif now >= head.at + EVERY:
        reason = f"the last head is of {to_text(head.at)}"
    if reason:
        seq = 1 if head is None else head.seq + 1
        yield WriteHead(application, "", "", "", reason, seq, observed.writable)


def other_host(catalogue: Catalogue, host: str, now: datetime) -> str:
    """Which other host is at work here, in words: its head is fresh. "" when none is, or where no heads are written."""
    for head in (catalogue.head, catalogue.ahead) if host else ():
        if head is None or head.host == host:
            continue
        over = min(head.at, head.written) + FRESH  # a clock that is a year ahead there stops nobody here for a year
        if now < over:
            return (
                f"{head.host} wrote a head at {to_text(head.at)}: another drorch is at work for this site. Stop it; "
                f"this host ({host}) goes on when that head is two hours old, at {to_text(over)}"
            )
    return ""


def _time(text: str) -> datetime | None:
    try:
        return from_text(text)
    except ValueError:
        return None
