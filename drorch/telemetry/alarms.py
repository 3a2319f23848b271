"""Alarms: what a person has to look at. One error line when one begins, one line when it is over."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

log = structlog.get_logger()

FAILED_PASS = "pass-failed"  # noqa: S105  no password: a pass of the loop
INVALID_POLICY = "policy-invalid"
UNREAD_VAULT = "vault-unread"
UNPROVED_KEY = "key-unproved"
DRILL_LEFT = "drill-left"
GROWING = "rto-growth"


class Alarms:
    """The alarms that stand, each by its kind and what it is about (``APPLICATION/RESOURCE``, a vault, a file)."""

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str], str] = {}

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of those that stand."""
        return frozenset(kind for kind, _ in self._standing)

    def settle(self, seen: Mapping[tuple[str, str], str]) -> None:
        """Exactly `seen` stands now: (kind, subject) -> why. A changed reason alone is not a new alarm."""
        for (kind, subject), why in sorted(seen.items()):
            if (kind, subject) not in self._standing:
                log.error("alarm began", alarm=kind, subject=subject, why=why)
        for kind, subject in sorted(self._standing.keys() - seen.keys()):
            log.info("alarm ended", alarm=kind, subject=subject)
        self._standing = dict(seen)

    def also(self, kind: str, subject: str, why: str) -> None:
        """One more stands; the others as before."""
        self.settle({**self._standing, (kind, subject): why})
