"""The folder of policies: one bad file touches its own application only, and its last valid text stays in force."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from policy_words import words

from drorch.app import policies as policies_module
from drorch.app.git_commit import commit_of
from drorch.app.policies import PolicyFolder, PolicySet, check_file, check_files, load_policies
from drorch.domain.errors import InvalidInput, Unavailable
from drorch.domain.policy import Keep

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def text(application: str, every: str = "1h") -> str:
    return f"""\
version: 1
application: {application}
owner: me
home: {{account: prod, region: us-east-1}}
resources:
  - name: data
    kind: ebs
    select: {{tags: {{app: {application}}}}}
    schedule: {{every: {every}}}
    keep: {{last: 3}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty valid policies."""
    folder = tmp_path / "policies"
    folder.mkdir()
    for number in range(40):
        (folder / f"app-{number:02}.yaml").write_text(text(f"app-{number:02}"))
    return folder


def load(folder: Path, last_valid: Mapping[str, str] | None = None) -> PolicySet:
    return load_policies(folder, words(), last_valid or {})


def names(found: PolicySet) -> list[str]:
    return [loaded.policy.application for loaded in found.valid]


def shown(found: PolicySet, folder: Path) -> list[str]:
    return [str(finding).removeprefix(f"{folder}/") for finding in found.findings]


def test_every_file_is_one_application(folder: Path) -> None:
    found = load(folder)
    assert names(found) == [f"app-{number:02}" for number in range(40)]
    assert (found.findings, found.invalid, found.missing, found.commit) == ((), (), (), "")
    first = found.valid[0]
    assert (first.file, first.text, first.stale) == ("app-00.yaml", text("app-00"), False)
    assert first.digest == hashlib.sha256(text("app-00").encode()).hexdigest()
    assert found.get("app-07") is found.valid[7]
    assert found.get("absent") is None


def test_one_bad_policy_of_forty_touches_only_itself(folder: Path) -> None:
    (folder / "app-07.yaml").write_text(text("app-07", every="0h"))
    found = load(folder)
    assert len(found.valid) == 39
    assert "app-07" not in names(found)
    assert [(invalid.application, invalid.file) for invalid in found.invalid] == [("app-07", "app-07.yaml")]
    (line,) = shown(found, folder)
    assert line.startswith("app-07.yaml:9:23: '0h' is no time at all (a duration is longer than zero")


def test_the_last_valid_text_of_a_bad_file_stays_in_force(folder: Path) -> None:
    (folder / "app-07.yaml").write_text("not a policy")
    found = load(folder, {"app-07.yaml": text("app-07", every="5h")})
    stale = found.get("app-07")
    assert stale is not None
    assert stale.stale
    assert str(stale.policy.resources[0].schedule) == "every 5h"
    assert stale.text == text("app-07", every="5h")
    assert found.invalid[0].application == "app-07"
    assert len(found.findings) == 1


def test_a_last_valid_text_that_is_no_policy_any_more_is_not_used(folder: Path) -> None:
    """An account or region may have left the host's configuration since."""
    (folder / "app-07.yaml").write_text("not a policy")
    old = text("app-07").replace("account: prod", "account: gone")
    found = load(folder, {"app-07.yaml": old})
    assert "app-07" not in names(found)
    assert found.invalid[0].application == "app-07"


def test_a_stale_text_never_claims_an_application_that_has_a_valid_file(folder: Path) -> None:
    (folder / "app-07.yaml").write_text("not a policy")
    found = load(folder, {"app-07.yaml": text("app-08", every="5h")})
    assert names(found).count("app-08") == 1
    assert not any(loaded.stale for loaded in found.valid)


def test_two_files_for_one_application_are_both_refused_and_each_names_the_other(folder: Path) -> None:
    (folder / "twice.yaml").write_text(text("app-07"))
    found = load(folder)
    assert "app-07" not in names(found)
    assert len(found.valid) == 39
    assert shown(found, folder) == [
        "app-07.yaml:2:14: application app-07 is also in twice.yaml (one application, one file)",
        "twice.yaml:2:14: application app-07 is also in app-07.yaml (one application, one file)",
    ]
    assert [invalid.file for invalid in found.invalid] == ["app-07.yaml", "twice.yaml"]


def test_of_two_files_the_one_that_was_valid_before_stays_in_force(folder: Path) -> None:
    (folder / "twice.yaml").write_text(text("app-07"))
    found = load(folder, {"app-07.yaml": text("app-07", every="5h")})
    stale = found.get("app-07")
    assert stale is not None
    assert (stale.file, stale.stale) == ("app-07.yaml", True)


def test_a_file_that_is_broken_still_claims_its_application(folder: Path) -> None:
    (folder / "twice.yaml").write_text(text("app-07", every="0h"))
    found = load(folder)
    assert "app-07" not in names(found)
    assert len(found.findings) == 3


def test_a_removed_file_is_reported_and_a_renamed_one_is_not(folder: Path) -> None:
    (folder / "app-07.yaml").unlink()
    (folder / "app-08.yaml").rename(folder / "new-name.yaml")
    found = load(folder, {"app-07.yaml": text("app-07"), "app-08.yaml": text("app-08")})
    assert found.missing == ("app-07",)
    assert "app-08" in names(found)
    assert found.findings == ()


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", "1:1", "the file is empty"),
        (b"- a\n", "1:1", "the file is not a mapping"),
        (b"version: 1\nkey: [\n", "3:1", "not YAML"),
        (b"version: 1\n\tx: 1\n", "2:1", "not YAML"),
        (b"version: 1\nowner: \xe4\n", "2:8", "not UTF-8 text"),
        (b"PK\x03\x04\x00\x00", "1:3", "not YAML"),
        (b"x" * 1_100_000, "1:1", "longer than 1024 KiB"),
    ],
)
def test_what_is_not_text_or_not_yaml_is_a_finding_of_its_file(
    folder: Path, content: bytes, place: str, message: str
) -> None:
    (folder / "app-07.yaml").write_bytes(content)
    found = load(folder)
    assert len(found.valid) == 39
    (line,) = shown(found, folder)
    assert line.startswith(f"app-07.yaml:{place}: {message}")
    assert found.invalid[0].application == "app-07"


