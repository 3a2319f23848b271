"""Random audits: when one is due a point is picked that nobody chose, written into the journal, and then drilled.

What was picked is known from the journal alone: of the vaults, and of what this host has not brought there yet. An
audit is drilled once a vault has its entry, and until its proof is signed; it is never picked again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from drorch.app.journal import RETRY, JournalBook
from drorch.app.passing import Pass
from drorch.app.reading import TrustedKey, read_signed
from drorch.crypto.minisign import SecretKey, verify
from drorch.domain import audit, layout
from drorch.domain.audit import AUDIT, Audit, AuditsSeen, Offer
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused
from drorch.domain.feasibility import domains_of
from drorch.domain.instant import manual_slot, to_text
from drorch.domain.model import Vault
from drorch.domain.plan_audit import offers
from drorch.domain.record import Record
from drorch.ports import ObjectStore

log = structlog.get_logger()

BY_HAND = timedelta(days=30)
"""So far back an audit is looked for where the configuration asks for none by itself."""


def audit_in(record: Record, trusted: Sequence[TrustedKey]) -> Audit:
    """The audit that an entry of the journal tells of, after doing its pick again.

    Raises Damaged or BadSignature for one that its seed did not pick, or whose seed no trusted key signed.
    """
    found = audit.audit_of(record)
    keys = [one.key for one in trusted]
    told = verify(audit.stated(record), record.text("signature").encode(), keys).trusted_comment
    if told != audit.comment(found.slot):
        raise Damaged("the signature that an audit was picked by is of something else", cause=told)
    return found


@dataclass
class AuditKeeper:
    """Picks, and remembers the newest pick. `vaults` are the object vaults; `every` None picks when told to alone."""

    site: str
    every: timedelta | None
    book: JournalBook
    vaults: Mapping[str, Vault]
    store_of: Callable[[str], ObjectStore]
    trusted: Sequence[TrustedKey]
    signing: Callable[[], SecretKey]
    _newest: Audit | None = None
    _read: bool = False
    _brought: bool = False
    _tried: datetime | None = None
    _why: str = field(default="", repr=False)

    def of(self, application: str) -> Audit | None:
        """The pick, where it is of this application and stands in a vault."""
        newest = self._newest if self._brought else None
        return newest if newest is not None and newest.offer.application == application else None

    def seen(self, now: datetime) -> AuditsSeen | None:
        """How audits stand; None where the configuration asks for none."""
        if self.every is None:
            return None
        if not self._read:
            return AuditsSeen(self.every, None, None, "no vault could be read that tells of earlier audits")
        overdue = audit.due(self._newest, self.every, now)
        return AuditsSeen(
            self.every, self._newest, audit.next_due(self._newest, self.every, now), self._why if overdue else ""
        )

    def known(self, readable: Collection[str], now: datetime) -> None:
        """Read what was picked, once: from the vaults that can be read, and from what they lack. Never raises."""
        if self._read or not (self.every or self._tried) or not self.vaults:
            return
        self._look(readable, now)

    def _look(self, readable: Collection[str], now: datetime) -> None:
        since = audit.slot_of(now, self.every) if self.every else now - BY_HAND
        there = [found for vault in sorted(readable) if (found := self._in_vault(vault, since, now)) is not None]
        if not there:
            return
        here = [self._believed(record) for record in self._undelivered()]
        brought = [one for found in there for one in found]
        every = [one for one in (*brought, *here) if one is not None and one.at <= now]
        self._newest = max(every, key=lambda one: (one.at, one.seed), default=None)
        self._brought = self._newest in brought
        self._read = True

    def _undelivered(self) -> tuple[Record, ...]:
        try:
            return self.book.undelivered(AUDIT)
        except DrorchError as error:
            log.warning("an entry of the journal cannot be read", error=str(error))
            return ()

    def _in_vault(self, vault: str, since: datetime, now: datetime) -> list[Audit] | None:
        """The audits since an instant that a vault tells of; None for one that could not be read."""
        try:
            store = self.store_of(vault)
            paths = [path for month in layout.journal_months(since, now) for path in _entries(store, month)]
            return [one for path in paths if (one := self._believed(read_signed(store, path, self.trusted)))]
        except DrorchError as error:
            log.warning("audits not read", vault=vault, error=str(error))
            return None

    def _believed(self, record: Record) -> Audit | None:
        if record.site != self.site:
            return None
        try:
            return audit_in(record, self.trusted)
        except Refused as error:
            log.warning("an audit counts for nothing", path=record.path, error=str(error))
            return None

    # --- picking ---

    def passed(self, seen: Pass) -> bool:
        """Pick what is due, and bring an earlier pick to the vaults; whether there is anything new to drill.

        Nothing is picked by a clock that others contradict, by a host that looks on while another acts, or before the
        earlier picks are known. Never raises.
        """
        if self.every is None or not self._read or seen.world.skewed:
            return False
        if any(hold.alarm == "other-host" for hold in seen.holds):
            return False
        try:
            if audit.due(self._newest, self.every, seen.at):
                self.pick(seen, to_text(audit.slot_of(seen.at, self.every)))
                return self._brought
            return not self._brought and self._newest is not None and self._bring(seen.at)
        except DrorchError as error:
            if str(error) != self._why:
                log.warning("no audit picked", error=str(error))
            self._why = str(error)
            return False

    def by_hand(self, seen: Pass, by: str) -> Audit:
        """The pick that has no proof yet, or a new one. Raises NotFound when nothing could be drilled, Unavailable."""
        self._tried = self._tried or seen.at
        readable = [name for name in self.vaults if name not in seen.world.unread]
        if not self._read:
            self._look(readable, seen.at)
        if not self._read:
            raise NotFound("no vault could be read that tells of earlier audits", operation="drill --audit")
        newest = self._newest
        if newest is None or _proved(newest, seen):
            return self.pick(seen, manual_slot(seen.at), by)
        if not self._brought:
            self._tried = None
            self._bring(seen.at)
        return newest

    def pick(self, seen: Pass, slot: str, by: str = "") -> Audit:
        """Pick one of what a pass saw, write it down, and bring it to the vaults.

        Raises NotFound when nothing could be drilled; as `JournalBook.write`. The key signs what is picked from first.
        """
        among = sorted(self._offers(seen))
        if not among:
            raise NotFound("an audit is due and no point can be drilled here", operation="audit")
        statement = audit.statement(self.site, slot, len(among), audit.digest(among))
        signature = self.signing().sign(statement, audit.comment(slot))
        content = audit.content(slot, signature, among)
        point = seen.plans[content["application"]].catalogue.find(content["point"])
        cut_at = point.cut_at if point is not None else None
        record = self.book.write(AUDIT, seen.at, self.vaults, **content, cut_at=cut_at, by=by or None)
        self._newest, self._brought, self._tried, self._why = audit.audit_of(record), False, None, ""
        where = {name: content[name] for name in ("application", "resource", "vault", "point")}
        log.info("audit picked", **where, reason=self._newest.reason)
        self._bring(seen.at)
        return self._newest

    def _offers(self, seen: Pass) -> Iterable[Offer]:
        for plan in seen.plans.values():
            yield from offers(plan.policy, plan.observed, domains_of(plan.policy, self.vaults), seen.at)

    def _bring(self, now: datetime) -> bool:
        """Whether a vault has the entry now: only then it is drilled. Tried every `RETRY`."""
        if self._tried is not None and self._tried <= now < self._tried + RETRY:
            return False
        self._tried = now
        failed = self.book.deliver(self.vaults, now)
        self._brought = bool(self.vaults.keys() - failed.keys())
        return self._brought


def _proved(picked: Audit, seen: Pass) -> bool:
    """Whether it was drilled, or cannot be any more: its application is not here, its point is gone."""
    plan = seen.plans.get(picked.offer.application)
    if plan is None or plan.catalogue.find(picked.offer.point) is None:
        return True
    return any(drill.audit == picked.seed for drill in plan.catalogue.drills)


def _entries(store: ObjectStore, month: str) -> list[str]:
    paths = (info.path for info in store.list(month))
    return sorted(path for path in paths if f"-{AUDIT}-" in path and path.endswith(".json"))
