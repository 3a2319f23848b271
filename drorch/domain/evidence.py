"""Evidence for an auditor: what signed records tell of a period, each line with the records that it comes from. Pure.

What is not signed by a trusted key is listed apart and counts for nothing. Records are cited by number; the document
lists each with its path, its SHA-256 and the vaults where it lies, so that anybody can check it with minisign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from drorch.domain import evidence_hours as attained
from drorch.domain.audit import AUDIT, CHOICES
from drorch.domain.catalogue_point import RESTORABLE
from drorch.domain.catalogue_seen import SeenRecord, Trust
from drorch.domain.errors import Damaged
from drorch.domain.evidence_hours import Hours, Period
from drorch.domain.instant import to_text
from drorch.domain.journal import HOUR, RESTORE, SWEPT, Hour, hour_in, hour_of, swept_in
from drorch.domain.record import MarkType, Record, RecordType

RECORDS_KEPT_DAYS = 90
"""Records of a point that no vault holds are removed after so long: what is asked later tells less of it."""

_POINTS = (RecordType.MANIFEST, RecordType.NATIVE)
_SECTION = {
    MarkType.EXPIRING: "let_go",
    MarkType.KEPT: "let_go",
    MarkType.EXPIRED: "let_go",
    MarkType.PIN: "pins",
    MarkType.UNPIN: "pins",
    MarkType.SUSPECT: "suspicions",
    MarkType.CLEARED: "suspicions",
    MarkType.REPAIRED: "checks",
}
SECTIONS = ("drills", "audits", "let_go", "pins", "approvals", "restores", "held", "suspicions", "checks")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read. `unread`: vaults that could not be read, and why; `tampered`: (vault, path, what was seen)."""

    vaults: tuple[str, ...]
    records: tuple[SeenRecord, ...]
    unread: Mapping[str, str]
    tampered: tuple[tuple[str, str, str], ...] = ()
    reports: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()
    """(vault, path, what it says) of restores under break glass, which nobody signed."""


class Citations:
    """Signed records by number: the same one in several vaults has one.

    What the journal keeps of records that are gone counts as they did, by the number of its entry. `odd` are signed
    entries that make no sense.
    """

    def __init__(self, seen: Iterable[SeenRecord]) -> None:
        self._of: dict[tuple[str, str], list[SeenRecord]] = {}
        for one in seen:
            if one.trust is Trust.SIGNED:
                self._of.setdefault((one.path, one.digest), []).append(one)
        self._numbers: dict[tuple[str, str], int] = {}
        self.odd: list[dict[str, Any]] = []
        there = [found[0] for found in self._of.values()]
        self._all = sorted([*there, *self._gone(there)], key=_order)
        self._own: dict[str, list[SeenRecord]] = {}
        for one in self._all:
            self._own.setdefault(one.record.application, []).append(one)

    def _gone(self, there: Iterable[SeenRecord]) -> Iterator[SeenRecord]:
        known = {one.path for one in there}
        for one in there:
            if one.record.type != RecordType.JOURNAL or one.record.text("event") != SWEPT:
                continue
            try:
                kept = [(record.path, record) for record in swept_in(one.record)]
            except Damaged as error:
                self.odd.append({"vault": one.vault, "path": one.path, "why": str(error)})
                continue
            for path, record in kept:
                if path not in known:
                    known.add(path)
                    yield replace(one, record=record)

    def once(self, *types: RecordType, of: str | None = None) -> list[SeenRecord]:
        """Each signed record of these types (and of this application) once, in the order of their instants."""
        found = self._all if of is None else self._own.get(of, [])
        return [one for one in found if one.record.type in types]

    def number(self, seen: SeenRecord) -> int:
        """The number by which a line names it."""
        return self._numbers.setdefault((seen.path, seen.digest), len(self._numbers) + 1)

    def vaults(self, seen: SeenRecord) -> list[str]:
        """Where it lies."""
        return sorted({one.vault for one in self._of[(seen.path, seen.digest)]})

    def listed(self) -> list[dict[str, Any]]:
        """Every record that a line names."""
        return [
            {"number": number, "path": path, "sha256": digest, "vaults": self.vaults(self._of[(path, digest)][0])}
            for (path, digest), number in self._numbers.items()
        ]


