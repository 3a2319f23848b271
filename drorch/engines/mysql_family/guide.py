"""RESTORE.md's words for MariaDB and MySQL: accounts, data and checks with the vendor's own client."""

from __future__ import annotations

from collections.abc import Sequence

from drorch.domain.guide import EngineWords, newest_version
from drorch.domain.record import Record

_SECTION = """\
## {name}: `data.sql.zst.age`, dumps of kind `{kind}`

A server of version {server} or newer takes every such dump listed above, with the client `{program}` of {name}. An
option file (`~/.my.cnf`, `[client]`) says where and as whom to connect: as somebody who may create databases and
accounts.

Accounts first: views, triggers, routines and events need those that own them (`"definers"` in
`records/manifest.json`). `globals.sql.zst.age` holds every account of the old server with its grants: look at it, and
leave out what you do not want here, above all accounts that this server has already. `--force` goes on after an
account that is here.

```bash {kind}-accounts
opened globals.sql.zst.age > globals.sql
{program} --force < globals.sql
```

Then the data, into a database that is made for it. A dump that is whole ends with `-- Dump completed`: see to that
before loading, for the client loads as much as it gets. A client that is old or of another vendor may stop at the first
line, `/*M!999999\\- enable the sandbox mode */`: leave it out with `tail -n +2`.

```bash {kind}
opened data.sql.zst.age | tail -n 1 | grep -e '-- Dump completed'
CHARSET=$(sed -n 's/.*"charset":"\\([^"]*\\)".*/\\1/p' records/manifest.json)
COLLATION=$(sed -n 's/.*"collation":"\\([^"]*\\)".*/\\1/p' records/manifest.json)
{program} -e "CREATE DATABASE \\`$DB\\` CHARACTER SET $CHARSET COLLATE $COLLATION"
opened data.sql.zst.age | {program} "$DB"
```

Afterwards: the rows of every table, to be compared with `"tables"` in the inventory of the dump. Events are made
disabled or enabled as they were; they run only where `event_scheduler` is on.

```bash {kind}-check
opened inventory.json.zst.age > inventory.json
{program} -N -B -r -e "SELECT concat('SELECT ''', replace(table_name, '''', ''''''), ''', count(*) FROM \\`',
  replace(table_name, '\\`', '\\`\\`'), '\\`;') FROM information_schema.tables
  WHERE table_schema = '$DB' AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name" |
  {program} -N -B -r "$DB"
```
"""


def words(kind: str, name: str, program: str) -> EngineWords:
    """Those of one vendor: its kind, its name for people, its client program."""

    def section(dumps: Sequence[Record]) -> str:
        return _SECTION.format(kind=kind, name=name, program=program, server=newest_version(dumps, "server_version"))

    return EngineWords((program,), section)
