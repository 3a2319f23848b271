"""One change of a policy after the other, in the words of who reviews it; the risky ones are marked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from drorch.domain.cadence import told
from drorch.domain.duration import duration_text
from drorch.domain.model import FailureLevel, LockMode
from drorch.domain.policy import Keep, LockRule, Objective, Policy, ResourcePolicy, VaultRule
from drorch.domain.policy_figures import Figures

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: its `kind` (a stable name), where it is, and what it says for people.

    `risky`: something is protected less than before. `loosened`: a level is covered no longer, or a promise is weaker.
    """

    kind: str
    application: str
    text: str
    resource: str = ""
    dataset: str = ""
    vault: str = ""
    levels: tuple[FailureLevel, ...] = ()
    before: str = ""
    after: str = ""
    risky: bool = False
    loosened: bool = False

    @property
    def where(self) -> str:
        """``shop``, ``shop/orders``: the resource, else the dataset, that it is about."""
        return "/".join(part for part in (self.application, self.resource or self.dataset) if part)

    def to_json(self) -> dict[str, object]:
        """Its fields; null for what it does not concern."""
        return {
            "kind": self.kind,
            "risky": self.risky,
            "loosened": self.loosened,
            "application": self.application,
            "dataset": self.dataset or None,
            "resource": self.resource or None,
            "vault": self.vault or None,
            "levels": [level.value for level in self.levels],
            "before": self.before or None,
            "after": self.after or None,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Where:
    """What changes are about."""

    application: str
    resource: str = ""
    dataset: str = ""
    vault: str = ""
    levels: tuple[FailureLevel, ...] = ()

    def change(
        self, kind: str, text: str, before: str = "", after: str = "", *, risky: bool = False, loosened: bool = False
    ) -> Change:
        """A change here."""
        about = self.resource, self.dataset, self.vault, self.levels
        return Change(kind, self.application, text, *about, before, after, risky, loosened)


# --- promises ------------------------------------------------------------------------------------------------------


def changed_promises(application: str, old: ResourcePolicy, new: ResourcePolicy) -> Iterator[Change]:
    """What a dataset promises otherwise than before; any of its resources on both sides."""
    for level in FailureLevel:
        before, after = _promise(old, level), _promise(new, level)
        was, now = _shown(before), _shown(after)
        reason, reasoned = new.exempt.get(level), old.exempt.get(level)
        here = Where(application, dataset=new.dataset, levels=(level,))
        if reason and not reasoned:
            broken = before is not None
            text = f"{level} is exempt now: {reason}" + (f"; {was} was promised" if broken else "")
            yield here.change("exempt-added", text, was, now, risky=True, loosened=broken)
        elif before is not None and after is None:
            text = f"{level}: {was} is promised no longer"
            yield here.change("objective-dropped", text, was, now, risky=True, loosened=True)
        elif before is None and after is not None:
            text = f"{level}: {now} is promised" + (" and exempt no longer" if reasoned else "")
            kind = "exempt-removed" if reasoned else "objective-added"
            yield here.change(kind, text, was, now)
        elif before is not None and after is not None and before != after:
            weaker = _weaker(before.rpo, after.rpo) or _weaker(before.rto, after.rto)
            kind = "objective-loosened" if weaker else "objective-tightened"
            text = f"{level}: {was} becomes {now}"
            yield here.change(kind, text, was, now, risky=weaker, loosened=weaker)
        elif reasoned and not reason:
            yield here.change("exempt-removed", f"{level} is exempt no longer", was, now)


def changed_reach(old: Policy, new: Policy) -> Iterator[Change]:
    """How far back a restore after tampering must reach."""
    if old.reach_back == new.reach_back:
        return
    weaker = old.reach_back is not None and (new.reach_back is None or new.reach_back < old.reach_back)
    before, after = (_span(policy.reach_back) or "nothing" for policy in (old, new))
    text = f"reach_back {before} becomes {after}"
    kind = "objective-loosened" if weaker else "objective-tightened"
    where = Where(new.application, levels=(FailureLevel.TAMPERING,))
    yield where.change(kind, text, before, after, risky=weaker, loosened=weaker)


def _promise(resource: ResourcePolicy, level: FailureLevel) -> Objective | None:
    return None if level in resource.exempt else resource.objectives.get(level)


def _shown(objective: Objective | None) -> str:
    if objective is None:
        return ""
    spans = (("rpo", objective.rpo), ("rto", objective.rto))
    return " ".join(f"{name} {duration_text(span)}" for name, span in spans if span is not None)


def _weaker(before: timedelta | None, after: timedelta | None) -> bool:
    return before is not None and (after is None or after > before)


# --- resources -----------------------------------------------------------------------------------------------------

_ELSEWHERE = {
    *("name", "dataset", "kind", "home", "options", "schedule", "cadence", "targets", "floor", "keep_manual"),
    *("objectives", "exempt", "drill", "formerly", "native"),
}
"""Fields that are told apart; of the others a change is told by their names."""


def changed_resource(application: str, old: ResourcePolicy, new: ResourcePolicy) -> Iterator[Change]:
    """What a resource is, how often it is cut, and how it is drilled."""
    where = Where(application, new.name)
    if old.name != new.name:
        yield where.change("resource-renamed", f"was {old.name}; its history goes on")
    yield from _source(where, old, new)
    yield from _cadence(where, old, new)
    yield from _drill(where, old, new)
    if old.keep_manual != new.keep_manual:
        shorter = new.keep_manual < old.keep_manual
        before, after = duration_text(old.keep_manual), duration_text(new.keep_manual)
        kind = "retention-shortened" if shorter else "retention-lengthened"
        text = f"manual points: keep_manual {before} becomes {after}"
        yield where.change(kind, text, before, after, risky=shorter)
    names = [n for n in type(new).model_fields if n not in _ELSEWHERE and getattr(old, n) != getattr(new, n)]
    if names:
        yield where.change("settings-changed", f"changed: {', '.join(names)}")


def _source(where: Where, old: ResourcePolicy, new: ResourcePolicy) -> Iterator[Change]:
    """Another kind, home or dataset, or other keys of the kind itself: by their names, for they may be long."""
    for name, before, after in (
        ("kind", old.kind, new.kind),
        ("home", _home(old), _home(new)),
        ("dataset", old.dataset, new.dataset),
    ):
        if before != after and not (name == "dataset" and (before, after) == (old.name, new.name)):
            text = f"{name} {before} becomes {after}"
            yield where.change("source-changed", text, before, after)
    if old.kind == new.kind and old.options != new.options:
        names = (name for name in type(new.options).model_fields if _of(old, name) != _of(new, name))
        text = f"what it protects or how it is reached is another: {', '.join(names)}"
        yield where.change("source-changed", text)


def _of(resource: ResourcePolicy, name: str) -> object:
    return getattr(resource.options, name, None)


def _home(resource: ResourcePolicy) -> str:
    home = resource.home
    return ".".join(part for part in (home.account or home.provider, home.region) if part)


def _cadence(where: Where, old: ResourcePolicy, new: ResourcePolicy) -> Iterator[Change]:
    if old.schedule == new.schedule:
        if (old.cadence is None) != (new.cadence is None):
            text = "the same cadence, " + ("said by the policy now" if new.cadence is None else told(new))
            yield where.change("cadence-changed", text, str(old.schedule), str(new.schedule))
        return
    before, after = old.schedule.longest_gap(), new.schedule.longest_gap()
    kind = "cadence-slower" if after > before else "cadence-faster" if after < before else "cadence-changed"
    text = f"{old.schedule} becomes {told(new) or new.schedule}"
    yield where.change(kind, text, str(old.schedule), str(new.schedule))


def _drill(where: Where, old: ResourcePolicy, new: ResourcePolicy) -> Iterator[Change]:
    before, after = old.drill, new.drill
    if before == after:
        return
    if before is None or after is None:
        kind = "drill-added" if before is None else "drill-lost"
        text = "it is drilled" if before is None else "nothing proves any more that it restores"
        yield where.change(kind, text, risky=after is None)
        return
    lost = sorted(set(before.from_) - set(after.from_))
    fewer = bool(lost) or after.every > before.every or len(after.probes) < len(before.probes)
    parts = [f"every {duration_text(before.every)} becomes {duration_text(after.every)}"] * (
        after.every != before.every
    )
    parts += [f"no longer from {', '.join(lost)}"] * bool(lost)
    parts += [f"{len(before.probes)} probes become {len(after.probes)}"] * (after.probes != before.probes)
    text = "drill: " + ("; ".join(parts) or f"from {', '.join(after.from_)}")
    yield where.change("drill-reduced" if fewer else "drill-changed", text, risky=fewer)


# --- vaults --------------------------------------------------------------------------------------------------------


def changed_vault(
    application: str, old: tuple[ResourcePolicy, VaultRule], new: tuple[ResourcePolicy, VaultRule], found: Figures
) -> Iterator[Change]:
    """What a vault gets, keeps and locks of a resource otherwise than before."""
    (before, was), (after, now) = old, new
    where = Where(application, after.name, vault=now.vault)
    if was.every != now.every:
        gone, come = (f"every {_span(each)}" if each else "every point" for each in (was.every, now.every))
        text = f"{now.vault} takes {come}, it took {gone}"
        slower = (now.every or timedelta()) > (was.every or timedelta())
        kind = "cadence-slower" if slower else "cadence-faster"
        yield where.change(kind, text, gone, come)
    floors = ["", ""]
    if before.floor != after.floor:
        floors = [f", floor {resource.floor}" for resource in (before, after)]
    slots = max(resource.schedule.longest_gap() for resource in (before, after))
    shrinks = (found.reach_before or timedelta()) - (found.reach_after or timedelta()) > slots
    if shrinks or (was.keep, before.floor) != (now.keep, after.floor):
        yield _retention(where, kept_text(was.keep) + floors[0], kept_text(now.keep) + floors[1], found, shrinks)
    yield from _lock(where, was.lock, now.lock)
    if was.kms_key != now.kms_key:
        gone, come = was.kms_key or "none", now.kms_key or "none"
        text = f"key of copies in {now.vault}: {gone} becomes {come}; the next copy is a full one"
        yield where.change("key-changed", text, gone, come)


def _retention(where: Where, before: str, after: str, found: Figures, shrinks: bool) -> Change:
    """Shortened where points would go, or where more of them in less time (`last: 3`) reach less far back."""
    shorter = bool(found.would_expire or found.held_would_expire) or shrinks
    parts = [f"{found.vault}: {before} becomes {after}" if before != after else f"{found.vault}: {after}"]
    if shrinks:
        parts.append(f"reaches back {_age(found.reach_after)}, it was {_age(found.reach_before)}")
    days = "" if found.span is None else f", of {found.span[0]:%Y-%m-%d} to {found.span[1]:%Y-%m-%d}"
    if found.held_would_expire is not None:
        parts.append(f"{found.held_would_expire} of {found.held} points there would begin to expire{days}")
    elif found.would_expire:
        parts.append(f"{found.would_expire} of {found.points_before} points would begin to expire{days}")
    longer = (found.points_after or 0) > (found.points_before or 0)
    kind = "retention-shortened" if shorter else "retention-lengthened" if longer else "retention-changed"
    return where.change(kind, "; ".join(parts), before, after, risky=shorter)


def _lock(where: Where, before: LockRule | None, after: LockRule | None) -> Iterator[Change]:
    if before == after:
        return
    gone, come = _lock_text(before), _lock_text(after)
    weaker = before is not None and (
        after is None or after.for_ < before.for_ or (before.holds and after.mode is LockMode.GOVERNANCE)
    )
    kind = "lock-shortened" if weaker else "lock-lengthened"
    text = f"lock of copies in {where.vault}: {gone} becomes {come}; what is locked already stays so"
    yield where.change(kind, text, gone, come, risky=weaker)


def _lock_text(lock: LockRule | None) -> str:
    return "none" if lock is None else f"{duration_text(lock.for_)} {lock.mode}"


def kept_text(rules: Keep) -> str:
    """``last 3, daily 14, within 7d``."""
    numbers = ((name, getattr(rules, name)) for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly"))
    parts = [f"{name} {number}" for name, number in numbers if number]
    parts += [f"within {_span(rules.within)}"] * (rules.within is not None)
    return ", ".join(parts)


def _age(span: timedelta | None) -> str:
    """In whole hours."""
    return duration_text((span or timedelta()) // _HOUR * _HOUR)


def _span(span: timedelta | None) -> str:
    return "" if span is None else duration_text(span)


def joined(levels: Iterable[FailureLevel]) -> str:
    """``zone, region`` in the order of the levels."""
    wanted = set(levels)
    return ", ".join(level.value for level in FailureLevel if level in wanted)
