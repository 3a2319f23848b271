"""A loss simulated on the embedded clouds: what is lost gets no request, and is not needed for the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from desks import AWAY, EBS, HOME, RDS, Desk, Said, Surroundings, surroundings

pytestmark = pytest.mark.integration

PROMISES = "objectives: {region: {rpo: 9h, rto: 2h}, provider: {rpo: 2d}}"


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    with surroundings(clouds=True) as found:
        yield found


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, around: Surroundings) -> Desk:
    """A volume, a database of RDS and a dump, all copied, the dump drilled. Left as it is."""
    desk = Desk(tmp_path_factory.mktemp("simulate"), around)
    desk.write_policy(resources=EBS + RDS, objectives=PROMISES, drill="{every: 7d, from: [gcs-eu]}")
    done = desk.ready()
    assert done.code == 0, done.err
    return desk


def asked(desk: Desk, *arguments: str) -> tuple[Said, Counter[tuple[str, str, str]]]:
    """What a simulation says, and the requests that AWS got for it."""
    aws = desk.around.aws
    assert aws is not None
    before = Counter(aws.calls)
    said = desk.drorch("simulate", *arguments, "--json")
    return said, aws.calls - before


def left(said: Said) -> dict[str, set[str]]:
    (shop,) = said.json["applications"]
    return {resource["resource"]: {each["vault"] for each in resource["left"]} for resource in shop["resources"]}


def verdicts(said: Said) -> dict[str, str]:
    (shop,) = said.json["applications"]
    return {dataset["dataset"]: dataset["verdict"] for dataset in shop["datasets"]}


def test_a_lost_region_gets_no_request_and_the_one_of_the_copies_is_listed(lived: Desk) -> None:
    said, calls = asked(lived, "--lose", f"region:{HOME}")
    assert said.code == 0, said.err
    assert left(said) == {"data": {f"prod.{AWAY}"}, "ledger": {f"prod.{AWAY}"}, "orders": {"nas", "gcs-eu"}}
    assert verdicts(said) == {"data": "unmeasured", "ledger": "unmeasured", "orders": "met"}
    assert {region for _, _, region in calls} == {AWAY}
    assert calls["ec2", "DescribeSnapshots", AWAY]
    assert calls["rds", "DescribeDBSnapshots", AWAY]
    reading = ("Describe", "List", "Get", "AssumeRole", "GenerateDataKeyWithoutPlaintext")
    assert [call for call in calls if not call[1].startswith(reading)] == [], "it changes nothing"


@pytest.mark.parametrize("words", [("account:prod",), ("provider:aws",), ("provider", "region")])
def test_with_the_account_or_the_provider_lost_aws_gets_no_request(lived: Desk, words: tuple[str, ...]) -> None:
    said, calls = asked(lived, *(part for word in words for part in ("--lose", word)))
    assert calls == Counter()
    assert left(said) == {"data": set(), "ledger": set(), "orders": {"nas", "gcs-eu"}}
    assert f"prod.{HOME} (as of " in said.err


def test_both_regions_at_once_break_the_promise_that_each_alone_keeps(lived: Desk) -> None:
    said, calls = asked(lived, "--lose", f"region:{HOME}", "--lose", f"region:{AWAY}")
    assert (said.code, calls) == (5, Counter())
    assert verdicts(said) == {"data": "missed", "ledger": "missed", "orders": "met"}
    outside, _ = asked(lived, "--lose", "provider:aws")
    assert outside.code == 0
    assert verdicts(outside) == {"data": "exempt", "ledger": "exempt", "orders": "met"}


def test_the_answer_is_the_same_when_the_region_is_really_gone(lived: Desk) -> None:
    aws = lived.around.aws
    assert aws is not None
    before, _ = asked(lived, "--lose", f"region:{HOME}")
    aws.lose_region(HOME)
    try:
        after, _ = asked(lived, "--lose", f"region:{HOME}")
    finally:
        aws.recover_region(HOME)
    assert (left(after), verdicts(after)) == (left(before), verdicts(before))


def test_a_zone_leaves_the_region_to_be_asked(lived: Desk) -> None:
    said, calls = asked(lived, "--lose", f"zone:{HOME}a")
    assert said.code == 0
    assert left(said)["data"] == {f"prod.{HOME}", f"prod.{AWAY}"}
    assert {region for _, _, region in calls} == {HOME, AWAY}
