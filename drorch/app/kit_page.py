"""The page of the crisis kit: what to do in what order at 3 a.m., as Markdown, and as HTML that prints on one page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from textwrap import wrap

from drorch.app.reading import TrustedKey
from drorch.crypto.key_token import fingerprint
from drorch.crypto.minisign import PublicKey
from drorch.domain.instant import to_text

_LINES, _COLUMNS = 35, 105
"""What one page has for vaults, recipients and commands; what does not fit stands in COMMANDS.md."""
_VAULTS = 8


@dataclass(frozen=True, slots=True)
class KitVault:
    """One vault: its ``--vault-url``, what it lies with, and why its RESTORE.md is not in the kit ("" when it is)."""

    name: str
    url: str
    place: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class KitDump:
    """One resource that is dumped: its target as `restore --into` takes it, and its vaults, the safest first."""

    application: str
    resource: str
    kind: str
    into: str
    vaults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KitFacts:
    """All that the page says. `snapshots` are the resources that lie with their cloud provider only."""

    site: str
    made: datetime
    version: str
    signing: PublicKey
    trusted: Sequence[TrustedKey]
    recipients: Sequence[str]
    vaults: Sequence[KitVault]
    dumps: Sequence[KitDump]
    snapshots: Sequence[str] = ()
    platform: str = ""
    """What the wheels are for, in words; "" when none were taken along."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A heading, then text, commands or lines of a list."""

    title: str
    text: str = ""
    code: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def break_glass(dump: KitDump, facts: KitFacts, vault: str = "") -> str:
    """The command that restores the newest point of a resource from one vault, by default from its first."""
    urls = {found.name: found.url for found in facts.vaults}
    trust = " ".join(f"--trust {quote(text)}" for text in trust_words(facts))
    where = f"--vault-url {quote(urls[vault or dump.vaults[0]])} --identity key.txt {trust}"
    return f"venv/bin/drorch restore {dump.application} {dump.resource} {where} --into {quote(dump.into)}"


def trust_words(facts: KitFacts) -> Iterator[str]:
    """Every key that counts as ``--trust`` takes it, the one that signs now first."""
    ends = {entry.key: entry.until for entry in facts.trusted}
    for key in dict.fromkeys([facts.signing, *ends]):
        until = ends.get(key)
        yield key.text() if until is None else f"{key.text()}@before={to_text(until)}"


def page_markdown(facts: KitFacts) -> str:
    """KIT.md."""
    parts = [f"# {_title(facts)}\n"]
    for part in _parts(facts):
        parts.append(f"## {part.title}\n")
        parts += [f"{part.text}\n"] if part.text else []
        parts += ["```bash\n" + "\n".join(part.code) + "\n```\n"] if part.code else []
        parts += ["\n".join(f"- {line}" for line in part.lines) + "\n"] if part.lines else []
    return "\n".join(parts)


def page_html(facts: KitFacts) -> str:
    """kit.html: nothing in it comes from elsewhere."""
    body = [f"<h1>{html.escape(_title(facts))}</h1>"]
    for part in _parts(facts):
        body.append(f"<h2>{_marked(part.title)}</h2>")
        body += [f"<p>{_marked(part.text)}</p>"] if part.text else []
        body += [f"<pre>{html.escape(line)}</pre>" for line in part.code]
        body += ["<ul>", *(f"<li>{_marked(line)}</li>" for line in part.lines), "</ul>"] if part.lines else []
    return _HTML.format(title=html.escape(_title(facts)), style=_STYLE, body="\n".join(body))


def commands_markdown(facts: KitFacts) -> str:
    """COMMANDS.md: the command of every dump from every vault that it is written to."""
    lines = [f"# Every restore of site {facts.site}\n", "In the folder of the kit, after steps 1 to 3 of KIT.md.\n"]
    lines += ["\n".join(f"- `{vault.name}`, {vault.place}: `{vault.url}`" for vault in facts.vaults) + "\n"]
    for dump in facts.dumps:
        lines.append(f"## {dump.application} {dump.resource} ({dump.kind})\n")
        lines += [f"From `{vault}`:\n\n```bash\n{break_glass(dump, facts, vault)}\n```\n" for vault in dump.vaults]
    return "\n".join(lines)


def _title(facts: KitFacts) -> str:
    return f"Crisis kit of site {facts.site}"


