"""RESTORE.md's words for PostgreSQL: roles, data and checks with PostgreSQL's own programs."""

from __future__ import annotations

from collections.abc import Sequence

from drorch.domain import layout
from drorch.domain.guide import EngineWords, newest_version
from drorch.domain.record import Record, artefacts_of

_ROLES = """\
## PostgreSQL

`pg_restore` of version {client} or newer reads every dump listed above, and a server of version {server} or newer takes
it; both are named per dump in the table. Connect as a superuser: `PGHOST`, `PGPORT`, `PGUSER` and a passfile say where.

Roles first, where this server lacks them. `globals.sql.zst.age` holds every role of the old server: look at it, and
leave out what you do not want here. `role ... already exists` is no failure.

```bash postgres-roles
opened globals.sql.zst.age > globals.sql
psql -X -q -d postgres -f globals.sql
```

Then the data, into a database that is made for it. `"locale"` in `records/manifest.json` has the old one's encoding and
collation, which `createdb` takes as `--encoding`, `--lc-collate` and `--lc-ctype`.
"""

_WHOLE = """\
A dump that has `data.pgcustom.zst.age` is loaded whole or not at all:

```bash postgres
NO_ROLES=                # yes: without owners and privileges, when you did not load the roles
createdb --template=template0 "$DB"
opened data.pgcustom.zst.age | pg_restore --single-transaction ${NO_ROLES:+--no-owner --no-privileges} -d "$DB"
psql -X -q -d "$DB" -c ANALYZE
```
"""

_STREAMS = """\
A dump that has `predata.pgcustom.zst.age` is of several streams: definitions, rows, then keys and indexes. It stops at
the first error: drop the database then, and begin again.

```bash postgres-streams
NO_ROLES=                # yes: without owners and privileges, when you did not load the roles
createdb --template=template0 "$DB"
loaded() { opened "$1" | pg_restore --exit-on-error ${NO_ROLES:+--no-owner --no-privileges} -d "$DB"; }
(
    set -e
    loaded predata.pgcustom.zst.age
    for part in data/data-*.pgcustom.zst.age; do loaded "${part##*/}"; done
    loaded postdata.pgcustom.zst.age
)
psql -X -q -d "$DB" -c ANALYZE
```
"""

_CHECK = """\
Afterwards: the rows of every table, to be compared with `"tables"` in the inventory of the dump. Roles whose passwords
were not to be read (`"roles_without_password"` in the manifest) need new ones, and extensions those of the manifest.

```bash postgres-check
opened inventory.json.zst.age > inventory.json
psql -X -At -d "$DB" <<'SQL'
SELECT format('SELECT %1$L, count(*) FROM ONLY %1$s', format('%I.%I', n.nspname, c.relname))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1 \\gexec
SQL
```
"""


def _section(dumps: Sequence[Record]) -> str:
    names = {artefact.name.removesuffix(layout.ENCRYPTED) for dump in dumps for artefact in artefacts_of(dump)}
    versions = (newest_version(dumps, fact) for fact in ("client_version", "server_version"))
    client, server = (version or "its own" for version in versions)
    return "\n".join(
        (
            _ROLES.format(client=client, server=server),
            *((_WHOLE,) if "data.pgcustom" in names else ()),
            *((_STREAMS,) if "predata.pgcustom" in names else ()),
            _CHECK,
        )
    )


WORDS = EngineWords(("psql", "createdb", "pg_restore"), _section)
