"""The commit that a git work tree stands at, read from its files without a git program (gitrepository-layout(5))."""

from __future__ import annotations

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)


def commit_of(folder: Path) -> str:
    """The commit checked out in the work tree around `folder`; "" without one, before the first commit, or unread."""
    try:
        for place in (folder.resolve(), *folder.resolve().parents):
            if (place / ".git").exists():
                return _head(_git_folder(place / ".git"))
    except (OSError, UnicodeDecodeError):
        return ""
    return ""


def _git_folder(dot_git: Path) -> Path:
    """The repository's folder; in a linked work tree or a submodule ``.git`` is a file that names it."""
    if dot_git.is_dir():
        return dot_git
    return dot_git.parent / _text(dot_git).removeprefix("gitdir:").strip()


def _head(git: Path) -> str:
    text = _text(git / "HEAD")
    if _COMMIT.fullmatch(text):
        return text
    reference = text.removeprefix("ref:").strip()
    common = git / _text(git / "commondir") if (git / "commondir").is_file() else git
    for place in (git, common):
        if (place / reference).is_file():
            text = _text(place / reference)
            return text if _COMMIT.fullmatch(text) else ""
    return _packed(common, reference)


def _packed(common: Path, reference: str) -> str:
    if not (common / "packed-refs").is_file():
        return ""
    for line in _text(common / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference and _COMMIT.fullmatch(commit):
            return commit
    return ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
