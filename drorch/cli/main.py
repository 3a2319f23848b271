"""The command line: names to commands, imported only when they run, so that help imports no SDK."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import cast

import click

from drorch import __version__
from drorch.cli.screen import NobodyReads, tell

_FAULT = 1
_NOBODY_READS = 128 + signal.SIGPIPE

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "The main job end to end on an embedded cloud; no account needed."),
    "policy": ("policy", "Validate policies; print their JSON Schema for editors."),
    "plan": ("plan", "What the next pass would do, keep, let go and hold, each with its reason."),
    "run": ("run", "The daemon; with --once, passes until nothing is left to start."),
    "status": ("status", "Attained against promised RPO and RTO per failure level."),
    "unprotected": ("unprotected", "Volumes and databases that no policy protects and nobody ignores."),
    "points": ("points", "Recovery points and their copies, newest first."),
    "backup": ("backup", "Cut a point now, for example before a deployment."),
    "drill": ("drill", "Restore into scratch, ask the probes, sign the proof."),
    "simulate": ("simulate", "What would be left if a region, an account, a provider were lost now."),
    "restore": ("restore", "Bring a database back from a vault."),
    "pin": ("pin", "Retention never takes this point."),
    "unpin": ("pin", "End a pin."),
    "approve": ("approve", "Let the deletions that a plan showed pass the brake, for an hour."),
    "clear": ("pin", "A suspect point is what it should be."),
    "vault": ("vault", "Mark a vault; run the store contract against it."),
    "doctor": ("doctor", "Ask everything that the policies need whether it would do."),
    "iam": ("iam", "Print least-privilege IAM policies for what is configured."),
    "evidence": ("evidence", "What signed records tell of a period, for auditors."),
    "kit": ("kit", "Make the crisis kit: all but the keys, for a safe."),
    "key": ("key", "Make an age identity or a signing key; prove that a key opens what it should."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the contract."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one that was asked for."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"drorch.cli.{COMMANDS[cmd_name][0]}")
        return cast("click.Command", getattr(module, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="drorch")
@click.option(
    "--config",
    metavar="FILE",
    help="Host configuration. Default: $DRORCH_CONFIG, ./drorch.yaml, /etc/drorch/drorch.yaml.",
)
@click.pass_context
def cli(context: click.Context, config: str | None) -> None:
    """Disaster recovery that was tested last week: snapshots, copies, encrypted dumps, drills, RPO figures.

    At 3 a.m.: drorch restore --help
    """
    context.obj = config
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False


class _Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends like Ctrl-C, everything under way is abandoned in order."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every error becomes words and the contract's exit code, never a traceback.

    Ended by a signal it exits with 128 and the signal's number, as a shell has it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has set SIGHUP aside already
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the locale cannot show is no fault
    try:
        code = cli.main(arguments, prog_name="drorch", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as end:
        cause = end.__cause__ or end
        _say_error("stopped")
        sys.exit(128 + (cause.number if isinstance(cause, _Ended) else signal.SIGINT))
    except (NobodyReads, SystemExit):  # click, too, ends on a closed pipe, with the code of a fault (Command.main)
        sys.exit(_NOBODY_READS)
    except Exception as error:  # noqa: BLE001  the last resort: an error becomes words, not a traceback
        sys.exit(_told(error))
    sys.exit(code if isinstance(code, int) else 0)


def _end(number: int, _frame: FrameType | None) -> None:
    raise _Ended(number)


def _told(error: Exception) -> int:
    from drorch.domain.errors import DrorchError

    if isinstance(error, DrorchError):
        _say_error(str(error))
        return error.exit_code
    from drorch.telemetry.redact import clean_text

    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    _say_error(f"a fault in drorch itself: {type(error).__name__}: {clean_text(str(error))} (at {where})")
    _say_error("please report this line with what you typed; nothing was changed after it")
    return _FAULT


def _say_error(text: str) -> None:
    tell(f"drorch: {text}")
