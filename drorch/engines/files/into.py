"""The folder that files are restored into, as a command or a policy names it."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator

from drorch.domain.dump_return import DumpReturn
from drorch.domain.errors import Usage
from drorch.domain.explain import fault

_SCHEME = "dir:"


def folder_of(url: str) -> Path:
    """The folder PATH of ``dir:/PATH``. Usage for any other URL."""
    path = url.removeprefix(_SCHEME)
    plain = path.startswith("/") and not path.startswith("//") and "\0" not in path
    if not url.startswith(_SCHEME) or not plain or ".." in path.split("/") or not path.strip("/"):
        raise Usage("the target is dir:/PATH, an absolute path")
    return Path(path)


class RestoreOptions(DumpReturn):
    """`into` is ``dir:/PATH``, a folder of the host that carries the runbook out."""

    @field_validator("into")
    @classmethod
    def _a_folder(cls, into: str) -> str:
        try:
            folder_of(into)
        except Usage as error:
            raise fault(error.message) from error
        return into
