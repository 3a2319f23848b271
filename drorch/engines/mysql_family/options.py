"""What a policy says about a MariaDB or MySQL resource. Starts nothing: policies are checked without a client."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drorch.domain.policy import CredentialRef

Tls = Literal["verify-full", "require", "off"]


def is_local(host: str) -> bool:
    """Whether `host` is a socket or the loopback interface, which need no TLS."""
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Connection(BaseModel):
    """`connection:` of a policy. `host` is a name, an address or the absolute path of a socket.

    `tls` left out means `verify-full`, but none is needed for a socket or loopback host. `ca` names a bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(default=3306, ge=1, le=65535, strict=True)
    database: str = Field(min_length=1, max_length=64)
    user: str = Field(min_length=1)
    password: CredentialRef | None = None
    tls: Tls | None = None
    ca: str | None = None

    @field_validator("tls", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML 1.1 reads the bare word ``off`` as false."""
        return "off" if value is False else value

    @field_validator("host", "database", "user", "ca")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("must be one line of text")
        return value

    @field_validator("host")
    @classmethod
    def _one_host(cls, value: str) -> str:
        if "," in value:
            raise ValueError("names one host; lists of hosts are not supported")
        return value


class FamilyOptions(BaseModel):
    """The keys of `kind: mariadb` and `kind: mysql` beside those that every resource has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: Connection

    @property
    def server(self) -> str:
        """What `limits: dumps_per_server` counts by: host (or socket) and port."""
        return f"{self.connection.host}:{self.connection.port}"
