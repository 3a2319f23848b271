"""What a lost reply or a refusal makes of a call that creates something: one of it. From what every kind declares."""

from __future__ import annotations

import importlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
import pytest
from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    POINT,
    USER_TAGS,
    AmiWorld,
    Cloud,
    EbsWorld,
    RdsClusterWorld,
    RdsWorld,
    copy_order,
    cut_order,
    listed,
    selected,
)

from drorch.aws import AwsAccount, AwsAccounts
from drorch.demo.faults import Mode
from drorch.domain.errors import DrorchError
from drorch.wiring.adapters import SNAPSHOT_KINDS

World = AmiWorld | EbsWorld | RdsWorld | RdsClusterWorld
ASKING = ("Describe", "Get", "List")
NAMED = ("Add", "Delete", "Deregister", "Lock", "Modify", "Remove", "Unlock")
"""They change, or end, what the request names: twice is as good as once."""
RIGHTS_OF_CALLS = ("ec2:CreateTags", "rds:AddTagsToResource")
OF_EACH_REQUEST = ("PreSignedUrl", "PresignedUrl")
"""Signed anew for every request."""
FAULTS: tuple[Mode, ...] = ("throttle", "before", "after")


def creating(kind: str) -> tuple[str, ...]:
    """The operations that a kind declares, but for those that ask and those that name what they change."""
    declared = importlib.import_module(f"drorch.kinds.{SNAPSHOT_KINDS[kind][0]}").PERMISSIONS
    return tuple(
        action.partition(":")[2]
        for action in declared
        if action not in RIGHTS_OF_CALLS
        and not action.startswith("kms:")
        and not action.partition(":")[2].startswith((*ASKING, *NAMED))
    )


def volumes(aws: Cloud) -> World:
    """One instance with two volumes, and a volume for itself."""
    world = EbsWorld(aws)
    ec2 = world.client("ec2")
    instance = ec2.run_instances(ImageId="ami-00000000", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    for device in ("/dev/sdf", "/dev/sdg"):
        ec2.attach_volume(VolumeId=world.source_with(tags=USER_TAGS), InstanceId=instance, Device=device)
    world.source_with()
    return world


def one(world: World) -> World:
    world.source_with()
    return world


WORLDS: dict[str, Callable[[Cloud], World]] = {
    "ebs": volumes,
    "ami": lambda aws: one(AmiWorld(aws)),
    "rds-instance": lambda aws: one(RdsWorld(aws)),
    "rds-cluster": lambda aws: one(RdsClusterWorld(aws)),
}


@contextmanager
def patient(world: World) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """The kind asks as often as in earnest; (operation, what stood in the request) of everything that it sends."""
    sent: list[tuple[str, dict[str, str]]] = []
    accounts = AwsAccounts({ACCOUNT: AwsAccount()}, read_seconds=5)

    def note(request: Any, **_: Any) -> None:
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body or "")
        words = {key: value for key, value in parse_qsl(body) if key not in OF_EACH_REQUEST}
        sent.append((words.pop("Action", ""), words))

    for region in (HOME, AWAY):
        for repeatable in (True, False):
            client = accounts.client(world.kind.service, ACCOUNT, region, repeatable=repeatable)
            client.meta.events.register("before-send", note)
    world.kind = type(world.kind)(accounts)  # type: ignore[assignment]  # the same kind again
    yield sent
    accounts.close()


def life(world: World) -> None:
    """Everything that makes something, whatever comes of the single calls."""
    order = cut_order(selected(world))
    for call in range(len(world.kind.creating_calls(order.sources))):
        with suppress(DrorchError):
            world.kind.cut(order, call)
    world.finish()
    for snapshot in listed(world):
        with suppress(DrorchError):
            world.kind.copy(copy_order(snapshot))


@cache
def model_of(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


def tokens(service: str, operation: str, words: Mapping[str, str]) -> list[str]:
    """The values of what AWS's own model of the operation calls a token of idempotency."""
    model = model_of(service).operation_model(operation)
    return [words[member] for member in model.idempotent_members if member in words]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("kind", "operation"), [(kind, each) for kind in SNAPSHOT_KINDS for each in creating(kind)])
def test_a_call_that_creates_is_sent_once_or_bears_a_token(
    kind: str, operation: str, fault: Mode, aws: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    world = WORLDS[kind](aws)
    with patient(world) as sent:
        world.aws.fail_next(operation, fault)
        life(world)
        requests: dict[tuple[tuple[str, str], ...], int] = Counter(
            tuple(sorted(words.items())) for name, words in sent if name == operation
        )
        assert requests, f"{operation} is declared, and nothing of this life calls it"
        for request, times in requests.items():
            if times > 1:
                assert tokens(world.kind.service, operation, dict(request)), f"{operation} was sent {times} times"
        assert made_twice(world) == {}


def made_twice(world: World) -> dict[tuple[str, str], list[str]]:
    """What lies there more than once, by its region and what it is of."""
    made: dict[tuple[str, str], list[str]] = defaultdict(list)
    for region in (HOME, AWAY):
        for found in world.kind.find(ACCOUNT, region, POINT):
            made[region, found.tags.get("drorch:source", "") or found.source_id].append(found.native_id)
    return {what: ids for what, ids in made.items() if len(ids) > 1}


def test_the_calls_without_a_token_are_those_that_aws_gives_none() -> None:
    """The four of EC2; RDS has identifiers instead of tokens, and its creating calls are sent once all the same."""
    services = {"ebs": "ec2", "ami": "ec2"}
    bare = {
        operation
        for kind, service in services.items()
        for operation in creating(kind)
        if not tokens(service, operation, {"ClientToken": "given"})
    }
    assert bare == {"CreateSnapshot", "CreateSnapshots", "CopySnapshot", "CreateImage"}


@pytest.mark.parametrize("fault", ["throttle", "before"])
def test_a_call_that_may_be_repeated_is_sent_until_it_succeeds(
    fault: Mode, aws: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    world = one(AmiWorld(aws))
    with patient(world) as sent:
        world.aws.fail_next("CopyImage", fault, times=5)
        life(world)
        copies = [words for name, words in sent if name == "CopyImage"]
        assert len(copies) == 6
        assert len({words["ClientToken"] for words in copies}) == 1
        assert len(world.kind.find(ACCOUNT, AWAY, POINT)) == 1
