"""What may lie without a policy, and why: the entries of ``ignore:`` in the host configuration and in policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, model_validator

from drorch.domain.explain import Loc, Problem, fault, near
from drorch.domain.native import Source

SourceKind = Literal["ebs", "rds-instance", "rds-cluster"]
"""What is looked for: volumes, database instances outside of clusters, clusters."""


def _said(text: str) -> str:
    if not text.strip():
        raise fault("must not be empty")
    return text


_Text = Annotated[StrictStr, AfterValidator(_said)]


class Ignore(BaseModel):
    """``{kind: ebs, tags: {role: scratch}, reason: TEXT}``, or with `id` instead of `tags`.

    `account` and `region` None mean every one in the host configuration, the application's home in a policy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: SourceKind
    account: _Text | None = None
    region: _Text | None = None
    tags: Annotated[dict[str, str] | None, Field(min_length=1)] = None
    id: _Text | None = None
    reason: _Text

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.tags is None) == (self.id is None):
            raise fault("needs either tags or id", "such as tags: {role: scratch}, or id: vol-0123456789abcdef0")
        return self

    def covers(self, kind: str, account: str, region: str, source: Source) -> bool:
        """Whether the source may lie there without a policy: its id, or every one of the tags."""
        if kind != self.kind or self.account not in (None, account) or self.region not in (None, region):
            return False
        if self.tags is None:
            return source.source_id == self.id
        return all(source.tags.get(key) == value for key, value in self.tags.items())

    def at(self, account: str, region: str) -> Ignore:
        """The same, what was left out of its place filled in."""
        return self.model_copy(update={"account": self.account or account, "region": self.region or region})


def wrong_places(
    entries: tuple[Ignore | None, ...], accounts: frozenset[str] | None, regions: frozenset[str] | None
) -> Iterator[Problem]:
    """Entries that name an account or a region that there is not; None knows all of them. Wrong entries are None."""
    for index, entry in enumerate(entries):
        for name, known in (("account", accounts), ("region", regions)):
            value = None if entry is None else getattr(entry, name)
            if value is not None and known is not None and value not in known:
                loc: Loc = ("ignore", index, name)
                yield Problem(loc, f"unknown {name} {value[:60]}", near(value, known))
