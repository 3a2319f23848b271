"""What the host configuration and `--vault-url` may say about a store, and which failure domain follows."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from drorch.aws import AMBIENT
from drorch.domain.errors import Refused
from drorch.domain.model import FailureDomain, LockMode
from drorch.ports import LockRule
from drorch.stores import azure, directory, gcs, memory, s3, swift


@pytest.mark.parametrize(
    ("options", "domain"),
    [
        (
            s3.Options(bucket="acme-dr", account="vault", region="us-west-2", prefix=""),
            FailureDomain(provider="aws", region="us-west-2", account="vault"),
        ),
        (
            s3.Options(bucket="acme-dr", region="fsn1", endpoint="https://fsn1.example.com", provider="hetzner"),
            FailureDomain(provider="hetzner", region="fsn1"),
        ),
        (
            s3.Options(
                bucket="acme-dr", region="eu-west-1", endpoint="https://s3.example", provider="aws", account="prod"
            ),
            FailureDomain(provider="aws", region="eu-west-1", account="prod"),
        ),
        (gcs.Options(bucket="acme-dr", region="europe-west1"), FailureDomain(provider="gcp", region="europe-west1")),
        (
            azure.Options(account_name="acmedr", container="vault", region="westeurope"),
            FailureDomain(provider="azure", region="westeurope"),
        ),
        (
            swift.Options(container="acme-dr", provider="rackspace", region="DFW"),
            FailureDomain(provider="rackspace", region="DFW"),
        ),
        (
            directory.Options(path="/mnt/dr", provider="onprem", region="office"),
            FailureDomain(provider="onprem", region="office"),
        ),
        (memory.Options(provider="p", region="r"), FailureDomain(provider="p", region="r")),
    ],
)
def test_failure_domain_follows_from_the_options(options: Any, domain: FailureDomain) -> None:
    assert options.domain == domain


@pytest.mark.parametrize(
    ("model", "fields", "word"),
    [
        (s3.Options, {"bucket": "acme-dr", "region": "us-west-2"}, "account"),
        (s3.Options, {"bucket": "acme-dr", "account": "a"}, "region"),
        (s3.Options, {"bucket": "a/b", "account": "a", "region": "r"}, "bucket"),
        (s3.Options, {"bucket": "acme-dr", "region": "r", "endpoint": "https://x.example"}, "provider"),
        (s3.Options, {"bucket": "acme-dr", "region": "r", "endpoint": "x.example", "provider": "p"}, "endpoint"),
        (s3.Options, {"bucket": "acme-dr", "region": "r", "endpoint": "https://u:p@x", "provider": "p"}, "endpoint"),
        (s3.Options, {"bucket": "acme-dr", "account": "a", "region": "r", "provider": "gcp"}, "provider"),
        (s3.Options, {"bucket": "acme-dr", "account": "a", "region": "r", "prefix": "a/../b"}, "prefix"),
        (s3.Options, {"bucket": "acme-dr", "account": "a", "region": "r", "secret_key": "x"}, "secret_key"),
        (gcs.Options, {"bucket": "acme-dr"}, "region"),
        (gcs.Options, {"bucket": "UPPER", "region": "r"}, "bucket"),
        (gcs.Options, {"bucket": "acme-dr", "region": "r", "prefix": "ü"}, "prefix"),
        (gcs.Options, {"bucket": "acme-dr", "region": "r", "provider": "aws"}, "provider"),
        (azure.Options, {"account_name": "acmedr", "container": "vault"}, "region"),
        (azure.Options, {"account_name": "acme-dr", "container": "vault", "region": "r"}, "account_name"),
        (azure.Options, {"account_name": "acmedr", "container": "a--b", "region": "r"}, "container"),
        (azure.Options, {"account_name": "acmedr", "container": "vault", "region": "r", "prefix": "a//b"}, "prefix"),
        (azure.Options, {"account_name": "acmedr", "container": "vault", "region": "r", "key": "x"}, "key"),
        (swift.Options, {"container": "acme-dr", "region": "r"}, "provider"),
        (swift.Options, {"container": "acme-dr", "provider": "p"}, "region"),
        (swift.Options, {"container": "a/b", "provider": "p", "region": "r"}, "container"),
        (swift.Options, {"container": ".drorch", "provider": "p", "region": "r"}, "container"),
        (swift.Options, {"container": "c", "provider": "p", "region": "r", "prefix": "x" * 61}, "prefix"),
        (swift.Options, {"container": "c", "provider": "p", "region": "r", "prefix": ".drorch"}, "prefix"),
        (swift.Options, {"container": "c", "provider": "p", "region": "r", "lock": {"for": "35d"}}, "has no locks"),
        (directory.Options, {"path": "mnt/dr", "provider": "p", "region": "r"}, "absolute"),
        (directory.Options, {"path": "/mnt/dr", "region": "r"}, "provider"),
        (directory.Options, {"path": "/mnt/dr", "provider": "p"}, "region"),
        (directory.Options, {"path": "/mnt/dr", "provider": "p", "region": "r", "prefix": "a"}, "prefix"),
    ],
)
def test_wrong_options_are_refused_by_name(model: Any, fields: dict[str, str], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        model(**fields)


@pytest.mark.parametrize("written", ["team/dr", "/team/dr", "team/dr/", "/team/dr/"])
def test_prefix_means_the_same_with_and_without_slashes(written: str) -> None:
    assert s3.Options(bucket="acme-dr", account="a", region="r", prefix=written).prefix == "team/dr"
    assert gcs.Options(bucket="acme-dr", region="r", prefix=written).prefix == "team/dr"
    assert azure.Options(account_name="acmedr", container="vault", region="r", prefix=written).prefix == "team/dr"
    assert swift.Options(container="acme-dr", provider="p", region="r", prefix=written).prefix == "team/dr"


def test_address_of_an_s3_bucket() -> None:
    assert s3.from_url("s3://acme-dr") == s3.Options(bucket="acme-dr", region="us-east-1", account=AMBIENT)
    full = s3.from_url("s3://acme-dr/team/dr?region=fsn1&endpoint=https%3A%2F%2Ffsn1.example.com")
    assert (full.prefix, full.region, full.endpoint) == ("team/dr", "fsn1", "https://fsn1.example.com")
    assert s3.from_url("s3://acme-dr?region=eu-west-1").domain == FailureDomain(provider="aws", region="eu-west-1")


def test_address_of_an_s3_bucket_without_a_region_takes_the_sdks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert s3.from_url("s3://acme-dr").region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert s3.from_url("s3://acme-dr").region == "eu-west-3"
    assert s3.from_url("s3://acme-dr?region=us-west-2").region == "us-west-2"


def test_address_of_a_gcs_bucket() -> None:
    assert gcs.from_url("gs://acme-dr/team/dr/") == gcs.Options(bucket="acme-dr", prefix="team/dr", region="unknown")


def test_address_of_a_swift_container(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = swift.from_url("swift://acme-dr/team/dr/")
    assert plain == swift.Options(container="acme-dr", prefix="team/dr", provider="swift", region="unknown")
    monkeypatch.setenv("OS_REGION_NAME", "DFW")
    assert swift.from_url("swift://acme-dr").region == "DFW"
    assert swift.from_url("swift://acme-dr?region=ORD").region == "ORD"


@pytest.mark.parametrize(
    "url", ["swift://", "gs://acme-dr", "swift://acme-dr?lock=1d", "swift://acme-dr/a//b", "swift://a#b", ""]
)
def test_wrong_address_of_a_swift_container_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(Refused) as raised:
        swift.from_url(url)
    assert raised.value.hint == "swift://container[/prefix][?region=]"


@pytest.mark.parametrize(
    "url", ["s3:/acme-dr", "s3://", "gs://acme-dr", "s3://acme-dr?profile=x", "s3://acme-dr/a//b", "s3://a#b", ""]
)
def test_wrong_address_of_an_s3_bucket_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(Refused) as raised:
        s3.from_url(url)
    assert raised.value.hint == "s3://bucket[/prefix][?region=&endpoint=]"


@pytest.mark.parametrize("url", ["gs://", "s3://acme-dr", "gs://acme-dr?region=x", "gs://acme-dr/a//b", "gs://A"])
def test_wrong_address_of_a_gcs_bucket_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(Refused) as raised:
        gcs.from_url(url)
    assert raised.value.hint == "gs://bucket[/prefix]"


def test_address_of_an_azure_container() -> None:
    bare = azure.Options(account_name="acmedr", container="vault", region="unknown")
    assert azure.from_url("azure://acmedr/vault") == azure.from_url("azure://acmedr/vault/") == bare
    assert azure.from_url("azure://acmedr/vault/team/dr/").prefix == "team/dr"


@pytest.mark.parametrize(
    "url",
    [
        "azure://",
        "azure://acmedr",
        "azure://acmedr//vault",
        "gs://acmedr/vault",
        "azure://acmedr/vault?sig=x",
        "azure://a/b",
    ],
)
def test_wrong_address_of_an_azure_container_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(Refused) as raised:
        azure.from_url(url)
    assert raised.value.hint == "azure://account/container[/prefix]"


def test_address_of_a_memory_vault() -> None:
    assert memory.from_url("memory:") == memory.Options()
    with pytest.raises(Refused):
        memory.from_url("memory://x")


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (s3.Options, {"bucket": "acme-dr", "account": "a", "region": "r"}),
        (s3.Options, {"bucket": "acme-dr", "region": "r", "endpoint": "https://x.example", "provider": "p"}),
        (gcs.Options, {"bucket": "acme-dr", "region": "r"}),
        (azure.Options, {"account_name": "acmedr", "container": "vault", "region": "r"}),
    ],
)
def test_a_lock_is_read_and_reaches_the_worker_as_it_was_written(model: Any, fields: dict[str, str]) -> None:
    options = model(**fields, lock={"mode": "governance", "for": "35d"})
    assert options.lock == LockRule(mode=LockMode.GOVERNANCE, for_=timedelta(days=35))
    carried = json.loads(json.dumps(options.model_dump(mode="json", exclude_none=True, by_alias=True)))
    assert carried["lock"] == {"mode": "governance", "for": "35d"}
    assert model(**carried) == options
    assert model(**fields, lock={"for": "1d"}).lock == LockRule(for_=timedelta(days=1)), "compliance, unless it says"
    assert model(**fields).lock is None


@pytest.mark.parametrize(
    "lock", [{}, {"for": "0d"}, {"for": "35d", "mode": "forever"}, {"for": "35d", "days": 3}, "35d"]
)
def test_a_lock_that_says_nothing_clear_is_refused(lock: object) -> None:
    with pytest.raises(ValidationError, match="lock"):
        gcs.Options.model_validate({"bucket": "acme-dr", "region": "r", "lock": lock})


@pytest.mark.parametrize(
    ("model", "fields"),
    [(directory.Options, {"path": "/mnt/dr", "provider": "p", "region": "r"}), (memory.Options, {})],
)
def test_a_store_without_locks_takes_none(model: Any, fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="lock"):
        model(**fields, lock={"for": "35d"})
