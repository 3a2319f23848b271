"""Templates: one entry of a policy that stands for several databases of a server, and the resources that they become.

A policy file says only which databases are meant; which there are, the server says. After `expanded` nothing but
ordinary resources is left, one per database.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from drorch.domain.action import Hold
from drorch.domain.catalogue import Catalogue
from drorch.domain.policy import Origin, Policy, ResourcePolicy, TemplateSeen

LONGEST_NAME = 40
"""Characters of a template's name: those of its databases are to fit behind it, within the 63 of a name."""
_ROOM = 63
_DIGITS = 10
_HASHED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}$")
"""How a name ends that was made of one that is no legal name; no legal one that ends so is taken as it is."""

UNLISTED = "databases-unlisted"
UNPROTECTED = "database-unprotected"


@runtime_checkable
class ServerOptions(Protocol):
    """The options of a kind that may mean several databases of one server."""

    @property
    def several(self) -> bool:
        """Whether these do."""

    @property
    def named(self) -> tuple[str, ...]:
        """The databases that are meant, where the options name them; empty where the server is to be asked."""

    def covers(self, database: str) -> bool:
        """Whether this database of the server is meant."""

    def of(self, database: str) -> BaseModel:
        """The options of the one database. ValueError where there can be none."""

    @property
    def meaning(self) -> str:
        """In words, which databases are meant."""


def server_options(options: object) -> ServerOptions | None:
    """The options, if they mean several databases."""
    return options if isinstance(options, ServerOptions) and options.several else None


def resource_name(template: str, database: str) -> str:
    """The name of the resource that `database` becomes: of two databases never the same.

    ``TEMPLATE_DATABASE`` where that is a legal name; else a legal form of it, and the beginning of its SHA-256.
    """
    plain = f"{template}_{database}"
    if re.fullmatch(r"[a-z0-9_-]+", database, re.ASCII) and len(plain) <= _ROOM and not _HASHED.search(database):
        return plain
    letters = unicodedata.normalize("NFKD", database).encode("ascii", "ignore").decode().lower()
    legal = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[: _ROOM - len(template) - 2 - _DIGITS] or "db"
    return f"{template}_{legal}-{hashlib.sha256(database.encode()).hexdigest()[:_DIGITS]}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The databases of a server. `why` is set when it could not be asked now; `listed` is false when not even its last
    answer is known, and the names are those of records.
    """

    databases: tuple[str, ...] = ()
    why: str = ""
    listed: bool = True


NOTHING_KNOWN = Listing(why="the server was not asked yet", listed=False)


def templates(policy: Policy) -> Iterator[ResourcePolicy]:
    """The entries of a policy that stand for databases which the server names."""
    for resource in policy.resources:
        options = server_options(resource.options) if resource.template else None
        if options is not None and not options.named:
            yield resource


def meanings(policy: Policy) -> Iterator[str]:
    """What each template stands for, in words: ``cluster stands for every database of db:5432 ...``."""
    for resource in policy.resources:
        options = server_options(resource.options)
        if resource.template and options is not None:
            yield f"{resource.name} stands for {options.meaning}, each a resource {resource.name}_DATABASE of its own"


def expanded(policy: Policy, listings: Mapping[str, Listing]) -> Policy:
    """The policy with the resources of its templates in their places; `listings` has what was seen, by their names.

    A template of which no database is known stays, so that its promise is seen to be missed: nothing is cut of it.
    """
    if not any(resource.template for resource in policy.resources):
        return policy
    claimed = {name for resource in policy.resources if not resource.template for name in resource.formerly}
    resources: list[ResourcePolicy] = []
    seen: list[TemplateSeen] = []
    for resource in policy.resources:
        options = server_options(resource.options)
        if not resource.template or options is None:
            resources.append(resource)
            continue
        named = options.named
        listing = Listing(named) if named else listings.get(resource.name, NOTHING_KNOWN)
        made, unprotected = _made(resource, options, listing, claimed)
        resources.extend(made or [resource])
        why = listing.why or ("" if made else f"the server has no database that {resource.name} stands for")
        seen.append(TemplateSeen(name=resource.name, why=why, unprotected=unprotected))
    return policy.model_copy(update={"resources": tuple(resources), "templates": tuple(seen)})


def _made(
    template: ResourcePolicy, options: ServerOptions, listing: Listing, claimed: set[str]
) -> tuple[list[ResourcePolicy], tuple[tuple[str, str], ...]]:
    made: dict[str, ResourcePolicy] = {}
    unprotected: list[tuple[str, str]] = []
    for database in sorted({database for database in listing.databases if options.covers(database)}):
        name = resource_name(template.name, database)
        try:
            own = options.of(database)
        except ValueError:
            unprotected.append((database, "its name cannot be used in a connection"))
            continue
        if name in claimed or name in made:
            why = "formerly of another resource" if name in claimed else "the name of another database's resource"
            unprotected.append((database, f"{name} is {why}"))
            continue
        changes = {
            "name": name,
            "dataset": name,
            "options": own,
            "template": False,
            "origin": Origin(template=template.name, database=database, listed=listing.listed),
            "formerly": (name,) if template.formerly else (),
        }
        made[name] = template.model_copy(update=changes)
    return list(made.values()), tuple(unprotected)


def recorded(catalogue: Catalogue, template: str) -> tuple[str, ...]:
    """The databases of a template of which the catalogue has points, by what their manifests say."""
    found = {
        origin["database"]
        for point in catalogue.points
        if isinstance(origin := point.facts.get("origin"), dict)
        and origin.get("template") == template
        and isinstance(origin.get("database"), str)
        and resource_name(template, origin["database"]) == point.resource
    }
    return tuple(sorted(found))


def plan_templates(policy: Policy) -> Iterator[Hold]:
    """What a person has to know of the policy's templates."""
    for seen in policy.templates:
        if seen.why:
            yield Hold(policy.application, seen.name, "", "", f"its databases are not listed: {seen.why}", UNLISTED)
        if seen.unprotected:
            told = "; ".join(f"database {database!r}: {why}" for database, why in seen.unprotected)
            yield Hold(policy.application, seen.name, "", "", f"not protected: {told}", UNPROTECTED)


def was_database(policy: Policy, catalogue: Catalogue, resource: str) -> str:
    """Which database of a template `resource` was; "" for a resource that is none of one in force."""
    named = {seen.name for seen in policy.templates}
    point = next(iter(catalogue.of(resource)), None)
    origin = point.facts.get("origin") if point is not None else None
    if isinstance(origin, dict) and origin.get("template") in named:
        return f"database {origin.get('database')!r} of {origin['template']}"
    return ""
