"""The clocks of a simulated site: the true time, and how far the host's own clock and each vault's are off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, tzinfo=UTC)
"""A year from here crosses every clock change of both hemispheres; 45 days cross those of spring and autumn."""


class Clocks:
    """Turned by hand. `true` is what providers and sources go by; `host` how far the host is ahead of it."""

    def __init__(self, true: datetime = START) -> None:
        self.true = true
        self.host = timedelta()
        self.vaults: dict[str, timedelta] = {}

    def now(self) -> datetime:
        """The time as the host believes it."""
        return self.true + self.host

    def sleep(self, seconds: float) -> None:
        """Turns the clock and takes no time."""
        self.true += timedelta(seconds=seconds)

    @property
    def day(self) -> float:
        """Days since the simulation began."""
        return (self.true - START) / timedelta(days=1)

    def off(self, *, above: timedelta = timedelta(minutes=5)) -> bool:
        """Whether the host's clock differs from the true time, or from any vault's, by more than `above`."""
        return any(abs(self.host - ahead) > above for ahead in (timedelta(), *self.vaults.values()))
