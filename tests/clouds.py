"""The embedded cloud for tests: start, talk to, throw away.

A process has one embedded AWS at a time: keep it in a fixture of module scope at most, and `reset` it for each test
(milliseconds; clients stay good, as the address stays).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from drorch.demo.aws import EmbeddedAws
from drorch.demo.gcs import EmbeddedGcs

REGIONS = ("eu-west-1", "eu-central-1", "us-west-2")
"""Home, second and third region of the tests."""
ACCESS_KEY, SECRET_KEY = "embedded-access-key", "embedded-secret-key"


def embedded_aws(*, rds_databases: Any = None) -> EmbeddedAws:
    """A context manager: an empty AWS."""
    return EmbeddedAws(rds_databases=rds_databases)


@contextmanager
def embedded_gcs(*buckets: str) -> Iterator[EmbeddedGcs]:
    """A GCS with these buckets."""
    with EmbeddedGcs() as gcs:
        for bucket in buckets:
            gcs.create_bucket(bucket)
        yield gcs


def aws_environment(endpoint: str, region: str = REGIONS[0]) -> dict[str, str]:
    """What a process (or monkeypatch.setenv) needs to talk to the embedded AWS and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


_session: Any = boto3.session.Session()  # loads each service's model once


def client(aws: EmbeddedAws, service: str, region: str = REGIONS[0]) -> Any:
    """A boto3 client of the embedded AWS that asks once and does not repeat."""
    return _client(aws.endpoint_url, service, region)


@functools.lru_cache(maxsize=64)
def _client(endpoint: str, service: str, region: str) -> Any:
    return _session.client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
    )


def client_in(aws: EmbeddedAws, account: str, service: str, region: str = REGIONS[0]) -> Any:
    """The same in another account (twelve digits), by a role that is taken on for it."""
    role = client(aws, "sts", region).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/drorch", RoleSessionName="test"
    )["Credentials"]
    return _session.client(
        service,
        region_name=region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
    )


def gcs_client(gcs: EmbeddedGcs) -> storage.Client:
    """A google-cloud-storage client of the embedded GCS."""
    anonymous: Any = AnonymousCredentials
    return storage.Client(project="tests", credentials=anonymous(), client_options={"api_endpoint": gcs.url})


def volume(aws: EmbeddedAws, region: str = REGIONS[0], *, size: int = 8, key: str = "", **tags: str) -> str:
    """A new EBS volume with these tags (encrypted, if a key is named); its id."""
    encryption: dict[str, Any] = {"Encrypted": True, "KmsKeyId": key} if key else {}
    specification = [{"ResourceType": "volume", "Tags": [{"Key": name, "Value": text} for name, text in tags.items()]}]
    made = client(aws, "ec2", region).create_volume(
        AvailabilityZone=f"{region}a", Size=size, **({"TagSpecifications": specification} if tags else {}), **encryption
    )
    return str(made["VolumeId"])
