"""The sessions behind every AWS call: who is asked, how often, as whom."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import clouds
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from manual_clock import ManualClock

from drorch import __version__
from drorch.aws import AMBIENT, AwsAccount, AwsAccounts, _timestamp, mapped, regions
from drorch.demo.aws import EmbeddedAws
from drorch.demo.faults import Mode
from drorch.domain.errors import DrorchError, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native import Source
from drorch.kinds.ebs import EbsSnapshots
from drorch.ports import CopyOrder, CutOrder

HOME, SECOND, THIRD = clouds.REGIONS
MINE = "123456789012"
"""The account of the credentials that the tests run with."""
ROLE = "arn:aws:iam::222222222222:role/drorch"


@pytest.fixture
def accounts(aws: EmbeddedAws) -> AwsAccounts:
    return AwsAccounts(
        {"prod": AwsAccount(id=MINE), "vault": AwsAccount(id="222222222222", role_arn=ROLE)}, read_seconds=5
    )


def test_module_imports_no_sdk() -> None:
    program = "import sys, drorch.aws; print(any(name.startswith(('boto', 'urllib3')) for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "False"


def test_same_arguments_give_the_same_client_also_to_racing_threads(accounts: AwsAccounts) -> None:
    made: list[Any] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.append(accounts.client("ec2", "prod", HOME))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len({id(client) for client in made}) == 1
    others = [
        accounts.client("ec2", "prod", SECOND),
        accounts.client("ec2", "prod", HOME, repeatable=False),
        accounts.client("ec2", AMBIENT, HOME),
    ]
    assert len({id(client) for client in (*made, *others)}) == 4


def test_unknown_account_is_refused(accounts: AwsAccounts) -> None:
    with pytest.raises(Refused, match="staging"):
        accounts.client("ec2", "staging", HOME)


def test_call_without_a_token_is_sent_once(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    aws.fail_next("CreateSnapshot", "before", times=9)
    ec2 = accounts.client("ec2", "prod", HOME, repeatable=False)
    with pytest.raises(ClientError):
        ec2.create_snapshot(VolumeId="vol-1")
    assert aws.calls["ec2", "CreateSnapshot", HOME] == 1


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "fault", "sent"),
    [
        ("ec2", "DescribeSnapshots", {}, "throttle", 6),
        ("ec2", "DescribeSnapshots", {}, "before", 6),
        ("ec2", "DescribeSnapshots", {}, "after", 4),
        ("s3", "ListObjectsV2", {"Bucket": "acme"}, "throttle", 6),
        ("s3", "ListObjectsV2", {"Bucket": "acme"}, "before", 6),
        ("s3", "ListObjectsV2", {"Bucket": "acme"}, "after", 6),
    ],
)
def test_other_calls_are_repeated_while_they_are_answered_and_less_often_in_silence(
    aws: EmbeddedAws,
    accounts: AwsAccounts,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    operation: str,
    arguments: dict[str, str],
    fault: Mode,
    sent: int,
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    aws.fail_next(operation, fault, times=9)
    client = accounts.client(service, "prod", HOME)
    with pytest.raises(DrorchError), mapped(operation):
        {"ec2": lambda: client.describe_snapshots, "s3": lambda: client.list_objects_v2}[service]()(**arguments)
    assert aws.calls[service, operation, HOME] == sent


@pytest.mark.parametrize(
    ("service", "repeatable", "attempts", "seconds"),
    [("ec2", True, 6, 20), ("rds", True, 6, 20), ("kms", True, 6, 20), ("ec2", False, 1, 60), ("s3", True, 6, 60)],
)
def test_door_that_accepts_and_never_answers_holds_nobody_up_for_long(
    service: str, repeatable: bool, attempts: int, seconds: int
) -> None:
    config = AwsAccounts().client(service, AMBIENT, HOME, repeatable=repeatable).meta.config
    assert (config.retries["total_max_attempts"], config.read_timeout) == (attempts, seconds)


def test_less_patience_that_was_asked_for_is_kept() -> None:
    accounts = AwsAccounts(attempts=2, read_seconds=5)
    for service in ("ec2", "s3"):
        config = accounts.client(service, AMBIENT, HOME).meta.config
        assert (config.retries["total_max_attempts"], config.read_timeout) == (2, 5)


def test_requests_name_drorch_and_its_version(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    seen: list[str] = []
    ec2 = accounts.client("ec2", "prod", HOME)
    ec2.meta.events.register("before-send", lambda request, **_: seen.append(str(request.headers["User-Agent"])))
    ec2.describe_snapshots(OwnerIds=["self"])
    assert f"drorch/{__version__}" in seen[0]


def test_role_is_assumed_once_for_all_regions_in_the_region_first_needed(
    aws: EmbeddedAws, accounts: AwsAccounts
) -> None:
    for region in (HOME, SECOND, THIRD):
        accounts.client("ec2", "vault", region).describe_snapshots(OwnerIds=["self"])
    assert aws.calls["sts", "AssumeRole", HOME] == 1
    asked = {call: count for (service, call, _), count in aws.calls.items() if service == "sts"}
    assert asked == {"AssumeRole": 1, "GetCallerIdentity": 1}
    identity = accounts.client("sts", "vault", HOME).get_caller_identity()
    assert identity["Account"] == "222222222222"
    assert identity["Arn"].endswith("/drorch")
    assert accounts.client("sts", "prod", HOME).get_caller_identity()["Account"] != "222222222222"


def test_role_is_assumed_elsewhere_while_a_region_is_lost(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    """Crisis recovery into the second region must not need the first one's STS."""
    aws.lose_region(SECOND)
    lost, other = (accounts.client("ec2", "vault", region) for region in (SECOND, THIRD))
    assert other.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert aws.calls["sts", "AssumeRole", THIRD] == 1
    assert lost.meta.region_name == SECOND