def _order(seen: SeenRecord) -> tuple[datetime, int, str]:
    """By its instant; entries of a host's journal of the same second by their numbers, others by their own paths."""
    number = seen.record.body.get("seq")
    path = seen.record.path if seen.record.type in (RecordType.MARK, RecordType.PROOF) else seen.path
    return seen.record.at, number if isinstance(number, int) else 0, path


def evidence(gathered: Gathered, period: Period, made: datetime, applications: Sequence[str] = ()) -> dict[str, Any]:
    """The document, JSON as it stands. Without names of `applications` all of which anything tells."""
    cited = Citations(gathered.records)
    entries, odd = _hours(cited)
    hours = attained.by_application(entries)
    expected = period.hours(made)
    named = {one.record.application for one in gathered.records if one.trust is Trust.SIGNED} - {""}
    names = sorted(applications or named | hours.keys())
    of_points = {one.record.point: one.record.application for one in cited.once(*_POINTS, RecordType.MARK)}
    return {
        "from": to_text(period.start),
        "to": to_text(period.end),
        "made_at": to_text(made),
        "sites": sorted({one.record.site for one in gathered.records if one.trust is Trust.SIGNED}),
        "records_kept_days": RECORDS_KEPT_DAYS,
        "vaults": [_vault(name, gathered, cited) for name in gathered.vaults],
        "applications": [_application(name, hours.get(name, {}), expected, period, cited, of_points) for name in names],
        "keys": [_key(one, cited) for one in cited.once(RecordType.KEY_PROOF) if period.holds(one.record.at)],
        "journal_breaks": _breaks(cited, period),
        "unsigned_reports": [_report(*one) for one in gathered.reports],
        "unsigned": [*_unsigned(gathered), *cited.odd, *odd],
        "tampered": [{"vault": vault, "path": path, "what": what} for vault, path, what in gathered.tampered],
        "records": cited.listed(),
    }


def _hours(cited: Citations) -> tuple[list[tuple[Hour, int]], list[dict[str, Any]]]:
    """Every hour that is told of, with its number; signed entries that make no sense."""
    found: list[tuple[Hour, int]] = []
    odd: list[dict[str, Any]] = []
    for one in cited.once(RecordType.JOURNAL):
        if one.record.text("event") != HOUR:
            continue
        try:
            found.append((hour_in(one.record), cited.number(one)))
        except Damaged as error:
            odd.append({"vault": one.vault, "path": one.path, "why": str(error)})
    return found, odd


def _vault(name: str, gathered: Gathered, cited: Citations) -> dict[str, Any]:
    """`journal_missing` counts the entries that other vaults have and this one has not."""
    entries = [cited.vaults(one) for one in cited.once(RecordType.JOURNAL)]
    there = sum(name in vaults for vaults in entries)
    read = name not in gathered.unread
    return {
        "vault": name,
        "unread": gathered.unread.get(name),
        "journal_entries": there if read else None,
        "journal_missing": len(entries) - there if read else None,
    }


# --- an application ------------------------------------------------------------------------------------------------


def _application(
    name: str,
    hours: Hours,
    expected: Sequence[datetime],
    period: Period,
    cited: Citations,
    of_points: Mapping[str, str],
) -> dict[str, Any]:
    sections: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    for one in cited.once(RecordType.MARK, RecordType.PROOF, of=name):
        if period.holds(one.record.at):
            section, row = _row(one, hours, cited)
            sections[section].append(row)
    for one in cited.once(RecordType.APPROVAL):
        row = _approval(one, name, cited, of_points)
        if row["deletions"] and period.holds(one.record.at):
            sections["approvals"].append(row)
    for one in cited.once(RecordType.JOURNAL, of=name):
        if one.record.text("event") == RESTORE and period.holds(one.record.at):
            sections["restores"].append(_restore(one, cited))
        elif one.record.text("event") == AUDIT and period.holds(one.record.at):
            sections["audits"].append(_audit(one, cited))
    sections["held"] = attained.held(hours, expected)
    return {
        "application": name,
        "months": attained.spans(hours, expected, "month", lambda start: to_text(start)[:7]),
        "days": attained.spans(hours, expected, "day", lambda start: to_text(start)[:10]),
        "gaps": attained.gaps(hours, expected),
        "policies": attained.policies(hours, expected),
        "points": _points(name, period, cited),
        **sections,
        "removed": _removed(name, period, cited),
    }


