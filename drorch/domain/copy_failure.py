"""Why a native copy failed that AWS had accepted: its words sorted into causes that ask for different things. Pure.

EC2 says it in the snapshot's StateMessage (EC2 API, Snapshot), in words that no page promises; the status of RDS says
`failed` alone. What is not recognised is unknown, and tried again as before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What made a copy fail."""

    KEY = "key not accessible"
    SOURCE = "source deleted before the copy was done"
    QUOTA = "quota"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CopyFailure:
    """A cause, and what to do about it ("" where trying again is all)."""

    cause: Cause
    hint: str = ""

    def __str__(self) -> str:
        return "" if self.cause is Cause.UNKNOWN else f"{self.cause}{f'; {self.hint}' if self.hint else ''}"


_KEY_HINT = (
    "see that the key is enabled and that its policy and drorch's role allow kms:DescribeKey, kms:CreateGrant, "
    "kms:GenerateDataKeyWithoutPlaintext and kms:ReEncrypt*, and kms:Decrypt of the source's key"
)
_SOURCE_HINT = "nothing may delete what is being copied; another copy of the point is the source where there is one"
_QUOTA_HINT = "ask AWS for a higher quota, or keep fewer"
_CAUSES = (
    (r"\bkey\b.*\b(not accessible|disabled|inaccessible|denied)|\bkms\b", Cause.KEY, _KEY_HINT),
    (r"source.*\b(deleted|not found|does not exist|no longer)", Cause.SOURCE, _SOURCE_HINT),
    (r"snapshot .*\b(was deleted|does not exist)", Cause.SOURCE, _SOURCE_HINT),
    (r"quota|limit ?exceeded|\blimit\b", Cause.QUOTA, _QUOTA_HINT),
)


def failure_of(why: str) -> CopyFailure:
    """The cause behind the provider's word for a failed copy."""
    found = (CopyFailure(cause, hint) for form, cause, hint in _CAUSES if re.search(form, why, re.IGNORECASE))
    return next(found, CopyFailure(Cause.UNKNOWN))


def told_failure(why: str) -> str:
    """The provider's word, with the cause and what to do where they are recognised."""
    found = failure_of(why)
    return f"{why}: {found}" if str(found) else why
