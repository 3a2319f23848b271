"""Where a secret lies, and reading it at the moment of its use. The secret itself is never kept, logged or shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import StrictStr, field_validator, model_validator

from drorch.domain.errors import NotFound, Refused
from drorch.domain.explain import fault
from drorch.domain.policy import Frozen

FORMS = ("file", "env", "systemd")
HINT = "write {file: PATH}, {env: NAME} or {systemd: NAME}"
LARGEST = 64 * 1024


class SecretRef(Frozen):
    """``{file: PATH}``, ``{env: NAME}`` or ``{systemd: NAME}``: exactly one. No literal secret is taken anywhere."""

    file: StrictStr | None = None
    env: StrictStr | None = None
    systemd: StrictStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _never_literal(cls, value: object) -> object:
        if isinstance(value, SecretRef):
            return value
        one = isinstance(value, Mapping) and len(value) == 1 and set(value) <= set(FORMS)
        if not one or not isinstance(value, Mapping) or not all(isinstance(v, str) and v for v in value.values()):
            raise fault("a secret does not stand in the configuration", HINT)
        return value

    @field_validator("systemd")
    @classmethod
    def _one_name(cls, name: str | None) -> str | None:
        if name is not None and ("/" in name or name.startswith(".")):
            raise fault("the name of a systemd credential has no slash", "the ID of LoadCredential=ID:PATH")
        return name

    def beside(self, folder: Path) -> Self:
        """The same secret, a relative file taken as relative to `folder`."""
        return self if self.file is None else self.model_copy(update={"file": str(folder / self.file)})

    def __str__(self) -> str:
        for form in FORMS:
            if getattr(self, form) is not None:
                return f"{form} {getattr(self, form)}"
        return "nothing"


def resolve_secret(ref: SecretRef, environ: Mapping[str, str]) -> str:
    """The secret, one newline at its end taken off. Asked anew at every use, so that rotation needs no restart.

    Refused when it is absent, empty or not UTF-8 text, and when a file is open to group or others; the error names
    the place, never the content. `environ` is the environment of the process.
    """
    try:
        text = resolve_secret_bytes(ref, environ).decode()
    except UnicodeDecodeError:
        # The error itself quotes the bytes.
        raise Refused(f"the secret {ref} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def resolve_secret_bytes(ref: SecretRef, environ: Mapping[str, str]) -> bytes:
    """The secret as it lies there, text or not. Refused like `resolve_secret`."""
    if ref.env is not None:
        text = environ.get(ref.env)
        if text is None:
            raise NotFound(f"the secret {ref} is not set", hint=f"set {ref.env} in the environment of drorch")
        data = text.encode("utf-8", "surrogateescape")
    elif ref.systemd is not None:
        folder = environ.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            raise NotFound(
                f"the secret {ref} cannot be read: there is no CREDENTIALS_DIRECTORY",
                hint=f"LoadCredential={ref.systemd}:PATH in the unit; outside systemd use {{file: PATH}}",
            )
        # systemd may open a credential to one more user by an ACL, which shows as group-readable: it answers for it.
        data = _read(Path(folder) / ref.systemd, ref, private=False)
    else:
        data = _read(Path(ref.file or ""), ref, private=True)
    if not data.strip():
        raise Refused(f"the secret {ref} is empty")
    return data


def _read(path: Path, ref: SecretRef, *, private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Refused(f"the secret {ref} is not a regular file")
            if private and mode & 0o077:
                shown = f"mode {stat.S_IMODE(mode):04o}"
                raise Refused(f"the secret {ref} is readable by group or others ({shown})", hint=f"chmod 600 {path}")
            data = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise NotFound(f"the secret {ref} is not there", hint=f"put it into {path}, mode 600") from error
    except OSError as error:
        raise Refused(f"the secret {ref} cannot be read", cause=error.strerror or "") from error
    if len(data) > LARGEST:
        raise Refused(f"the secret {ref} is longer than {LARGEST} bytes")
    return data
