"""Tokens in vaults, which prove that the keys of the recipients still open what they should, and the proofs of it.

Every vault has a token for every recipient: whoever holds the key opens it anywhere, and this host records the answer.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drorch.app.reading import TrustedKey, read_signed, read_unsigned
from drorch.app.signing import write_record, write_somewhere
from drorch.crypto import key_token
from drorch.crypto.age_header import NoMatchingIdentity
from drorch.crypto.key_token import Answer, Token
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.instant import to_text
from drorch.domain.key_proof import KeysSeen, standings
from drorch.domain.record import Record, RecordType, compose
from drorch.domain.retention import FUTURE
from drorch.ports import ObjectStore

EVERY = timedelta(hours=1)
"""How often a vault's tokens and proofs are read: a proof that a person has just recorded ends its alarm by then."""

StoreOf = Callable[[str], ObjectStore]


def read_keys(store: ObjectStore, trusted: Sequence[TrustedKey] | None, site: str = "") -> tuple[Record, ...]:
    """The tokens and proofs that count in a vault, oldest first; with `trusted` None whatever lies there.

    Others are passed over: they are no alarm, for they release nothing. Raises what the store raises.
    """
    found: list[Record] = []
    for path in sorted(info.path for info in store.list(layout.KEYS) if info.path.endswith(".json")):
        try:
            record = read_unsigned(store, path) if trusted is None else read_signed(store, path, trusted)
        except (Refused, NotFound):
            continue
        if record.supported and (not site or record.site == site):
            found.append(record)
    return tuple(sorted(found, key=lambda record: record.at))


def write_tokens(
    store: ObjectStore,
    *,
    site: str,
    key: SecretKey,
    recipients: Iterable[str],
    known: Iterable[Record],
    now: datetime,
) -> tuple[Record, ...]:
    """A token for every recipient that has none among the `known` records of the vault; the new ones.

    Raises what the store raises.
    """
    have = {record.text("recipient") for record in known if record.type == RecordType.KEY_TOKEN}
    made = tuple(_token_record(site, store.vault, recipient, now) for recipient in recipients if recipient not in have)
    for record in made:
        for error in write_record(record, key, [store.vault], lambda _vault: store).values():
            raise error
    return made


def _token_record(site: str, vault: str, recipient: str, now: datetime) -> Record:
    token = key_token.new_token(recipient)
    return compose(
        RecordType.KEY_TOKEN,
        site=site,
        at=now,
        vault=vault,
        recipient=recipient,
        fingerprint=key_token.fingerprint(recipient),
        sealed=base64.b64encode(token.sealed).decode("ascii"),
        sha256=token.sha256,
        public=token.public,
    )


def _token_of(record: Record) -> Token:
    try:
        sealed = base64.b64decode(record.text("sealed"), validate=True)
    except binascii.Error:
        sealed = b""  # it opens for nobody, and the reader of the age file says why
    return Token(sealed, record.text("sha256"), record.text("public"))


@dataclass(frozen=True, slots=True)
class Opened:
    """A token that was opened: whose, and the answer for the host to record."""

    recipient: str
    answer: Answer


def open_tokens(records: Iterable[Record], identities: Sequence[str], now: datetime) -> tuple[Opened, ...]:
    """The answer of every recipient whose token one of the identities opens: of its newest one.

    Raises NotFound when there is no token at all, NoMatchingIdentity when none opens, Damaged for a token that opens
    and is not what lies beside it says.
    """
    newest = {r.text("recipient"): r for r in records if r.type == RecordType.KEY_TOKEN}
    if not newest:
        raise NotFound(
            "there is no token to open here",
            operation="key check",
            hint="`drorch vault init V` on the host writes them",
        )
    opened: list[Opened] = []
    for recipient, record in sorted(newest.items()):
        try:
            given = key_token.answer(_token_of(record), record.site, recipient, identities, now)
        except NoMatchingIdentity:
            continue
        opened.append(Opened(recipient, given))
    if not opened:
        known = ", ".join(newest)
        raise NoMatchingIdentity(
            "the identity opens no token here", operation="key check", hint=f"there are tokens for {known}"
        )
    return tuple(opened)