def test_a_file_that_cannot_be_read_is_a_finding_and_keeps_its_last_valid_text(folder: Path) -> None:
    (folder / "app-07.yaml").unlink()
    (folder / "app-07.yaml").symlink_to("nowhere")
    (folder / "folder.yaml").mkdir()
    found = load(folder, {"app-07.yaml": text("app-07")})
    assert shown(found, folder) == [
        "app-07.yaml:1:1: cannot be read: no such file or directory",
        "folder.yaml:1:1: cannot be read: is a directory",
    ]
    assert found.get("app-07") is not None
    assert found.missing == ()


def test_a_byte_order_mark_and_windows_line_ends_are_read(folder: Path) -> None:
    (folder / "app-07.yaml").write_bytes(b"\xef\xbb\xbf" + text("app-07").replace("\n", "\r\n").encode())
    assert len(load(folder).valid) == 40


def test_other_files_are_left_alone_but_a_yml_is_told(folder: Path) -> None:
    (folder / "README.md").write_text("# policies")
    (folder / ".pre-commit-config.yaml").write_text("repos: []")
    (folder / "app-99.yml").write_text(text("app-99"))
    assert shown(load(folder), folder) == ["app-99.yml:1:1: not read: its name ends in .yml (rename it to .yaml)"]


def test_an_empty_or_absent_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"there is no policy in .*empty") as caught:
        load(tmp_path / "empty", {"a.yaml": text("a")})
    assert caught.value.exit_code == 3
    assert "one file APPLICATION.yaml per application" in caught.value.hint
    with pytest.raises(InvalidInput, match="cannot be read: no such file or directory"):
        load(tmp_path / "absent")


