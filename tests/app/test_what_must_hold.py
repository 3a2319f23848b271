"""A merged mistake in the policies: nothing irrecoverable happens within the grace, and `plan` said so before."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from worlds import EU, WEST, WORDS, Installation, outcomes

from drorch.app.passing import Pass
from drorch.app.policies import PolicyFolder, PolicySet
from drorch.domain.action import Action, Braked, Expire, Hold, Mark, deletions_digest
from drorch.domain.errors import InvalidInput
from drorch.stores.memory import MemoryStore

POLICY = """\
version: 1
application: {name}
owner: payments@example.com
home: {{account: prod, region: us-east-1}}
resources:
  - name: orders
    kind: memory
    schedule: {{every: 1d}}
    vaults: [s3-west, gcs-eu]
    keep: {{{keep}}}
"""
GRACE = timedelta(days=3)


class Checkout:
    """A folder of policies under an installation, changed as a merge changes it."""

    def __init__(self, path: Path, *names: str, keep: str) -> None:
        self.folder = path / "policies"
        self.folder.mkdir()
        self.names = names or ("desk",)
        self.write(keep)
        self.world = Installation(path / "state")
        self.texts: dict[str, str] = {}
        self.reader = PolicyFolder(self.folder, WORDS)
        self.world.load = self.load  # type: ignore[method-assign]
        self.world.restart()

    def write(self, keep: str) -> None:
        for name in self.names:
            (self.folder / f"{name}.yaml").write_text(POLICY.format(name=name, keep=keep))

    def load(self) -> PolicySet:
        """As the daemon does: the last valid text of a file is remembered."""
        found = self.reader.load(self.texts)
        self.texts |= dict(found.renamed) | {policy.file: policy.text for policy in found.valid}
        return found

    def live(self, days: int) -> None:
        """A pass now and then, whatever it comes to."""
        for _ in range(days):
            for _ in range(6):
                with suppress(InvalidInput):
                    self.world.once()
                self.world.clock.turn(minutes=10)
            self.world.clock.turn(hours=23)

    def manifests(self) -> set[tuple[str, str]]:
        """(vault, manifest) of every committed copy, as it lies there."""
        found = set()
        for name, store in self.world.stores.items():
            assert isinstance(store.inner, MemoryStore)
            found |= {(name, path) for path in store.inner.objects if path.endswith("/manifest.json")}
        return found

    def planned(self, *types: type[Action]) -> list[Action]:
        return self.world.actions(self.look(), *types)

    def look(self) -> Pass:
        return self.world.reconciler.look(fresh=True)


def empty(checkout: Checkout) -> None:
    (checkout.folder / "desk.yaml").write_text("")


def only_comments(checkout: Checkout) -> None:
    (checkout.folder / "desk.yaml").write_text("# moved\n")


def typo(checkout: Checkout) -> None:
    file = checkout.folder / "desk.yaml"
    file.write_text(file.read_text().replace("keep:", "kep:"))


def dropped(checkout: Checkout) -> None:
    file = checkout.folder / "desk.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "keep:" not in line))


def file_gone(checkout: Checkout) -> None:
    (checkout.folder / "other.yaml").write_text(POLICY.format(name="other", keep="last: 30"))
    (checkout.folder / "desk.yaml").unlink()


def renamed(checkout: Checkout) -> None:
    file = checkout.folder / "desk.yaml"
    file.write_text(file.read_text().replace("application: desk", "application: bureau").replace("last: 2", "last: 30"))


def folder_gone(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder)


def folder_emptied(checkout: Checkout) -> None:
    for file in checkout.folder.iterdir():
        file.unlink()


LOSSES = [empty, only_comments, typo, dropped, file_gone, renamed, folder_gone, folder_emptied]


@pytest.mark.parametrize("change", [file_gone, renamed])
def test_an_application_without_a_file_is_missed_as_long_as_it_lasts(
    tmp_path: Path, change: Callable[[Checkout], None]
) -> None:
    checkout = Checkout(tmp_path, keep="last: 2")
    checkout.live(1)
    change(checkout)
    for _ in range(3):
        assert checkout.load().missing == ("desk",)


@pytest.mark.parametrize("change", LOSSES)
def test_a_policy_that_is_lost_or_broken_deletes_nothing(tmp_path: Path, change: Callable[[Checkout], None]) -> None:
    checkout = Checkout(tmp_path, keep="last: 2")
    checkout.live(6)
    assert outcomes(checkout.world, "expire"), "deletion goes on while the policy is valid"
    before = checkout.manifests()
    deleted, marked = outcomes(checkout.world, "expire"), outcomes(checkout.world, "mark")
    change(checkout)
    checkout.live(8)
    assert before <= checkout.manifests()
    assert outcomes(checkout.world, "expire") == deleted
    assert outcomes(checkout.world, "mark") == marked


def test_a_shorter_retention_is_said_before_braked_and_can_be_taken_back(tmp_path: Path) -> None:
    names = tuple(f"app{number:02}" for number in range(4))
    checkout = Checkout(tmp_path, *names, keep="daily: 30")
    checkout.live(12)
    before = checkout.manifests()
    checkout.write("daily: 3")
    said = checkout.planned(Mark, Braked, Expire)
    per_vault = Counter((action.application, action.vault) for action in said)
    assert per_vault == dict.fromkeys([(name, vault) for name in names for vault in (WEST, EU)], 9)
    assert not checkout.planned(Expire), "nothing is deleted at once"
    braked = Counter((action.application, action.vault) for action in said if isinstance(action, Braked))
    assert set(braked.values()) == {9 - 3}, "a fifth of 12, rounded up; nothing was added within the last day"
    digest = deletions_digest(checkout.look().plans[names[0]].actions)
    assert len(digest) == 64
    checkout.live(2)
    assert before <= checkout.manifests()
    assert outcomes(checkout.world, "expire") == {}
    checkout.write("daily: 30")
    checkout.live(4)
    assert before <= checkout.manifests()
    assert not checkout.planned(
        Mark,
        Braked,
        Expire,
    )
    copies = [c for plan in checkout.look().plans.values() for p in plan.catalogue.points for c in p.copies]
    assert {copy.marked_at for copy in copies} == {None}


def test_the_brake_is_an_alarm_that_says_what_to_do(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, keep="daily: 30")
    checkout.live(12)
    checkout.write("daily: 3")
    held = [hold for hold in checkout.look().holds if isinstance(hold, Braked)]
    assert held and {hold.alarm for hold in held} == {"brake"}
    assert all("may go from" in hold.reason and "no keep rule keeps it" in hold.reason for hold in held)
    assert not [hold for hold in checkout.planned(Hold) if isinstance(hold, Hold) and hold.alarm not in ("brake", "")]