def _points(name: str, period: Period, cited: Citations) -> list[dict[str, Any]]:
    """The points that were cut in the period, oldest first, with every vault that a record of the point names.

    Of one that was let go of everywhere marks and proofs still tell, without its kind.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in cited.once(*_POINTS, RecordType.MARK, RecordType.PROOF, of=name):
        record = one.record
        if not period.holds(record.cut_at):
            continue
        row = found.setdefault((record.resource, record.point), _point(record))
        where = cited.vaults(one) if record.type == RecordType.MANIFEST else [record.text("vault")]
        row["vaults"] = sorted({*row["vaults"], *where} - {""})
        if record.type in _POINTS:
            told = {key: record.text(key) or None for key in ("kind", "slot", "note")}
            row |= {key: row[key] or text for key, text in told.items()}
        row["sources"].append(cited.number(one))
    return sorted(found.values(), key=lambda row: (row["cut_at"], row["resource"]))


def _point(record: Record) -> dict[str, Any]:
    cut_at = to_text(record.cut_at) if record.cut_at else None
    unknown = dict.fromkeys(("kind", "slot", "note"))
    return {
        "cut_at": cut_at,
        "resource": record.resource,
        "point": record.point,
        **unknown,
        "vaults": [],
        "sources": [],
    }


def _row(one: SeenRecord, hours: Hours, cited: Citations) -> tuple[str, dict[str, Any]]:
    """A mark or a proof: its section and its line, with the commit of the policy of that hour."""
    record = one.record
    common = {
        "at": to_text(record.at),
        "resource": record.resource,
        "vault": record.text("vault") or None,
        "point": record.point,
        "sources": [cited.number(one)],
    }
    if record.type == RecordType.PROOF:
        outcome = record.text("outcome")
        drilled = outcome in ("passed", "failed", RESTORABLE)
        more: dict[str, Any] = {"outcome": outcome, "why": record.text("why") or None}
        if drilled:
            more |= {"seconds": _counts(record, "seconds"), "bytes": record.body.get("bytes")}
            more |= {"probes": _probes(record), "audit": record.text("audit") or None}
        return "drills" if drilled else "checks", {**common, **more}
    mark = record.text("mark")
    told = hours.get(hour_of(record.at))
    more = {
        "mark": mark,
        "reason": record.text("reason") or None,
        "by": record.text("by") or None,
        "commit": (told.hour.commit or None) if told is not None else None,
    }
    if mark == MarkType.PIN:
        more["until"] = record.text("until") or None
    return _SECTION.get(MarkType(mark), "checks") if mark in set(MarkType) else "checks", {**common, **more}


def _counts(record: Record, key: str) -> dict[str, int]:
    body = record.body.get(key)
    return {k: v for k, v in body.items() if isinstance(v, int)} if isinstance(body, Mapping) else {}


def _texts(record: Record, key: str) -> list[str]:
    listed = record.body.get(key)
    return [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []


def _probes(record: Record) -> dict[str, int]:
    """How many questions were asked, and how many were answered as expected."""
    probes = record.body.get("probes")
    asked = [probe for probe in probes if isinstance(probe, Mapping)] if isinstance(probes, list) else []
    return {"asked": len(asked), "met": sum(probe.get("met") is True for probe in asked)}


def _approval(one: SeenRecord, name: str, cited: Citations, of_points: Mapping[str, str]) -> dict[str, Any]:
    pairs = [pair for pair in one.record.body["deletions"] if of_points.get(pair[1]) == name]
    return {
        "at": to_text(one.record.at),
        "by": one.record.text("by") or None,
        "reason": one.record.text("reason") or None,
        "digest": one.record.text("digest"),
        "deletions": [{"vault": vault, "point": point} for vault, point in pairs],
        "sources": [cited.number(one)] if pairs else [],
    }


def _audit(one: SeenRecord, cited: Citations) -> dict[str, Any]:
    """A random audit, what it was picked from, and how its drill ended (None: no proof tells, whatever its time)."""
    record, seed = one.record, one.record.text("seed")
    proofs = cited.once(RecordType.PROOF, of=record.application)
    proof = next((proof for proof in proofs if proof.record.text("audit") == seed), None)
    among = record.body.get("among")
    return {
        "at": to_text(record.at),
        "slot": record.text("slot"),
        "seed": seed,
        "by": record.text("by") or None,
        "offers": record.body.get("offers"),
        "offers_sha256": record.text("offers_sha256"),
        "among": {what: len(names) for what, names in among.items()} if isinstance(among, Mapping) else {},
        **{what: record.text(what) for what in CHOICES[1:]},
        "cut_at": to_text(record.cut_at) if record.cut_at else None,
        "outcome": proof.record.text("outcome") if proof is not None else None,
        "sources": [cited.number(each) for each in (one, proof) if each is not None],
    }


def _restore(one: SeenRecord, cited: Citations) -> dict[str, Any]:
    record = one.record
    wanted = record.body.get("wanted")
    cut_at = record.cut_at
    return {
        "at": to_text(record.at),
        "resource": record.resource or (wanted.get("resource") if isinstance(wanted, Mapping) else None),
        "vault": record.text("vault") or None,
        "point": record.point or None,
        "cut_at": to_text(cut_at) if cut_at else None,
        "target": record.text("target"),
        "outcome": record.text("outcome"),
        "why": record.text("why") or record.text("error") or None,
        "by": record.text("by") or None,
        "host": record.text("host"),
        "took_s": record.body.get("took_s"),
        "data_loss_s": record.body.get("data_loss_s"),
        "seconds": _counts(record, "steps"),
        "remains": _texts(record, "remains"),
        "made": _texts(record, "made"),
        "sources": [cited.number(one)],
    }


def _removed(name: str, period: Period, cited: Citations) -> list[dict[str, Any]]:
    """What signed heads say was live and is gone without anybody's word, first seen in the period."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in cited.once(RecordType.HEAD, of=name):
        for vault, points in one.record.body.get("lost", {}).items():
            for point, since in points.items():
                if to_text(period.start) <= since < to_text(period.end):
                    row = {"vault": vault, "point": point, "since": since, "sources": [cited.number(one)]}
                    found.setdefault((vault, point), row)
    return list(found.values())


