"""Intents: written down and synced before the call, there after any death, gone when they are of no use."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drorch.app.intents import Intents
from drorch.domain.errors import Unavailable
from drorch.domain.intent_keys import copy_intent

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_an_intent_outlives_its_process_and_says_when_it_was_begun_last(tmp_path: Path) -> None:
    first = Intents(tmp_path, NOW)
    assert first.begin("p1", NOW) is False
    second = Intents(tmp_path, NOW + timedelta(hours=1))
    assert dict(second.standing()) == {"p1": NOW}
    assert second.begin("p1", NOW + timedelta(minutes=9)) is True
    assert dict(first.standing()) == {"p1": NOW + timedelta(minutes=9)}
    second.end("p1")
    second.end("p1")
    assert not first.standing()


def test_the_folder_remembers_since_when_it_keeps_intents(tmp_path: Path) -> None:
    Intents(tmp_path, NOW)
    assert Intents(tmp_path, NOW + timedelta(days=1)).since == NOW
    assert not Intents(tmp_path, NOW).standing()


def test_a_file_cut_short_by_a_crash_still_stands(tmp_path: Path) -> None:
    intents = Intents(tmp_path, NOW)
    for name, text in (("empty", b""), ("half", b"2026-11-2"), ("noise", b"\xff\xfe")):
        (tmp_path / "intents" / name).write_bytes(text)
        os.utime(tmp_path / "intents" / name, (NOW.timestamp(), NOW.timestamp()))
    assert dict(intents.standing()) == {"empty": NOW, "half": NOW, "noise": NOW}
    assert intents.begin("empty", NOW) is True


def test_it_is_synced_before_begin_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intents = Intents(tmp_path, NOW)
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    intents.begin("p1", NOW)
    assert synced == [str(tmp_path / "intents" / "p1"), str(tmp_path / "intents")]


def test_what_cannot_be_written_down_is_not_asked_for(tmp_path: Path) -> None:
    intents = Intents(tmp_path, NOW)
    (tmp_path / "intents" / "p1").mkdir()
    with pytest.raises(Unavailable, match="nothing was asked"):
        intents.begin("p1", NOW)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot write"):
        Intents(tmp_path / "file", NOW)


def test_the_copy_of_a_point_has_an_intent_of_its_own_per_vault() -> None:
    keys = {"p1", copy_intent("p1", "prod.us-west-2"), copy_intent("p1", "prod.eu-west-1"), copy_intent("p2", "x.y")}
    assert len(keys) == 4 and not any("/" in key for key in keys)
