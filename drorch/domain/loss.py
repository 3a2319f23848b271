"""What is lost at once, as people say it: ``region:us-east-1``, ``account:prod``, or a level by itself. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from drorch.domain.errors import Usage
from drorch.domain.model import FailureDomain, FailureLevel, survives

SHAPES = (
    "zone:us-east-1a, region:us-east-1, account:prod, provider:aws or tampering;"
    " a level by itself means each application's own home"
)


@dataclass(frozen=True, slots=True)
class Loss:
    """A level, and which of its domains; without a name the one that a resource has its home in."""

    level: FailureLevel
    name: str = ""

    def __str__(self) -> str:
        return f"{self.level}:{self.name}" if self.name else str(self.level)

    def hits(self, home: FailureDomain) -> bool:
        """Whether what has its home there is lost. Where the zone of a home is not known, it is any of its region."""
        if not self.name:
            return True
        if self.level is FailureLevel.ZONE:
            return home.zone == self.name if home.zone else _lies_in(self.name, home.region)
        return self._names(home)

    def takes(self, home: FailureDomain, place: FailureDomain, *, locked: bool = False) -> bool:
        """Whether a copy in `place`, of what has its home at `home`, is lost. `locked` as in `survives`."""
        if not self.name:
            return not survives(self.level, home, place, locked=locked)
        return self._names(place)

    def _names(self, place: FailureDomain) -> bool:
        of = {
            FailureLevel.ZONE: place.zone,
            FailureLevel.REGION: place.region,
            FailureLevel.ACCOUNT: place.account,
            FailureLevel.PROVIDER: place.provider,
        }
        return of.get(self.level) == self.name


def parse_loss(text: str) -> Loss:
    """What a ``--lose`` says. Usage for anything else."""
    word, colon, name = text.partition(":")
    if word not in {level.value for level in FailureLevel} or bool(colon) != bool(name):
        raise Usage(f"{text!r} cannot be lost", hint=SHAPES)
    if name and word == FailureLevel.TAMPERING:
        raise Usage(f"{text!r} cannot be lost", hint="tampering has no name: it is every resource's own home account")
    return Loss(FailureLevel(word), name)


def require_known(losses: Iterable[Loss], homes: Collection[FailureDomain], places: Collection[FailureDomain]) -> None:
    """Usage for a name in which nothing lives and nothing lies: a slip of the pen would read as good news."""
    for loss in losses:
        if any(loss.hits(home) for home in homes) or any(loss.name and loss.takes(p, p) for p in places):
            continue
        parts = {FailureLevel.REGION: "region", FailureLevel.ACCOUNT: "account", FailureLevel.PROVIDER: "provider"}
        part = parts.get(loss.level, "region")
        known = sorted({str(getattr(place, part)) for place in (*homes, *places)} - {""})
        raise Usage(f"nothing of these policies lives or lies in {loss}", hint=f"there is {', '.join(known) or 'none'}")


def reached_no_more(losses: Iterable[Loss], homes: Iterable[FailureDomain], place: FailureDomain) -> Loss | None:
    """The loss with which nothing in `place` answers any more; None when it does still. An attacker silences nobody."""
    homes = tuple(homes)
    for loss in losses:
        if loss.level is FailureLevel.TAMPERING:
            continue
        if any(loss.takes(home, place) for home in homes) or (loss.name and loss.takes(place, place)):
            return loss
    return None


def _lies_in(zone: str, region: str) -> bool:
    """Whether the zone's name begins with that of the region (``us-east-1a``, ``us-west-2-lax-1a``)."""
    rest = zone.removeprefix(region)
    return bool(region and rest) and rest != zone and not rest[0].isdigit()