class Sts:
    """Stands behind every call of an account's session to STS: hands out numbered keys, each for `lasting`."""

    def __init__(self, accounts: AwsAccounts, clock: ManualClock, lasting: timedelta) -> None:
        self.clock, self.lasting, self.urls, self.bodies = clock, lasting, list[str](), list[str]()
        accounts.client("ec2", "vault", HOME)  # makes the session
        session: Any = accounts._sessions["vault"]._session
        session.register("before-send.sts", self._answer)
        accounts._clients.clear()

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.urls.append(request.url)
        self.bodies.append(str(request.body))
        ends = (self.clock.now() + self.lasting).strftime("%Y-%m-%dT%H:%M:%SZ")
        key = f"<AccessKeyId>KEY{len(self.urls):017}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        given = f"<Credentials>{key}<SessionToken>t</SessionToken><Expiration>{ends}</Expiration></Credentials>"
        xml = f"<AssumeRoleResponse><AssumeRoleResult>{given}</AssumeRoleResult></AssumeRoleResponse>"
        return AWSResponse(request.url, 200, {}, Raw(xml.encode()))


class Raw:
    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.body


def asks_with(client: Any) -> str:
    """The access key of one listing."""
    seen: list[str] = []
    client.meta.events.register("before-send", lambda request, **_: seen.append(str(request.headers["Authorization"])))
    client.describe_snapshots(OwnerIds=["self"])
    return seen[-1].partition("Credential=")[2].partition("/")[0]


def test_role_of_a_session_that_ends_in_mid_run_is_taken_on_again(aws: EmbeddedAws) -> None:
    clock = ManualClock()
    accounts = AwsAccounts({"vault": AwsAccount(role_arn=ROLE)}, now=clock.now)
    sts = Sts(accounts, clock, timedelta(hours=1))
    client = accounts.client("ec2", "vault", HOME)
    assert asks_with(client) == asks_with(accounts.client("ec2", "vault", SECOND)) == f"KEY{1:017}"
    clock.turn(minutes=40)
    assert asks_with(client) == f"KEY{1:017}" and len(sts.urls) == 1
    clock.turn(hours=5)
    assert asks_with(client) == asks_with(accounts.client("ec2", "vault", SECOND)) == f"KEY{2:017}"
    assert len(sts.urls) == 2


