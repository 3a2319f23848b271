"""RESTORE.md: how to bring the dumps of one vault back with stock tools alone. In every vault, signed, no secret in it.

Pure: the same facts give the same bytes, so that it is written only when something in it has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drorch.app.reading import TrustedKey
from drorch.crypto.key_token import fingerprint
from drorch.crypto.minisign import PublicKey
from drorch.domain import layout
from drorch.domain.guide import EngineWords, StockTool, plain
from drorch.domain.instant import to_text
from drorch.domain.record import Record

_COMMON = ("minisign", "age", "zstd", "sha256sum", "sed")


@dataclass(frozen=True, slots=True)
class GuideWords:
    """What only adapters can say: each vault's stock programs, the words of each kind of dump."""

    tools: Mapping[str, Sequence[StockTool]] = field(default_factory=dict)
    engines: Mapping[str, EngineWords] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuideFacts:
    """What one vault's guide says. `dumps` are the manifests of the newest dump of every resource there; `signing` is
    the key that signs now, `trusted` are all that count.
    """

    site: str
    vault: str
    signing: PublicKey
    trusted: Sequence[TrustedKey]
    recipients: Sequence[str]
    dumps: Sequence[Record] = ()


def restore_guide(facts: GuideFacts, words: GuideWords) -> bytes:
    """The text for one vault: Markdown, its commands in fenced blocks ``bash NAME``, to be given in their order."""
    dumps = sorted(facts.dumps, key=lambda dump: (dump.application, dump.resource))
    kinds = sorted({dump.body["kind"] for dump in dumps if dump.body["kind"] in words.engines})
    of_kind = {kind: [dump for dump in dumps if dump.body["kind"] == kind] for kind in kinds}
    programs = [name for kind in kinds for name in words.engines[kind].programs]
    parts = [
        _head(facts, list(dict.fromkeys([*_COMMON, *programs]))),
        _keys(facts),
        _points(dumps),
        _settings(dumps),
        _fetching(words.tools.get(facts.vault, ())),
        _VERIFYING,
        _OPENING,
        *(words.engines[kind].section(of_kind[kind]) for kind in kinds),
        _REWRAPPED if dumps else "",
    ]
    return "\n".join(part for part in parts if part).encode()


_HEAD = """\
# How to restore from vault `{vault}` of site `{site}` without drorch

You need the objects of this vault, an age identity file (it begins `AGE-SECRET-KEY-1`, or is one that a passphrase
protects), the public signing key, and `bash` with {programs}.

Is this file what drorch wrote? `minisign -V -m RESTORE.md -P KEY` says so; its trusted comment must be
`drorch v1 guide {path}`.
"""


def _head(facts: GuideFacts, programs: Sequence[str]) -> str:
    named = ", ".join(f"`{program}`" for program in programs)
    return _HEAD.format(vault=facts.vault, site=facts.site, path=layout.RESTORE_GUIDE, programs=named)


_KEYS = """\
## Keys

**Take the public signing key from your own safe, not from this file**: whoever could change this file could change the
key in it. It should be one of these:

{keys}

Dumps are encrypted to these recipients; older ones may have had others, which their `manifest.json` names:

{recipients}
"""


def _keys(facts: GuideFacts) -> str:
    recipients = (f"- `{text}` (fingerprint `{fingerprint(text)}`)" for text in facts.recipients)
    return _KEYS.format(keys="\n".join(key_lines(facts.signing, facts.trusted)), recipients="\n".join(recipients))


def key_lines(signing: PublicKey | None, trusted: Iterable[TrustedKey]) -> Iterator[str]:
    """A Markdown list of the public keys that count, the one that signs now first."""
    if signing is not None:
        yield f"- `{signing.text()}`, which signs now"
    for entry in trusted:
        if entry.key == signing:
            continue
        end = "" if entry.until is None else f" until {to_text(entry.until)}, by the store's own time of writing"
        yield f"- `{entry.key.text()}`, which counts{end}"


_NONE = """\
## What lies here

No dump lies in this vault yet. This page will say how to load one as soon as there is one.
"""


def speaks_of_no_dump(guide: bytes) -> bool:
    """Whether a guide is that of a vault in which no dump lay."""
    return _NONE.encode() in guide


_POINTS = """\
## What lies here

The newest dump of each resource, its data as of the time of the point. Listing a folder (below) shows older ones, and
newer ones than this page; a point counts when its `manifest.json` is there. Snapshots of volumes and instances lie with
the cloud provider, not here.

| application | resource | engine | server version | client version | newest point | folder |
|---|---|---|---|---|---|---|
{rows}
"""


def _points(dumps: Sequence[Record]) -> str:
    return _POINTS.format(rows="\n".join(_row(dump) for dump in dumps)) if dumps else _NONE


