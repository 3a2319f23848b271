"""RESTORE.md's words for MySQL."""

from __future__ import annotations

from drorch.engines.mysql_family.guide import words

WORDS = words("mysql", "MySQL", "mysql")
