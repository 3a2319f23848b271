"""Bech32 (BIP 173) without a length limit, as age writes its keys (C2SP age.md, "Conventions")."""

from __future__ import annotations

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


def encode(prefix: str, data: bytes) -> str:
    """``prefix`` + ``1`` + data + checksum, in lower case (an upper-case spelling is the caller's ``.upper()``)."""
    values = _regroup(data, 8, 5, pad=True)
    polymod = _polymod(_expand(prefix) + values + [0] * _CHECKSUM) ^ 1
    checksum = [(polymod >> 5 * (_CHECKSUM - 1 - place)) & 31 for place in range(_CHECKSUM)]
    return prefix + "1" + "".join(_ALPHABET[value] for value in values + checksum)


def decode(text: str) -> tuple[str, bytes]:
    """The prefix in the case it was written in, and the data.

    Raises ValueError whose message never repeats the text: it may be a secret.
    """
    if text not in (text.lower(), text.upper()):
        raise ValueError("upper and lower case are mixed")
    prefix, separator, rest = text.rpartition("1")
    if not separator or not prefix or len(rest) < _CHECKSUM:
        raise ValueError("it is not of the form PREFIX1DATA")
    if any(not 33 <= ord(character) <= 126 for character in prefix):
        raise ValueError("the prefix has a character that may not be there")
    try:
        values = [_VALUES[character] for character in rest.lower()]
    except KeyError:
        raise ValueError("a character is not of the Bech32 alphabet") from None
    if _polymod(_expand(prefix.lower()) + values) != 1:
        raise ValueError("the checksum is wrong: a character is mistyped or missing")
    return prefix, bytes(_regroup(values[:-_CHECKSUM], 5, 8, pad=False))


def _expand(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _regroup(values: bytes | list[int], width: int, new_width: int, *, pad: bool) -> list[int]:
    """The same bits in groups of another width; on decoding, the padding must be short and zero."""
    bits = held = 0
    out: list[int] = []
    for value in values:
        bits, held = (bits << width | value) & 0xFFF, held + width
        while held >= new_width:
            held -= new_width
            out.append(bits >> held & (1 << new_width) - 1)
    rest = bits & (1 << held) - 1
    if pad:
        if held:
            out.append(rest << new_width - held)
    elif held >= width or rest:
        raise ValueError("the padding is not canonical")
    return out
