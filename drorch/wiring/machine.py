"""What the machine itself says: its name, who gives an order, whose its folders are."""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path

from drorch.domain.errors import Refused


def host_name(state: Path) -> str:
    """What heads and journals call a host: its name, and something that no other host or state folder has."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    own = hashlib.sha256(f"{machine}\0{state.resolve()}".encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{own}"


def person(environ: Mapping[str, str]) -> str:
    """The person who gives an order, as far as the system tells."""
    return environ.get("SUDO_USER") or _user(os.geteuid(), "uid ")


def own_folder(state: Path) -> Path:
    """The state folder. Refused for root in a daemon's folder: the files it left would stop the daemon."""
    owner = state.stat().st_uid if state.exists() else os.geteuid()
    if os.geteuid() == 0 and owner != 0:
        name = _user(owner, "#")
        raise Refused(
            f"{state} belongs to {name}, and this is root",
            hint=f"sudo -u {name} drorch ...: what root leaves there the daemon could not open any more",
        )
    return state


def _user(number: int, unnamed: str) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"{unnamed}{number}"
