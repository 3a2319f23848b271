"""How often AWS may be called: as often as it likes to be, and the calls that matter most first.

EC2's token buckets belong to an account and region, whoever calls (EC2 developer guide, "Request throttling"), so there
is nothing to count beforehand. A service that does not throttle is not held back. Once it does, actions are let in at a
rate that every further refusal halves and every quiet second raises, the lower priorities after the higher ones.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from drorch.aws.errors import THROTTLING
from drorch.domain.errors import Throttled
from drorch.domain.model import native_vault_name
from drorch.domain.priority import Priority, turn

FIRST = 2.0
"""Actions a second after the first refusal: less than half of what EC2 refills its mutating calls with (5 a second)."""
LEAST = 1 / 30
GAIN = 0.05
"""What a second without a refusal adds to the rate."""
FREE = 20.0
"""From this rate on nothing is held back."""
SAVED_SECONDS = 30.0
MOST_SAVED = 50.0
"""Of a rate that nobody used, so much may be used at once: EC2's smallest bucket for what drorch calls holds 50."""
ONE_REFUSAL = 1.0
"""Refusals within so many seconds are of one burst, and halve the rate once."""
YIELDS = 120.0
"""For so long after a higher priority had to wait the lower ones do; a pass asks for each again within it."""
PATIENCE = 600.0
"""After so many seconds without a turn one action of a priority is let in, and all others but restores wait for it:
else those that ask sooner in a pass might use up what EC2 has, time and again.
"""


class Budget:
    """The calls of one service in one account and region. Safe for threads; the clock counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = math.inf
        self._saved = 0.0
        self._at = clock()
        self._refused_at = -math.inf
        self._waited_at: dict[Priority, float] = {}
        self._waits_since: dict[Priority, float] = {}

    def why_not(self, priority: Priority) -> str:
        """Why an action of this priority would not be let in now; "" when it would. A restore always would."""
        with self._lock:
            return self._why_not(priority, self._advance())

    def take(self, priority: Priority) -> str:
        """Let an action in: "", or why not. What it takes beyond what is saved up, the others wait for."""
        with self._lock:
            now = self._advance()
            why = self._why_not(priority, now)
            if not why:
                self._waits_since.pop(priority, None)
                self._saved = max(self._saved - 1, -self._most_saved())
                if self._saved >= 1:
                    self._waited_at.pop(priority, None)
            return why

    def refused(self, priority: Priority | None) -> None:
        """AWS throttled a call; `priority` is None for one that waits for nobody anyway."""
        with self._lock:
            now = self._advance()
            if priority is not None:
                self._waits(priority, now)
            self._saved = min(self._saved, 0.0)
            if now - self._refused_at >= ONE_REFUSAL:
                self._refused_at = now
                self._rate = FIRST if math.isinf(self._rate) else max(LEAST, self._rate / 2)

    @property
    def rate(self) -> float:
        """Actions a second; infinite while nothing is held back."""
        with self._lock:
            self._advance()
            return self._rate

    def _why_not(self, priority: Priority, now: float) -> str:
        if math.isinf(self._rate) or priority is Priority.RESTORE:
            return ""
        late = [p for p in Priority if now - self._waits_since.get(p, now) >= PATIENCE]
        if priority in late:
            return ""
        late = [p for p in late if self._asks(p, now)]
        before = late or [p for p in Priority if p < priority and self._asks(p, now)]
        if not before and self._saved >= 1:
            return ""
        self._waits(priority, now)
        return f"it throttles, and {_PLURALS[before[0]]} go first" if before else "it throttles"

    def _asks(self, priority: Priority, now: float) -> bool:
        """Whether it had to wait of late."""
        return now - self._waited_at.get(priority, -math.inf) < YIELDS

    def _waits(self, priority: Priority, now: float) -> None:
        self._waited_at[priority] = now
        self._waits_since.setdefault(priority, now)

    def _advance(self) -> float:
        now = self._clock()
        passed, self._at = max(0.0, now - self._at), now
        if math.isinf(self._rate):
            return now
        self._rate += GAIN * passed
        if self._rate >= FREE:
            self._rate, self._saved = math.inf, 0.0
            self._waited_at.clear()
        else:
            self._saved = min(self._saved + self._rate * passed, self._most_saved())
        return now

    def _most_saved(self) -> float:
        return min(max(1.0, self._rate * SAVED_SECONDS), MOST_SAVED)


_PLURALS = {
    Priority.RESTORE: "restores",
    Priority.COPY: "copies",
    Priority.CUT: "cuts",
    Priority.CLEAN_UP: "deletions",
}


class Pace:
    """The budgets of one process, by service, account and region; clients report to them and ask them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._budgets: dict[tuple[str, str, str], Budget] = {}

    def budget(self, service: str, account: str, region: str) -> Budget:
        """The budget of that place, the same one at every question."""
        with self._lock:
            key = service, account, region
            if key not in self._budgets:
                self._budgets[key] = Budget(self._clock)
            return self._budgets[key]

    def why_not(self, service: str, account: str, region: str, priority: Priority) -> str:
        """Why an action there has to wait; "" when it may begin."""
        why = self.budget(service, account, region).why_not(priority)
        return f"{service} in {native_vault_name(account, region)}: {why}" if why else ""

    def watch(self, client: Any, service: str, account: str, region: str) -> None:
        """From now on the client reports what AWS refuses, and asks before an action's first call.

        Such a call raises Throttled when it is not let in; it was not sent then.
        """
        budget, vault = self.budget(service, account, region), native_vault_name(account, region)

        def before(model: Any, **_: Any) -> None:
            acting = turn()
            if acting is None or budget in acting.admitted:
                return
            why = budget.take(acting.priority)
            if why:
                operation = f"{service} {model.name}"
                raise Throttled("AWS is called too often", operation=operation, vault=vault, cause=why)
            acting.admitted.add(budget)

        def after(parsed_response: Mapping[str, Any] | None, **_: Any) -> None:
            if parsed_response is not None and _throttles(parsed_response):
                acting = turn()
                budget.refused(None if acting is None else acting.priority)

        client.meta.events.register("before-call", before)
        client.meta.events.register("response-received", after)


def _throttles(reply: Mapping[str, Any]) -> bool:
    code = str((reply.get("Error") or {}).get("Code", ""))
    return code in THROTTLING or (reply.get("ResponseMetadata") or {}).get("HTTPStatusCode") == 429
