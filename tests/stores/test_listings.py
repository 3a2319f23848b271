"""Pages of listings: what is read is what botocore's own parsers read, to the last field, whatever the page holds."""

from __future__ import annotations

import functools
import gc
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import botocore.session
import pytest
from botocore.model import ListShape, StructureShape
from botocore.parsers import EC2QueryParser, QueryParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drorch.aws import AMBIENT, AwsAccounts, _timestamp
from drorch.aws import listings as listings_module
from drorch.aws.listings import LISTINGS, ListingParsers

CALLS = {
    ("ec2", "DescribeSnapshots"): "http://ec2.amazonaws.com/doc/2016-11-15/",
    ("ec2", "DescribeVolumes"): "http://ec2.amazonaws.com/doc/2016-11-15/",
    ("ec2", "DescribeImages"): "",
    ("rds", "DescribeDBInstances"): "http://rds.amazonaws.com/doc/2014-10-31/",
    ("rds", "DescribeDBSnapshots"): "http://rds.amazonaws.com/doc/2014-10-31/",
    ("rds", "DescribeDBClusters"): "http://rds.amazonaws.com/doc/2014-10-31/",
    ("rds", "DescribeDBClusterSnapshots"): "",
}


SERVICES = ListingParsers(_timestamp)
"""One for all, as the clients of an account have it: shapes of two services may have one name (Tag)."""


@functools.cache
def shape_of(service: str, operation: str) -> Any:
    model: Any = botocore.session.Session().get_service_model(service)
    return model.operation_model(operation).output_shape


def own(service: str) -> Any:
    return SERVICES.create_parser("ec2" if service == "ec2" else "query")


def botocores(service: str) -> Any:
    return (EC2QueryParser if service == "ec2" else QueryParser)(timestamp_parser=_timestamp)


def told(parser: Any, body: bytes, shape: Any, status: int = 200) -> Any:
    """What a parser makes of a reply, or its error in words."""
    try:
        return parser.parse({"body": body, "headers": {"Date": "now"}, "status_code": status}, shape)
    except Exception as error:  # noqa: BLE001  whatever it is, it must be the same
        return type(error), str(error)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=8)
TIMES = st.datetimes().map(lambda when: f"{when.isoformat()[:19]}.000Z")
SIMPLE = {
    "string": TEXT,
    "boolean": st.sampled_from(["true", "false", "True", ""]),
    "integer": st.integers().map(str) | st.just(" 7 "),
    "long": st.integers().map(str),
    "float": st.floats(allow_nan=False).map(str),
    "double": st.floats(allow_nan=False).map(str),
    "timestamp": TIMES | st.just("Fri, 20 Nov 2026 09:15:00 GMT"),
}


@st.composite
def inside(draw: st.DrawFn, shape: Any, deep: int = 0) -> str:
    """What stands inside of an element of this shape: members in any order, absent, unknown, with blanks between."""
    if isinstance(shape, StructureShape):
        parts = []
        for name, member in draw(st.permutations(list(shape.members.items())))[: draw(st.integers(0, 12))]:
            if deep < 5:
                key = member.serialization.get("name") or name
                parts.append(f"<{key}>{draw(inside(member, deep + 1))}</{key}>")
        if draw(st.integers(0, 9)) == 0:
            parts.append("<ofATomorrow><deep>1</deep></ofATomorrow>" * 2)
        return draw(st.sampled_from(["", "\n  "])).join(parts)
    if isinstance(shape, ListShape):
        count = draw(st.integers(0, 3))
        return "".join(f"<item>{draw(inside(shape.member, deep + 1))}</item>" for _ in range(count))
    return escape(draw(SIMPLE[shape.type_name]))


def page(service: str, operation: str, content: str) -> bytes:
    namespace = CALLS[service, operation]
    opened = f'<{operation}Response xmlns="{namespace}">' if namespace else f"<{operation}Response>"
    if service == "ec2":
        body = f"<requestId>r-1</requestId>{content}"
    else:
        metadata = "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>"
        body = f"<{operation}Result>{content}</{operation}Result>{metadata}"
    return f'<?xml version="1.0" encoding="UTF-8"?>{opened}{body}</{operation}Response>'.encode()


@pytest.mark.parametrize(("service", "operation"), CALLS)
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_any_page_is_read_as_botocore_reads_it(service: str, operation: str, data: st.DataObject) -> None:
    shape = shape_of(service, operation)
    body = page(service, operation, data.draw(inside(shape)))
    assert told(own(service), body, shape) == told(botocores(service), body, shape)


