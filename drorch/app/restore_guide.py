"""RESTORE.md: how to bring a dump back with stock tools alone. In every vault, signed, without any secret."""

from __future__ import annotations

from collections.abc import Sequence

from drorch.domain import layout

_TEXT = """\
# How to restore from this vault without drorch

Vault `{vault}` of site `{site}`. You need: this vault's objects, an age identity (a key file that begins
`AGE-SECRET-KEY-1`), the site's public signing key, and the programs `minisign`, `age`, `zstd` and, by what was dumped,
`tar` or the database's own client: `pg_restore`, `mariadb` or `mysql`, of the version that the point's `manifest.json`
names, or newer.

**Take the public signing key from your own safe, not from this file**: whoever could change this file could change the
key in it. It should be the same as this one:

    {public_key}

Dumps here are encrypted to {recipients}.

1. Find the newest point: folders `{data}APPLICATION/RESOURCE/TIME-ID/`. A point counts when
   `{records}APPLICATION/RESOURCE/TIME-ID/manifest.json` exists and its signature holds:

       minisign -V -m manifest.json -P KEY

   The trusted comment must be `drorch v1 manifest` and the path of that very file.
2. Fetch the point's data folder, and check it:

       minisign -V -m SHA256SUMS -P KEY && sha256sum -c SHA256SUMS

3. Load a PostgreSQL dump (`data.pgcustom.zst.age`) into an empty database:

       createdb orders
       age -d -i key.txt data.pgcustom.zst.age | zstd -d | pg_restore --single-transaction --no-owner -d orders

   One that has `predata.pgcustom.zst.age` instead is of several streams: definitions, rows in `data-1`, `data-2` and so
   on (these may run side by side), then keys and indexes. Stop at the first error, and begin again with a new database:

       createdb orders
       load() {{ age -d -i key.txt "$1" | zstd -d | pg_restore --exit-on-error --no-owner -d orders; }}
       load predata.pgcustom.zst.age
       for part in data-*.pgcustom.zst.age; do load "$part"; done
       load postdata.pgcustom.zst.age

   Roles are in `globals.sql.zst.age` (`age -d -i key.txt globals.sql.zst.age | zstd -d` shows them).

   Load a MariaDB or MySQL dump (`data.sql.zst.age`; `manifest.json` says of which of the two, and `charset` and
   `collation`) into an empty database, with that one's client:

       mariadb -e 'CREATE DATABASE orders'
       age -d -i key.txt data.sql.zst.age | zstd -d | mariadb orders

   Its last line must be `-- Dump completed` with a time. Accounts and their grants are in `globals.sql.zst.age`; create
   those first that own views, triggers, routines and events (`DEFINER=`). An old or another vendor's client may stop at
   the first line, `/*M!999999\\- enable the sandbox mode */`: leave it out with `tail -n +2`.

4. Unpack a dump of files (`files.tar.zst.age`) into an empty folder, as root where owners matter:

       mkdir restored && cd restored
       age -d -i ../key.txt ../files.tar.zst.age | zstd -d | tar --numeric-owner --xattrs --xattrs-include='*' -xpf -

   Everything lies there under its whole path. Another tar than GNU's may not know the two options for extended
   attributes (ACLs are among them): leave them out.

A dump of more than one volume: `cat NAME NAME.[0-9]* | age -d -i key.txt | ...`
"""


def restore_guide(*, site: str, vault: str, public_key: str, recipients: Sequence[str]) -> bytes:
    """The text for one vault."""
    return _TEXT.format(
        site=site,
        vault=vault,
        public_key=public_key,
        recipients=", ".join(f"`{recipient}`" for recipient in recipients),
        data=layout.DATA,
        records=layout.RECORDS,
    ).encode()
