"""Choosing what is protected by the tags that it bears."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Select(BaseModel):
    """What bears every one of these tags, with exactly these values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags: dict[str, str] = Field(min_length=1)

    @field_validator("tags")
    @classmethod
    def _chosen_by_people(cls, tags: dict[str, str]) -> dict[str, str]:
        for key in tags:
            if not key or key.lower().startswith(("aws:", "drorch:")):
                raise ValueError(f"{key!r} cannot select anything: choose a tag that people set")
        return tags

    def fits(self, tags: Mapping[str, str]) -> bool:
        """Whether something that bears `tags` is chosen."""
        return all(tags.get(key) == value for key, value in self.tags.items())
