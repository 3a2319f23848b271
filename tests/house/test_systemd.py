"""The unit: clean, hardened, and of one mind with the daemon."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from drorch.app.runner import GRACE as WORKER_GRACE
from drorch.daemon import GRACE, GREEN_TICKS
from drorch.domain.duration import parse_duration

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "drorch.service"
FILES = UNIT.with_name("drorch-files.conf")
HIGHEST_EXPOSURE = 2.0


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if re.match(r"[A-Z]\w+=", line):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def seconds(name: str) -> timedelta:
    (value,) = settings()[name]
    return parse_duration(value.replace("min", "m"))


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_verify_finds_nothing_on_a_copy_whose_program_exists(tmp_path: Path) -> None:
    text = UNIT.read_text()
    (program,) = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
    copy = tmp_path / "drorch.service"
    copy.write_text(text.replace(program, "/bin/true"))
    verified = analyze("verify", copy)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_verify_would_name_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    copy = tmp_path / "drorch.service"
    copy.write_text(UNIT.read_text().replace("ProtectClock=", "ProtectClocks="))
    complaints = analyze("verify", copy).stderr.splitlines()
    assert any("Unknown key" in line and "'ProtectClocks'" in line for line in complaints)


def exposure(unit: Path) -> float:
    shown = analyze("security", "--offline=yes", unit)
    match = re.search(r"Overall exposure level for drorch.service: (\d+\.\d+)", shown.stdout)
    assert match is not None, shown.stdout + shown.stderr
    return float(match[1])


def test_its_exposure_is_low() -> None:
    assert exposure(UNIT) < HIGHEST_EXPOSURE


def with_files(folder: Path) -> Path:
    """The unit with the drop-in beside it, as installed."""
    copy = folder / "drorch.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    drop_ins = folder / "drorch.service.d"
    drop_ins.mkdir()
    (drop_ins / "files.conf").write_text(FILES.read_text())
    return copy


def test_the_drop_in_for_files_is_clean_and_the_exposure_with_it_still_low(tmp_path: Path) -> None:
    unit = with_files(tmp_path)
    verified = analyze("verify", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    assert exposure(UNIT) < exposure(unit) < HIGHEST_EXPOSURE


def test_the_drop_in_for_files_gives_the_right_to_read_and_no_other() -> None:
    given = [line for line in FILES.read_text().splitlines() if re.match(r"[A-Z]\w+=", line)]
    assert [line for line in given if "Capab" in line] == [
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
        "AmbientCapabilities=CAP_DAC_READ_SEARCH",
    ]
    assert not any(line.startswith("ReadWritePaths") for line in given)


def test_it_gives_the_daemon_the_time_that_it_takes_to_stop() -> None:
    assert seconds("TimeoutStopSec") >= GRACE + WORKER_GRACE
    assert settings()["KillMode"] == ["mixed"]


def test_the_watchdog_is_not_faster_than_the_ticks_that_feed_it() -> None:
    assert seconds("WatchdogSec") >= GREEN_TICKS * timedelta(seconds=60)
    assert settings()["Type"] == ["notify"]


def test_reload_drains_and_no_exit_code_that_a_restart_cannot_cure_is_restarted() -> None:
    assert settings()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert settings()["Restart"] == ["on-failure"]
    assert settings()["RestartPreventExitStatus"] == ["2 3"]


def test_secrets_come_as_credentials_and_never_through_the_environment() -> None:
    assert settings()["LoadCredential"] == ["signing-key:/etc/drorch/signing.key"]
    assert settings()["Environment"] == ["TMPDIR=/var/tmp"]
    assert "EnvironmentFile" not in settings()


@pytest.mark.parametrize("name", ["ReadWritePaths", "MemoryDenyWriteExecute", "LoadCredential=drill-identity"])
def test_what_is_left_out_is_explained(name: str) -> None:
    assert any(line.startswith("#") and name in line for line in UNIT.read_text().splitlines())
