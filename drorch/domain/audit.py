"""Random audits: which point is drilled next is for nobody to choose, and for everybody to check afterwards. Pure.

The seed is the digest of a signature over the audit's slot and the digest of everything that could be drilled then. An
entry of the journal says it before the drill begins, with the lists that the seed picked from.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from drorch.domain.errors import Damaged
from drorch.domain.instant import floor_second, to_text
from drorch.domain.record import Record

AUDIT = "audit"
"""The event of its entry in the journal."""
CHOICES = ("application", "level", "resource", "vault", "point")
"""In this order: an application first, so that one of many resources is not audited more often than others."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Offer:
    """A point that could be drilled now from a vault that would be left if `level` of its home were lost."""

    application: str
    level: str
    resource: str
    vault: str
    point: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was picked, when, for which slot; `seed` is 64 hexadecimal digits, `by` the person who asked for it ("")."""

    at: datetime
    slot: str
    seed: str
    offer: Offer
    by: str = ""

    @property
    def reason(self) -> str:
        """Why it is drilled, in words."""
        return f"audit {self.slot}, picked by seed {self.seed[:16]} for level {self.offer.level}"


def slot_of(now: datetime, every: timedelta) -> datetime:
    """The start of the slot that an instant lies in; slots of one length are the same on every host."""
    return floor_second(_EPOCH + (now - _EPOCH) // every * every)


def due(newest: Audit | None, every: timedelta, now: datetime) -> bool:
    """Whether the slot of the present has no audit yet, one that a person asked for included."""
    return newest is None or newest.at < slot_of(now, every)


def statement(site: str, slot: str, count: int, sha256: str) -> bytes:
    """What is signed for the seed of so many offers with this digest: nobody without the key knows it before."""
    return f"drorch audit 1\nsite {site}\nslot {slot}\noffers {count} {sha256}\n".encode()


def comment(slot: str) -> str:
    """The trusted comment of that signature."""
    return f"drorch v1 audit {slot}"


def digest(offers: Iterable[Offer]) -> str:
    """SHA-256 of the sorted offers, a line each, their fields joined by 0x00."""
    lines = ("\0".join(getattr(offer, name) for name in CHOICES) + "\n" for offer in sorted(offers))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def seed_of(signature: bytes) -> str:
    """The SHA-256 of the signature itself (its second line, decoded). Raises Damaged for what is no signature file."""
    lines = signature.split(b"\n", 2)
    try:
        return hashlib.sha256(base64.b64decode(lines[1], validate=True)).hexdigest()
    except (IndexError, binascii.Error) as error:
        raise Damaged("the seed of an audit is no signature") from error


def chosen(seed: str, what: str, among: Sequence[str]) -> str:
    """One of the sorted names: the SHA-256 of seed and `what`, modulo their number."""
    number = int.from_bytes(hashlib.sha256(f"{seed} {what}".encode()).digest(), "big")
    return among[number % len(among)]


def pick(seed: str, offers: Iterable[Offer]) -> tuple[Offer, dict[str, list[str]]]:
    """The offer that a seed picks, and for each choice the names that it was made among. ValueError without offers."""
    left, among = sorted(offers), {}
    if not left:
        raise ValueError("nothing to pick from")
    for what in CHOICES:
        among[what] = sorted({getattr(offer, what) for offer in left})
        name = chosen(seed, what, among[what])
        left = [offer for offer in left if getattr(offer, what) == name]
    return left[0], among


def content(slot: str, signature: bytes, offers: Sequence[Offer]) -> dict[str, Any]:
    """The fields of the journal's entry, beside the instant of the point; `signature` is over the `statement`."""
    seed = seed_of(signature)
    offer, among = pick(seed, offers)
    return {
        "slot": slot,
        "seed": seed,
        "signature": signature.decode("ascii"),
        "offers": len(offers),
        "offers_sha256": digest(offers),
        "among": among,
        **{name: getattr(offer, name) for name in CHOICES},
    }


def audit_of(record: Record) -> Audit:
    """The audit that an entry of the journal tells of, recomputed from its seed.

    Raises Damaged where the entry does not say what it picked from, or the seed picks something else. Whose the
    signature is has to be asked of the keys (`stated`).
    """
    body = record.body
    among = body.get("among")
    if not isinstance(among, Mapping):
        raise Damaged("an audit does not say what it was picked from", cause=record.path)
    seed = seed_of(record.text("signature").encode())
    for what in CHOICES:
        names = among.get(what)
        listed = names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
        if not listed or sorted(listed) != listed or chosen(seed, what, listed) != record.text(what):
            raise Damaged(f"the seed of an audit does not pick its {what}", cause=record.path)
    if record.text("seed") != seed:
        raise Damaged("the seed of an audit is not that of its signature", cause=record.path)
    offer = Offer(*(record.text(what) for what in CHOICES))
    return Audit(record.at, record.text("slot"), seed, offer, record.text("by"))


def stated(record: Record) -> bytes:
    """What the signature in an entry must be over. Raises Damaged where the entry does not say."""
    count = record.body.get("offers")
    if not isinstance(count, int) or isinstance(count, bool):
        raise Damaged("an audit does not count what it was picked from", cause=record.path)
    return statement(record.site, record.text("slot"), count, record.text("offers_sha256"))


@dataclass(frozen=True, slots=True)
class AuditsSeen:
    """How audits stand: how often, the newest pick, when the next is due (None: it is not known what was picked), and
    why the one that is due has not been picked.
    """

    every: timedelta
    newest: Audit | None
    next_at: datetime | None
    why: str = ""

    def to_json(self) -> dict[str, object]:
        """For scripts; null is none or not known."""
        newest = self.newest
        told = None
        if newest is not None:
            fields = {name: getattr(newest.offer, name) for name in CHOICES}
            told = {"at": to_text(newest.at), "slot": newest.slot, "seed": newest.seed, **fields}
        return {
            "every_s": int(self.every.total_seconds()),
            "newest": told,
            "next_at": to_text(self.next_at) if self.next_at else None,
            "why": self.why or None,
        }


def next_due(newest: Audit | None, every: timedelta, now: datetime) -> datetime:
    """When the next one is picked."""
    return floor_second(now) if due(newest, every, now) else slot_of(now, every) + every
