"""Reading pages of listings: botocore's own answer, worked out once per shape instead of once per element.

botocore looks the model up anew for every element of a page (`botocore.parsers`, BaseXMLResponseParser), which costs
most of what a page of 1,000 snapshots does. Here each shape becomes a reader once. Errors, and pages that hold anything
unforeseen, are left to botocore's parser, whose word counts.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLParser

from botocore.model import ListShape, Shape, StructureShape
from botocore.parsers import EC2QueryParser, QueryParser, ResponseParserFactory

LISTINGS = frozenset(
    {
        "DescribeSnapshotsResult",
        "DescribeVolumesResult",
        "DescribeImagesResult",
        "DBInstanceMessage",
        "DBSnapshotMessage",
        "DBClusterMessage",
        "DBClusterSnapshotMessage",
    }
)
"""The output shapes of the listings that a pass makes (EC2 and RDS API models)."""

_READ_ELSEWHERE = ("location", "eventheader", "eventstream")

Read = Callable[[Element], Any]


class _NoCollection:
    """No collection of cycles inside: a page is tens of thousands of objects without one, all of which each collection
    among them would walk through, and service models with them. Threads may be inside at the same time.
    """

    _lock = threading.Lock()
    _inside = 0
    _was = False

    def __enter__(self) -> None:
        with self._lock:
            if not _NoCollection._inside:
                _NoCollection._was = gc.isenabled()
                gc.disable()
            _NoCollection._inside += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            _NoCollection._inside -= 1
            if not _NoCollection._inside and _NoCollection._was:
                gc.enable()


class _Unforeseen(Exception):
    """A page or a shape that is left to botocore."""


class ListingParsers(ResponseParserFactory):
    """botocore's factory, which knows these parsers for the two protocols of the listings."""

    def __init__(self, timestamp_parser: Callable[[str], Any]) -> None:
        super().__init__()
        self.set_parser_defaults(timestamp_parser=timestamp_parser)
        self._timestamp = timestamp_parser
        # Names of shapes are a service's own; of the services whose listings are read, no two have one protocol.
        self._readers = {protocol: _Readers(timestamp_parser) for protocol in _PARSERS}

    def create_parser(self, protocol_name: str) -> Any:
        """A parser for one reply of a protocol."""
        if protocol_name not in _PARSERS:
            return super().create_parser(protocol_name)
        parser = _PARSERS[protocol_name](timestamp_parser=self._timestamp)
        parser.readers = self._readers[protocol_name]
        return parser


class _Listings(QueryParser):
    """Reads what `LISTINGS` names; everything else as its base does."""

    readers: _Readers

    def _do_parse(self, response: Any, shape: Any) -> Any:
        if shape is None or shape.name not in LISTINGS:
            return self._botocores(response, shape)
        try:
            with _NoCollection():
                return self._listed(response["body"], shape)
        except (_Unforeseen, ParseError, ValueError):
            return self._botocores(response, shape)

    def _botocores(self, response: Any, shape: Any) -> Any:
        base: Any = super()
        return base._do_parse(response, shape)

    def _listed(self, body: bytes, shape: Any) -> Any:
        parser = XMLParser(encoding=self.DEFAULT_ENCODING)  # noqa: S314  as botocore reads it
        parser.feed(body)
        root = parser.close()
        wrapper = shape.serialization.get("resultWrapper")
        start = root
        if wrapper:
            inside = [child for child in root if _local(child.tag) == wrapper]
            if len(inside) != 1:
                raise _Unforeseen
            start = inside[0]
        parsed = self.readers.of(shape)(start)
        own: Any = self
        own._inject_response_metadata(root, parsed)
        return parsed


class _QueryListings(_Listings):
    """RDS."""


class _Ec2Listings(_Listings, EC2QueryParser):
    """EC2."""


_PARSERS: dict[str, type[_Listings]] = {"ec2": _Ec2Listings, "query": _QueryListings}


class _Readers:
    """Readers of shapes by their names, each made once; a shape may hold itself."""

    def __init__(self, timestamp: Callable[[str], Any]) -> None:
        self._known: dict[str, Read] = {}
        self._simple: dict[str, Read] = {
            "string": _text,
            "character": _text,
            "boolean": lambda node: node.text == "true",
            "integer": lambda node: int(node.text or ""),
            "long": lambda node: int(node.text or ""),
            "float": lambda node: float(node.text or ""),
            "double": lambda node: float(node.text or ""),
            "timestamp": lambda node: timestamp(node.text or ""),
        }

    def of(self, shape: Shape) -> Read:
        """The reader of a shape."""
        if shape.type_name in self._simple:
            return self._simple[shape.type_name]
        if shape.name not in self._known:
            self._known[shape.name] = lambda node: self._known[shape.name](node)  # until it is made, for itself
            self._known[shape.name] = self._made(shape)
        return self._known[shape.name]

    def _made(self, shape: Shape) -> Read:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape) and not shape.serialization.get("flattened"):
            read = self.of(shape.member)
            return lambda node: [read(child) for child in node]
        return _not_read

    def _structure(self, shape: StructureShape) -> Read:
        members: dict[str, tuple[str, Read]] = {}
        if shape.is_tagged_union:
            return _not_read
        for name, member in shape.members.items():
            said = member.serialization
            if any(said.get(where) for where in _READ_ELSEWHERE) or said.get("xmlAttribute"):
                return _not_read
            key = said.get("name") or name
            if key in members or said.get("flattened"):
                return _not_read
            members[key] = name, self.of(member)
        return _structure_reader(members)


def _structure_reader(members: dict[str, tuple[str, Read]]) -> Read:
    """Elements are looked up with their namespace, which is the same on every page."""
    by_tag: dict[str, tuple[str, Read] | None] = {}

    def read(node: Element) -> dict[str, Any]:
        parsed: dict[str, Any] = {}
        for child in node:
            tag = child.tag
            try:
                found = by_tag[tag]
            except KeyError:
                found = members.get(_local(tag))
                if len(by_tag) < 1000:
                    by_tag[tag] = found
            if found is None:
                continue
            name, reader = found
            if name in parsed:
                raise _Unforeseen
            parsed[name] = (child.text or "") if reader is _text else reader(child)
        return parsed

    return read


def _text(node: Element) -> str:
    return node.text or ""


def _not_read(_node: Element) -> Any:
    raise _Unforeseen


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
