"""Carrying out what concerns native snapshots: cuts and copies that no crash and no lost reply makes twice.

The intent is fsynced before the first call; a call whose outcome is not known leaves its intent standing, and the
provider is asked what is there before anything is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from drorch.app.failpoint import reach
from drorch.app.intents import Intents
from drorch.domain.action import Copy, Cut, Unshare
from drorch.domain.catalogue_native import (
    TAG_APPLICATION,
    TAG_INTERMEDIATE,
    TAG_POINT,
    TAG_RESOURCE,
    TAG_SET,
    TAG_SITE,
    TAG_SLOT,
    TAG_SOURCE,
    made_from,
    set_of,
)
from drorch.domain.errors import AlreadyExists, NotInThisVersion, OutcomeUnknown, Refused, Unavailable
from drorch.domain.intent_keys import copy_intent, through_intent
from drorch.domain.model import place_of
from drorch.domain.native import PART, NativeSnapshot, Source
from drorch.ports import CopyOrder, CutOrder, SharesSnapshots, SnapshotKind

_CHECKED_FOR = timedelta(days=1)
_OF_THE_POINT = (TAG_SITE, TAG_APPLICATION, TAG_RESOURCE, TAG_SLOT, TAG_POINT, TAG_SET)


class NativeHands:
    """Makes native points and copies for one site."""

    def __init__(self, site: str, kinds: Mapping[str, SnapshotKind], intents: Intents) -> None:
        self._site = site
        self._kinds = kinds
        self._intents = intents
        self._checked_keys: dict[tuple[str, str], datetime] = {}

    def kind(self, name: str) -> SnapshotKind:
        """One kind of snapshot by its name."""
        return self._kinds[name]

    def cut(self, action: Cut, kind: str, sources: Sequence[Source], now: datetime) -> str:
        """Make every creating call of the point that has not been made; words for the closing line.

        Raises Unavailable or Refused when nothing happened, OutcomeUnknown when it may have.
        """
        hands = self._kinds[kind]
        account, region = place_of(action.vault)
        tags = {
            TAG_SITE: self._site,
            TAG_APPLICATION: action.application,
            TAG_RESOURCE: action.resource,
            TAG_SLOT: action.slot,
            TAG_POINT: action.point,
        }
        order = CutOrder(account, region, action.point, tuple(sources), tags)
        calls = hands.creating_calls(order.sources)
        reach("cut.before")
        known = self._intents.begin(action.point, now)
        found = hands.find(account, region, action.point) if known or action.resumed else ()
        there = [s for s in found if s.role != PART and TAG_INTERMEDIATE not in s.tags]
        if there:
            _same_division(_ours(there, tags), calls, action)
        made = {set_of(snapshot)[0] for snapshot in there}
        members = len(there)
        for number in range(len(calls)):
            if number + 1 not in made:
                members += self._one_cut(hands, order, number, first=not made and number == 0)
                reach("cut.called")
        return f"{members} snapshot(s) begun in {action.vault}"

    def _one_cut(self, hands: SnapshotKind, order: CutOrder, number: int, *, first: bool) -> int:
        try:
            try:
                return len(hands.cut(order, number))
            except AlreadyExists:
                return len(_ours(hands.find(order.account, order.region, order.point), order.tags))
        except OutcomeUnknown:
            raise
        except (Refused, Unavailable):
            if first:
                self._intents.end(order.point)
            raise

    def copy(
        self,
        action: Copy,
        kind: str,
        members: Sequence[NativeSnapshot],
        listed: Sequence[NativeSnapshot],
        now: datetime,
    ) -> str:
        """Begin the copies of the members that have none, of as many as the action has places.

        `listed` is what the destination was seen to hold.
        """
        hands = self._kinds[kind]
        account, region = place_of(action.vault)
        self._check_key(hands, account, region, action.kms_key, now)
        reach("copy.before")
        known = self._intents.begin(_intent(action), now)
        there = [s for s in listed if s.tags.get(TAG_POINT) == action.point]
        if known or there:
            there = list(hands.find(account, region, action.point))
        there = [s for s in there if _such(s, action)]
        begun = 0
        for member in members:
            of_member = [s for s in there if s.tags.get(TAG_SOURCE) == made_from(member)]
            if any(s.state != "failed" for s in of_member):
                continue
            if action.places and begun >= action.places:
                break  # the destination has no more places now; the others are begun later
            order = CopyOrder(
                account=account,
                region=region,
                from_account=member.account,
                from_region=member.region,
                point=action.point,
                snapshot=member,
                tags=_tags_of_copy(member, action),
                kms_key=action.kms_key,
                attempt=len(of_member) + 1,
            )
            self._one_copy(hands, order, action, first=begun == 0)
            begun += 1
            reach("copy.called")
        return f"{begun} of {len(members)} member(s) being copied to {action.vault}"

    def _one_copy(self, hands: SnapshotKind, order: CopyOrder, action: Copy, *, first: bool) -> None:
        """An identifier that is taken is that of a copy that was begun, or of a failed one: then the next is tried."""
        try:
            if order.from_account != order.account:
                _sharing(hands).share(order)
                reach("copy.shared")
            hands.copy(order)
        except AlreadyExists:
            found = [s for s in hands.find(order.account, order.region, order.point) if _such(s, action)]
            of_member = [s for s in found if s.tags.get(TAG_SOURCE) == made_from(order.snapshot)]
            if any(s.state != "failed" for s in of_member):
                return
            if order.attempt > 2 * len(found) + 1:
                raise
            self._one_copy(hands, replace(order, attempt=order.attempt + 1), action, first=first)
        except OutcomeUnknown:
            raise
        except (Refused, Unavailable):
            if first:
                self._intents.end(_intent(action))
            raise

    def unshare(self, action: Unshare, kind: str) -> str:
        """Take the sharing of the point's members back. Unavailable while a copy of them is seen to be under way."""
        hands = self._kinds[kind]
        sharing = _sharing(hands)
        account, region = place_of(action.vault)
        reach("unshare.before")
        for vault in action.copies:  # asked now: a copy that an older listing did not show yet needs it still
            other, where = place_of(vault)
            found = hands.find(other, where, action.point)
            if any(s.state == "pending" and s.role != PART for s in found):
                raise Unavailable(
                    f"a copy of it is under way in {vault}", operation="unshare", resource=action.point, vault=vault
                )
        for member in action.members:
            sharing.unshare(account, region, member, action.account)
            reach("unshare.called")
        return f"{len(action.members)} snapshot(s) of {action.vault} no longer shared with {action.account}"

    def _check_key(self, hands: SnapshotKind, account: str, region: str, key: str, now: datetime) -> None:
        """A wrong key fails asynchronously at AWS: it is looked up before the first copy of a day."""
        place = (f"{account}.{region}", key)
        checked = self._checked_keys.get(place)
        if key and (checked is None or not checked <= now < checked + _CHECKED_FOR):
            hands.check_key(account, region, key)
            self._checked_keys[place] = now