@pytest.mark.parametrize(("service", "operation"), CALLS)
def test_no_page_of_these_is_left_to_botocore(service: str, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(service, operation)
    assert shape.name in LISTINGS

    def never(*_given: object) -> None:
        raise AssertionError("left to botocore")

    monkeypatch.setattr(listings_module._Listings, "_botocores", never)
    (items,) = [name for name, member in shape.members.items() if isinstance(member, ListShape)]
    key = shape.members[items].serialization.get("name") or items
    read = told(own(service), page(service, operation, f"<{key}><item/></{key}>"), shape)
    assert read[items] == [{}]


SNAPSHOT = "<snapshotId>snap-1</snapshotId><startTime>2026-11-20T09:15:00.000Z</startTime>"
ODD = {
    "a number twice": "<snapshotSet><item><volumeSize>1</volumeSize><volumeSize>2</volumeSize></item></snapshotSet>",
    "a list twice": f"<snapshotSet><item>{SNAPSHOT}</item></snapshotSet><snapshotSet/>",
    "a number that is none": "<snapshotSet><item><volumeSize>many</volumeSize></item></snapshotSet>",
    "a time that is none": "<snapshotSet><item><startTime>soon</startTime></item></snapshotSet>",
    "not ended": "<snapshotSet><item>",
    "nothing": "",
    "an entity": f"<snapshotSet><item>{SNAPSHOT}<description>a &amp; b &#233;</description></item></snapshotSet>",
    "a comment": f"<snapshotSet><item>{SNAPSHOT}<description>a<!-- b -->c</description></item></snapshotSet>",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_what_is_odd_is_read_or_refused_as_botocore_does(content: str) -> None:
    shape = shape_of("ec2", "DescribeSnapshots")
    body = page("ec2", "DescribeSnapshots", content)
    assert told(own("ec2"), body, shape) == told(botocores("ec2"), body, shape)


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize("service", ["ec2", "rds"])
def test_errors_are_botocores_to_read(service: str, status: int) -> None:
    error = "<Error><Code>RequestLimitExceeded</Code><Message>slow down</Message></Error>"
    wrapped = f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>"
    body = (wrapped if service == "ec2" else f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>").encode()
    shape = shape_of(*next(call for call in CALLS if call[0] == service))
    read = told(own(service), body, shape, status)
    assert read == told(botocores(service), body, shape, status)
    assert read["Error"]["Code"] == "RequestLimitExceeded"


def test_collection_is_as_it_was_after_a_page_and_after_one_that_cannot_be_read() -> None:
    shape = shape_of("ec2", "DescribeSnapshots")
    assert gc.isenabled()
    for content in ("<snapshotSet/>", "<snapshotSet>"):
        told(own("ec2"), page("ec2", "DescribeSnapshots", content), shape)
        assert gc.isenabled()
    gc.disable()
    try:
        told(own("ec2"), page("ec2", "DescribeSnapshots", "<snapshotSet/>"), shape)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_clients_read_with_these_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    accounts = AwsAccounts(attempts=1)
    for service in ("ec2", "rds"):
        endpoint = accounts.client(service, AMBIENT, "us-east-1")._endpoint
        assert isinstance(endpoint._response_parser_factory, ListingParsers)
    accounts.close()


def test_tags_of_two_services_are_told_apart() -> None:
    ec2 = "<snapshotSet><item><tagSet><item><key>app</key><value>shop</value></item></tagSet></item></snapshotSet>"
    rds = "<TagList><Tag><Key>app</Key><Value>shop</Value></Tag></TagList>"
    rds = f"<DBSnapshots><DBSnapshot>{rds}</DBSnapshot></DBSnapshots>"
    for _ in range(2):
        read = told(own("ec2"), page("ec2", "DescribeSnapshots", ec2), shape_of("ec2", "DescribeSnapshots"))
        assert read["Snapshots"][0]["Tags"] == [{"Key": "app", "Value": "shop"}]
        read = told(own("rds"), page("rds", "DescribeDBSnapshots", rds), shape_of("rds", "DescribeDBSnapshots"))
        assert read["DBSnapshots"][0]["TagList"] == [{"Key": "app", "Value": "shop"}]


def test_a_page_of_snapshots_is_what_it_says() -> None:
    read = told(own("ec2"), page("ec2", "DescribeSnapshots", ODD["an entity"]), shape_of("ec2", "DescribeSnapshots"))
    assert read["Snapshots"] == [
        {"SnapshotId": "snap-1", "StartTime": datetime(2026, 11, 20, 9, 15, tzinfo=UTC), "Description": "a & b é"}
    ]
    assert read["ResponseMetadata"]["RequestId"] == "r-1"
