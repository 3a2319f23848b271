"""The probes of a drill put to restored data, of dumps and of snapshots alike: what each answered, what that says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from drorch.domain.errors import Refused
from drorch.domain.policy import Probe
from drorch.ports import ProbeResult

_LONGEST_ANSWER = 200
"""Characters of a probe's answer that go into the proof: it is evidence, not a copy of the data."""


def put(probe: Probe, ask: Callable[[str], object], cut_at: datetime) -> ProbeResult:
    """The answer to one probe; a query that is refused is an answer, too. Unavailable when nobody answers."""
    try:
        value = ask(probe.sql)
    except Refused as error:
        return ProbeResult(probe.sql, probe.expected, f"an error: {error.message}"[:_LONGEST_ANSWER], met=False)
    shown = "nothing" if value is None else str(value)[:_LONGEST_ANSWER]
    return ProbeResult(probe.sql, probe.expected, shown, met=probe.compare(value, cut_at))


def unmet(results: Iterable[ProbeResult]) -> tuple[str, str]:
    """(why for the proof, the same with every answer for the people here); ("", "") when all of them are met."""
    asked = tuple(results)
    wrong = [result for result in asked if not result.met]
    if not wrong:
        return "", ""
    why = f"{len(wrong)} of {len(asked)} probes not met"
    answers = "; ".join(f"{result.sql!r} gave {result.got}, expected {result.expected}" for result in wrong)
    return why, f"{why}: {answers}"


def told(result: ProbeResult) -> dict[str, object]:
    """As it stands in a proof."""
    return {"sql": result.sql, "expected": result.expected, "got": result.got, "met": result.met}
