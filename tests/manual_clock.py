"""A clock that is turned by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class ManualClock:
    """A `drorch.ports.Clock`; sleeping turns it, and takes no time."""

    def __init__(self, present: datetime = NOON) -> None:
        self.present = present

    def now(self) -> datetime:
        return self.present

    def sleep(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)

    def turn(self, **how_far: float) -> datetime:
        """Turn it on by ``minutes=5`` and the like; the new present."""
        self.present += timedelta(**how_far)
        return self.present
