"""What a key has to be, and what an answer, or none, says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from passes import AWAY, HOME
from planning import point, recorded, seen, slot

from drorch.domain.kms import KmsKey, KmsSeen, absent, denied, described, misplaced, shut_copies, unanswered
from drorch.domain.model import CopyState

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
ARN = "arn:aws:kms:us-west-2:111111111111:key/k-1"


def key(state: str = "Enabled", **changes: str) -> KmsKey:
    return KmsKey(ARN, state, **changes)


def test_an_enabled_symmetric_key_is_right() -> None:
    assert described(key(), "alias/dr", None, NOW) == KmsSeen(NOW, ARN)


@pytest.mark.parametrize("state", ["Creating", "Disabled", "PendingDeletion", "PendingImport", "Unavailable", ""])
def test_no_copy_is_encrypted_with_a_key_that_is_not_enabled(state: str) -> None:
    assert state in described(key(state), "alias/dr", None, NOW).wrong


@pytest.mark.parametrize("changes", [{"usage": "SIGN_VERIFY"}, {"spec": "RSA_4096"}])
def test_no_copy_is_encrypted_with_another_sort_of_key(changes: dict[str, str]) -> None:
    found = described(key(**changes), "alias/dr", None, NOW)
    assert next(iter(changes.values())) in found.wrong and not found.shut


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", "PendingReplicaDeletion", "PendingImport"])
def test_what_waits_for_a_person_opens_nothing(state: str) -> None:
    assert described(key(state), "alias/dr", None, NOW).shut


@pytest.mark.parametrize("state", ["Enabled", "Unavailable", "Updating", "Creating", "SomethingNew"])
def test_a_state_that_passes_or_is_not_known_shuts_nothing(state: str) -> None:
    assert not described(key(state), "alias/dr", None, NOW).shut


def test_an_alias_that_names_nothing_shuts_no_copy_and_an_arn_does() -> None:
    alias, arn = (absent(name, "us-west-2", "NotFoundException", None, NOW) for name in ("alias/dr", ARN))
    assert alias.wrong and not alias.shut
    assert arn.wrong and arn.shut


def test_a_key_that_may_not_be_looked_at_shuts_nothing() -> None:
    found = denied(ARN, "AccessDeniedException", None, NOW)
    assert found.wrong and not found.shut


def test_no_answer_changes_nothing_that_was_known() -> None:
    before = described(key("Disabled"), "alias/dr", None, NOW)
    after = unanswered("timed out", before)
    assert (after.wrong, after.shut, after.at, after.unasked) == (before.wrong, before.shut, NOW, "timed out")
    assert unanswered("timed out", None) == KmsSeen(unasked="timed out")


def test_a_key_that_is_right_again_says_since_when() -> None:
    wrong = described(key("Disabled"), "alias/dr", None, NOW)
    later = NOW + timedelta(hours=1)
    mended = described(key(), "alias/dr", wrong, later)
    assert mended.mended == later and not mended.wrong
    assert described(key(), "alias/dr", mended, later + timedelta(days=1)).mended == later


@pytest.mark.parametrize(
    ("name", "region", "says"),
    [
        ("alias/dr", "us-west-2", ""),
        ("mrk-1234", "us-west-2", ""),
        (ARN, "us-west-2", ""),
        (ARN, "eu-west-1", "us-west-2"),
        (ARN.replace("k-1", "mrk-1"), "eu-west-1", "arn:aws:kms:eu-west-1:111111111111:key/mrk-1"),
    ],
)
def test_an_arn_of_another_region_names_no_key_of_this_one(name: str, region: str, says: str) -> None:
    assert (says in misplaced(name, region)) if says else (misplaced(name, region) == "")


def test_copies_that_bear_a_shut_key_are_there_and_not_usable() -> None:
    one = recorded(AWAY, kms_keys=frozenset({ARN, "arn:other"}))
    marked = recorded(AWAY, CopyState.EXPIRING, kms_keys=frozenset({ARN}))
    plain = recorded(HOME)
    catalogue = seen(point(slot(0), plain, one), point(slot(1), recorded(HOME), marked)).catalogue
    found = shut_copies(catalogue, {(AWAY, ARN): "its key is disabled"})
    for known in found.points:
        home, away = known.copies
        assert home.usable and not home.shut
        assert away.whole and not away.usable
        assert (away.shown, away.why) == ("failed", "its key is disabled")


def test_the_same_key_in_another_vault_shuts_nothing() -> None:
    catalogue = seen(point(slot(0), recorded(HOME, kms_keys=frozenset({ARN})))).catalogue
    assert shut_copies(catalogue, {(AWAY, ARN): "its key is disabled"}) == catalogue


def test_a_copy_that_failed_keeps_its_own_reason() -> None:
    failed = recorded(AWAY, CopyState.FAILED, kms_keys=frozenset({ARN}), why="status failed")
    catalogue = seen(point(slot(0), recorded(HOME), failed)).catalogue
    found = shut_copies(catalogue, {(AWAY, ARN): "its key is disabled"})
    assert found.points[0].copies[1].why == "status failed"
