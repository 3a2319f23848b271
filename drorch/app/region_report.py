"""What came back in a region: each resource with what was made of it, as scripts and Terraform read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from drorch.domain.instant import to_text
from drorch.domain.native_restore import Made
from drorch.domain.recovery import Choice, Step


class Chosen(Protocol):
    """A resource with the point that was chosen for it: snapshots (`Located`) or a dump (`LocatedDump`)."""

    @property
    def resource(self) -> str:
        """Its name."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def choice(self) -> Choice:
        """The point, and the newer ones."""

    @property
    def vault(self) -> str:
        """Where the point is brought back from."""

    @property
    def estimate_s(self) -> int | None:
        """What a drill of it took, scaled to its size where that matters."""

    @property
    def next_best(self) -> str:
        """The point to take if this one fails; "" where that is not known."""


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """How it went with one resource: `outcome` is `done` or `failed`, `why` what failed, with what to do next.

    `restore` is what the things that were made say of it, `into` the target of a dump.
    """

    located: Chosen
    restore: str
    made: tuple[Made, ...]
    outcome: str
    data_loss_s: int
    why: str = ""
    notes: tuple[str, ...] = ()
    into: str = ""

    def to_json(self) -> dict[str, object]:
        """The stable fields (README: restore into a region)."""
        choice = self.located.choice
        return {
            "resource": self.located.resource,
            "kind": self.located.kind,
            "point": choice.point.id,
            "vault": self.located.vault,
            "cut_at": to_text(choice.cut_at),
            "data_loss_s": self.data_loss_s,
            "restore": self.restore,
            "outcome": self.outcome,
            "why": self.why or None,
            "into": self.into or None,
            "made": [made_json(made) for made in self.made],
            "newer": [newer.to_json() for newer in choice.newer],
            "notes": list(self.notes),
        }


def made_json(made: Made) -> dict[str, object]:
    """The stable fields of one thing that was made."""
    return {
        "what": made.what,
        "id": made.native_id,
        "state": made.state,
        "detail": made.detail,
        "source_id": made.source_id,
        "endpoint": made.endpoint or None,
    }


@dataclass(frozen=True, slots=True)
class RegionReport:
    """What was brought back in a region, from what, and what of the application was left."""

    application: str
    region: str
    resources: tuple[BroughtBack, ...]
    steps: tuple[Step, ...]
    left: Mapping[str, str]
    exit_code: int = 0
    """0 when all is there; else that of the worst error (`worst_code`)."""

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4; README: restore into a region)."""
        return {
            "application": self.application,
            "region": self.region,
            "resources": [each.to_json() for each in self.resources],
            "steps": [step.to_json() for step in self.steps],
            "left": dict(self.left),
        }

    def import_blocks(self) -> str:
        """``import`` blocks for Terraform (1.5 or newer) and OpenTofu of everything that was made."""
        blocks = [
            f'import {{\n  to = {made.address}.{_label(each.located.resource, number)}\n  id = "{made.import_id}"\n}}\n'
            for each in self.resources
            for number, made in enumerate((m for m in each.made if m.address and m.import_id), 1)
        ]
        return "\n".join(blocks)


def _label(resource: str, number: int) -> str:
    """A name that Terraform takes: letters, digits, `_` and `-`, no digit first."""
    return f"restored_{resource}" if number == 1 else f"restored_{resource}_{number}"
