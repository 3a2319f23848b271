"""``drorch vault verify``: what lies in a vault, compared with what was signed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from drorch.cli.opening import the_host
from drorch.cli.screen import ProgressLine, emit_json, progress_words, say, size, table, tell
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused, Unavailable, Usage

if TYPE_CHECKING:
    from drorch.app.progress import Progress
    from drorch.app.verify import PointFound, Select, VerifyReport
    from drorch.crypto.minisign import SecretKey
    from drorch.ports import ObjectStore
    from drorch.wiring.host import Host

_DEFAULT = "1%"


def run_verify(
    config: str | None, name: str, application: str, resource: str, *, sample: str | None, full: bool, as_json: bool
) -> int:
    """Read, tell, sign what is damaged. 0, 6 for damage, 4 when something could not be read."""
    from drorch.app.verify import committed_points, verify_points

    if full and sample is not None:
        raise Usage("--sample and --full exclude each other")
    share = None if full else _share(sample or _DEFAULT)
    host = the_host(config)
    store = host.store(name)
    _require_marker(host, store)
    places = committed_points(store, application, resource)
    if application and not places:
        what = f"{application}/{resource}" if resource else application
        raise NotFound(
            f"vault {name} holds no dump of {what}", vault=name, hint="drorch points APP lists what there is"
        )
    line = ProgressLine(quiet=as_json)

    def show(progress: Progress) -> None:
        line.show(f"{name}: {progress_words(progress.to_json())}")

    report = verify_points(
        store,
        places,
        host.trusted,
        _select(share, host.clock.now()),
        site=host.config.site,
        clock=host.clock,
        progress=show,
    )
    line.end()
    signed = _sign(host, report)
    if as_json:
        emit_json(
            {
                "ok": not report.broken and not report.unread,
                "selection": "full" if share is None else f"{share * 100:g}%",
                **report.to_json(),
                "signed": [found.place.point for found in signed],
            }
        )
    else:
        _print(report, signed)
    return Damaged.exit_code if report.broken else Unavailable.exit_code if report.unread else 0


def _require_marker(host: Host, store: ObjectStore) -> None:
    """An unmounted folder looks like an empty vault, in which nothing is damaged."""
    from drorch.app.reading import read_signed
    from drorch.domain import layout

    try:
        marker = read_signed(store, layout.VAULT_MARKER, host.trusted)
    except NotFound as error:
        raise Unavailable(
            "the vault has no marker",
            vault=store.vault,
            hint=f"is it mounted? A new vault: drorch vault init {store.vault}",
        ) from error
    if marker.site != host.config.site or marker.text("vault") != store.vault:
        raise Refused(f"this is vault {marker.text('vault')} of site {marker.site}", vault=store.vault)


def _share(text: str) -> float:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", text)
    if found is None or not 0 < float(found[1]) <= 100:
        raise Usage(f"--sample {text} is no share", hint="--sample 1%, --sample 0.5%, at most 100%")
    return float(found[1]) / 100


def _select(share: float | None, now: datetime) -> Select:
    from drorch.app.verify import by_sample, whole

    return whole if share is None else by_sample(share, now.isoformat())


def _sign(host: Host, report: VerifyReport) -> tuple[PointFound, ...]:
    """Sign a proof for every damaged point whose manifest is signed: of others nobody knows that they were points."""
    from drorch.app.damage import sign_proof
    from drorch.app.verify import State

    damaged = [found for found in report.broken if found.state is not State.UNSIGNED]
    key = _key(host) if damaged else None
    if key is None:
        return ()
    stores = _stores(host)
    signed = []
    for found in damaged:
        _, lost = sign_proof(found, stores, key, host.trusted, site=host.config.site, now=host.clock.now())
        for vault, error in lost.items():
            tell(f"the proof about {found.place.point} was not written into {vault}: {error}", color="yellow")
        if len(lost) < len(stores):
            signed.append(found)
    return tuple(signed)


def _key(host: Host) -> SecretKey | None:
    try:
        return host.signing_key()
    except Refused as error:
        tell(f"the damage is told, not signed: {error}", color="yellow")
        return None


def _stores(host: Host) -> dict[str, ObjectStore]:
    stores = {}
    for vault in host.vaults:
        try:
            stores[vault] = host.store(vault)
        except DrorchError as error:
            tell(f"vault {vault} could not be opened: {error}", color="yellow")
    return stores


def _print(report: VerifyReport, signed: Sequence[PointFound]) -> None:
    rows = [_row(found) for found in report.points if found.state != "ok" or found.shadowed]
    if rows:
        table(("", "POINT", "RESOURCE", "WHY"), rows)
    if signed:
        say(f"signed as damaged: {', '.join(found.place.point for found in signed)}")
    seconds = report.seconds
    rate = f", {size(int(report.bytes / seconds))}/s" if seconds >= 0.001 and report.bytes else ""
    text = f"{report.vault}: {_count(len(report.points), 'point')}, {_count(report.leaves, 'leaf', 'leaves')}"
    text += f", {size(report.bytes)} in {seconds:.1f} s{rate}: "
    told = [f"{len(report.broken)} not what was signed"] if report.broken else []
    told += [f"{len(report.unread)} could not be read"] if report.unread else []
    say(text + (", ".join(told) or "nothing damaged"), color="red" if told else "green")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _row(found: PointFound) -> tuple[str, str, str, str]:
    color = {"ok": "yellow", "unavailable": "yellow"}.get(str(found.state), "red")
    state = "shadowed" if found.state == "ok" else str(found.state)
    over = [
        f"something lies over {path.rpartition('/')[2]}: its oldest valid version was read" for path in found.shadowed
    ]
    why = "; ".join([found.why, *over] if found.why else over)
    place = found.place
    return click.style(state, fg=color), place.point, f"{place.application}/{place.resource}", why