def record_answer(
    text: str,
    *,
    site: str,
    by: str,
    vaults: Sequence[str],
    store_of: StoreOf,
    trusted: Sequence[TrustedKey],
    signing: Callable[[], SecretKey],
    now: datetime,
) -> tuple[Record, Mapping[str, DrorchError]]:
    """Check an answer against the tokens in the vaults and sign that the key was proved; the vaults that missed it.

    Raises Usage for what is no answer, Refused for one that fits no token or is of the future, Unavailable when no
    vault could be read or none took the record.
    """
    given = Answer.parse(text)
    if given.at > now + FUTURE:
        raise Refused(
            "the answer is of the future", operation="key check", cause=to_text(given.at), hint="set both clocks right"
        )
    tokens, unread = _tokens(vaults, store_of, trusted, site)
    match = next((t for t in tokens if key_token.fits(_token_of(t), t.site, t.text("recipient"), given)), None)
    if match is None:
        could_not = "; ".join(f"{vault} could not be read: {error}" for vault, error in unread.items())
        raise Refused(
            "the answer fits no token of this site",
            operation="key check",
            cause=could_not,
            hint="ask for it again, with the vault as it is now",
        )
    proof = compose(
        RecordType.KEY_PROOF,
        site=site,
        at=now,
        recipient=match.text("recipient"),
        fingerprint=given.fingerprint,
        proved_at=to_text(min(given.at, now)),
        token=match.path,
        vault=match.text("vault"),
        answer=given.text(),
        by=by,
    )
    return proof, write_somewhere(proof, signing(), vaults, store_of)


def _tokens(
    vaults: Iterable[str], store_of: StoreOf, trusted: Sequence[TrustedKey], site: str
) -> tuple[list[Record], dict[str, DrorchError]]:
    found: list[Record] = []
    unread: dict[str, DrorchError] = {}
    for vault in vaults:
        try:
            records = read_keys(store_of(vault), trusted, site)
        except DrorchError as error:
            unread[vault] = error
        else:
            found += [record for record in records if record.type == RecordType.KEY_TOKEN]
    return found, unread


@dataclass
class KeyWatch:
    """What the loop knows of its recipients' keys; reads a vault every hour and writes the tokens that it lacks.

    `marked` says whether a vault bears this site's marker: nothing is written where it does not.
    """

    site: str
    recipients: Sequence[str]
    every: timedelta
    trusted: Sequence[TrustedKey]
    signing: Callable[[], SecretKey]
    store_of: StoreOf
    marked: Callable[[ObjectStore], bool]
    _read: dict[str, tuple[datetime, tuple[Record, ...]]] = field(default_factory=dict)

    def seen(self, vaults: Iterable[str], now: datetime, *, write: bool = True) -> KeysSeen:
        """Read the vaults whose turn it is, write the tokens that they lack; what failed is tried again next time."""
        failed: dict[str, str] = {}
        for vault in vaults:
            known = self._read.get(vault)
            if known is not None and known[0] <= now < known[0] + EVERY:
                continue
            try:
                self._read[vault] = now, self._vault(self.store_of(vault), now, write=write)
            except DrorchError as error:
                failed[vault] = str(error)
        records = [record for _, found in self._read.values() for record in found]
        return KeysSeen(standings(self.recipients, records, now), self.every, failed)

    def _vault(self, store: ObjectStore, now: datetime, *, write: bool) -> tuple[Record, ...]:
        if not self.marked(store):
            return ()
        known = read_keys(store, self.trusted, self.site)
        if not write:
            return known
        more = write_tokens(store, site=self.site, key=self.signing(), recipients=self.recipients, known=known, now=now)
        return (*known, *more)
