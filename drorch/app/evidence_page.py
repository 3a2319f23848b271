"""Evidence as one self-contained page of HTML: no script, nothing from the network, and it prints well."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from drorch.domain.duration import duration_text
from drorch.domain.instant import from_text, to_text

_STYLE = """
@page { size: A4 landscape; margin: 12mm }
body { font: 10pt/1.35 "DejaVu Sans", Arial, sans-serif; color: #111; max-width: 270mm; margin: 8mm auto }
h1 { font-size: 17pt; margin: 0 0 2mm } h2 { font-size: 14pt; margin: 9mm 0 2mm; border-bottom: 1px solid #888 }
h3 { font-size: 11pt; margin: 5mm 0 1mm; break-after: avoid }
table { border-collapse: collapse; width: 100%; margin: 1mm 0 3mm } thead { display: table-header-group }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #111; vertical-align: bottom }
td { border-bottom: 1px solid #ccc; vertical-align: top } tr { break-inside: avoid }
th, td { padding: 0.5mm 2mm 0.5mm 0; overflow-wrap: anywhere } td.n { text-align: right; white-space: nowrap }
code { font: 8.5pt "DejaVu Sans Mono", monospace } .r { color: #555; font-size: 8pt; white-space: nowrap }
.bad { color: #a00; font-weight: 600 } .quiet { color: #555 }
"""


class Markup(str):
    """HTML as it stands; every other text is escaped where it enters the page."""

    __slots__ = ()


Row = Sequence[str]


def evidence_page(document: Mapping[str, Any], keys: Sequence[str], version: str) -> str:
    """The page for a document of `drorch.domain.evidence`; `keys` are those whose signatures counted."""
    sites = ", ".join(document["sites"]) or "no site"
    last = from_text(document["to"]) - timedelta(seconds=1)
    title = _e(f"Evidence of {sites}, {document['from'][:10]} to {to_text(last)[:10]}")
    body = [
        f"<h1>{title}</h1>",
        f"<p>From {_when(document['from'])} up to {_when(document['to'])} UTC, made at {_when(document['made_at'])} by "
        f"drorch {_e(version)} out of the vaults below, of nothing else. Every line names the signed records that it "
        "comes from, by their numbers in the list at the end. An hour that no signed record tells of is unknown, and "
        "<b>unknown is not met</b>. What is not signed by one of the keys below counts for nothing and is listed "
        "apart.</p>",
        f"<p>Keys: {', '.join(_code(key) for key in keys)}</p>",
        _table(("Vault", "", "Entries of the journal", "It lacks"), _vaults(document["vaults"])),
        *(part for application in document["applications"] for part in _application(application)),
        *_site(document),
        *_records(document),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _vaults(vaults: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in vaults:
        read = _bad(f"not read: {one['unread']}") if one["unread"] else "read"
        missing = _number(one["journal_missing"])
        yield one["vault"], read, _number(one["journal_entries"]), _bad(missing) if one["journal_missing"] else missing


def _application(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{_e(one['application'])}</h2>"
    yield _titled("What was attained, by month", _LEVELS, _levels(one["months"], "month"))
    yield _titled("By day", _LEVELS, _levels(one["days"], "day"))
    done = (
        (m["month"], ", ".join(f"{n} {what}" for what, n in m["done"].items()), _refs(m["sources"]))
        for m in one["months"]
    )
    yield _titled("What the passes did, as the journal counts it", ("", "", ""), done)
    gaps = ((_when(gap["from"]), _when(gap["to"]), _number(gap["hours"])) for gap in one["gaps"])
    yield _titled("Hours that nothing signed tells of", ("From", "To", "Hours"), gaps)
    yield _titled("Policies in force", ("From", "To", "Commit", "SHA-256 of the text", ""), _policies(one["policies"]))
    yield _titled("Drills", ("At", "Resource", "Vault", "Point", "Outcome", "Took", ""), _drills(one["drills"]))
    yield _titled("Random audits", _AUDITS, _audits(one["audits"]))
    yield _titled("Restores", _RESTORES, _restores(one["restores"]))
    yield _titled("Points cut", ("Resource", "Kind", "Points", "First", "Last", ""), _points(one["points"]))
    yield _titled("Let go of, or meant to", _LET_GO, _let_go(one["let_go"]))
    yield _titled("Deletions held or refused", _HELD, _held(one["held"]))
    yield _titled("Pins", _MARKS, _marks(one["pins"]))
    yield _titled("Approvals", ("At", "By", "Deletions", "Digest", "Reason", ""), _approvals(one["approvals"]))
    yield _titled("Suspicions", _MARKS, _marks(one["suspicions"]))
    yield _titled("Damage and repairs", _MARKS, _marks(one["checks"]))
    removed = ((_when(r["since"]), r["vault"], _code(r["point"]), _refs(r["sources"])) for r in one["removed"])
    yield _titled("Removed by somebody, without a signed word", ("Missing since", "Vault", "Point", ""), removed)


_LEVELS = ("", "Level", "RPO promised", "worst", "hours met", "unknown", "RTO promised", "worst", "hours met", "")
_RESTORES = ("At", "By", "Resource", "Point", "Data as of", "Into", "Outcome", "Took", "Lost", "")
_AUDITS = ("At", "Resource", "Vault", "Point", "Data as of", "Level", "Seed", "Outcome", "")
_LET_GO = ("At", "", "Resource", "Vault", "Point", "Reason", "Policy", "")
_HELD = ("From", "To", "", "Resource", "Vault", "Point", "Reason", "")
_MARKS = ("At", "", "Resource", "Vault", "Point", "By", "Reason", "")


def _levels(spans: Iterable[Mapping[str, Any]], name: str) -> Iterator[Row]:
    for span in spans:
        first = span[name]
        if not span["levels"]:
            what = "nothing promised" if span["hours_told"] else _bad("nothing known")
            unknown = _number(span["hours"] - span["hours_told"])
            yield first, what, "", "", "", unknown, "", "", "", _refs(span["sources"])
        for level, figures in span["levels"].items():
            rpo, rto = figures["rpo"], figures["rto"]
            exempt = f" (exempt: {'; '.join(figures['exempt'])})" if figures["exempt"] else ""
            unknown = _number(rpo["unknown"]) if rpo else ""
            yield first, level + exempt, *_promise(rpo), unknown, *_promise(rto), _refs(span["sources"])
            first = ""


def _promise(promise: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if promise is None:
        return "", "", ""
    worst = _bad("none") if promise["none"] else _span(promise["worst_s"])
    share = f"{promise['met']} of {promise['hours']} ({_percent(promise['met'], promise['hours'])})"
    promised = ", ".join(_span(value) for value in promise["promised_s"])
    return promised, worst, share if promise["met"] == promise["hours"] else _bad(share)


def _policies(texts: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in texts:
        yield _when(one["from"]), _when(one["to"]), one["commit"] or "", _code(one["digest"]), _refs(one["sources"])


def _drills(drills: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in drills:
        outcome: str = _bad(f"failed: {one['why'] or ''}")
        if one["outcome"] == "passed":
            outcome = f"passed, {one['probes']['met']} of {one['probes']['asked']} probes met"
        elif one["outcome"] == "restorable":
            outcome = "restorable, asked nothing"
        took = _span(one["seconds"].get("total"))
        yield *_where(one), outcome, took, _refs(one["sources"])


def _audits(audits: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in audits:
        well = one["outcome"] in ("passed", "restorable")
        outcome = one["outcome"] if well else _bad(one["outcome"] or "no proof")
        yield *_where(one), _when(one["cut_at"]), one["level"], _code(one["seed"][:16]), outcome, _refs(one["sources"])


def _restores(restores: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in restores:
        outcome = "done" if one["outcome"] == "done" else _bad(f"{one['outcome']}: {one['why'] or ''}")
        point = (one["resource"] or "", _code(one["point"]), _when(one["cut_at"]))
        spans = (_span(one["took_s"]), _span(one["data_loss_s"]))
        yield _when(one["at"]), one["by"] or "", *point, one["target"], outcome, *spans, _refs(one["sources"])


def _points(points: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Per resource; each single point stands in the JSON."""
    for resource in sorted({one["resource"] for one in points}):
        own = [one for one in points if one["resource"] == resource]
        kinds = ", ".join(sorted({one["kind"] for one in own} - {None}))
        ends = _when(own[0]["cut_at"]), _when(own[-1]["cut_at"])
        yield resource, kinds, _number(len(own)), *ends, _refs(number for one in own for number in one["sources"])


def _let_go(marks: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in marks:
        at, *where = _where(one)
        yield at, one["mark"], *where, one["reason"] or "", _code((one["commit"] or "")[:12]), _refs(one["sources"])


def _marks(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in rows:
        at, *where = _where(one)
        until = f" until {_when(one['until'])}" if one.get("until") else ""
        what = (one.get("mark") or one.get("outcome") or "") + until
        yield at, what, *where, one.get("by") or "", one.get("reason") or one.get("why") or "", _refs(one["sources"])


def _held(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in rows:
        at, *where = _where(one)
        yield at, _when(one["until"]), one["action"], *where, one["reason"], _refs(one["sources"])


def _where(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return _when(one["at"]), one["resource"], one["vault"] or "", _code(one["point"])


def _approvals(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for one in rows:
        what = (_number(len(one["deletions"])), _code(one["digest"][:16]), one["reason"] or "")
        yield _when(one["at"]), one["by"] or "", *what, _refs(one["sources"])


def _site(document: Mapping[str, Any]) -> Iterator[str]:
    """What concerns no application: keys, breaks, and what counts for nothing."""
    yield "<h2>Of the whole site</h2>"
    keys = ((_when(k["proved_at"]), k["recipient"], k["by"] or "", _refs(k["sources"])) for k in document["keys"])
    yield _titled("Keys that were proved to open dumps", ("Proved at", "Recipient", "Recorded by", ""), keys)
    reports = (
        (_when(r["at"]), r["vault"], r["application"] or "", r["resource"] or "", _code(r["point"]), r["outcome"] or "")
        for r in document["unsigned_reports"]
    )
    said = "Restores under break glass, not signed: they count for nothing on their own"
    yield _titled(said, ("At", "Vault", "Application", "Resource", "Point", "Outcome"), reports)
    breaks = ((_when(b["at"]), b["host"], b["what"], _refs(b["sources"])) for b in document["journal_breaks"])
    yield _titled("Breaks of the journal", ("Before", "Host", "", ""), breaks)
    tampered = ((one["vault"], one["path"], one["what"]) for one in document["tampered"])
    yield _titled("Tampered with", ("Vault", "Path", "What was seen"), tampered)
    unsigned = ((one["vault"], one["path"], one["why"]) for one in document["unsigned"])
    yield _titled("Not signed: this counts for nothing", ("Vault", "Path", "Why"), unsigned)


def _records(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>The records</h2>"
    yield (
        "<p>Each lies in its vaults at this path, below the vault's prefix, with its signature beside it. "
        "<code>sha256sum FILE</code> compares it with this list, <code>minisign -V -m FILE -P KEY</code> checks it "
        "with a key from above; the trusted comment that minisign then shows ends in the path. Records of a point that "
        f"no vault has held for {document['records_kept_days']} days are removed: of a period that ended earlier "
        "points, drills and marks may be missing here; the hours of the journal stay.</p>"
    )
    rows = (
        (_code(str(one["number"])), _code(one["path"]), _code(one["sha256"]), ", ".join(one["vaults"]))
        for one in document["records"]
    )
    yield _table(("", "Path", "SHA-256", "Vaults"), rows)


# --- pieces --------------------------------------------------------------------------------------------------------


def _titled(title: str, headers: Sequence[str], rows: Iterable[Row]) -> str:
    listed = list(rows)
    return f"<h3>{title}</h3>{_table(headers, listed)}" if listed else f'<p class="quiet">{title}: none.</p>'


def _table(headers: Sequence[str], rows: Iterable[Row]) -> str:
    head = "".join(f"<th>{header}</th>" for header in headers)
    lines = ("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(lines)}</tbody></table>"


def _refs(numbers: Iterable[int]) -> Markup:
    """``[1-24, 30]``: the records that a line comes from."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return Markup(f'<span class="r">[{told}]</span>')


def _e(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text)


def _code(text: str | None) -> Markup:
    return Markup(f"<code>{html.escape(text)}</code>" if text else "")


def _bad(text: str) -> Markup:
    return Markup(f'<span class="bad">{html.escape(text)}</span>')


def _number(count: int | None) -> str:
    return "" if count is None else str(count)


def _when(text: str | None) -> str:
    """Whatever text a record carried, which the table escapes."""
    return "" if text is None else text.replace("T", " ").removesuffix("Z")


def _span(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return "0s" if seconds == 0 else duration_text(timedelta(seconds=seconds))


def _percent(part: int, whole: int) -> str:
    """Rounded down: 99.99 % is not everything."""
    hundredths = part * 10_000 // whole if whole else 0
    return f"{hundredths // 100}.{hundredths % 100:02d} %"
