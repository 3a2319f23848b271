"""The stores behind a network, each with a proxy on the way that lies and cuts on order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import azurite
import clouds
import pytest
import swift_server
from azure_stub import AzureStub
from dialects import AZURE, GCS, S3, SWIFT, Dialect
from live_stores import BUCKET, LOCK, REGION, azure_store, gcs_bucket, gcs_store, s3_bucket, s3_store, swift_store
from store_proxy import Action, Instead, StoreProxy

from drorch.ports import LockRule, ObjectStore, StoreLimits
from drorch.stores import s3

SMALL = 256 * 1024
"""Bytes of a part, where the service takes parts so small."""


@dataclass
class Wire:
    """A store and what lies between."""

    store: ObjectStore
    proxy: StoreProxy
    dialect: Dialect

    def always(self, operation: str, action: Action) -> None:
        """From now on, whoever asks again."""
        self.proxy.order(operation, action, times=1000)

    def idle(self, operation: str) -> None:
        """From now on the store says that it was done, and does nothing."""
        self.always(operation, Instead(self.dialect.idle[operation]))


@contextmanager
def _proxied(url_or_port: str | int, dialect: Dialect) -> Iterator[StoreProxy]:
    port = url_or_port if isinstance(url_or_port, int) else urlsplit(url_or_port).port
    assert port
    with StoreProxy(port, dialect.name) as proxy:
        yield proxy


@contextmanager
def _s3(lock: LockRule | None) -> Iterator[Wire]:
    with (
        s3_bucket(locks=lock is not None) as aws,
        _proxied(aws.endpoint_url, S3) as proxy,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in clouds.aws_environment(f"http://127.0.0.1:{proxy.port}", REGION).items():
            environment.setenv(name, value)
        yield Wire(s3_store(lock=lock), proxy, S3)


@contextmanager
def _s3_of_swift() -> Iterator[Wire]:
    server = swift_server.running()
    with _proxied(server.url, S3) as proxy, pytest.MonkeyPatch.context() as environment:
        for name, value in server.s3_environment.items():
            environment.setenv(name, value)
        endpoint = f"http://127.0.0.1:{proxy.port}"
        store = s3_store(options=s3.from_url(f"s3://{server.container()}/team/dr?region=us-east-1&endpoint={endpoint}"))
        store.settle = 0
        yield Wire(store, proxy, S3)


@contextmanager
def _gcs(lock: LockRule | None) -> Iterator[Wire]:
    with (
        gcs_bucket(locks=lock is not None) as google,
        _proxied(google.url, GCS) as proxy,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
        store = gcs_store(lock=lock)
        store.limits = StoreLimits(part_bytes=SMALL)
        yield Wire(store, proxy, GCS)
        store.close()


@contextmanager
def _azure() -> Iterator[Wire]:
    with _proxied(azurite.port(), AZURE) as proxy:
        store = azure_store(proxy.port, azurite.container())
        store.limits = StoreLimits(part_bytes=SMALL)
        yield Wire(store, proxy, AZURE)
        store.close()


@contextmanager
def _azure_locked() -> Iterator[Wire]:
    with AzureStub() as stub, _proxied(stub.port, AZURE) as proxy:
        store = azure_store(proxy.port, BUCKET, lock=LOCK)
        store.limits = StoreLimits(part_bytes=SMALL)
        yield Wire(store, proxy, AZURE)
        store.close()


@contextmanager
def _swift() -> Iterator[Wire]:
    server = swift_server.running()
    with _proxied(server.url, SWIFT) as proxy, pytest.MonkeyPatch.context() as environment:
        for name, value in server.environment.items():
            environment.setenv(name, value.replace(server.url, f"http://127.0.0.1:{proxy.port}"))
        store = swift_store(server.container(), settle=0)
        store.limits = StoreLimits(part_bytes=SMALL)
        yield Wire(store, proxy, SWIFT)
        store.close()


WIRES: dict[str, Callable[[], AbstractContextManager[Wire]]] = {
    "s3": lambda: _s3(None),
    "s3:swift": _s3_of_swift,
    "gcs": lambda: _gcs(None),
    "azure": _azure,
    "swift": _swift,
}
"""By the names of `live_stores.STORES`."""
LOCKED: dict[str, Callable[[], AbstractContextManager[Wire]]] = {
    "s3": lambda: _s3(LOCK),
    "gcs": lambda: _gcs(LOCK),
    "azure": _azure_locked,
}
"""Those that have locks, with one."""
