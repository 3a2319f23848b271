"""What fuzzing found and is mended, in plain words; and promises whose inputs have a structure of their own."""

from __future__ import annotations

import io
import random
from contextlib import suppress

import pytest
import zstandard
from fuzz import records, replies
from fuzz.hostile import APPLICATION, IDENTITY, NOW, RESOURCE, SITE
from fuzz.records import CUT
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.app.unzstd import decompressed
from drorch.crypto.age import AgeError, Decryptor, encrypt_stream, recipient_of
from drorch.domain.canonical import canonical_bytes, parse_canonical
from drorch.domain.catalogue import Trust
from drorch.domain.errors import Damaged, DrorchError, Unavailable
from drorch.domain.record import Record, RecordType, compose, parse, parse_at


def pin(**changes: str) -> Record:
    where = {"application": APPLICATION, "resource": RESOURCE, "point": "p1", "mark": "pin", **changes}
    return compose(RecordType.MARK, site=SITE, at=NOW, cut_at=CUT, **where)


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDFFF", rb"\udc00\ud800"])
def test_half_a_character_in_a_record_is_refused_where_it_is_read(half: bytes) -> None:
    with pytest.raises(Damaged):
        parse_canonical(b'{"note":"%s"}' % half)


def test_a_whole_character_in_two_escapes_is_read() -> None:
    assert parse_canonical(rb'{"note":"\ud83d\ude00"}') == {"note": "\U0001f600"}


def test_a_number_of_thousands_of_digits_is_refused_by_reader_and_writer() -> None:
    with pytest.raises(Damaged):
        parse_canonical(b'{"bytes":%s}' % (b"9" * 4000))
    with pytest.raises(TypeError):
        canonical_bytes({"bytes": 10**30})
    assert parse_canonical(b'{"bytes":-%s}' % (b"9" * 30)) == {"bytes": 1 - 10**30}


@pytest.mark.parametrize("name", ["a/b", "..", "//", "\x1b[2J", "a\nb"])
@pytest.mark.parametrize("field", ["application", "resource", "point", "mark"])
def test_a_name_that_would_leave_its_folder_or_speak_to_the_terminal_makes_no_record(field: str, name: str) -> None:
    with pytest.raises(Damaged):
        pin(**{field: name})


_name = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    _name.filter(lambda name: name not in (".", "..")),
    st.dictionaries(_name, _json, max_size=3),
    st.integers(0, 10**6),
    st.integers(0, 7),
)
def test_a_signed_record_is_itself_again_and_nothing_else_after_one_flipped_bit(
    resource: str, extra: dict[str, object], place: int, bit: int
) -> None:
    content = {f"x-{key}": value for key, value in extra.items()}
    record = compose(
        RecordType.MARK, site=SITE, at=NOW, cut_at=CUT, application=APPLICATION, resource=resource, point="p1",
        mark="pin", **content,
    )  # fmt: skip
    assert parse_at(record.path, record.data) == record
    altered = bytearray(record.data)
    altered[place % len(altered)] ^= 1 << bit
    with suppress(Damaged):
        assert parse(bytes(altered)) != record


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_one_flipped_bit_anywhere_in_a_signed_vault_is_seen_and_hides_nothing_else(data: st.DataObject) -> None:
    whole = records.vault_objects()
    path = data.draw(st.sampled_from(sorted(path for path in whole if path.endswith((".json", ".minisig")))))
    place = data.draw(st.integers(0, len(whole[path]) * 8 - 1))
    body = bytearray(whole[path])
    body[place // 8] ^= 1 << place % 8
    read, _ = records.read({**whole, path: bytes(body)})
    hit = path.removesuffix(".minisig")
    believed = {seen for seen, (trust, _) in read.items() if trust is Trust.SIGNED}
    assert believed == set(records.digests()) - {hit}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200_000), st.lists(st.integers(1, 70_000), min_size=1, max_size=8), st.integers(0, 2**32))
def test_an_age_file_in_any_pieces_is_what_was_encrypted_and_cut_anywhere_it_is_refused(
    size: int, pieces: list[int], seed: int
) -> None:
    plain, sink = random.Random(seed).randbytes(size), io.BytesIO()
    encrypt_stream(io.BytesIO(plain), sink, [recipient_of(IDENTITY)])
    whole = sink.getvalue()
    assert opened(whole, pieces) == plain
    with pytest.raises(AgeError):
        opened(whole[: seed % len(whole)], pieces)


def opened(data: bytes, pieces: list[int]) -> bytes:
    decryptor, out, at = Decryptor([IDENTITY]), bytearray(), 0
    while at < len(data):
        size = pieces[at % len(pieces)]
        out += decryptor.update(data[at : at + size])
        at += size
    return bytes(out + decryptor.finish())


_frames = st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.booleans(), st.integers(0, 3000)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(_frames, st.integers(1, 50))
def test_zstd_frames_in_any_number_and_pieces_are_all_read(
    frames: list[tuple[bytes, bool, bool, int]], piece: int
) -> None:
    data, plain = bytearray(), bytearray()
    for text, checksum, skippable, times in [*frames, (b"", True, False, 0)]:
        if skippable:
            data += (0x184D2A50).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
        else:
            data += zstandard.ZstdCompressor(write_checksum=checksum).compress(text * times)
            plain += text * times
    parts = [bytes(data[at : at + piece]) for at in range(0, len(data), piece)]
    assert b"".join(bytes(part) for part in decompressed(parts)) == plain
    with pytest.raises(Damaged):
        list(decompressed([*parts[:-1], parts[-1][:-1]]))


