"""What of a host a resource names, credentials and paths, and whether its application may use it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from drorch.domain.explain import Loc, near
from drorch.domain.host_path import HostPath, granting
from drorch.domain.policy import CredentialRef
from drorch.domain.vocabulary import Vocabulary


def to_be_granted(value: object, place: Loc = ()) -> Iterator[tuple[Loc, CredentialRef | HostPath]]:
    """Every credential and path of this host that options name, wherever a kind has put it."""
    if isinstance(value, CredentialRef | HostPath):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, item in type(value).model_fields.items():
            yield from to_be_granted(getattr(value, name), (*place, item.alias or name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from to_be_granted(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from to_be_granted(inner, (*place, index))


def not_readable(path: str, application: str, vocabulary: Vocabulary) -> tuple[str, str] | None:
    """Why an application may not read a path of this host, with a hint; None when it may."""
    granted = vocabulary.paths
    if granted is None or not application or granting(path, granted.get(application, ())) is not None:
        return None
    hint = f"paths: {{{application}: [{path}]}} in drorch.yaml"
    return f"path {path[:200]} is not granted to {application}", hint


def not_granted(credential: str, application: str, vocabulary: Vocabulary) -> tuple[str, str] | None:
    """Why an application may not use a credential, with a hint; None when it may."""
    granted = vocabulary.credentials
    if granted is None:
        return None
    if credential not in granted:
        return f"unknown credential {credential}", near(credential, granted) or "credentials are named in drorch.yaml"
    if application and application not in granted[credential]:
        hint = f"add {application} to its applications in drorch.yaml"
        return f"credential {credential} is not granted to {application}", hint
    return None
