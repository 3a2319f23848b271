"""Scripts of pg_dumpall and pg_restore cut into statements, without psql: its meta-commands are dropped, never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""--[^\n]*                         # comment to the end of the line
    | /\*.*?\*/                          # comment
    | [eE]'(?:[^'\\]|\\.|'')*'           # string with escapes
    | '(?:[^']|'')*'                     # string
    | "(?:[^"]|"")*"                     # quoted name
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$    # dollar-quoted string
    | ^\\[^\n]*                          # meta-command of psql, such as \restrict
    | \s+
    | \w+
    | .""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its tokens for looking at it, its text (without comments) for running it."""

    tokens: tuple[str, ...]
    text: str

    @property
    def words(self) -> tuple[str, ...]:
        """The tokens in capitals, for comparing key words."""
        return tuple(token.upper() for token in self.tokens)


def statements(script: str) -> Iterator[Statement]:
    """Each statement without comments, meta-commands and the closing semicolon."""
    tokens: list[str] = []
    text: list[str] = []
    for match in _TOKEN.finditer(script + "\n;"):
        piece = match[0]
        if piece.startswith(("--", "/*", "\\")):
            text.append(" ")
        elif piece.isspace():
            text.append(piece)
        elif piece == ";":
            if tokens:
                yield Statement(tuple(tokens), "".join(text).strip())
            tokens, text = [], []
        else:
            tokens.append(piece)
            text.append(piece)


def joined(tokens: Sequence[str]) -> str:
    """A statement of some of the tokens; spaces are allowed between any two of those that role statements have."""
    return " ".join(tokens)


def name_of(token: str) -> str:
    """The name that a token means: unquoted as it stands in the catalogue."""
    return token[1:-1].replace('""', '"') if token.startswith('"') else token.lower()
