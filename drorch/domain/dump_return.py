"""How a dump comes back in a runbook: into which target, opened with which credential. Values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from drorch.domain.policy import CredentialRef, Frozen, Something, Text
from drorch.domain.runbook import Recovery


class DumpReturn(Frozen):
    """``{into: TARGET}``: what a resource of dumps is mapped to in a region. An engine's own checks its TARGET."""

    into: Text

    @property
    def credential(self) -> str:
        """The name of the credential that opens the target; "" for none."""
        return ""


class DatabaseReturn(DumpReturn):
    """``{into: postgresql://USER@HOST/DATABASE, password: {credential: NAME}}``: no password stands in a policy."""

    password: Annotated[CredentialRef | None, Something] = None

    @property
    def credential(self) -> str:
        """See `DumpReturn`."""
        return "" if self.password is None else self.password.credential


def dumps_in(recovery: Recovery, region: str) -> Mapping[str, DumpReturn]:
    """The resources whose dumps steps bring back in the region, each with its target there."""
    there = recovery.regions.get(region, {})
    return {name: said for name, said in there.items() if isinstance(said, DumpReturn) and name in recovery.restored}