# --- listings ------------------------------------------------------------------------------------------------------


def listed(store: str, *answers: bytes) -> list[str] | DrorchError:
    vault = replies.s3() if store == "s3" else replies.gcs()
    replies.SCRIPT.load(replies.script("list", *answers))
    try:
        return [found.path for found in vault.list("drorch/")]
    except DrorchError as error:
        return error


def page(store: str, paths: tuple[str, ...], following: str = "") -> bytes:
    return (replies.s3_page if store == "s3" else replies.gcs_page)(paths, following)


def answer(body: bytes) -> bytes:
    """Without a length: only the body itself can tell that it is not whole."""
    return b"HTTP 200\nContent-Type: application/json\n\n" + body


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_listing_cut_anywhere_is_never_taken_for_a_whole_one(store: str) -> None:
    body = page(store, replies.PATHS)
    for end in range(1, len(body)):
        found = listed(store, answer(body[:end]))
        assert isinstance(found, Unavailable), (end, found)


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_listing_whose_second_page_does_not_come_is_an_error(store: str) -> None:
    first, second = page(store, replies.PATHS[:2], "t1"), page(store, replies.PATHS[2:])
    assert listed(store, answer(first), answer(second)) == list(replies.PATHS)
    assert isinstance(listed(store, answer(first)), Unavailable)
    for end in range(1, len(second), 7):
        assert isinstance(listed(store, answer(first), answer(second[:end])), Unavailable)


@pytest.mark.parametrize(
    ("store", "body"),
    [("s3", b"{}"), ("s3", b"<html><body>Log in"), ("gcs", b"<html><body>Log in to the network</body></html>")],
)
def test_a_reply_that_is_no_listing_is_not_an_empty_vault(store: str, body: bytes) -> None:
    assert isinstance(listed(store, answer(body)), DrorchError)


@pytest.mark.parametrize("call", ["history", "uploads", "list"])
def test_a_listing_of_s3_that_does_not_say_whether_it_goes_on_is_incomplete(call: str) -> None:
    for body in (b"", b"<html><body>Log in</body></html>", page("s3", replies.PATHS).replace(b"IsTruncated", b"Is")):
        replies.SCRIPT.load(replies.script(call, answer(body)))
        with pytest.raises(Unavailable):
            list(getattr(replies.s3(), call)("drorch/"))


def test_what_is_gone_is_known_from_a_listing_only() -> None:
    replies.SCRIPT.load(replies.script("delete", answer(b"<html><body>Log in</body></html>"), replies.reply(b"", 204)))
    with pytest.raises(Unavailable):
        replies.s3().delete(replies.PATHS[0])
    replies.SCRIPT.load(replies.script("stat", replies.reply(b"", 404), answer(b"<html></html>")))
    with pytest.raises(Unavailable):
        replies.s3().stat(replies.PATHS[0])


# --- reads that break off ------------------------------------------------------------------------------------------

FACTS = {
    "s3": {"ETag": '"ab"', "Last-Modified": "Fri, 20 Nov 2026 09:00:00 GMT"},
    "gcs": {"x-goog-generation": "3"},
}


def got(store: str, *answers: bytes, start: int = 0, length: int | None = None) -> bytes:
    vault = replies.s3() if store == "s3" else replies.gcs()
    replies.SCRIPT.load(replies.script("read", *answers))
    return b"".join(vault.read(replies.PATHS[0], start, length))


def part(store: str, body: bytes, span: str = "", announced: int | None = None) -> bytes:
    told = {**FACTS[store], **({"Content-Range": f"bytes {span}"} if span else {})}
    whole = replies.reply(body + b"." * (0 if announced is None else announced - len(body)), 206, told)
    return whole[: whole.index(b"\n\n") + 2] + body


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_read_that_broke_at_its_first_byte_does_not_take_a_shorter_end_from_the_next_reply(store: str) -> None:
    body = replies.BODY
    broken = part(store, b"", announced=len(body))
    assert got(store, broken, part(store, body)) == body
    with pytest.raises(Unavailable):
        got(store, broken, *(part(store, body[:-9]) for _ in range(9)))


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_read_goes_on_only_where_it_broke(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"drorch.stores.{store}.CHUNK", 10)
    body = replies.BODY
    broken = part(store, body[:20], announced=len(body))
    rest = f"20-{len(body) - 1}/{len(body)}"
    assert got(store, broken, part(store, body[20:], rest)) == body
    for again in (part(store, body), part(store, body, f"0-{len(body) - 1}/{len(body)}")):
        with pytest.raises(Unavailable, match="another byte"):
            got(store, broken, again)
    with pytest.raises(Unavailable, match="another byte"):
        got(store, part(store, body[20:], rest))


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_store_that_answers_with_the_whole_object_gives_no_more_than_was_asked_for(store: str) -> None:
    assert got(store, part(store, replies.BODY), length=5) == replies.BODY[:5]
    with pytest.raises(Unavailable, match="another byte"):
        got(store, part(store, replies.BODY), start=3, length=5)
