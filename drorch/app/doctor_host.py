"""What `drorch doctor` asks of this host: secrets, paths, clocks, the marks of vaults."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from drorch.app.doctor import Answer, Verdict, ok
from drorch.app.observe import SKEW
from drorch.app.secret import SecretRef, resolve_secret_bytes
from drorch.domain.host_path import covers
from drorch.ports import ObjectStore

UNEASY = timedelta(seconds=30)
"""Clocks that differ by more want looking after; those that differ by more than `SKEW` hold up deletion."""
UNIT = "drorch.service"
_HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= takes out of sight (systemd.exec)."""


def secret(reference: SecretRef, environ: Mapping[str, str]) -> Answer:
    """Whether a secret is there, readable by this process and by nobody else. Refused as when it is used."""
    if out_of_reach(reference, environ):
        hint = f"systemd-run --pipe --uid=drorch -p LoadCredential={reference.systemd}:PATH drorch doctor"
        return Answer(Verdict.UNKNOWN, "a credential of the service, which only the service sees", hint)
    resolve_secret_bytes(reference, environ)
    return ok(str(reference))


def out_of_reach(reference: SecretRef, environ: Mapping[str, str]) -> bool:
    """Whether it is a credential that systemd gives to the service, and this is not the service."""
    return reference.systemd is not None and not environ.get("CREDENTIALS_DIRECTORY")


def clock(now: Callable[[], datetime], theirs: Callable[[], datetime]) -> Answer:
    """How far this host's clock is from another's, whose reply tells the time in whole seconds."""
    before = now()
    told = theirs()
    after = now()
    off = max(told - after, before - told - timedelta(seconds=1), timedelta())
    said = f"{off.total_seconds():.0f} s apart" if off else "the same"
    if off > SKEW:
        return Answer(
            Verdict.FAILED, f"{said}: nothing is deleted while clocks differ so", "set this host's clock (NTP)"
        )
    return Answer(Verdict.WARNING, said, "see that NTP runs on this host") if off > UNEASY else ok(said)


def vault(store: ObjectStore, marked: Callable[[ObjectStore], bool]) -> Answer:
    """Whether the vault can be read and bears this site's mark. Whether it can be written, `vault check` finds out."""
    if not marked(store):
        return Answer(Verdict.FAILED, "nobody has marked it", f"drorch vault init {store.vault}")
    return ok(f"marked and readable; writing is what `drorch vault check {store.vault}` tries")


def readable(path: str, hidden: Mapping[str, str]) -> Answer:
    """Whether a granted path is there for this process and, as far as `hidden` (see `unit_settings`) says, for the
    service.
    """
    if hidden.get("ProtectHome") in ("yes", "read-only", "tmpfs") and any(covers(home, path) for home in _HOMES):
        bound = hidden.get("BindReadOnlyPaths", "") + hidden.get("BindPaths", "")
        if hidden["ProtectHome"] != "read-only" and path not in bound:
            return Answer(
                Verdict.FAILED, f"{UNIT} has ProtectHome={hidden['ProtectHome']}", "systemd/drorch-files.conf"
            )
    if any(covers(one.strip("-+"), path) for one in hidden.get("InaccessiblePaths", "").split()):
        return Answer(Verdict.FAILED, f"{UNIT} has it under InaccessiblePaths=", "systemd/drorch-files.conf")
    try:
        folder = Path(path).is_dir()
        there = Path(path).exists()
    except OSError as error:
        return Answer(Verdict.FAILED, error.strerror or str(error), "systemd/drorch-files.conf")
    if not there:
        return Answer(Verdict.FAILED, "it is not there, or not to be seen by this user")
    if not os.access(path, os.R_OK | (os.X_OK if folder else 0)):
        return Answer(Verdict.FAILED, f"not readable by uid {os.geteuid()}", "systemd/drorch-files.conf")
    return ok(f"readable by uid {os.geteuid()}" + (f"; {UNIT} sees it" if hidden else ""))


def writable(path: str, hidden: Mapping[str, str]) -> Answer:
    """Whether the service may write into the folder of a vault, as far as `hidden` says."""
    if not hidden:
        return ok(f"no {UNIT} is installed here")
    granted = [one.strip("-+") for one in hidden.get("ReadWritePaths", "").split()]
    if hidden.get("ProtectSystem") == "strict" and not any(covers(one, path) for one in granted):
        return Answer(Verdict.FAILED, f"{UNIT} may not write into {path}", f"a drop-in with ReadWritePaths=-{path}")
    return ok(f"{UNIT} may write there")


def unit_settings() -> dict[str, str]:
    """What the installed service hides of the file system; empty where there is none."""
    paths = ("InaccessiblePaths", "BindReadOnlyPaths", "BindPaths", "ReadWritePaths")
    wanted = ("LoadState", "ProtectHome", "ProtectSystem", *paths)
    try:
        done = subprocess.run(
            ["systemctl", "show", UNIT, *(f"--property={name}" for name in wanted)],
            capture_output=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found if found.pop("LoadState", "") == "loaded" else {}
