"""What a policy says about a PostgreSQL resource. Imports no driver: policies are checked without one."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drorch.domain.policy import CredentialRef

Tls = Literal["verify-full", "require", "off"]


MOST_STREAMS = 16
"""The most archives into which the rows of one dump are cut."""


def is_local(host: str) -> bool:
    """Whether `host` is a socket folder or the loopback interface, which need no TLS."""
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Connection(BaseModel):
    """`connection:` of a policy. `host` is a name, an address or the absolute folder of a socket.

    `tls` left out means `verify-full`, but none is needed for a socket or loopback host. `ca` names a bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(default=5432, ge=1, le=65535, strict=True)
    database: str = Field(min_length=1)
    user: str = Field(min_length=1)
    password: CredentialRef | None = None
    tls: Tls | None = None
    ca: str | None = None

    @field_validator("tls", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML 1.1 reads the bare word ``off`` as false."""
        return "off" if value is False else value

    @field_validator("host", "database", "user")
    @classmethod
    def _plain(cls, value: str) -> str:
        if "\x00" in value or "\n" in value:
            raise ValueError("must be one line of text")
        return value

    @field_validator("host")
    @classmethod
    def _one_host(cls, value: str) -> str:
        if "," in value:
            raise ValueError("names one host; lists of hosts are not supported")
        return value

    @property
    def sslmode(self) -> str:
        """The word of libpq for `tls` (libpq, 32.1.2): ``prefer`` where no TLS is needed and none was asked for."""
        if self.tls is None:
            return "prefer" if is_local(self.host) else "verify-full"
        return "disable" if self.tls == "off" else self.tls


class Options(BaseModel):
    """The keys of `kind: postgres` beside those that every resource has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: Connection
    streams: int = Field(default=1, ge=1, le=MOST_STREAMS, strict=True)
    """How many dump and load a database at the same time; each takes the memory and the connection of one dump."""

    @property
    def server(self) -> str:
        """What `limits: dumps_per_server` counts by: host (or socket folder) and port."""
        return f"{self.connection.host}:{self.connection.port}"
