"""The runbook in the vaults: when one is written, which one counts, what is read back from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from passes import OFF
from planning import NOW, WEST, seen
from policy_words import policy_of
from runbooks import HOST, RESTORING, TWO, Placed, Zoned, changed, shop

from drorch.domain import layout
from drorch.domain.action import Action, Hold, Replicate, WriteRunbook
from drorch.domain.canonical import canonical_bytes
from drorch.domain.catalogue import Catalogue, SeenRecord, Trust
from drorch.domain.catalogue_runbook import Runbook, newest_runbook
from drorch.domain.errors import Damaged, NotInThisVersion
from drorch.domain.plan_runbook import plan_runbook
from drorch.domain.policy import Policy
from drorch.domain.record import Record, RecordType, compose, parse, parse_at
from drorch.domain.runbook import Recovery
from drorch.domain.runbook_record import recovery_of, runbook_content

POLICY = policy_of(shop(), HOST)
NONE = policy_of(shop().partition("\nrecovery:")[0], HOST)
MODELS = {kind: words.restore for kind, words in RESTORING.items()}
SECOND = timedelta(seconds=1)


def record(of: Policy = POLICY, at: Any = NOW, **more: Any) -> Record:
    content = runbook_content(of) | more
    return compose(RecordType.RUNBOOK, site="acme", at=at, application="shop", **content)


def known(policy: Policy = POLICY, ago: timedelta = timedelta(hours=1), **changes: Any) -> Runbook:
    made = record(policy, NOW - ago)
    found = newest_runbook([lying(made, vault) for vault in (OFF, WEST)], NOW)
    assert found is not None
    return replace(found, **changes)


def lying(of: Record, vault: str, trust: Trust = Trust.SIGNED) -> SeenRecord:
    return SeenRecord(vault, of.path, of, trust, of.at, str(hash(of.data)))


def planned(policy: Policy, runbook: Runbook | None, **changes: Any) -> list[Action]:
    given: dict[str, Any] = {"object_vaults": (OFF, WEST), "catalogue": Catalogue("shop", runbook=runbook)}
    return list(plan_runbook(policy, seen(**(given | changes)), NOW))


# --- when one is written --------------------------------------------------------------------------------------------


def test_it_is_written_into_every_vault_that_takes_records() -> None:
    write = WriteRunbook("shop", "", "", "", "no vault that was read has the runbook", (OFF, WEST))
    assert planned(POLICY, None) == [write]
    assert planned(POLICY, None, unread={WEST: "timeout"}) == [replace(write, into=(OFF,))]
    assert planned(POLICY, None, unread={WEST: "timeout", OFF: "timeout"}) == []


def test_it_is_written_again_only_when_it_says_something_else() -> None:
    assert planned(POLICY, known()) == []
    other = policy_of(changed("Tell payments", "Tell nobody"), HOST)
    assert planned(other, known()) == [WriteRunbook("shop", "", "", "", "the policy has another runbook", (OFF, WEST))]


def test_one_that_the_policy_has_no_more_is_replaced_by_an_empty_one() -> None:
    assert planned(NONE, None) == []
    (write,) = planned(NONE, known())
    assert write.reason == "the policy has no runbook any more"
    assert known(NONE).empty and not known().empty
    assert planned(NONE, known(NONE)) == []


def test_a_vault_that_lacks_it_gets_the_very_same_record() -> None:
    runbook = known(have=frozenset({OFF}))
    reason = f"{WEST} lacks the runbook that {OFF} has"
    assert planned(POLICY, runbook) == [Replicate("shop", "", WEST, "", reason, OFF, runbook.path)]
    assert planned(POLICY, runbook, unread={OFF: "timeout"}) == []


def test_one_whose_key_is_not_trusted_any_more_is_signed_again() -> None:
    (write,) = planned(POLICY, known(until=NOW))
    assert isinstance(write, WriteRunbook)
    assert planned(POLICY, known(until=NOW + SECOND)) == []


def test_none_is_written_before_the_last_one() -> None:
    other = policy_of(changed("Tell payments", "Tell nobody"), HOST)
    (held,) = planned(other, known(ago=timedelta()))
    assert isinstance(held, Hold) and "no new one before that" in held.reason


@pytest.mark.parametrize("why", [{"stale": True}, {"skewed": "the clock is ahead"}])
def test_a_stale_policy_and_a_wrong_clock_write_none(why: dict[str, Any]) -> None:
    assert planned(POLICY, None, **why) == []


# --- which one counts -----------------------------------------------------------------------------------------------


def test_the_newest_signed_one_of_the_present_counts() -> None:
    old, new, ahead = (record(at=NOW + timedelta(days=days)) for days in (-2, -1, 1))
    planted = lying(record(NONE), WEST, Trust.UNSIGNED)
    found = newest_runbook([lying(old, OFF), lying(new, OFF), lying(old, WEST), lying(ahead, OFF), planted], NOW)
    assert found is not None
    assert (found.at, found.have) == (new.at, {OFF})
    assert newest_runbook([planted], NOW) is None


# --- the record -----------------------------------------------------------------------------------------------------


def test_what_a_policy_says_comes_out_of_the_record() -> None:
    again = parse_at(f"{layout.RUNBOOKS}shop/20261120T093000Z.json", record().data)
    assert recovery_of(again.body, MODELS) == POLICY.recovery
    assert recovery_of(record(NONE).body, MODELS) == Recovery()


def test_the_record_names_the_policy_that_it_is_of() -> None:
    of = {"digest": "ab" * 32, "commit": "cafe"}
    found = newest_runbook([lying(record(policy=of), OFF)], NOW)
    assert found is not None and found.policy == of


@pytest.mark.parametrize(
    "more",
    [
        {"kinds": {"ledger": "tape", "web": "ami"}},
        {"regions": {"us-west-2": {"ledger": {"subnet_group": "dr", "later": 1}}}},
        {"steps": [{"name": "x", "dance": "tango", "needs": []}]},
    ],
)
def test_what_a_later_version_says_is_refused_whole(more: dict[str, Any]) -> None:
    with pytest.raises(NotInThisVersion):
        recovery_of(record(**more).body, MODELS)


def test_a_resource_of_no_kind_is_damage() -> None:
    with pytest.raises(Damaged):
        recovery_of(record(kinds={}).body, MODELS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"regions": []},
        {"regions": {"us-west-2": "ledger"}},
        {"regions": {"us-west-2": {"ledger": "dr"}}},
        {"kinds": {"ledger": 5}},
        {"steps": {}},
        {"steps": [{"manual": "x"}]},
        {"policy": {"digest": 5}},
        {"application": "a/b"},
    ],
)
def test_a_record_that_is_no_runbook_is_damaged(wrong: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        parse(canonical_bytes({**record().body, **wrong}))


def test_options_stand_in_the_record_as_the_policy_says_them() -> None:
    content = runbook_content(POLICY)
    assert content["regions"] == {
        "us-west-2": {"ledger": {"subnet_group": "dr", "security_groups": ["sg-1"]}, "web": {}}
    }
    assert content["kinds"] == {"ledger": "rds-instance", "web": "ami"}
    assert POLICY.recovery is not None
    assert POLICY.recovery.regions["us-west-2"] == {
        "ledger": Placed(subnet_group="dr", security_groups=("sg-1",)),
        "web": Zoned(),
    }


def test_what_is_said_per_region_is_read_back_as_it_was_meant() -> None:
    policy = policy_of(TWO, HOST)
    written = runbook_content(policy)
    launch, word = written["steps"][1], written["steps"][4]
    assert launch["launch"]["group"] == {"us-west-2": "dr-west", "ap-south-1": "dr-south"}
    assert launch["launch"]["target_group"] == "dr"
    assert word["manual"] == {"us-west-2": "Tell the west", "ap-south-1": "Tell the south"}
    assert recovery_of(parse(record(policy).data).body, MODELS) == policy.recovery


def test_a_runbook_that_leaves_a_region_out_is_damaged() -> None:
    content = runbook_content(policy_of(TWO, HOST))
    del content["steps"][4]["manual"]["us-west-2"]
    with pytest.raises(Damaged, match="does not say whole") as caught:
        recovery_of(content, MODELS)
    assert caught.value.cause == "word: nothing is said for us-west-2"
