"""Asking about KMS keys: those of the policies' copies and those that copies bear, daily; what is wrong, sooner.

The verdicts are derived, and kept in the cache so that no pass asks twice in a day. An answer that does not come leaves
what was known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import structlog

from drorch.app.cache import Cache
from drorch.domain.catalogue_native import TAG_SOURCE, NativeView
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.instant import from_text, to_text
from drorch.domain.kms import KmsSeen, Ref, absent, denied, described, misplaced, unanswered
from drorch.domain.model import place_of
from drorch.domain.policy import ResourcePolicy
from drorch.ports import KmsKeys

log = structlog.get_logger()

EVERY = timedelta(days=1)
WHILE_WRONG = timedelta(minutes=15)
"""How long a key that is wrong, shut or did not answer waits to be asked again: it recovers by itself."""

_LISTING = "kms-key:"


class KmsWatch:
    """What is known of every key that matters, by vault and name."""

    def __init__(self, keys: KmsKeys, cache: Cache) -> None:
        self._keys = keys
        self._cache = cache
        self._known: dict[Ref, KmsSeen] = {}
        self._asked: dict[Ref, datetime] = {}
        self._failed: set[str] = set()

    def known(
        self, resources: Iterable[ResourcePolicy], views: Sequence[NativeView], now: datetime, *, fresh: bool = False
    ) -> Mapping[Ref, KmsSeen]:
        """Every key that a copy of `resources` names or that a listed snapshot bears; asked when that is due, all at
        once, `fresh` whatever is due.

        A copy that failed since the last look has the keys of its vault asked about again.
        """
        named = {ref for resource in resources for ref in _named(resource)}
        borne = {(view.vault.name, s.kms_key) for view in views for s in view.snapshots if s.kms_key}
        doubted = self._newly_failed(views)
        wanted = sorted(named | borne)
        due = [ref for ref in wanted if fresh or ref[0] in doubted or self._due(ref, now, ref in named)]
        if due:
            with ThreadPoolExecutor(max_workers=16, thread_name_prefix="kms") as pool:
                answers = list(pool.map(lambda ref: self._ask(ref, ref in named, now), due))
            for ref, seen in zip(due, answers, strict=True):
                self._note(ref, seen, now, ref in named)
        return {ref: self._known[ref] for ref in wanted}

    def _newly_failed(self, views: Sequence[NativeView]) -> set[str]:
        """The vaults in which a copy failed that this process had not seen failed."""
        failed = {
            s.native_id: view.vault.name
            for view in views
            for s in view.snapshots
            if s.state == "failed" and TAG_SOURCE in s.tags
        }
        new = {vault for native_id, vault in failed.items() if native_id not in self._failed}
        self._failed |= failed.keys()
        return new

    def _due(self, ref: Ref, now: datetime, used: bool) -> bool:
        if ref not in self._known:
            self._remember(ref)
        seen, asked = self._known.get(ref), self._asked.get(ref)
        if seen is None or asked is None:
            return True
        every = WHILE_WRONG if seen.shut or seen.unasked or (used and seen.wrong) else EVERY
        return not asked <= now < asked + every

    def _ask(self, ref: Ref, used: bool, now: datetime) -> KmsSeen:
        (vault, key), before = ref, self._known.get(ref)
        account, region = place_of(vault)
        if used and (elsewhere := misplaced(key, region)):
            return KmsSeen(now, wrong=elsewhere)
        try:
            found = self._keys.describe(account, region, key)
        except NotFound as error:
            return absent(key, region, error.cause or error.message, before, now)
        except Refused as error:
            why = error.cause or error.message
            return (
                denied(key, why, before, now) if used else replace(before or KmsSeen(), at=now, doubt=why, unasked="")
            )
        except DrorchError as error:
            return unanswered(str(error), before)
        seen = described(found, key, before, now)
        if not used or seen.wrong or seen.default:  # the policy of a default key lets the services alone use it
            return seen
        return self._doubted(account, region, key, seen)

    def _doubted(self, account: str, region: str, key: str, seen: KmsSeen) -> KmsSeen:
        try:
            self._keys.require_use(account, region, key)
        except Refused as error:
            return replace(seen, doubt=error.cause or error.message)
        except DrorchError:
            pass  # whether it may be used is not known, and that is no verdict
        return seen

    def _note(self, ref: Ref, seen: KmsSeen, now: datetime, used: bool) -> None:
        before = self._known.get(ref) or KmsSeen()
        told = (used and seen.wrong) or seen.shut
        if told and told not in (before.wrong, before.shut):
            log.warning("key cannot be used", vault=ref[0], kms_key=ref[1], why=told)
        self._known[ref], self._asked[ref] = seen, now
        self._cache.set_listing(f"{_LISTING}{ref[0]}:{ref[1]}", to_text(now), _dumped(seen))

    def _remember(self, ref: Ref) -> None:
        kept = self._cache.listing(f"{_LISTING}{ref[0]}:{ref[1]}")
        if kept is not None:
            self._known[ref], self._asked[ref] = _loaded(kept[1]), from_text(kept[0])


def _named(resource: ResourcePolicy) -> Iterator[Ref]:
    """The keys of its copies; across accounts an alias is that of a key at home, too (`drorch.domain.intermediate`)."""
    home = resource.targets[0].vault if resource.targets else ""
    for rule in resource.targets:
        if rule.kms_key and not rule.home:
            yield rule.vault, rule.kms_key
            crosses = place_of(rule.vault)[0] != place_of(home)[0]
            if crosses and rule.kms_key.startswith("alias/"):
                yield home, rule.kms_key


def _dumped(seen: KmsSeen) -> str:
    return json.dumps(asdict(seen), default=to_text)


def _loaded(body: str) -> KmsSeen:
    fields = json.loads(body)
    return KmsSeen(**fields | {name: from_text(fields[name]) for name in ("at", "mended") if fields[name]})
