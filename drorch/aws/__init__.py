"""AWS at the door: one session per account, cached clients; `mapped` turns botocore's errors into ours.

Importing this module imports no SDK; the first client does. Emulators and private clouds are reached by the SDK's own
variables (``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT_URL_S3``).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from drorch import __version__
from drorch.aws.errors import HINT_CREDENTIALS
from drorch.aws.errors import code_of as code_of
from drorch.aws.errors import mapped as mapped
from drorch.aws.pace import Pace
from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.domain.model import native_vault_name

AMBIENT = "-"
"""The account key for the credentials of the process itself; no name of the host configuration can be spelled so."""

ATTEMPTS = 6
"""Attempts at a call that may be repeated, the first included (botocore's standard mode, exponential back-off), while
AWS answers: it throttles, or has a fault of its own.
"""

CONNECT_SECONDS = 10
READ_SECONDS = 60
"""For the bytes of objects (S3), and for calls that are sent once: giving those up early leaves their outcome open."""

SILENT_ATTEMPTS = 4
ASKING_READ_SECONDS = 20
"""For repeatable calls of every service but S3 that get no answer. Their replies are one page, which takes AWS seconds,
and the next pass asks again. A door that accepts connections and never answers, or a region that is lost, would hold up
a pass for many minutes otherwise.
"""

IDENTITY_SECONDS = 5
"""For the question whose credentials these are: a region that is lost must not hold up work in another."""
POOL = 32
"""Connections one client keeps: uploads to it and reads from it run side by side."""


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """One entry of `aws.accounts`: its twelve digits, and the role to assume ("" means ambient credentials) with the
    external id that its trust policy asks for ("" for none; no secret: IAM user guide, "Access to AWS accounts owned by
    third parties").
    """

    id: str = ""
    role_arn: str = ""
    external_id: str = ""


class AwsAccounts:
    """Clients per service, account and region. Safe for threads; clients are made one at a time, then shared."""

    def __init__(
        self,
        accounts: Mapping[str, AwsAccount] | None = None,
        *,
        attempts: int = ATTEMPTS,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """`now` says when a role's credentials have to be fetched again; botocore's own clock by default."""
        self.pace = Pace()
        """Who has to wait where AWS throttles."""
        self._now = now
        self._accounts = {AMBIENT: AwsAccount(), **(accounts or {})}
        self._timeouts = (connect_seconds, read_seconds)
        self._attempts = attempts
        self._lock = threading.Lock()
        self._sessions: dict[str, _AccountSession] = {}
        self._clients: dict[tuple[str, str, str, bool, str], Any] = {}

    def account(self, name: str) -> AwsAccount:
        """The account by its key. Refused when the configuration has none of that name."""
        try:
            return self._accounts[name]
        except KeyError:
            raise Refused(
                f"there is no AWS account named {name!r}", operation="aws", hint="name it under aws.accounts"
            ) from None

    def client(self, service: str, account: str, region: str, *, repeatable: bool = True, endpoint: str = "") -> Any:
        """A botocore client, the same one for the same arguments; of S3 a patient one, of the others less so.

        `repeatable=False` sends each request once: for the calls that AWS gives no client token (CreateSnapshot,
        CreateSnapshots, CopySnapshot, CreateImage), where a blind repetition makes a second snapshot. `endpoint` is
        the URL of a compatible service elsewhere. The first client of an account whose id is known asks STS whose the
        credentials are; an STS that does not answer is asked again for the next client. Refused when they are another
        account's, and when the client cannot be made.
        """
        key = (service, account, region, repeatable, endpoint)
        with self._lock:
            if key in self._clients:
                return self._clients[key]
            known = self.account(account)
            if account not in self._sessions:
                self._sessions[account] = _AccountSession(known, self._timeouts, self._now)
            session = self._sessions[account]
        if known.id and not endpoint:
            session.check_identity(account, known.id, region)
        with self._lock:
            if key not in self._clients:
                with mapped(f"{service} client", resource=f"{account}.{region}"):
                    attempts, read_seconds = self._patience(service, repeatable=repeatable)
                    client = session.client(service, region, attempts, read_seconds, endpoint)
                if service != "s3":  # of objects nothing waits: a signed word goes into every vault, or none
                    client.meta.events.register_first("needs-retry", _given_up_in_silence)
                    self.pace.watch(client, service, account, region)
                self._clients[key] = client
            return self._clients[key]

    def now(self, account: str, region: str) -> datetime:
        """AWS's own present in the region, aware, UTC, in whole seconds cut off: the Date header of a reply of STS.

        GetCallerIdentity needs no permission and changes nothing. Unavailable when no reply tells the time.
        """
        vault, operation = native_vault_name(account, region), "sts GetCallerIdentity"
        client = self.client("sts", account, region)
        with mapped(operation, vault=vault):
            reply = client.get_caller_identity()
        return told_time(reply, operation, vault)

    def _patience(self, service: str, *, repeatable: bool) -> tuple[int, float]:
        """Attempts, and seconds to wait for bytes in each."""
        read_seconds = self._timeouts[1]
        if not repeatable:
            return 1, read_seconds
        return self._attempts, read_seconds if service == "s3" else min(ASKING_READ_SECONDS, read_seconds)

    def close(self) -> None:
        """Close every connection. Clients made before must not be used again."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._sessions.clear()


def _given_up_in_silence(attempts: int, caught_exception: Exception | None, **_: Any) -> None:
    """Before botocore asks whether to repeat a call: not again what was not answered so often."""
    if caught_exception is not None and attempts >= SILENT_ATTEMPTS:
        raise caught_exception


class _AccountSession:
    """The botocore session of one account, its credentials shared by the clients of all regions."""

    def __init__(
        self, account: AwsAccount, timeouts: tuple[float, float], now: Callable[[], datetime] | None = None
    ) -> None:
        import botocore.session

        from drorch.aws.listings import ListingParsers

        self._timeouts = timeouts
        self._session: Any = botocore.session.Session()
        self._session.register_component("data_loader", _models())
        self._session.user_agent_name = "drorch"
        self._session.user_agent_version = __version__
        self._session.set_config_variable("sts_regional_endpoints", "regional")
        # A page of 1,000 snapshots costs a fifth of what it does with botocore's own parsers.
        self._session.register_component("response_parser_factory", ListingParsers(_timestamp))
        self._regions: list[str] = []
        self._checking = threading.Lock()
        self._checked = False
        if account.role_arn:
            # Set as the session's own, so that they refresh by themselves under every client made from it.
            cast("Any", self._session)._credentials = self._assumed(account, now)

    def client(self, service: str, region: str, attempts: int, read_seconds: float, endpoint: str) -> Any:
        """A new client; `AwsAccounts` caches it."""
        from botocore.config import Config

        self._asked_for(region)
        options: dict[str, Any] = {}
        if endpoint:
            # Since 1.36 the SDK sends checksums by default that many S3-compatible stores refuse.
            options = {
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "s3": {"addressing_style": "path"},
            }
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=self._timeouts[0],
            read_timeout=read_seconds,
            max_pool_connections=POOL,
            **options,
        )
        return self._session.create_client(service, region_name=region, config=config, endpoint_url=endpoint or None)

    def check_identity(self, name: str, account: str, region: str) -> None:
        """Refused when the credentials are not those of `account`, twelve digits. No answer is no objection."""
        with self._checking:
            if self._checked:
                return
            found = account
            with suppress(DrorchError), mapped("sts GetCallerIdentity", resource=f"{name}.{region}"):
                found = self._identity(region)
                self._checked = found == account
        if found != account:
            raise Refused(
                f"the credentials belong to account {found}, aws.accounts.{name} says {account}",
                operation="sts GetCallerIdentity",
                resource=f"{name}.{region}",
                hint="correct its id, or give this process the account's credentials (or role_arn)",
            )

    def _identity(self, region: str) -> str:
        """The account that the credentials belong to (STS GetCallerIdentity, which needs no permission)."""
        from botocore.config import Config

        self._asked_for(region)
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=min(IDENTITY_SECONDS, self._timeouts[0]),
            read_timeout=min(IDENTITY_SECONDS, self._timeouts[1]),
        )
        client = self._session.create_client("sts", region_name=region, config=config)
        try:
            told = client.get_caller_identity().get("Account")
            if not told:
                raise Unavailable("the reply names no account", operation="sts GetCallerIdentity")
            return str(told)
        finally:
            client.close()

    def _asked_for(self, region: str) -> None:
        """The regions that are asked for a role, the last new one first."""
        if region not in self._regions:
            self._regions.insert(0, region)

    def _assumed(self, account: AwsAccount, now: Callable[[], datetime] | None) -> Any:
        """Credentials of the role, fetched at first use and again before they expire."""
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        source = self._session.get_credentials()
        if source is None:
            raise Refused(
                "there are no AWS credentials to assume a role with",
                operation="sts AssumeRole",
                resource=account.role_arn,
                hint=HINT_CREDENTIALS,
            )
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=cast("Any", self._sts),
            source_credentials=source,
            role_arn=account.role_arn,
            extra_args={
                "RoleSessionName": "drorch",
                **({"ExternalId": account.external_id} if account.external_id else {}),
            },
            cache=cast("Any", _Forgetful()),
        )
        # A cache of its own would go by another clock; these credentials are kept by what refreshes them.
        clock: dict[str, Any] = {} if now is None else {"time_fetcher": now}
        return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role", **clock)

    def _sts(self, _service: str, **credentials: str) -> _AnyRegionSts:
        return _AnyRegionSts(self._session, tuple(self._regions), self._timeouts, credentials)


