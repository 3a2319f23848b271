"""KMS keys: what a key has to be for copies to be encrypted with it, and when it opens nothing any more. Pure.

States and sorts of keys: KMS API, KeyMetadata; which states let a key be used: KMS developer guide, "Key states of AWS
KMS keys". An answer that did not come says nothing: a key is neither wrong nor shut for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from drorch.domain.catalogue import Catalogue
from drorch.domain.model import Copy, RecoveryPoint

Ref = tuple[str, str]
"""(native vault, key): the key by alias, id or ARN, as a policy or the provider names it."""

DEFAULT_OF_AWS = "AWS"
"""KeyManager of the default keys that AWS keeps for its services (aws/ebs, aws/rds): they are never shared."""

_SHUT = {
    "Disabled": "is disabled",
    "PendingDeletion": "is to be deleted",
    "PendingReplicaDeletion": "is to be deleted",
    "PendingImport": "has lost its imported material",
}
"""States in which nothing opens until a person acts. `Unavailable` (a key store that is cut off) passes by itself."""
_SYMMETRIC = "SYMMETRIC_DEFAULT"
_WANTED = (("state", "KeyState", "Enabled"), ("usage", "KeyUsage", "ENCRYPT_DECRYPT"), ("spec", "KeySpec", _SYMMETRIC))


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A key as KMS describes it in one region."""

    arn: str
    state: str
    usage: str = "ENCRYPT_DECRYPT"
    spec: str = _SYMMETRIC
    manager: str = "CUSTOMER"


@dataclass(frozen=True, slots=True)
class KmsSeen:
    """What is known of one key in one native vault.

    `at` is when KMS last answered, None when it never did. `wrong` is why copies cannot be encrypted with it, `shut`
    why what it encrypted opens for nobody now; both "" where nothing of the kind is known. `default`: a key that AWS
    keeps. `doubt` is why drorch may not be allowed to use it, `unasked` why KMS did not answer lately, `mended` when it
    was last found right after it had been wrong.
    """

    at: datetime | None = None
    arn: str = ""
    wrong: str = ""
    shut: str = ""
    default: bool = False
    doubt: str = ""
    unasked: str = ""
    mended: datetime | None = None


def faults_of(key: KmsKey) -> list[str]:
    """Why no copy can be encrypted with the key, in the words of KMS; nothing when one can."""
    return [
        f"{field} is {getattr(key, attribute) or 'not told'}, not {wanted}"
        for attribute, field, wanted in _WANTED
        if getattr(key, attribute) != wanted
    ]


def described(key: KmsKey, name: str, before: KmsSeen | None, now: datetime) -> KmsSeen:
    """What is known of the key that KMS has just described; `name` is what it was asked by."""
    faults = faults_of(key)
    wrong = f"{name}: {'; '.join(faults)}" if faults else ""
    shut = f"its key {name} {_SHUT[key.state]}" if key.state in _SHUT else ""
    seen = KmsSeen(now, key.arn, wrong, shut, default=key.manager == DEFAULT_OF_AWS)
    return _after(before, seen, now)


def absent(name: str, region: str, why: str, before: KmsSeen | None, now: datetime) -> KmsSeen:
    """As `described`, of a key that KMS does not know in the region: what an ARN names there was deleted."""
    wrong = f"{name}: there is no such key in {region} ({why})"
    shut = f"its key {name} is not there any more" if name.startswith("arn:") else ""
    return _after(before, KmsSeen(now, wrong=wrong, shut=shut), now)


def denied(name: str, why: str, before: KmsSeen | None, now: datetime) -> KmsSeen:
    """As `described`, of a key that may not be looked at: no copy is begun with it, and nothing else is said of it."""
    known = before or KmsSeen()
    wrong = f"{name}: KMS does not let drorch look at it ({why})"
    return _after(before, replace(known, at=now, wrong=wrong, doubt="", unasked=""), now)


def unanswered(why: str, before: KmsSeen | None) -> KmsSeen:
    """What was known stays known."""
    return replace(before or KmsSeen(), unasked=why)


def _after(before: KmsSeen | None, seen: KmsSeen, now: datetime) -> KmsSeen:
    if before is None:
        return seen
    return replace(seen, mended=now if before.wrong and not seen.wrong else before.mended)


def misplaced(name: str, region: str) -> str:
    """Why an ARN names no key of the region, "" when it does; of a multi-Region key its replica's ARN does."""
    parts = name.split(":", 5)
    if len(parts) < 6 or parts[3] == region:
        return ""
    there = ":".join([*parts[:3], region, *parts[4:]])
    replica = f": name its replica, {there}" if parts[5].startswith("key/mrk-") else ""
    return f"{name}: it lies in {parts[3]}, and a copy takes a key of {region}{replica}"


def shut_copies(catalogue: Catalogue, keys: Mapping[Ref, str]) -> Catalogue:
    """The catalogue with every copy shut that bears one of `keys` (to why)."""
    if not keys:
        return catalogue
    where = frozenset(vault for vault, _ in keys)
    points = tuple(_shut_point(point, where, keys) for point in catalogue.points)
    return catalogue if points == catalogue.points else replace(catalogue, points=points)


def _shut_point(point: RecoveryPoint, where: frozenset[str], keys: Mapping[Ref, str]) -> RecoveryPoint:
    if where.isdisjoint(copy.vault for copy in point.copies):
        return point
    copies = tuple(_shut_copy(copy, keys) for copy in point.copies)
    return point if copies == point.copies else replace(point, copies=copies)


def _shut_copy(copy: Copy, keys: Mapping[Ref, str]) -> Copy:
    why = "; ".join(sorted({keys[copy.vault, key] for key in copy.kms_keys if (copy.vault, key) in keys}))
    return replace(copy, shut=why, why=why) if why and copy.whole else copy
