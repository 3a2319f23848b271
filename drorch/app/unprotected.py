"""Looking for what no policy protects: an unfiltered listing, so at most hourly, and only where somebody asked for it.

Its calls depend on the accounts and regions that policies name, not on how many applications there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from drorch.app.beside import Beside, answered
from drorch.domain.ignore import Ignore
from drorch.domain.native import Source
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.unprotected import (
    SHORTEST,
    Place,
    Protection,
    UnprotectedSeen,
    judge_places,
    places_of,
    protection,
)
from drorch.ports import Everything

AFTER_FAILURE = timedelta(minutes=15)
"""How long a place that did not answer waits for its next listing."""

Listed = Mapping[Place, tuple[Source, ...] | str]


class UnprotectedWatch:
    """Lists everything and compares it with what policies select. `every` None never lists by itself."""

    def __init__(self, everything: Everything, ignores: Sequence[Ignore] = (), every: timedelta | None = None) -> None:
        self._everything = everything
        self._ignores = tuple(ignores)
        self._every = every
        self._listed: dict[Place, tuple[Source, ...] | str] = {}
        self._asked: dict[Place, datetime] = {}
        self._beside = Beside()

    def look(
        self, policies: Iterable[Policy], selected: Callable[[ResourcePolicy], SourcesSeen], now: datetime
    ) -> UnprotectedSeen:
        """List everything now, and say what is not protected."""
        policies = list(policies)
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="everything") as pool:
            places = places_of(policies)
            listed = dict(zip(places, pool.map(self._one, places), strict=True))
        return judge_places(listed, protection(policies, selected, now), self._ignored_by(policies))

    def known(
        self, policies: Iterable[Policy], selected: Callable[[ResourcePolicy], SourcesSeen], now: datetime
    ) -> UnprotectedSeen | None:
        """What the last listing found that is not protected now; None where nothing is listed by itself.

        A listing that is due begins beside the pass, which does not wait for it.
        """
        if self._every is None:
            return None
        policies = list(policies)
        places = places_of(policies)
        protected = protection(policies, selected, now)
        if self._beside.idle:
            due = [place for place in places if self._due(place, now)]
            if due:
                self._asked.update(dict.fromkeys(due, now))
                self._beside.begin(partial(self._list, due, protected))
        listed = {place: self._listed[place] for place in places if place in self._listed}
        return judge_places(listed, protected, self._ignored_by(policies))

    def wait(self) -> None:
        """Until a listing that has begun is over."""
        self._beside.wait()

    def _due(self, place: Place, now: datetime) -> bool:
        asked, failed = self._asked.get(place), isinstance(self._listed.get(place), str)
        every = AFTER_FAILURE if failed else max(self._every or SHORTEST, SHORTEST)
        return asked is None or not asked <= now < asked + every

    def _ignored_by(self, policies: Sequence[Policy]) -> tuple[Ignore, ...]:
        return (*self._ignores, *(entry for policy in policies for entry in policy.ignore))

    def _list(self, places: Sequence[Place], protected: Protection) -> None:
        """One place after the other, of each only what was not protected: a hundred thousand volumes need no room."""
        for place in places:
            found = self._one(place)
            if not isinstance(found, str) and not protected.why_blind(place):
                found = tuple(source for source in found if not protected.covers(place, source))
            self._listed[place] = found

    def _one(self, place: Place) -> tuple[Source, ...] | str:
        kind, account, region = place
        return answered(lambda: tuple(self._everything.sources(*place)), kind=kind, account=account, region=region)
