"""Which databases stand behind the templates of policies: asked of their servers now and then, remembered in the cache.

A server that cannot be asked costs nothing: its last answer stays in force, and where that is lost the databases are
those of which the vaults have points.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from drorch.app.cache import Cache
from drorch.app.policies import LoadedPolicy, PolicySet
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import DrorchError
from drorch.domain.instant import from_text, to_text
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.template import NOTHING_KNOWN, Listing, expanded, recorded, templates

log = structlog.get_logger()

ASKED_EVERY = timedelta(minutes=15)
ASKED_AGAIN = timedelta(minutes=5)
"""Where no answer is known yet."""


@dataclass(frozen=True, slots=True)
class Question:
    """One server, asked for one template of an application."""

    application: str
    template: ResourcePolicy

    @property
    def name(self) -> str:
        """What the answer is remembered by: another server under the same name is another question."""
        server = getattr(self.template.options, "server", "")
        return f"databases:{self.application}/{self.template.name}@{server}"


Answer = tuple[str, ...] | DrorchError
Ask = Callable[[Sequence[Question]], Sequence[Answer]]
"""The answers, in the order of the questions. Raises when nobody could be asked."""


class DatabaseLists:
    """Replaces templates by their resources. `ask` is None in a process that asks nobody."""

    def __init__(self, cache: Cache, ask: Ask | None = None) -> None:
        self._cache = cache
        self._ask = ask
        self._asked: dict[str, datetime] = {}
        self._why: dict[str, str] = {}

    def expand(self, policies: PolicySet, catalogue: Callable[[Policy], Catalogue], now: datetime) -> PolicySet:
        """The same policies without templates. `catalogue` is asked where nothing else is known."""
        questions = {
            loaded.policy.application: found
            for loaded in policies.valid
            if (found := [Question(loaded.policy.application, each) for each in templates(loaded.policy)])
        }
        if self._ask is not None:
            self._ask_those_due(policies.valid, questions, now)
        return replace(
            policies,
            valid=tuple(
                replace(loaded, policy=self._carefully(loaded.policy, questions, catalogue, now))
                if any(resource.template for resource in loaded.policy.resources)
                else loaded
                for loaded in policies.valid
            ),
        )

    def _carefully(
        self,
        policy: Policy,
        questions: Mapping[str, list[Question]],
        catalogue: Callable[[Policy], Catalogue],
        now: datetime,
    ) -> Policy:
        """A fault in one application must not take the pass of all of them along."""
        try:
            return self._expanded(policy, questions, catalogue, now)
        except DrorchError:
            raise
        except Exception as error:
            log.exception("templates not replaced", application=policy.application)
            why = f"a fault in drorch itself: {type(error).__name__}: {error}"
            return expanded(policy, {each.name: Listing(why=why, listed=False) for each in templates(policy)})

    def _ask_those_due(
        self, loaded: Sequence[LoadedPolicy], questions: Mapping[str, list[Question]], now: datetime
    ) -> None:
        left = {each.policy.application for each in loaded if _retired(each.policy, now)}
        due = [q for name, asked in questions.items() for q in asked if name not in left and self._due(q, now)]
        if not due or self._ask is None:
            return
        try:
            answers = self._ask(due)
        except DrorchError as error:
            answers = [error] * len(due)
        for question, answer in zip(due, answers, strict=True):
            self._asked[question.name] = now
            if isinstance(answer, DrorchError):
                self._why[question.name] = str(answer)
            else:
                self._why.pop(question.name, None)
                self._cache.set_listing(question.name, to_text(now), json.dumps(answer))

    def _due(self, question: Question, now: datetime) -> bool:
        asked = self._asked.get(question.name)
        pause = ASKED_EVERY if self._remembered(question) is not None else ASKED_AGAIN
        return asked is None or not asked <= now < asked + pause

    def _remembered(self, question: Question) -> tuple[datetime, tuple[str, ...]] | None:
        known = self._cache.listing(question.name)
        return None if known is None else (from_text(known[0]), tuple(json.loads(known[1])))

    def _expanded(
        self,
        policy: Policy,
        questions: Mapping[str, list[Question]],
        catalogue: Callable[[Policy], Catalogue],
        now: datetime,
    ) -> Policy:
        listings = {}
        for question in questions.get(policy.application, ()):
            known, why = self._remembered(question), self._why.get(question.name, "")
            name = question.template.name
            if _retired(policy, now):  # its server may be gone for good: what it left behind is what there is
                last = known[1] if known is not None else ()
                listings[name] = Listing(tuple({*last, *recorded(catalogue(policy), name)}))
            elif known is not None:
                listings[name] = Listing(known[1], f"{why}; those of {to_text(known[0])} are meant" if why else "")
            else:
                of_points = recorded(catalogue(policy), name)
                told = "; those of which there are points are meant" if of_points else ""
                listings[name] = Listing(of_points, f"{why or NOTHING_KNOWN.why}{told}", listed=False)
        return expanded(policy, listings)


def _retired(policy: Policy, now: datetime) -> bool:
    return policy.retired is not None and now >= policy.retired.since