def test_copy_goes_on_under_new_credentials_when_those_that_began_it_have_ended(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
    monkeypatch.setattr("moto.sts.models.utcnow", lambda: clock.now().replace(tzinfo=None))
    accounts = AwsAccounts({"prod": AwsAccount(id=MINE), "vault": AwsAccount("222222222222", ROLE)}, now=clock.now)
    aws.set_snapshot_transition("held")
    kind = EbsSnapshots(accounts)
    tags = {"drorch:site": "acme", "drorch:point": "abcdefghij2345670000"}
    (cut,) = kind.cut(CutOrder("prod", HOME, "p", (Source(clouds.volume(aws)),), tags), 0)
    aws.finish_snapshots()
    order = CopyOrder("vault", SECOND, "prod", HOME, "p", cut, tags, kms_key="", attempt=1)
    kind.share(order)
    copied = kind.copy(order)
    began = aws.calls["sts", "AssumeRole", SECOND]
    (pending,) = kind.snapshots("vault", SECOND, "acme")
    assert (pending.native_id, pending.state) == (copied.native_id, "pending")
    assert aws.calls["sts", "AssumeRole", SECOND] == began
    clock.turn(hours=2)
    aws.finish_snapshots()
    (done,) = kind.snapshots("vault", SECOND, "acme")
    assert (done.native_id, done.state) == (copied.native_id, "usable")
    assert aws.calls["sts", "AssumeRole", SECOND] == began + 1


def test_session_that_has_ended_by_this_hosts_clock_before_it_began_is_unavailable(aws: EmbeddedAws) -> None:
    clock = ManualClock(datetime.now(UTC) + timedelta(days=1))
    accounts = AwsAccounts({"vault": AwsAccount(role_arn=ROLE)}, now=clock.now)
    with pytest.raises(Unavailable, match="cannot be renewed") as raised, mapped("ec2 DescribeSnapshots"):
        accounts.client("ec2", "vault", HOME).describe_snapshots()
    assert "clock" in raised.value.hint


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "us-gov-west-1"])
def test_sts_is_asked_in_the_region_itself_and_never_globally(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    accounts = AwsAccounts({"vault": AwsAccount(role_arn=ROLE)})
    sts = Sts(accounts, ManualClock(datetime.now(UTC)), timedelta(hours=1))
    accounts._sessions["vault"]._regions.clear()
    client = accounts.client("sts", "vault", region)
    with suppress(ClientError, KeyError):
        client.get_caller_identity()
    assert sts.urls and set(sts.urls) == {f"https://sts.{region}.amazonaws.com/"}


def test_external_id_goes_with_the_request_for_the_role(aws: EmbeddedAws) -> None:
    for external_id, sent in (("acme:7", True), ("", False)):
        clock = ManualClock()
        accounts = AwsAccounts({"vault": AwsAccount(role_arn=ROLE, external_id=external_id)}, now=clock.now)
        sts = Sts(accounts, clock, timedelta(hours=1))
        asks_with(accounts.client("ec2", "vault", HOME))
        assert ("ExternalId" in sts.bodies[0], "acme" in sts.bodies[0]) == (sent, sent)


def test_role_that_is_refused_is_told_with_its_trust_policy_and_external_id(
    aws: EmbeddedAws, accounts: AwsAccounts
) -> None:
    aws.fail_next("AssumeRole", "denied", times=2)
    with pytest.raises(Refused) as raised, mapped("ec2 DescribeSnapshots"):
        accounts.client("ec2", "vault", HOME).describe_snapshots(OwnerIds=["self"])
    assert "trust policy of role_arn" in raised.value.hint and "external_id of aws.accounts" in raised.value.hint


def test_role_that_cannot_be_assumed_anywhere_is_unavailable(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    ec2 = accounts.client("ec2", "vault", HOME)
    aws.stop()
    with pytest.raises(Unavailable), mapped("ec2 DescribeSnapshots"):
        ec2.describe_snapshots()


def test_role_without_any_credentials_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    accounts = AwsAccounts({"vault": AwsAccount(id="222222222222", role_arn=ROLE)})
    with pytest.raises(Refused) as raised:
        accounts.client("ec2", "vault", HOME)
    assert "credentials" in raised.value.hint


def test_credentials_of_another_account_are_refused_before_anything_is_asked_with_them(aws: EmbeddedAws) -> None:
    accounts = AwsAccounts({"prod": AwsAccount(id="111111111111")})
    for _ in range(2):
        with pytest.raises(Refused, match=f"belong to account {MINE}, aws.accounts.prod says 111111111111"):
            accounts.client("ec2", "prod", HOME)
    assert aws.calls["sts", "GetCallerIdentity", HOME] == 2
    assert "ec2" not in {service for service, _, _ in aws.calls}


def test_identity_is_asked_once_per_account_in_the_region_asked_for(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    for region in (SECOND, HOME):
        accounts.client("ec2", "prod", region)
        accounts.client("rds", "prod", region)
    accounts.client("ec2", AMBIENT, HOME)
    asked = {call: count for call, count in aws.calls.items() if call[0] != "s3"}
    assert asked == {("sts", "GetCallerIdentity", SECOND): 1}


def test_identity_that_cannot_be_asked_in_a_lost_region_blocks_nothing_and_is_asked_elsewhere(
    aws: EmbeddedAws,
) -> None:
    accounts = AwsAccounts({"prod": AwsAccount(id="111111111111")})
    aws.lose_region(SECOND)
    assert accounts.client("ec2", "prod", SECOND).meta.region_name == SECOND
    with pytest.raises(Refused, match="belong to account"):
        accounts.client("ec2", "prod", HOME)


def told(accounts: AwsAccounts, headers: dict[str, str]) -> datetime:
    """What `now` makes of a reply with these headers."""
    client = accounts.client("sts", "prod", HOME)

    def rewrite(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ResponseMetadata"]["HTTPHeaders"] = headers

    client.meta.events.register("after-call.sts.GetCallerIdentity", rewrite)
    try:
        return accounts.now("prod", HOME)
    finally:
        client.meta.events.unregister("after-call.sts.GetCallerIdentity", rewrite)


def test_now_is_what_the_reply_says_and_not_what_this_host_believes(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    assert told(accounts, {"date": "Fri, 20 Nov 2020 09:15:00 GMT"}) == datetime(2020, 11, 20, 9, 15, tzinfo=UTC)


def test_now_is_asked_anew_each_time_in_the_region_that_it_is_of(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    for _ in range(3):
        accounts.now(AMBIENT, SECOND)
    assert {call: count for call, count in aws.calls.items() if call[0] == "sts"} == {
        ("sts", "GetCallerIdentity", SECOND): 3
    }


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_reply_without_a_time_is_no_clock(aws: EmbeddedAws, accounts: AwsAccounts, headers: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="time") as raised:
        told(accounts, headers)
    assert raised.value.vault == f"prod.{HOME}"


def test_now_of_a_lost_region_is_unavailable(aws: EmbeddedAws) -> None:
    accounts = AwsAccounts({"prod": AwsAccount()}, attempts=1)
    aws.lose_region(SECOND)
    with pytest.raises(Unavailable) as raised:
        accounts.now("prod", SECOND)
    assert raised.value.vault == f"prod.{SECOND}"


def test_deletion_whose_reply_is_lost_is_repeated_and_finds_it_gone(
    aws: EmbeddedAws, accounts: AwsAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    ec2 = clouds.client(aws, "ec2")
    made = ec2.create_snapshot(VolumeId=clouds.volume(aws))["SnapshotId"]
    aws.fail_next("DeleteSnapshot", "after")
    EbsSnapshots(accounts).expire("prod", HOME, made)
    assert aws.calls["ec2", "DeleteSnapshot", HOME] == 2
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_closed_accounts_make_new_clients(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    first = accounts.client("ec2", "prod", HOME)
    accounts.close()
    second = accounts.client("ec2", "prod", HOME)
    assert first is not second
    assert second.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_regions_are_known_without_network() -> None:
    known = regions()
    assert {"us-east-1", "eu-central-1", "ap-southeast-2", "cn-north-1", "us-gov-west-1"} <= known
    assert "us-west-9" not in known
    told = botocore.session.Session()
    partitions = told.get_available_partitions()
    assert known == {r for p in partitions for r in told.get_available_regions("ec2", partition_name=p)}


def test_to_know_regions_no_sdk_is_imported() -> None:
    script = "import sys; from drorch.aws import regions; sys.exit(len(regions()) < 30 or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T09:15:00Z",
        "2026-11-20T09:15:00.000Z",
        "2026-11-20T09:15:00+00:00",
        "2026-11-20T10:15:00+01:00",
        "2026-11-20T09:15:00",
        "Fri, 20 Nov 2026 09:15:00 GMT",
        "1795166100",
        1795166100,
        1795166100.0,
    ],
)
def test_instants_of_replies_are_read_in_every_form(text: object) -> None:
    """ISO 8601 (EC2, RDS), RFC 822 (S3 headers), Unix seconds (JSON services)."""
    assert _timestamp(text) == datetime(2026, 11, 20, 9, 15, tzinfo=UTC)


@pytest.mark.parametrize("fault", [KeyError("x"), ValueError("x"), RuntimeError("x"), TypeError("x")])
def test_fault_of_a_program_is_not_taken_for_a_reply_that_cannot_be_read(fault: Exception) -> None:
    with pytest.raises(type(fault)), mapped("ec2 DescribeVolumes"):
        raise fault


@pytest.mark.parametrize(("mutates", "kind"), [(False, Unavailable), (True, OutcomeUnknown)])
def test_reply_that_botocore_cannot_read_is_an_error_of_ours(mutates: bool, kind: type[Exception]) -> None:
    model: Any = botocore.session.Session().get_service_model("ec2").operation_model("DescribeSnapshots").output_shape
    item = b"<item><volumeSize>many</volumeSize></item>"
    body = b"<DescribeSnapshotsResponse><snapshotSet>" + item + b"</snapshotSet></DescribeSnapshotsResponse>"
    with pytest.raises(kind) as told, mapped("ec2 DescribeSnapshots", mutates=mutates):
        create_parser("ec2").parse({"status_code": 200, "headers": {}, "body": body}, model)
    assert "many" in str(told.value)


def test_instant_in_no_time_zone_is_none() -> None:
    with pytest.raises(ValueError, match="time zone"):
        _timestamp("Fri, 20 Nov 2026 09:00:00")
