"""What people and providers write as text: policies, configurations, durations, cron lines, slots, addresses, tags."""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from fuzz.engine import Parser

from drorch.app.config import load_config
from drorch.app.policies import check_file
from drorch.app.yaml_source import read_yaml
from drorch.domain.catalogue_native import TAG_SET, missing_calls, set_of
from drorch.domain.cron import longest_gap, newest_fire, next_fire, parse_cron
from drorch.domain.duration import duration_text, parse_duration
from drorch.domain.errors import InvalidInput, Refused, Usage
from drorch.domain.instant import from_compact, from_text, slot_start, to_compact, to_slot, to_text
from drorch.domain.model import FailureDomain
from drorch.domain.native import NativeSnapshot
from drorch.domain.policy_file import parse_policy
from drorch.domain.vocabulary import Vocabulary
from drorch.engines.postgres.place import from_url
from drorch.wiring import adapters

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
RUNBOOK = b"""version: 1
application: shop
home: {account: prod, region: eu-central-1}
resources:
  - {name: ledger, kind: rds-instance, identifier: shop-ledger, schedule: {every: 1d}, copies: [{region: us-west-2}],
     keep: {last: 2}}
recovery:
  regions: {us-west-2: {}}
  steps:
    - {name: healthy, wait: {http: "https://shop-dr.internal/health", status: 204, for: 10m}}
    - {name: word, manual: {us-west-2: "Tell payments"}, needs: []}
    - {name: reindex, command: [/usr/local/bin/reindex, --all], needs: [healthy, word], fallback: "runbook 12"}
"""
REHEARSED = RUNBOOK.replace(b"  steps:\n", b"  steps:\n    - {name: ledger, restore: ledger}\n")
REHEARSED += b"drill: {every: 30d, scenario: region, into: us-west-2, max_hours: 4}\n"
ZONE = ZoneInfo("Europe/Berlin")


@functools.cache
def _words() -> Vocabulary:
    vaults = {"s3-west": FailureDomain("aws", "us-west-2", "vault"), "gcs-eu": FailureDomain("gcp", "europe-west1")}
    credentials = {"orders-db": frozenset({"shop"})}
    return adapters.vocabulary(vaults=vaults, accounts=frozenset({"prod", "vault"}), credentials=credentials)


@functools.cache
def _file() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name) / "shop.yaml"


def _text(data: bytes) -> str:
    """As the command line hands text over: bytes that are not UTF-8 become surrogates."""
    return os.fsdecode(data)


def _policy(data: bytes) -> None:
    _file().write_bytes(data)
    policy, findings = check_file(_file(), _words())
    assert (policy is None) == bool(findings)
    assert all(finding.line >= 1 and finding.column >= 1 and finding.message for finding in findings)
    source = None if policy is None else read_yaml(data.decode("utf-8-sig"), "again")[0]
    assert source is None or parse_policy(source.data, _words())[0] == policy


def _config(data: bytes) -> None:
    _file().write_bytes(data)
    regions = frozenset({"us-west-2", "us-east-1", "eu-central-1"})
    try:
        config = load_config(_file(), vault_options=adapters.store_options(), regions=regions)
    except InvalidInput as refused:
        assert refused.findings
        return
    adapters.vocabulary_of(config)


def _examples(pattern: str) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(ROOT.glob(pattern))}


def _planted_policies() -> Mapping[str, bytes]:
    return {**_examples("policies/*.yaml"), "recovery": RUNBOOK, "rehearsed": REHEARSED}


def _duration(data: bytes) -> None:
    try:
        length = parse_duration(_text(data))
    except ValueError as error:
        assert "(hint: " in str(error)
        return
    assert timedelta() < length <= timedelta(days=36525)
    assert parse_duration(duration_text(length)) == length


def _cron(data: bytes) -> None:
    expression = _text(data)
    try:
        parse_cron(expression)
    except ValueError:
        return
    before, after = newest_fire(expression, ZONE, NOW), next_fire(expression, ZONE, NOW)
    assert before <= NOW < after
    assert longest_gap(expression, ZONE) > timedelta()


def _instant(data: bytes) -> None:
    text = _text(data)
    for read, write in ((from_text, to_text), (from_compact, to_compact), (slot_start, _slot)):
        try:
            when = read(text)
        except ValueError:
            continue
        assert when.tzinfo is UTC
        assert write(when) == text or text.startswith("manual:")


def _slot(when: datetime) -> str:
    return to_slot(when)


def _set(data: bytes) -> None:
    tags = {TAG_SET: _text(data)}
    member = NativeSnapshot("snap-1", "prod", "us-east-1", "ec2", "usable", tags, "vol-1", NOW)
    call, calls, members = set_of(member)
    assert 1 <= call <= calls
    assert members >= 1
    assert bool(missing_calls((member,))) == (calls > 1 or members > 1)


def _target(data: bytes) -> None:
    url = _text(data)
    try:
        adapters.engine_of_target(url)
        place = from_url(url, None)
    except Usage:
        return
    assert 1 <= place.port <= 65535
    assert place.database
    assert "\x00" not in place.conninfo(), "no program can be given it"
    assert place.password is None


def _address(data: bytes) -> None:
    try:
        _, options = adapters.store_from_url(_text(data))
        adapters.domain_of(options)
    except Refused:
        return


def _lines(*texts: str) -> Mapping[str, bytes]:
    return {f"line-{number}": text.encode() for number, text in enumerate(texts, start=1)}


PARSERS = (
    Parser("policy", _policy, _planted_policies, 70),
    Parser("config", _config, lambda: _examples("docs/drorch.example.yaml"), 40),
    Parser("duration", _duration, lambda: _lines("90m", "1h30m", "7d", "2w", "PT1H30M", "P7DT5M", "1w2d3h4m5s"), 1500),
    Parser("cron", _cron, lambda: _lines("15 */6 * * *", "0 2 29 feb *", "*/5 0-6,22 1-7 * mon-fri/2", "0 0 13 * 5"),
           300),
    Parser("instant", _instant, lambda: _lines(
        "2026-11-20T09:15:00Z", "20261120T091500Z", "2026-11-20T09:00Z", "manual:2026-11-20T09:12:31Z"), 1500),
    Parser("set", _set, lambda: _lines("1/1:1", "2/3:4", "10/10:40"), 1500),
    Parser("target", _target, lambda: _lines(
        "postgresql://localhost/orders", "postgresql://app@[::1]:5433/orders?sslmode=require",
        "postgresql:///orders?host=/run/postgresql&user=app&port=5432&sslrootcert=/x"), 1500),
    Parser("address", _address, lambda: _lines(
        "s3://acme-dr/team?region=us-west-2&endpoint=https://s3.example.com", "gs://acme-dr/team", "file:///mnt/dr",
        "swift://acme-dr/team?region=DFW"),
        600),
)  # fmt: skip
