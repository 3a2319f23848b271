"""Every object store that claims the contract, each ready to be written to.

The name before a colon is the module in ``drorch/stores``; what stands behind it is a variant, or a wrapper.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import azurite
import clouds
import pytest
import swift_server
from azure_stub import AzureStub
from faults import FaultyStore

from drorch.aws import AMBIENT, AwsAccounts
from drorch.demo.aws import EmbeddedAws
from drorch.demo.gcs import EmbeddedGcs
from drorch.ports import LockRule, ObjectStore, StoreLimits
from drorch.stores import azure, directory, gcs, memory, s3, swift

BUCKET = "acme-dr"
REGION = "us-west-2"
LOCK = LockRule(for_=timedelta(days=35))


@contextmanager
def s3_bucket(*, locks: bool = False) -> Iterator[EmbeddedAws]:
    """An embedded AWS with a bucket (with Object Lock and versions), which the SDK's own variables point to."""
    with clouds.embedded_aws() as aws, pytest.MonkeyPatch.context() as environment:
        for name, value in clouds.aws_environment(aws.endpoint_url, REGION).items():
            environment.setenv(name, value)
        clouds.client(aws, "s3", REGION).create_bucket(
            Bucket=BUCKET,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectLockEnabledForBucket=locks,
        )
        yield aws


def s3_store(*, attempts: int = 1, options: s3.Options | None = None, lock: LockRule | None = None) -> s3.S3Store:
    """A store on the bucket, which asks only once unless told otherwise."""
    chosen = options or s3.Options(bucket=BUCKET, region=REGION, account=AMBIENT, prefix="team/dr", lock=lock)
    return s3.open_store("s3-west", chosen, AwsAccounts(attempts=attempts, read_seconds=10))


@contextmanager
def gcs_bucket(*, locks: bool = False) -> Iterator[EmbeddedGcs]:
    """An embedded GCS with a bucket (with object retention and versions), which the SDK's own variable points to."""
    with clouds.embedded_gcs() as embedded, pytest.MonkeyPatch.context() as environment:
        embedded.create_bucket(BUCKET, versioned=locks, object_retention=locks)
        environment.setenv("STORAGE_EMULATOR_HOST", embedded.url)
        yield embedded


def gcs_store(*, patience: float = 0.0, lock: LockRule | None = None) -> gcs.GcsStore:
    """A store on the bucket, which asks only once unless told otherwise: Google's pauses are drawn from 0 upwards."""
    options = gcs.Options(bucket=BUCKET, region="europe-west1", prefix="team/dr", lock=lock)
    return gcs.open_store("gcs-eu", options, patience=patience)


def azure_store(
    port: int, container: str = BUCKET, *, attempts: int = 1, lock: LockRule | None = None
) -> azure.AzureStore:
    """A store on a container of the Blob Storage on `port`, which asks only once unless told otherwise."""
    options = azure.Options(
        account_name=azurite.ACCOUNT, container=container, region="westeurope", prefix="team/dr", lock=lock
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string(port))
        return azure.open_store("azure-eu", options, attempts=attempts)


@contextmanager
def _azure() -> Iterator[ObjectStore]:
    store = azure_store(azurite.port(), azurite.container())
    yield store
    store.close()


@contextmanager
def _azure_locked() -> Iterator[ObjectStore]:
    with AzureStub() as stub:
        store = azure_store(stub.port, lock=LOCK)
        yield store
        store.close()


@contextmanager
def swift_container() -> Iterator[str]:
    """A new container of a real Swift, whose clients' own variables point to it."""
    server = swift_server.running()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in server.environment.items():
            environment.setenv(name, value)
        yield server.container()


def swift_store(container: str, *, patience: float = 0.01, settle: float = 0.15) -> swift.SwiftStore:
    """A store on the container, of little patience."""
    options = swift.Options(container=container, provider="rackspace", region="DFW", prefix="team/dr")
    return swift.open_store("swift-dfw", options, patience=patience, settle=settle)


@contextmanager
def _memory() -> Iterator[ObjectStore]:
    yield memory.MemoryStore()


@contextmanager
def _memory_locked() -> Iterator[ObjectStore]:
    yield memory.MemoryStore(lock=LOCK)


@contextmanager
def _faulty() -> Iterator[ObjectStore]:
    yield FaultyStore(memory.MemoryStore())


@contextmanager
def _directory() -> Iterator[ObjectStore]:
    with tempfile.TemporaryDirectory() as folder:
        yield directory.open_store("nas", directory.Options(path=folder, provider="onprem", region="office"))


@contextmanager
def _s3() -> Iterator[ObjectStore]:
    with s3_bucket():
        yield s3_store()


@contextmanager
def _s3_locked() -> Iterator[ObjectStore]:
    with s3_bucket(locks=True):
        yield s3_store(lock=LOCK)


@contextmanager
def _s3_compatible() -> Iterator[ObjectStore]:
    with s3_bucket() as aws:
        store = s3_store(options=s3.from_url(f"s3://{BUCKET}?region={REGION}&endpoint={aws.endpoint_url}"))
        store.settle = 0  # moto asks and writes in one step
        yield store


@contextmanager
def _gcs() -> Iterator[ObjectStore]:
    with gcs_bucket():
        store = gcs_store()
        yield store
        store.close()


@contextmanager
def _gcs_locked() -> Iterator[ObjectStore]:
    with gcs_bucket(locks=True):
        store = gcs_store(lock=LOCK)
        yield store
        store.close()


@contextmanager
def _swift() -> Iterator[ObjectStore]:
    with swift_container() as container:
        store = swift_store(container)
        store.limits = StoreLimits(part_bytes=1024 * 1024)
        yield store
        store.close()


@contextmanager
def _s3_of_swift() -> Iterator[ObjectStore]:
    server = swift_server.running()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in server.s3_environment.items():
            environment.setenv(name, value)
        options = s3.from_url(f"s3://{server.container()}/team/dr?region=us-east-1&endpoint={server.url}")
        store = s3_store(options=options)
        store.settle = 0.15
        yield store


STORES: dict[str, Callable[[], AbstractContextManager[ObjectStore]]] = {
    "memory": _memory,
    "memory:locked": _memory_locked,
    "memory:faulty": _faulty,
    "directory": _directory,
    "s3": _s3,
    "s3:locked": _s3_locked,
    "s3:compatible": _s3_compatible,
    "gcs": _gcs,
    "gcs:locked": _gcs_locked,
    "azure": _azure,
    "azure:locked": _azure_locked,
    "swift": _swift,
    "s3:swift": _s3_of_swift,
}