# --- what may never delete -----------------------------------------------------------------------------------------

LOST = {
    "empty": "",
    "only comments": "# nothing here\n# any more\n",
    "an empty mapping": "{}\n",
    "a document marker": "---\n",
    "null": "~\n",
    "no resources": text("app-07").partition("resources:")[0],
    "an empty list of resources": text("app-07").partition("resources:")[0] + "resources: []\n",
    "no keep": text("app-07").replace("    keep: {last: 3}\n", ""),
    "keep without rules": text("app-07").replace("{last: 3}", "{}"),
    "keep without a value": text("app-07").replace(" {last: 3}", ""),
    "keep of nothing": text("app-07").replace("{last: 3}", "{last: 0}"),
    "cut off": text("app-07")[:-12],
}


@pytest.mark.parametrize("content", LOST.values(), ids=LOST.keys())
def test_a_file_that_lost_what_it_said_leaves_its_last_valid_text_in_force_and_stale(
    folder: Path, content: str
) -> None:
    before = load(folder)
    (folder / "app-07.yaml").write_text(content)
    found = load(folder, {loaded.file: loaded.text for loaded in before.valid})
    stale = found.get("app-07")
    assert stale is not None
    assert (stale.stale, stale.text, stale.policy) == (True, text("app-07"), before.valid[7].policy)
    assert [(invalid.application, invalid.file) for invalid in found.invalid] == [("app-07", "app-07.yaml")]
    assert {finding.file for finding in found.findings} == {str(folder / "app-07.yaml")}
    assert (found.missing, len(found.valid)) == ((), 40)
    assert [loaded for loaded in found.valid if loaded.file != "app-07.yaml"] == [
        loaded for loaded in before.valid if loaded.file != "app-07.yaml"
    ]


@pytest.mark.parametrize("content", LOST.values(), ids=LOST.keys())
def test_a_file_that_says_nothing_and_never_did_is_no_application(folder: Path, content: str) -> None:
    (folder / "app-07.yaml").write_text(content)
    found = load(folder)
    assert found.get("app-07") is None
    assert (len(found.valid), len(found.invalid), found.missing) == (39, 1, ())


def test_a_removed_file_is_missing_and_has_no_policy_to_delete_under(folder: Path) -> None:
    before = load(folder)
    (folder / "app-07.yaml").unlink()
    found = load(folder, {loaded.file: loaded.text for loaded in before.valid})
    assert found.get("app-07") is None
    assert (found.missing, found.findings, found.invalid) == (("app-07",), (), ())
    assert [loaded for loaded in before.valid if loaded.file != "app-07.yaml"] == list(found.valid)


@pytest.mark.parametrize("loss", ["removed", "emptied", "only other files", "a file instead"])
def test_a_lost_folder_ends_the_reading_so_that_nothing_is_planned_at_all(folder: Path, loss: str) -> None:
    before = load(folder)
    for path in folder.iterdir():
        path.unlink()
    if loss in ("removed", "a file instead"):
        folder.rmdir()
    if loss == "only other files":
        (folder / "README.md").write_text("# policies")
    if loss == "a file instead":
        folder.write_text(text("app-07"))
    with pytest.raises(InvalidInput, match=r"there is no policy in|cannot be read"):
        load(folder, {loaded.file: loaded.text for loaded in before.valid})


def test_keep_left_out_takes_the_hosts_default_when_there_is_one(folder: Path) -> None:
    """As the contract has it: defaults are what a policy leaves out."""
    (folder / "app-07.yaml").write_text(LOST["no keep"])
    found = load_policies(folder, words(defaults={"keep": {"daily": 7}}), {"app-07.yaml": text("app-07")})
    loaded = found.get("app-07")
    assert loaded is not None
    assert not loaded.stale
    assert loaded.policy.resources[0].targets[0].keep == Keep(daily=7)


# --- former names --------------------------------------------------------------------------------------------------


