"""The keys of a cloud in memory, as KMS tells of them."""

from __future__ import annotations

from drorch.domain.errors import Refused, Unavailable
from drorch.domain.kms import KmsKey
from drorch.kinds.memory.cloud import MemoryCloud


class MemoryKeys:
    """The keys of a MemoryCloud (KmsKeys); `forbidden` are those that the caller may not use."""

    def __init__(self, cloud: MemoryCloud) -> None:
        self.cloud = cloud
        self.forbidden: set[str] = set()
        self.silent = False
        self.asked: list[tuple[str, str, str]] = []

    def describe(self, account: str, region: str, key: str) -> KmsKey:
        """The key as it was put; Unavailable while its region is lost or keys are `silent`."""
        self.asked.append((account, region, key))
        self.cloud.reach("kms", account, region, "describe")
        if self.silent:
            raise Unavailable("KMS does not answer", operation="describe", resource=key)
        return self.cloud.key(account, region, key)

    def require_use(self, account: str, region: str, key: str) -> None:
        """Refused for what is forbidden."""
        self.cloud.reach("kms", account, region, "require_use")
        if key in self.forbidden:
            raise Refused("the key may not be used", operation="require_use", resource=key, cause="AccessDenied")
