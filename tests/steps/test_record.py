"""Switching a record of Route 53: only from what it was, and never what somebody else changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from clouds import client
from native_clouds import ACCOUNT, HOME, Cloud

from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.ports import RecordOrder
from drorch.steps.record import Route53Records

NAME = "shop.example.com"


@pytest.fixture
def zone(aws: Cloud) -> str:
    made = client(aws.aws, "route53", HOME).create_hosted_zone(Name="example.com", CallerReference="1")
    return str(made["HostedZone"]["Id"]).rpartition("/")[2]


@pytest.fixture
def order(zone: str) -> RecordOrder:
    return RecordOrder(ACCOUNT, zone, NAME, "CNAME", ("dr.example.com",), 60, ("www.example.com",))


def records(aws: Cloud) -> Route53Records:
    return Route53Records(aws.accounts, HOME)


def put(aws: Cloud, zone: str, value: str, **more: Any) -> None:
    record = {"Name": NAME, "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": value}], **more}
    change = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    client(aws.aws, "route53", HOME).change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)


def there(aws: Cloud, zone: str) -> tuple[str, int] | None:
    found = client(aws.aws, "route53", HOME).list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    record = next((r for r in found if r["Type"] == "CNAME"), None)
    return None if record is None else (record["ResourceRecords"][0]["Value"].rstrip("."), record["TTL"])


def until_done(of: Route53Records, order: RecordOrder) -> str:
    for _ in range(3):
        progress = of.advance(order)
        if progress.done:
            return progress.detail
    raise AssertionError("the record never came about")


def test_a_record_that_is_absent_is_made(aws: Cloud, zone: str, order: RecordOrder) -> None:
    assert until_done(records(aws), order) == "CNAME shop.example.com is dr.example.com"
    assert there(aws, zone) == ("dr.example.com", 60)


def test_a_record_that_is_what_it_was_is_switched(aws: Cloud, zone: str, order: RecordOrder) -> None:
    put(aws, zone, "WWW.example.com.")
    assert not records(aws).advance(order).done
    assert there(aws, zone) == ("dr.example.com", 60)


def test_another_process_finds_it_done(aws: Cloud, zone: str, order: RecordOrder) -> None:
    records(aws).advance(order)
    put(aws, zone, "DR.example.com.", TTL=60)
    assert records(aws).advance(order).done


def test_a_longer_time_to_live_of_the_wanted_values_is_set(aws: Cloud, zone: str, order: RecordOrder) -> None:
    put(aws, zone, "dr.example.com")
    until_done(records(aws), order)
    assert there(aws, zone) == ("dr.example.com", 60)


@pytest.mark.parametrize("was", [("www.example.com",), ()])
def test_a_record_that_somebody_else_changed_is_refused_and_left(
    aws: Cloud, zone: str, order: RecordOrder, was: tuple[str, ...]
) -> None:
    put(aws, zone, "elsewhere.example.net")
    with pytest.raises(Refused, match=r"is elsewhere\.example\.net: somebody else changed it") as refused:
        records(aws).advance(replace(order, was=was))
    assert "by hand to dr.example.com" in refused.value.hint
    assert there(aws, zone) == ("elsewhere.example.net", 300)


def test_a_change_between_looking_and_switching_is_refused(
    aws: Cloud, zone: str, order: RecordOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(aws, zone, "www.example.com")
    ours = aws.accounts.client("route53", ACCOUNT, "us-east-1")
    looked = ours.list_resource_record_sets

    def look_and_lose(**request: Any) -> Any:
        reply = looked(**request)
        put(aws, zone, "elsewhere.example.net")
        return reply

    monkeypatch.setattr(ours, "list_resource_record_sets", look_and_lose)
    with pytest.raises(Refused, match="somebody else changed it, or another record is in its way"):
        records(aws).advance(order)
    assert there(aws, zone) == ("elsewhere.example.net", 300)


def test_a_record_with_a_routing_policy_is_not_touched(aws: Cloud, zone: str, order: RecordOrder) -> None:
    put(aws, zone, "www.example.com", SetIdentifier="a", Weight=1)
    with pytest.raises(Refused, match="no simple record") as refused:
        records(aws).advance(order)
    assert "SetIdentifier, Weight" in refused.value.cause


def test_a_zone_that_is_not_there_is_not_found(aws: Cloud, order: RecordOrder) -> None:
    with pytest.raises(NotFound):
        records(aws).advance(replace(order, zone="ZNOTHERE"))


def test_several_values_are_compared_as_a_set(aws: Cloud, zone: str, order: RecordOrder) -> None:
    two = replace(order, type="A", values=("10.0.0.2", "10.0.0.1"), was=())
    until_done(records(aws), two)
    assert records(aws).advance(replace(two, values=("10.0.0.1", "10.0.0.2"))).done


def test_a_control_plane_that_does_not_answer_is_unavailable(aws: Cloud, order: RecordOrder) -> None:
    aws.aws.lose_region("us-east-1")
    with pytest.raises(Unavailable):
        records(aws).advance(order)
