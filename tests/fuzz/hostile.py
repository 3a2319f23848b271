"""A store that shows whatever it likes and refuses the paths that real stores refuse; keys that never change."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from drorch.app.reading import TrustedKey
from drorch.crypto import bech32
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import NotFound
from drorch.domain.model import FailureDomain, Vault
from drorch.ports import ObjectInfo, ObjectVersion, StoreLimits, check_path

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SITE, APPLICATION, RESOURCE = "acme", "shop", "orders"
KEY = SecretKey(b"fuzzfuzz", bytes(range(32)))
TRUSTED = (TrustedKey(KEY.public),)
IDENTITY = bech32.encode("age-secret-key-", bytes(range(1, 33))).upper()
EU = Vault("eu", FailureDomain("gcp", "europe-west1"))


class HostileStore:
    """The reading half of an ObjectStore. Unless `strict` it reads any path, as no real store does."""

    def __init__(self, objects: Mapping[str, bytes], *, strict: bool = True) -> None:
        self.vault = EU.name
        self.limits = StoreLimits()
        self.lock = None
        self.objects = objects
        self._strict = strict

    def now(self) -> datetime:
        return NOW

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_path(prefix + "x", vault=self.vault)
        for path, body in self.objects.items():
            if path.startswith(prefix):
                yield ObjectInfo(path, len(body), NOW)

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        for found in self.list(prefix):
            yield ObjectVersion(found.path, found.size, found.modified)

    def stat(self, path: str) -> ObjectInfo:
        if self._strict:
            check_path(path, vault=self.vault)
        if path not in self.objects:
            raise NotFound("there is no such object", vault=self.vault, resource=path)
        return ObjectInfo(path, len(self.objects[path]), NOW)

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        self.stat(path)
        body = self.objects[path]
        yield from (body[start : None if length is None else start + length],)

    def uploads(self, prefix: str) -> Iterator[object]:
        return iter(())

    def close(self) -> None:
        """Nothing."""


def packed(objects: Mapping[str, bytes]) -> dict[str, str]:
    """Objects as JSON carries them: base64 where they are not text."""
    return {path: _packed(body) for path, body in objects.items()}


def _packed(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
        return text if not text.startswith("b64:") else "b64:" + base64.b64encode(body).decode()
    except UnicodeDecodeError:
        return "b64:" + base64.b64encode(body).decode()


def unpacked(content: object) -> dict[str, bytes]:
    """The inverse of `packed` for whatever a mutation left of it."""
    if not isinstance(content, dict):
        return {}
    return {path: _unpacked(text) for path, text in content.items() if isinstance(text, str)}


def _unpacked(text: str) -> bytes:
    if text.startswith("b64:"):
        try:
            return base64.b64decode(text[4:], validate=False)
        except ValueError:
            return text.encode("utf-8", "surrogatepass")
    return text.encode("utf-8", "surrogatepass")