def heir(application: str, *formerly: str) -> str:
    """A policy whose application had other names before; they stand from 3:12 on."""
    return text(application).replace("owner:", f"formerly: [{', '.join(formerly)}]\nowner:")


def test_a_renamed_application_is_not_missing_when_its_heir_says_so(folder: Path) -> None:
    last_valid = {"app-07.yaml": text("app-07")}
    (folder / "app-07.yaml").unlink()
    (folder / "new.yaml").write_text(heir("new"))
    assert load(folder, last_valid).missing == ("app-07",)
    (folder / "new.yaml").write_text(heir("new", "app-07", "never-seen"))
    found = load(folder, last_valid)
    assert (found.missing, found.findings) == ((), ())
    new = found.get("new")
    assert new is not None
    assert new.policy.formerly == ("app-07", "never-seen")


def test_an_application_that_there_still_is_has_no_heir_and_both_files_are_refused(folder: Path) -> None:
    (folder / "new.yaml").write_text(heir("new", "old", "app-07"))
    found = load(folder)
    assert shown(found, folder) == [
        "app-07.yaml:2:14: application app-07 is formerly of new.yaml (remove this file, or the name from there)",
        "new.yaml:3:17: formerly names application app-07, which is still in app-07.yaml"
        " (remove that file, or the name from here)",
    ]
    assert [invalid.file for invalid in found.invalid] == ["app-07.yaml", "new.yaml"]
    assert found.get("app-07") is None
    assert found.get("new") is None
    assert len(found.valid) == 39


def test_what_was_valid_of_both_stays_in_force_and_stale(folder: Path) -> None:
    (folder / "new.yaml").write_text(heir("new", "app-07"))
    found = load(folder, {"app-07.yaml": text("app-07"), "new.yaml": text("new")})
    for name in ("app-07", "new"):
        loaded = found.get(name)
        assert loaded is not None
        assert loaded.stale
        assert loaded.policy.formerly == ()


@pytest.mark.parametrize("broken", ["", "not a policy", text("app-07", every="0h")])
def test_a_broken_file_still_has_its_application(folder: Path, broken: str) -> None:
    (folder / "app-07.yaml").write_text(broken)
    (folder / "new.yaml").write_text(heir("new", "app-07"))
    found = load(folder, {"app-07.yaml": text("app-07")})
    assert [invalid.file for invalid in found.invalid] == ["app-07.yaml", "new.yaml"]
    stale = found.get("app-07")
    assert stale is not None
    assert stale.stale
    assert found.get("new") is None


def test_one_history_has_one_heir(folder: Path) -> None:
    (folder / "new.yaml").write_text(heir("new", "old"))
    (folder / "app-07.yaml").write_text(heir("app-07", "a", "old"))
    found = load(folder)
    assert shown(found, folder) == [
        "app-07.yaml:3:15: the history of application old is claimed by new.yaml too (one history, one application)",
        "new.yaml:3:12: the history of application old is claimed by app-07.yaml too (one history, one application)",
    ]
    assert len(found.valid) == 39


def test_given_files_are_held_against_each_other_too(tmp_path: Path) -> None:
    first, second = tmp_path / "old.yaml", tmp_path / "new.yaml"
    first.write_text(text("old"))
    second.write_text(heir("new", "old"))
    policies, findings = check_files([first, second], words())
    assert policies == ()
    assert [(finding.file, finding.line, finding.column) for finding in findings] == [
        (str(second), 3, 12),
        (str(first), 2, 14),
    ]
    assert len(check_files([second], words())[0]) == 1


# --- changes while reading -----------------------------------------------------------------------------------------


def test_a_checkout_that_changes_while_it_is_read_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = policies_module.read_text
    changes = iter([1, 2])

    def changing(path: str, name: str) -> object:
        result = original(path, name)
        if path.endswith("/app-39.yaml") and next(changes, None):
            (folder / "app-00.yaml").write_text(text("app-00", every="11h"))
            (folder / "app-01.yaml").unlink(missing_ok=True)
        return result

    monkeypatch.setattr(policies_module, "read_text", changing)
    found = load(folder)
    assert "app-01" not in names(found)
    first = found.get("app-00")
    assert first is not None
    assert str(first.policy.resources[0].schedule) == "every 11h"


