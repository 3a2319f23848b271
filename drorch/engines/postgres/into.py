"""What a policy says of where a dump comes back in a runbook. Imports no driver."""

from __future__ import annotations

from pydantic import field_validator

from drorch.domain.dump_return import DatabaseReturn
from drorch.domain.errors import Usage
from drorch.domain.explain import fault
from drorch.engines.postgres.place import from_url


class RestoreOptions(DatabaseReturn):
    """`into` as in ``drorch restore --into`` (`from_url`)."""

    @field_validator("into")
    @classmethod
    def _a_database(cls, into: str) -> str:
        try:
            from_url(into, None)
        except Usage as error:
            raise fault(error.message, error.hint) from error
        return into
