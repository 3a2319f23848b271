"""All of AWS is lost: from a crisis kit and a key to the orders, out of the store outside AWS."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from bench.crisis.estate import Estate, contents
from bench.crisis.record import Record, asked, drorch, noted
from bench.crisis.region import WHOLE, loading, time_dump
from bench.crisis.terminal import Shot, at_a_terminal
from bench.measure import Wrong
from drorch.demo import site
from drorch.demo.postgres import EmbeddedPostgres
from drorch.demo.world import World

_TOOLS = ("bash", "minisign", "sha256sum", "env", "uname", "cat")
_LONG = 120
_BARE = """\
## A bare machine

A new folder with the kit and the key file; no configuration, no drorch, no address or credential of AWS; of programs \
Python, minisign, sha256sum and PostgreSQL's. The commands are those of KIT.md; only the target is another, a server \
without any database of the shop. Nothing listens where AWS was; the rest of the network was not cut off, and pip is \
told to use no index."""
_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```bash\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def make_kit(estate: Estate, record: Record, *, wheels: bool) -> None:
    """The kit, while all is well."""
    drorch(estate, f"drorch kit --out kit{'' if wheels else ' --no-wheels'}", record=record)


def lose_provider(world: World, estate: Estate, record: Record, folder: Path, *, wheels: bool) -> None:
    """The scenario. Raises Wrong when a command ends otherwise than it should, or what came back differs."""
    world.lose_aws()
    if world.aws_answers() or world.orders_answer():
        raise Wrong("AWS still answers")
    record.say("## AWS is lost\n\nNothing listens any more where it was, in no region; its databases are stopped.")
    drorch(estate, "drorch simulate --lose provider:aws", record=record)
    forecasts = asked(estate, "drorch simulate --lose provider:aws")
    bare = folder / "bare"
    bare.mkdir(mode=0o700)
    with EmbeddedPostgres(folder) as server:
        env = _bare(estate, server, world.gcs.url, folder, bare, wheels=wheels)
        _restore(record, bare, env, server, forecasts["applications"][0]["datasets"])
        with psycopg.connect(server.dsn(site.ORDERS), autocommit=True) as connection:
            record.compare("orders", estate.orders, contents(connection))


def _bare(
    estate: Estate, server: EmbeddedPostgres, gcs: str, folder: Path, bare: Path, *, wheels: bool
) -> dict[str, str]:
    """The kit and the key file in a folder, some stock tools, an empty database server; the environment there."""
    shutil.copytree(estate.folder / "kit", bare, dirs_exist_ok=True)
    shutil.copy2(estate.folder / "key.txt", bare)
    site.write_secret(bare / "new-server.password", server.password + "\n")
    tools = folder / "tools"
    tools.mkdir()
    for name in _TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    env = {
        "PATH": f"{tools}:{server.programs}",
        "HOME": str(bare),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        "STORAGE_EMULATOR_HOST": gcs,
        "PIP_NO_COMPILE": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return env if wheels else env | _of_this_tree(bare)


def _of_this_tree(bare: Path) -> dict[str, str]:
    """A stand-in for what the kit installs: drorch as it runs here."""
    program = bare / "venv" / "bin" / "drorch"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!{shutil.which("bash")}\nexec {sys.executable} -m drorch "$@"\n')
    program.chmod(0o700)
    return {"PYTHONPATH": str(_ROOT)}


def _restore(
    record: Record, bare: Path, env: Mapping[str, str], server: EmbeddedPostgres, datasets: Sequence[dict[str, Any]]
) -> None:
    """What KIT.md says, line by line; of the restore only its target is another."""
    check, install, said = _BLOCK.findall((bare / "KIT.md").read_text(encoding="utf-8"))
    record.say(_BARE)
    record.time("checking the kit", None, sum(_typed(line, bare, env, record).seconds for line in check.splitlines()))
    if not (bare / "venv").exists():
        seconds = sum(_typed(line, bare, env, record).seconds for line in install.splitlines())
        record.time("installing drorch from it", None, seconds)
    into = f"--into {server.url(site.ORDERS)} --into-password-file new-server.password"
    line = re.sub(r"--into \S+", into, said.splitlines()[0])
    command = [str(bare / "venv" / "bin" / "drorch"), *shlex.split(line)[1:], "--plan", "--json"]
    planned = subprocess.run(command, cwd=bare, env=dict(env), capture_output=True, check=True)
    _typed(f"{line} --plan", bare, env, record)
    shot = _typed(f"{line} --yes", bare, env, record)
    time_dump(record, loading(json.loads(planned.stdout)), shot)
    forecast = next((dataset["recovery_s"] for dataset in datasets if dataset["dataset"] == site.ORDERS), None)
    record.time(WHOLE, forecast, shot.seconds, "the forecast of `simulate`")


def _typed(line: str, bare: Path, env: Mapping[str, str], record: Record) -> Shot:
    """A line in a shell of the bare machine."""
    shot = at_a_terminal(["bash", "-e", "-c", line], _folded(line), folder=bare, env=env)
    return noted(shot, record)


def _folded(line: str) -> str:
    """A long command over several lines, as a person would read it."""
    return re.sub(r" (?=--(?!plan|yes|no-index|find|require))", " \\\n    ", line) if len(line) > _LONG else line