def _parts(facts: KitFacts) -> Iterator[_Part]:
    opens = [f"`{text}` (fingerprint `{fingerprint(text)}`)" for text in facts.recipients]
    yield _Part(
        "You need",
        f"Made {to_text(facts.made)} by drorch {facts.version}. Copy this folder to a local disk and work there, with",
        lines=(
            "an age identity, as `key.txt` (`chmod 600 key.txt`): the secret key of " + " or ".join(opens),
            "credentials that may read **one** vault that has survived, as its provider's tools take them",
            "a database server (or a folder) to restore into, with its client programs of the old version or newer",
        ),
    )
    yield _Part(
        "1. Is this what was put in the safe?",
        "Compare the key with your paper.",
        (f"minisign -V -m SHA256SUMS -P {facts.signing.text()}", "sha256sum -c --quiet SHA256SUMS"),
    )
    yield _installation(facts)
    yield _Part(
        "3. Which vault is left?",
        "Any of these; put another address into the command below if need be.",
        lines=tuple(_vaults(facts)),
    )
    yield _restores(facts)
    yield _Part(
        "5. If drorch itself does not run",
        "`vaults/NAME/RESTORE.md` says how to fetch, verify, decrypt and load every dump of a vault with stock tools. "
        "The vault has a newer one.",
    )


def _vaults(facts: KitFacts) -> Iterator[str]:
    for vault in facts.vaults[:_VAULTS]:
        yield f"`{vault.name}`, {vault.place}: `{vault.url}`"
    if len(facts.vaults) > _VAULTS:
        yield f"{len(facts.vaults) - _VAULTS} more: `COMMANDS.md`"


def _installation(facts: KitFacts) -> _Part:
    offline = "venv/bin/pip install --no-index --find-links wheels --require-hashes -r requirements.txt"
    online = "venv/bin/pip install --find-links wheels -r requirements.txt"
    text = f"For {facts.platform}." if facts.platform else "The wheels were left out: this asks a package index."
    install = offline if facts.platform else online
    return _Part("2. Install drorch", text, ("python3 -m venv venv", install))


def _restores(facts: KitFacts) -> _Part:
    text = (
        "The newest point goes into a database (or folder) that is empty or not there yet. `--plan` changes nothing, "
    )
    text += "`--at TIME` takes an older point, `--globals` makes missing roles."
    commands, lines = _that_fit(facts), list[str]()
    if len(commands) < len(facts.dumps):
        lines.append(f"the commands of {len(facts.dumps) - len(commands)} more resources: `COMMANDS.md`")
    if facts.snapshots:
        names = ", ".join(facts.snapshots[:6]) + (", ..." if len(facts.snapshots) > 6 else "")
        lines.append(f"snapshots, with AWS (tags `drorch:application`, `drorch:resource`): {names}")
    return _Part("4. Restore", text, commands, tuple(lines))


def _that_fit(facts: KitFacts) -> tuple[str, ...]:
    """The commands for which there is room, at least one of those that there are."""
    room = _LINES - 2 * len(facts.recipients) - min(len(facts.vaults), _VAULTS)
    fit: list[str] = []
    for command in (break_glass(dump, facts) for dump in facts.dumps):
        room -= len(wrap(command, _COLUMNS, break_on_hyphens=False)) + 1
        if room < 0 and fit:
            break
        fit.append(command)
    return tuple(fit)


def _marked(text: str) -> str:
    """A line of Markdown as HTML: code and stress are all that these have."""
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", shown)


_STYLE = """\
@page { size: A4; margin: 11mm }
body { font: 9.5pt/1.3 sans-serif; max-width: 188mm; margin: 0 auto; color: #000; background: #fff }
h1 { font-size: 15pt; margin: 0 0 1mm } h2 { font-size: 10.5pt; margin: 2.5mm 0 0.8mm; break-after: avoid }
p, ul { margin: 0 0 0.8mm } ul { padding-left: 5mm } li { overflow-wrap: anywhere }
pre, code { font: 8pt/1.25 monospace; overflow-wrap: anywhere }
pre { white-space: pre-wrap; margin: 0.8mm 0; padding: 1mm 1.5mm; border: 0.3pt solid #888; break-inside: avoid }"""

_HTML = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>
{style}
</style></head>
<body>
{body}
</body>
</html>
"""