def _intent(action: Copy) -> str:
    if action.intermediate:
        return through_intent(action.point, action.vault, action.intermediate)
    return copy_intent(action.point, action.vault)


def _such(snapshot: NativeSnapshot, action: Copy) -> bool:
    """Whether it is of the kind of copies that the action makes; what is left of an image is no copy of it."""
    return snapshot.role != PART and snapshot.tags.get(TAG_INTERMEDIATE, "") == action.intermediate


def _sharing(hands: SnapshotKind) -> SharesSnapshots:
    if not isinstance(hands, SharesSnapshots):
        raise NotInThisVersion(f"a copy of kind {hands.kind} in another account is not in this version")
    return hands


def _tags_of_copy(member: NativeSnapshot, action: Copy) -> dict[str, str]:
    """The member's own tags of drorch's and the user's; what belongs to the member alone stays behind."""
    tags = {key: value for key, value in member.tags.items() if not key.startswith(("drorch:", "aws:"))}
    tags |= {key: member.tags[key] for key in _OF_THE_POINT if key in member.tags}
    step = {TAG_INTERMEDIATE: action.intermediate} if action.intermediate else {}
    return tags | {TAG_SOURCE: made_from(member)} | step


def _ours(found: Sequence[NativeSnapshot], tags: Mapping[str, str]) -> Sequence[NativeSnapshot]:
    """The snapshots, if every one bears the tags of this point. Refused when somebody else took the identifier."""
    if not found or any(s.tags.get(key) != value for s in found for key, value in tags.items()):
        raise Refused(
            f"the identifier of point {tags[TAG_POINT]} is taken by a snapshot that is not drorch's",
            operation="cut",
            resource=tags[TAG_RESOURCE],
            hint="look at who made that snapshot; the next slot has another identifier",
        )
    return found


def _same_division(there: Sequence[NativeSnapshot], calls: Sequence[Sequence[Source]], action: Cut) -> None:
    """Refused when the calls that are left would not complete the point that was begun."""
    for snapshot in there:
        call, of, _ = set_of(snapshot)
        if of != len(calls) or snapshot.source_id not in {source.source_id for source in calls[call - 1]}:
            raise Refused(
                "the selection changed between the creating calls of one point",
                operation="cut",
                resource=action.resource,
                cause=f"begun with {snapshot.source_id} in call {call} of {of}, now there are {len(calls)}",
                hint="the next slot makes a whole point",
            )