def test_a_checkout_that_never_settles_is_left_to_the_next_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = policies_module.read_text
    count = iter(range(10_000))

    def changing(path: str, name: str) -> object:
        (folder / "app-00.yaml").write_text(text("app-00") + "#" * next(count))
        return original(path, name)

    monkeypatch.setattr(policies_module, "read_text", changing)
    with pytest.raises(Unavailable, match="change while they are read"):
        load(folder)


def test_a_text_seen_before_is_not_parsed_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    original = policies_module._parse

    def counting(place: Path, name: str, *rest: object) -> object:
        parsed.append(name)
        return original(place, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(policies_module, "_parse", counting)
    reader = PolicyFolder(folder, words())
    assert len(reader.load({}).valid) == 40
    (folder / "app-07.yaml").write_text(text("app-07", every="2h"))
    parsed.clear()
    found = reader.load({}).get("app-07")
    assert parsed == ["app-07.yaml"]
    assert found is not None
    assert str(found.policy.resources[0].schedule) == "every 2h"


# --- one file, wherever it lies ------------------------------------------------------------------------------------


def test_one_file_is_checked_by_its_own(folder: Path) -> None:
    policy, findings = check_file(folder / "app-07.yaml", words())
    assert policy is not None
    assert findings == ()
    policy, findings = check_file(folder / "absent.yaml", words())
    assert policy is None
    assert [str(finding) for finding in findings] == [
        f"{folder}/absent.yaml:1:1: cannot be read: no such file or directory"
    ]


# --- the commit ----------------------------------------------------------------------------------------------------


def git_folder(tmp_path: Path, head: str) -> Path:
    git = tmp_path / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text(head)
    return git


def test_the_commit_is_read_from_a_branch_a_packed_branch_or_a_detached_head(folder: Path, tmp_path: Path) -> None:
    git = git_folder(tmp_path, "ref: refs/heads/main\n")
    assert commit_of(folder) == ""
    (git / "packed-refs").write_text(
        f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n"
    )
    assert commit_of(folder) == COMMIT
    (git / "refs/heads/main").write_text("e" * 40 + "\n")
    assert commit_of(folder) == "e" * 40
    (git / "HEAD").write_text("d" * 64 + "\n")
    assert commit_of(folder) == "d" * 64
    found = load(folder)
    assert found.commit == found.valid[0].commit == "d" * 64


def test_the_commit_of_a_linked_work_tree_is_found(folder: Path, tmp_path: Path) -> None:
    git = git_folder(tmp_path, f"{COMMIT}\n")
    linked = git / "worktrees/linked"
    linked.mkdir(parents=True)
    (linked / "HEAD").write_text("ref: refs/heads/side\n")
    (linked / "commondir").write_text("../..\n")
    (git / "refs/heads/side").write_text("a" * 40)
    (folder / ".git").write_text(f"gitdir: {linked}\n")
    assert commit_of(folder) == "a" * 40


@pytest.mark.parametrize("head", ["", "ref: refs/heads/.invalid", "nonsense", "ref: ../../../etc/hostname"])
def test_what_is_no_commit_is_none(folder: Path, tmp_path: Path, head: str) -> None:
    git_folder(tmp_path, head)
    assert commit_of(folder) == ""


def test_a_stale_policy_names_no_commit(folder: Path, tmp_path: Path) -> None:
    """Its text is not that of the commit."""
    git_folder(tmp_path, COMMIT)
    (folder / "app-07.yaml").write_text("broken")
    stale = load(folder, {"app-07.yaml": text("app-07")}).get("app-07")
    assert stale is not None
    assert stale.commit == ""