# --- the site ------------------------------------------------------------------------------------------------------


def _key(one: SeenRecord, cited: Citations) -> dict[str, Any]:
    """A proof that somebody's key opened its token."""
    return {
        "recipient": one.record.text("recipient"),
        "proved_at": one.record.text("proved_at"),
        "by": one.record.text("by") or None,
        "sources": [cited.number(one)],
    }


def _breaks(cited: Citations, period: Period) -> list[dict[str, Any]]:
    """Where entries of a host are missing: each names the digest of the one before it.

    Of the oldest one that was read the one before lies outside of what was read, unless it is the host's first.
    """
    found: list[dict[str, Any]] = []
    known: dict[str, set[str]] = {}
    for one in cited.once(RecordType.JOURNAL):
        known.setdefault(one.record.text("host"), set()).add(one.digest)
    oldest: set[str] = set()
    for one in cited.once(RecordType.JOURNAL):
        host, before = one.record.text("host"), one.record.text("previous")
        if host not in oldest:
            oldest.add(host)
        elif before not in known[host] and period.holds(one.record.at):
            what = f"entry {one.record.body['seq'] - 1} of this host lies in no vault" if before else "begun anew"
            found.append({"at": to_text(one.record.at), "host": host, "what": what, "sources": [cited.number(one)]})
    return found


_REPORTED = ("at", "application", "resource", "point", "cut_at", "target", "outcome", "by")


def _report(vault: str, path: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What anybody may have written there who may write; it counts for nothing on its own."""
    told = {name: said[name][:300] if isinstance(said.get(name), str) else None for name in _REPORTED}
    why = said.get("why")
    return {"vault": vault, "path": path, **told, "why": why[:300] if isinstance(why, str) else None}


def _unsigned(gathered: Gathered) -> list[dict[str, Any]]:
    """What no trusted key vouches for, or what this version cannot read, wherever it lies and whatever its time."""
    return [
        {"vault": one.vault, "path": one.path, "why": one.why or str(one.trust)}
        for one in sorted(gathered.records, key=lambda one: (one.vault, one.path))
        if one.trust is not Trust.SIGNED
    ]
