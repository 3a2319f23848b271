"""Every reader of foreign bytes, by name."""

from __future__ import annotations

from fuzz import natives, records, replies, sealed, texts, workers

_ROOMS = (texts, records, sealed, replies, natives, workers)
PARSERS = {parser.name: parser for room in _ROOMS for parser in room.PARSERS}
