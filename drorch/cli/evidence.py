"""``drorch evidence``: what signed records tell of a period, for auditors, out of the vaults alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from drorch.app.reading import TrustedKey
    from drorch.ports import ObjectStore


@click.command()
@click.argument("applications", nargs=-1, metavar="[APP]...")
@click.option("--from", "start", required=True, metavar="DATE", help="The first day (UTC), or an instant.")
@click.option("--to", "end", required=True, metavar="DATE", help="The last day (UTC), included; or an instant.")
@click.option("--vault-url", "urls", multiple=True, metavar="URL", help="s3://, gs://, azure://, swift:// or file:///.")
@click.option("--trust", multiple=True, metavar="KEY", help="RW... or a .pub file, whose records count; @before=TIME.")
@click.option("--html", "page", type=click.Path(dir_okay=False), metavar="FILE", help="One page, for people and print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def evidence(
    config: str | None,
    applications: tuple[str, ...],
    start: str,
    end: str,
    urls: tuple[str, ...],
    trust: tuple[str, ...],
    page: str | None,
    as_json: bool,
) -> int:
    """Attained against promised by hour, drills, points, what was let go of and why, pins, approvals, restores.

    Every line names the signed records that it comes from; what no trusted key signed is listed apart and counts for
    nothing. An hour that nothing tells of is unknown, and unknown is not met. Changes nothing.

    Exit code 6: something was tampered with or is not signed; 4: a vault could not be read.

    \b
    Of the configured vaults:
      drorch evidence --from 2026-11-01 --to 2026-11-30 --html november.html
    With nothing but a vault and the public key:
      drorch evidence shop --from 2026-11-01 --to 2026-11-30 --vault-url gs://acme-dr --trust RW... --json
    """
    from drorch import __version__
    from drorch.app.clock import SystemClock
    from drorch.app.evidence import gather
    from drorch.app.evidence_page import evidence_page
    from drorch.cli.screen import emit_json, tell
    from drorch.domain.evidence import evidence as document_of
    from drorch.domain.evidence_hours import Period

    period = Period(_first(start, "--from"), _last(end, "--to"))
    _require_order(period.start, period.end)
    of = _by_urls(urls, trust) if urls else _configured(config, trust)
    now = SystemClock().now()
    gathered = gather(of.stores, of.trusted, period, now, applications=applications, site=of.site, unopened=of.unopened)
    document = document_of(gathered, period, now, applications)
    keys = [_words(key) for key in of.trusted]
    if page is not None:
        _write(page, evidence_page(document, keys, __version__))
        tell(f"written: {page}")
    if as_json:
        emit_json({**document, "trusted": keys})
    else:
        _show(document)
    return _code(document)


def _code(document: Mapping[str, Any]) -> int:
    if document["unsigned"] or document["tampered"]:
        return 6
    return 4 if any(vault["unread"] for vault in document["vaults"]) else 0


def _words(key: TrustedKey) -> str:
    from drorch.domain.instant import to_text

    return key.key.text() + (f"@before={to_text(key.until)}" if key.until else "")


# --- what was typed ------------------------------------------------------------------------------------------------


def _first(text: str, option: str) -> datetime:
    from drorch.cli.typed import instant

    return instant(text, option)


def _last(text: str, option: str) -> datetime:
    """The end of a day, or an instant."""
    from datetime import timedelta

    return _first(text, option) + (timedelta(days=1) if len(text) == len("2026-11-30") else timedelta())


def _require_order(start: datetime, end: datetime) -> None:
    from drorch.domain.errors import Usage

    if start >= end:
        raise Usage("--to lies before --from")


@dataclass(frozen=True)
class _Sources:
    """Open stores by name, the keys that count, the site ("" for any), and why vaults could not be opened."""

    stores: Mapping[str, ObjectStore]
    trusted: Sequence[TrustedKey]
    site: str
    unopened: Mapping[str, str]


def _by_urls(urls: Sequence[str], trust: Sequence[str]) -> _Sources:
    from drorch.aws import AwsAccounts
    from drorch.cli.opening import require_trust
    from drorch.cli.typed import trusted_key
    from drorch.domain.errors import DrorchError
    from drorch.wiring import adapters

    require_trust(trust)
    stores, unopened = {}, {}
    for url in urls:
        store_type, options = adapters.store_from_url(url)
        try:
            stores[url] = adapters.build_store(url, store_type, options, AwsAccounts())
        except DrorchError as error:
            unopened[url] = str(error)
    return _Sources(stores, [trusted_key(text) for text in trust], "", unopened)


def _configured(config: str | None, trust: Sequence[str]) -> _Sources:
    from drorch.cli.opening import the_host
    from drorch.cli.typed import trusted_key
    from drorch.domain.errors import DrorchError

    host = the_host(config)
    stores, unopened = {}, {}
    for name in sorted(host.vaults):
        try:
            stores[name] = host.store(name)
        except DrorchError as error:
            unopened[name] = str(error)
    return _Sources(stores, [trusted_key(text) for text in trust] or list(host.trusted), host.config.site, unopened)


def _write(page: str, text: str) -> None:
    from pathlib import Path

    from drorch.domain.errors import Unavailable

    try:
        Path(page).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{page} cannot be written", cause=error.strerror or "") from error


# --- for people ----------------------------------------------------------------------------------------------------


def _show(document: Mapping[str, Any]) -> None:
    from drorch.cli.screen import GREEN, RED, YELLOW, say, table, tell

    for one in document["applications"]:
        say(one["application"], bold=True)
        rows = [row for month in one["months"] for row in _rows(month)]
        if rows:
            table(("MONTH", "LEVEL", "RPO", "WORST", "HOURS MET", "UNKNOWN", "RTO", "WORST"), rows)
        counts = {name: len(one[name]) for name in ("points", "drills", "restores", "held")}
        counts["expired"] = sum(row.get("mark") == "expired" for row in one["let_go"])
        failed = sum(drill["outcome"] == "failed" for drill in one["drills"])
        counts["audits"] = len(one["audits"])
        say(
            f"points cut: {counts['points']}, copies let go: {counts['expired']}, deletions held: {counts['held']}, "
            f"drills: {counts['drills']} ({failed} failed), restores: {counts['restores']}, "
            f"random audits: {counts['audits']}"
        )
        for audit in one["audits"]:
            if audit["outcome"] != "passed" and audit["outcome"] != "restorable":
                how = "failed" if audit["outcome"] else "no proof tells how it ended"
                tell(f"audit {audit['slot']} of {audit['point']} from {audit['vault']}: {how}", color=YELLOW)
        for gap in one["gaps"]:
            tell(f"nothing signed tells of {gap['hours']} h from {gap['from']} to {gap['to']}", color=YELLOW)
        say()
    for vault in document["vaults"]:
        if vault["unread"]:
            tell(f"{vault['vault']} could not be read: {vault['unread']}", color=YELLOW)
        elif vault["journal_missing"]:
            tell(f"{vault['vault']} lacks {vault['journal_missing']} entries that other vaults have", color=YELLOW)
    for one in document["journal_breaks"]:
        tell(f"the journal of {one['host']} has a break before {one['at']}: {one['what']}", color=YELLOW)
    for one in document["tampered"]:
        tell(f"{one['path']} in {one['vault']}: {one['what']}", color=RED)
    for one in document["unsigned"]:
        tell(f"{one['path']} in {one['vault']} counts for nothing: {one['why']}", color=RED)
    for one in document["unsigned_reports"]:
        what = f"{one['application'] or '?'}/{one['resource'] or '?'} {one['outcome'] or one['why'] or '?'}"
        tell(f"not signed, counts for nothing on its own: {one['path']} in {one['vault']}: {what}", color=YELLOW)
    say(f"{len(document['records'])} signed records stand behind this", color=GREEN)


def _rows(month: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A line for each level of a month."""
    found: list[tuple[str, ...]] = []
    for level, figures in month["levels"].items():
        rpo, rto = figures["rpo"], figures["rto"]
        share = f"{rpo['met']} of {rpo['hours']}" if rpo else "-"
        unknown = str(rpo["unknown"]) if rpo else "-"
        found.append((month["month"], level, *_promise(rpo), share, unknown, *_promise(rto)))
    return found or [(month["month"], "nothing known", "", "", "", str(month["hours"]), "", "")]


def _promise(promise: Mapping[str, Any] | None) -> tuple[str, str]:
    from datetime import timedelta

    from drorch.cli.screen import age

    if promise is None:
        return "-", "-"
    spans = [age(timedelta(seconds=value)) for value in promise["promised_s"]]
    worst = promise["worst_s"]
    return ", ".join(spans), "none" if promise["none"] else age(None if worst is None else timedelta(seconds=worst))
