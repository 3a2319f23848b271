"""The last act: ``drorch restore`` in a process that has a vault's address, two keys and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg

import drorch
from drorch.demo import site
from drorch.demo.compare import Fingerprint, TableFacts, differences, fingerprint
from drorch.demo.postgres import EmbeddedPostgres
from drorch.demo.story import Story
from drorch.demo.world import World

Tables = dict[str, tuple[TableFacts | None, TableFacts | None]]
"""Every table: as it was, as it was restored."""
_RESTORE_SECONDS = 120


def break_glass(world: World, installation: site.Installation, folder: Path, story: Story) -> Tables:
    """Restore the orders into a new server as a user would who has lost everything else, and compare all of it."""
    with EmbeddedPostgres(folder) as laptop:
        story.tell("laptop", "", "an empty home directory, no configuration, an empty PostgreSQL")
        password = folder / "laptop.password"
        site.write_secret(password, laptop.password + "\n")
        arguments = [
            *("restore", site.APPLICATION, site.ORDERS, "--vault-url", f"gs://{site.GCS_BUCKET}"),
            *("--identity", str(installation.identity), "--trust", installation.trusted),
            *("--into", laptop.url(site.ORDERS), "--into-password-file", str(password)),
        ]
        for number, line in enumerate((["drorch", *arguments[:5]], arguments[5:9], arguments[9:])):
            story.tell("" if number else "$", "", " ".join(line) + (" \\" if number < 2 else ""))
        code = _as_a_user(arguments, world, laptop, folder, story)
        story.check("drorch restore ended well", code == 0, f"exit {code}")
        restored = Fingerprint()
        if code == 0:
            with psycopg.connect(laptop.dsn(site.ORDERS), autocommit=True) as connection:
                restored = fingerprint(connection)
    return _compare(world.original, restored, story)


def _compare(original: Fingerprint, restored: Fingerprint, story: Story) -> Tables:
    names = sorted(original.tables.keys() | restored.tables.keys())
    tables = {name: (original.tables.get(name), restored.tables.get(name)) for name in names}
    for name, (before, after) in tables.items():
        rows = f"{before.rows:,} rows" if before else "not there before"
        story.check(f"table {name}", before == after, f"{rows}, md5 {after.digest[:12] if after else '-'}")
    for difference in differences(original, restored):
        story.tell("differs", "", difference, "bad")
    same = bool(original.definitions) and original.definitions == restored.definitions
    story.check("indexes, constraints, views, sequences", same, f"{len(original.definitions)} definitions")
    return tables


def _as_a_user(arguments: list[str], world: World, laptop: EmbeddedPostgres, folder: Path, story: Story) -> int:
    """Run drorch in a process of its own that has nothing of this one; its exit code."""
    home = folder / "laptop-home"
    home.mkdir(mode=0o700)
    environment = {
        "PATH": f"{laptop.bin_folder}:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join([str(Path(drorch.__file__).parent.parent), *_python_path()]),
        "STORAGE_EMULATOR_HOST": world.gcs.url,
        "AWS_ENDPOINT_URL": world.aws_url,  # where nothing listens any more
    }
    command = [sys.executable, "-m", "drorch", *arguments]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        overdue = threading.Timer(_RESTORE_SECONDS, process.kill)
        overdue.start()
        try:
            for line in process.stdout or ():
                story.tell("|", "", line.decode("utf-8", "replace").rstrip(), "quiet")
            return process.wait()
        finally:
            overdue.cancel()
            process.kill()


def _python_path() -> list[str]:
    """Where this Python was told to look for packages, if it was."""
    return [path for path in [os.environ.get("PYTHONPATH", "")] if path]
