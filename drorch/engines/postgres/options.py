"""What a policy says about a PostgreSQL resource. Imports no driver: policies are checked without one."""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, field_validator, model_validator

from drorch.domain.explain import fault
from drorch.domain.policy import CredentialRef

Tls = Literal["verify-full", "require", "off"]
Names = Annotated[tuple[Annotated[StrictStr, Field(min_length=1)], ...], Field(min_length=1)]


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

    Either one `database`, or `databases`: ``all`` of the server but those that a pattern of `except_` (``except:`` in a
    file; as shells have them) fits, or a list of names. `tls` left out means `verify-full`, but none is needed for a
    socket or loopback host. `ca` names a bundle.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"oneOf": [{"required": ["database"]}, {"required": ["databases"]}]},
    )

    host: str = Field(min_length=1)
    port: int = Field(default=5432, ge=1, le=65535, strict=True)
    database: Annotated[str, Field(min_length=1)] | None = None
    databases: Literal["all"] | Names | None = None
    except_: Names | None = Field(default=None, alias="except")
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
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and ("\x00" in value or "\n" in value):
            raise ValueError("must be one line of text")
        return value

    @field_validator("databases", mode="before")
    @classmethod
    def _all_or_names(cls, value: object) -> object:
        if value != "all" and not isinstance(value, list | tuple):
            raise fault("must be all, or a list of names", "databases: all, or database: NAME")
        return value

    @model_validator(mode="after")
    def _which(self) -> Self:
        if self.database is None and self.databases is None:
            raise fault("database is missing", "database: NAME, or databases: all")
        if self.database is not None and self.databases is not None:
            raise fault("has either database or databases")
        if self.except_ is not None and self.databases != "all":
            raise fault("except is for databases: all")
        return self

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
    """The keys of `kind: postgres` beside those that every resource has.

    `schemas` are the only ones that are dumped, `exclude_schemas` those that are left out; exact names, not patterns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: Connection
    streams: int = Field(default=1, ge=1, le=MOST_STREAMS, strict=True)
    """How many dump and load a database at the same time; each takes the memory and the connection of one dump."""
    schemas: Names | None = None
    exclude_schemas: Names | None = None

    @field_validator("schemas", "exclude_schemas")
    @classmethod
    def _of_users(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            if name.startswith("pg_") or name == "information_schema":
                raise fault(f"{name[:60]} is the system's own", "no dump holds it")
            if any(character in name for character in "\x00\n\r"):
                raise fault("must be one line of text")
        return names

    @model_validator(mode="after")
    def _one_filter(self) -> Self:
        if self.schemas is not None and self.exclude_schemas is not None:
            raise fault("has either schemas or exclude_schemas")
        if self.streams > 1 and (self.schemas is not None or self.exclude_schemas is not None):
            raise fault("has either streams or some schemas only", "streams are for whole databases")
        return self

    @property
    def several(self) -> bool:
        """Whether more than one database is meant."""
        return self.connection.databases is not None

    @property
    def named(self) -> tuple[str, ...]:
        """The databases, where the policy names several; empty where the server is to be asked."""
        given = self.connection.databases
        return given if isinstance(given, tuple) else ()

    def covers(self, database: str) -> bool:
        """Whether this database of the server is meant."""
        if self.named:
            return database in self.named
        return not any(fnmatchcase(database, pattern) for pattern in self.connection.except_ or ())

    def of(self, database: str) -> Options:
        """The options of one of several databases. ValidationError for a name that is not one line."""
        given = self.connection.model_dump(exclude_none=True, exclude={"databases", "except_"})
        connection = Connection.model_validate(given | {"database": database})
        return self.model_copy(update={"connection": connection})

    @property
    def meaning(self) -> str:
        """``every database of db.internal:5432 but tmp_*``."""
        if self.named:
            return f"{', '.join(self.named)} of {self.server}"
        but = f" but {', '.join(self.connection.except_)}" if self.connection.except_ else ""
        return f"every database of {self.server}{but}"

    @property
    def server(self) -> str:
        """What `limits: dumps_per_server` counts by: host (or socket folder) and port."""
        return f"{self.connection.host}:{self.connection.port}"