@cache
def _models() -> Any:
    """The loader of service models, one for all sessions: it keeps what it has parsed (EC2's are 3 MB of JSON)."""
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


def _timestamp(value: Any) -> datetime:
    """An instant of a reply, in UTC: ISO 8601 mostly; RFC 822 and Unix seconds as botocore reads them."""
    from botocore.utils import parse_timestamp

    if isinstance(value, str) and value[4:5] == "-":
        with suppress(ValueError):
            when = datetime.fromisoformat(value)
            return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    when = parse_timestamp(value)
    if when.tzinfo is None:
        raise ValueError(f"{value!r} is in no time zone")
    return when.astimezone(UTC)


class _Forgetful(dict[str, Any]):
    """A cache that keeps nothing."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Forget it."""


class _AnyRegionSts:
    """AssumeRole at the first region that answers: the role must stay assumable while one of the regions is lost."""

    def __init__(
        self, session: Any, regions: tuple[str, ...], timeouts: tuple[float, float], credentials: Mapping[str, str]
    ) -> None:
        self._session = session
        self._regions = regions
        self._timeouts = timeouts
        self._credentials = credentials

    def assume_role(self, **request: Any) -> Any:
        """STS AssumeRole. Raises botocore's error of the last region when none answered."""
        from botocore.config import Config
        from botocore.exceptions import ConnectionError as NoConnection
        from botocore.exceptions import HTTPClientError

        config = Config(
            retries={"mode": "standard", "total_max_attempts": 2},
            connect_timeout=self._timeouts[0],
            read_timeout=min(ASKING_READ_SECONDS, self._timeouts[1]),
        )
        lost: Exception | None = None
        for region in self._regions:
            client = self._session.create_client("sts", region_name=region, config=config, **self._credentials)
            try:
                return client.assume_role(**request)
            except (NoConnection, HTTPClientError) as error:
                lost = error
            finally:
                client.close()
        raise lost or Refused("no region to assume a role in", operation="sts AssumeRole")


def told_time(reply: Mapping[str, Any], operation: str, vault: str) -> datetime:
    """When a reply was made by its maker's clock (the Date header), aware, UTC. Unavailable when it does not say."""
    try:
        return parsedate_to_datetime(reply["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError) as error:
        raise Unavailable("the reply does not tell the time", operation=operation, vault=vault) from error


@cache
def regions() -> frozenset[str]:
    """Every region of every partition where botocore's own data know EC2; no network, and no import of botocore, which
    takes longer than all else that a command does before it begins. Read once per process: a command asks more than
    once, and the file is a megabyte of JSON.
    """
    found = importlib.util.find_spec("botocore")
    folder = Path(*(found.submodule_search_locations if found and found.submodule_search_locations else ()))
    data = folder / "data" / "endpoints.json"
    text = data.read_bytes() if data.exists() else gzip.decompress(data.with_suffix(".json.gz").read_bytes())
    return frozenset(
        region
        for partition in json.loads(text)["partitions"]
        for region in partition["services"]["ec2"]["endpoints"]
        if region in partition["regions"]
    )
