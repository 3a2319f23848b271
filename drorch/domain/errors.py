"""Every error that drorch raises on purpose.

    DrorchError
    ├── Refused             repeating will not help                                  exit 3
    │   ├── NotInThisVersion  reserved by the contract, not built yet                exit 3 (command or option: 2)
    │   ├── InvalidInput      a policy, a configuration or a secret, with findings   exit 3
    │   ├── Usage             what was typed makes no sense                          exit 2
    │   ├── NotFound          the thing named is not there                           exit 3
    │   ├── AlreadyExists     write-once: somebody wrote it before                   exit 3
    │   └── Damaged           bytes are not what was signed or sent                  exit 6
    ├── Unavailable         it did not happen; repeat later                          exit 4
    │   └── Busy              a quota or a lock; waiting is the cure                 exit 4
    │       └── Throttled     too many calls, ours or other people's                 exit 4
    └── OutcomeUnknown      it may have happened: look before acting                 exit 4

Callers tell three kinds apart: Refused, Unavailable, OutcomeUnknown. Adapters map every vendor error to
one of them, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class DrorchError(Exception):
    """What failed (operation), where (resource, vault), why (cause) and what next (hint). Never carries a secret."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        resource: str = "",
        vault: str = "",
        cause: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.resource = resource
        self.vault = vault
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        where = ", ".join(
            f"{label} {value}"
            for label, value in (("in", self.operation), ("resource", self.resource), ("vault", self.vault))
            if value
        )
        text = self.message
        if where:
            text += f" [{where}]"
        if self.cause:
            text += f": {self.cause}"
        if self.hint:
            text += f" (hint: {self.hint})"
        return text


class Refused(DrorchError):
    """Repeating the same request will not help."""

    exit_code = 3


class NotInThisVersion(Refused):
    """The contract reserves it; this version does not have it, and does not pretend to."""


class Usage(Refused):
    """A command line that makes no sense."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One error in a file, shown as ``file:line:column: message (hint)``; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class InvalidInput(Refused):
    """A policy or configuration with one or more findings, all of them at once."""

    def __init__(self, message: str, findings: Sequence[Finding] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(str(finding) for finding in self.findings)])


class NotFound(Refused):
    """The thing named is not there (known, not merely unseen)."""


class AlreadyExists(Refused):
    """A write-once object or a caller-chosen identifier is taken."""


class Damaged(Refused):
    """Bytes are not what was signed, promised or sent: truncated, flipped, swapped, forged."""

    exit_code = 6


class Unavailable(DrorchError):
    """It did not happen; the same request may succeed later."""

    exit_code = 4


class Busy(Unavailable):
    """A quota is used up or a lock is held; waiting is the cure."""


class Throttled(Busy):
    """The service wants fewer calls, or others go first while it does: nothing was done, and nothing is wrong."""


class OutcomeUnknown(DrorchError):
    """The request may have been carried out: look at the world before repeating it."""

    exit_code = 4


def worst_code(codes: Iterable[int]) -> int:
    """The exit code of several outcomes: 6, then 4, 3, 5 (contract, section 4); a fault in drorch itself is not hidden
    behind the others.
    """
    found = set(codes)
    return next((code for code in (6, 1, 4, 3, 5, 2) if code in found), 0)
