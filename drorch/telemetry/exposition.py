"""The text format of Prometheus (exposition formats, version 0.0.4), written by hand: it is a few rules."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from drorch.domain.errors import Unavailable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


@dataclass(slots=True)
class Family:
    """One metric: its name, what it means, `gauge` or `counter`, and its samples by their labels."""

    name: str
    help: str
    type: str = "gauge"
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def add(self, value: float, **labels: str) -> None:
        """One sample; the latest value of the same labels stands."""
        self.samples[tuple(labels.items())] = value


def exposition(families: Iterable[Family]) -> str:
    """The page. A family without samples is left out: what is not known is absent."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.type}")
        for labels, value in sorted(family.samples.items()):
            lines.append(f"{family.name}{_labels(dict(labels))} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return "{" + ",".join(escaped) + "}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))


def write_page(path: Path, text: str) -> None:
    """Replace the file whole, as the textfile collector of node_exporter wants it; anyone may read it.

    Raises Unavailable when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise Unavailable(f"cannot write {path}", operation="metrics", cause=error.strerror or "") from error
