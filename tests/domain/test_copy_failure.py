"""The provider's words for a failed copy, sorted."""

from __future__ import annotations

import pytest

from drorch.domain.copy_failure import Cause, failure_of


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("snap-1: Given key ID is not accessible", Cause.KEY),
        ("Given key ID is not accessible. You must have DescribeKey permissions on the default CMK", Cause.KEY),
        ("KMSKeyNotAccessibleFault: the specified KMS key does not exist", Cause.KEY),
        ("snap-1: The source snapshot was deleted", Cause.SOURCE),
        ("the source was deleted before its copy was complete", Cause.SOURCE),
        ("Snapshot snap-1 does not exist", Cause.SOURCE),
        ("ResourceLimitExceeded: Too many snapshot copies in progress", Cause.QUOTA),
        ("SnapshotQuotaExceeded: Cannot create more than 100 manual snapshots", Cause.QUOTA),
        ("status failed", Cause.UNKNOWN),
        ("An internal error has occurred", Cause.UNKNOWN),
        ("state error", Cause.UNKNOWN),
        ("", Cause.UNKNOWN),
    ],
)
def test_what_failed_a_copy_is_told_by_the_providers_words(why: str, cause: Cause) -> None:
    assert failure_of(why).cause is cause


@pytest.mark.parametrize("why", ["Given key ID is not accessible", "The source snapshot was deleted", "Quota exceeded"])
def test_a_cause_that_is_known_says_what_to_do(why: str) -> None:
    found = failure_of(why)
    assert found.hint and str(found) == f"{found.cause}; {found.hint}"


def test_an_unknown_cause_says_nothing_of_its_own() -> None:
    assert str(failure_of("status failed")) == ""
