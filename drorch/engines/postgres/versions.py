"""What a dump would be made of and with: the server's version, and the programs that fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from drorch.engines.postgres.clients import choose_client, find_clients, major
from drorch.engines.postgres.connection import close, connect, version
from drorch.engines.postgres.databases import QUIET
from drorch.engines.postgres.place import Place


def versions(place: Place, tools: Sequence[Path]) -> Mapping[str, str]:
    """By the names of the programs. Raises what `connect` raises; Refused without a program that is new enough."""
    session = connect(replace(place, session="drorch doctor"), "doctor", QUIET)
    try:
        number, text = version(session)
    finally:
        close(session)
    client = choose_client(find_clients(tools, ("pg_dump", "pg_dumpall")), major(number), f"to dump version {text}")
    reader = choose_client(
        find_clients(tools, ("pg_restore",)), client.major, f"to read what pg_dump {client.version} writes"
    )
    return {"server": text, "pg_dump": client.version, "pg_restore": reader.version}
