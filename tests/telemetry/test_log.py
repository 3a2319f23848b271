"""The journal: its form by where it goes, what libraries say in it, and nothing past the redaction."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from drorch.telemetry.log import configure
from drorch.telemetry.redact import HIDDEN, redact


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError("no space left on device")


def logged(environ: Mapping[str, str] | None = None, **more: Any) -> io.StringIO:
    stream = io.StringIO()
    configure(stream=stream, environ=environ or {}, **more)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_pipe_gets_one_json_object_per_line() -> None:
    stream = logged()
    structlog.get_logger().info("pass ended", seconds=3, vaults=("a", "b"))
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["seconds"], line["vaults"]) == ("pass ended", "info", 3, ["a", "b"])
    assert line["at"].endswith("Z")


def test_a_terminal_gets_words_and_under_systemd_json_even_there() -> None:
    terminal = Terminal()
    configure(stream=terminal, environ={"NO_COLOR": "1"})
    structlog.get_logger().info("pass ended", seconds=3)
    assert "pass ended" in terminal.getvalue()
    assert "seconds=3" in terminal.getvalue()
    for name in ("JOURNAL_STREAM", "INVOCATION_ID"):
        journal = Terminal()
        configure(stream=journal, environ={name: "x"})
        structlog.get_logger().info("pass ended")
        assert lines(journal)[0]["event"] == "pass ended"


def test_secrets_are_taken_out_of_values_keys_and_tracebacks() -> None:
    stream = logged()
    redact("s3cr3t-value")
    try:
        raise ValueError("refused with s3cr3t-value and password=hunter2-Zq")
    except ValueError:
        structlog.get_logger().exception("pass failed", answer={"deep": ["s3cr3t-value"]})
    text = stream.getvalue()
    assert "s3cr3t-value" not in text
    assert "hunter2-Zq" not in text
    (line,) = lines(stream)
    assert line["answer"] == {"deep": [HIDDEN]}
    assert "ValueError: refused with" in line["exception"]
    assert "Traceback" in line["exception"]


def test_a_terminal_sees_the_words_and_the_place_of_an_error_and_no_traceback() -> None:
    terminal = Terminal()
    configure(stream=terminal, environ={"NO_COLOR": "1"})
    try:
        raise ValueError("refused with password=hunter2-Zq")
    except ValueError as error:
        structlog.get_logger().error("pass failed", exc_info=error)
    text = terminal.getvalue()
    assert "ValueError: refused" in text
    assert "test_log.py:" in text
    assert "Traceback" not in text
    assert "hunter2-Zq" not in text


def test_libraries_go_through_the_same_door_from_warnings_on() -> None:
    stream = logged()
    logging.getLogger("botocore.auth").debug("token %s", "FwoGZXIvYXdz")
    logging.getLogger("botocore.auth").info("not shown")
    logging.getLogger("botocore.auth").warning("sent %s", {"Authorization": "AWS4-HMAC-SHA256 Signature=abc123def456"})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("password=hunter2-Zq is old", stacklevel=1)
    assert "abc123def456" not in stream.getvalue()
    assert "hunter2-Zq" not in stream.getvalue()
    first, second = lines(stream)
    assert (first["logger"], first["level"]) == ("botocore.auth", "warning")
    assert second["logger"] == "py.warnings"


def test_a_library_that_formats_wrongly_does_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    logged()
    logging.getLogger("apscheduler").warning("%d of %d", "password=hunter2-Zq")
    assert "hunter2-Zq" not in capfd.readouterr().err


def test_a_thread_that_dies_is_logged_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    stream = logged()

    def die() -> None:
        raise RuntimeError("password=hunter2-Zq")

    thread = threading.Thread(target=die, name="worker-7")
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert (line["event"], line["thread"]) == ("thread died", "worker-7")
    assert "hunter2-Zq" not in stream.getvalue() + capfd.readouterr().err


def test_a_journal_that_is_gone_ends_nothing() -> None:
    gone = Gone()
    configure(stream=gone, environ={})
    structlog.get_logger().error("pass failed")
    logging.getLogger("boto3").error("lost")
    assert gone.getvalue() == ""


def test_configuring_again_logs_every_line_once() -> None:
    logged()
    stream = logged()
    structlog.get_logger().info("pass ended")
    logging.getLogger("boto3").error("lost")
    assert [line["event"] for line in lines(stream)] == ["pass ended", "lost"]
