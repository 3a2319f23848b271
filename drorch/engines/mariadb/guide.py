"""RESTORE.md's words for MariaDB."""

from __future__ import annotations

from drorch.engines.mysql_family.guide import words

WORDS = words("mariadb", "MariaDB", "mariadb")