def _row(dump: Record) -> str:
    server, client = (plain(str(dump.body.get(key, ""))) or "not recorded" for key in _VERSIONS)
    when = "" if dump.cut_at is None else to_text(dump.cut_at)
    cells = (dump.application, dump.resource, plain(dump.body["kind"]), server, client, when, f"`{_folder(dump)}`")
    return f"| {' | '.join(cells)} |"


_VERSIONS = ("server_version", "client_version")


def _folder(dump: Record) -> str:
    return dump.path.removesuffix("/manifest.json").rpartition("/")[2]


_SETTINGS = """\
## 1. Say what you want

Everything below goes by these; work in an empty folder of your own.

```bash settings
set -o pipefail
{application}
RESOURCE={resource}
POINT={point}
{rest}
RECORDS={records}$APP/$RESOURCE/$POINT/
DATA={data}$APP/$RESOURCE/$POINT/
```
"""


_CHOICES = (
    ("KEY=RW...", "the public signing key, from your own safe"),
    ("IDENTITY=key.txt", "the age identity file"),
    ("DB=restored", "the database to be made"),
    ("INTO=restored", "the folder to be made, for files"),
)


def _settings(dumps: Sequence[Record]) -> str:
    first = dumps[0] if dumps else None
    rest = "\n".join(f"{setting:<24} # {what}" for setting, what in _CHOICES)
    return _SETTINGS.format(
        application=f"{'APP=' + (first.application if first else '...'):<24} # this and the two below from the table",
        resource=first.resource if first else "...",
        point=_folder(first) if first else "...",
        rest=rest,
        records=layout.RECORDS,
        data=layout.DATA,
    )


_FETCHING = """\
## 2. Fetch it

{tools}
"""
_TOOL = """\
{how} {program}{needs}:

```bash fetch-{program}
mkdir -p records data
{records}
{data}
```

The points of a resource, each a folder: `{listing}`
"""
_BY_HAND = """\
By whatever reads this store: all that lies below `$RECORDS` into `records/`, all below `$DATA` into `data/`.
"""


def _fetching(tools: Sequence[StockTool]) -> str:
    written = [
        _TOOL.format(
            how="Or with" if number else "With",
            program=tool.program,
            needs=f" ({tool.needs})" if tool.needs else "",
            records=tool.fetch_of('"$RECORDS"', "records"),
            data=tool.fetch_of('"$DATA"', "data"),
            listing=tool.list_of(f'"{layout.RECORDS}$APP/$RESOURCE/"'),
        )
        for number, tool in enumerate(tools)
    ]
    return _FETCHING.format(tools="\n".join(written).rstrip() if written else _BY_HAND.rstrip())


_VERIFYING = """\
## 3. Verify it

Each of the three must end well. The first two print what was signed, and nothing when it was for another place.

```bash verify
minisign -V -Q -m records/manifest.json -P "$KEY" | grep -Fx "drorch v1 manifest ${RECORDS}manifest.json"
minisign -V -Q -m data/SHA256SUMS -P "$KEY" | grep -Fx "drorch v1 sums ${DATA}SHA256SUMS"
(cd data && sha256sum -c SHA256SUMS)
```

Where something does not hold, take the point from another vault, or an older version of the object if the store keeps
them. What a key signed that is retired counts if the store wrote it before the key's end.
"""

_OPENING = """\
## 4. Decrypt and decompress

`opened NAME` writes an artefact's plain bytes. One that is larger than an object may be lies in several: `NAME`,
`NAME.001`, and so on.

```bash opened
volumes() { (shopt -s nullglob; cat "data/$1" "data/$1".[0-9]*); }
opened() { volumes "$1" | age -d -i "$IDENTITY" | zstd -q -d; }
```
"""

_REWRAPPED = """\
## When the identity does not open it: `age: no identity matched`

The dump may have been opened to your key later: files in `records/rewraps/` (none there: it was not). Each has a header
that takes the place of the one the data begin with, for the recipient whose fingerprint stands in its name. This gives
another `opened`, with which you go on above.

```bash rewrapped
REWRAP=$(set -- records/rewraps/*.json; echo "$1")    # or the one of your fingerprint
minisign -V -Q -m "$REWRAP" -P "$KEY" | grep -Fx "drorch v1 rewrap ${RECORDS}rewraps/${REWRAP##*/}"
header() { sed -n 's/.*{"header":"\\([^"]*\\)","name":"'"$1"'"}.*/\\1/p' "$REWRAP" | base64 -d; }
skipped() { sed -n 's/.*"header_bytes":\\([0-9]*\\),[^{}]*"name":"'"$1"'".*/\\1/p' records/manifest.json; }
opened() {
    { header "$1"; volumes "$1" | tail -c +$(($(skipped "$1") + 1)); } | age -d -i "$IDENTITY" | zstd -q -d
}
```
"""
