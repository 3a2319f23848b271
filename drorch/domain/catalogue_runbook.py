"""The part of the fold that tells of runbooks: the newest signed one of an application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drorch.domain.catalogue_seen import SeenRecord, Trust
from drorch.domain.record import RecordType
from drorch.domain.retention import FUTURE

FIELDS = ("regions", "kinds", "steps")
"""What a runbook says; the rest of its record is who said it and when."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """The newest signed runbook of an application. `content` is what `runbook_content` made, `have` who holds it.

    `until` is the end of the trust in its key (None: there is none), `policy` the digest and git commit of the policy.
    """

    at: datetime
    written: datetime
    digest: str
    path: str
    content: Mapping[str, Any]
    have: frozenset[str]
    until: datetime | None = None
    policy: Mapping[str, str] | None = None

    @property
    def empty(self) -> bool:
        """Whether it says that there is no runbook any more."""
        return not self.content["regions"]


def newest_runbook(seen: Iterable[SeenRecord], now: datetime) -> Runbook | None:
    """Of the signed runbooks the latest; those of the future, which a wrong clock wrote, count for nothing."""
    signed = [s for s in seen if s.record.type == RecordType.RUNBOOK and s.trust is Trust.SIGNED]
    newest = max(
        (s for s in signed if s.record.at <= now + FUTURE), key=lambda s: (s.record.at, s.digest), default=None
    )
    if newest is None:
        return None
    same = [s for s in signed if s.digest == newest.digest]
    return Runbook(
        at=newest.record.at,
        written=min(s.written for s in same),
        digest=newest.digest,
        path=newest.path,
        content=said_by(newest.record.body),
        have=frozenset(s.vault for s in same),
        until=newest.until,
        policy=newest.record.body.get("policy"),
    )


def said_by(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the body of a record says of the runbook itself."""
    return {key: body[key] for key in FIELDS}
