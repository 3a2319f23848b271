"""RESTORE.md's words for files: unpacking with tar."""

from __future__ import annotations

from collections.abc import Sequence

from drorch.domain.guide import EngineWords
from drorch.domain.record import Record

_SECTION = """\
## Files: `files.tar.zst.age`

A tar archive in pax format, unpacked into an empty folder, as root where owners matter. Everything lies there under its
whole path. (`cat` takes the padding that `tar` does not ask for.)

```bash files
mkdir -p "$INTO"
opened files.tar.zst.age | {
    tar --numeric-owner --xattrs --xattrs-include='*' -xpf - -C "$INTO" && cat > /dev/null
}
```

Another tar than GNU's may not know the two options for extended attributes (ACLs are among them): leave them out.
Afterwards: `"tables"` in the inventory counts the files per path, and it names those that were skipped or changed.

```bash files-check
opened inventory.json.zst.age > inventory.json
find "$INTO" ! -type d -print0 | tr -dc '\\0' | wc -c
```
"""


def _section(_dumps: Sequence[Record]) -> str:
    return _SECTION


WORDS = EngineWords(("tar",), _section)
