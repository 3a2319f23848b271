"""Paths of this host that policies name: granted by the host configuration, and drilled without probes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from policy_words import KINDS, policy_of, read, words
from pydantic import ValidationError

from drorch.domain.host_path import HostPath, covers, granting
from drorch.domain.policy import DrillRule, Frozen, Probe
from drorch.domain.vocabulary import KindWords, Vocabulary


class Files(Frozen):
    """Stands in for the options of `files`."""

    paths: tuple[HostPath, ...]


TEXT = """\
version: 1
application: shop
owner: me
home: {account: prod, region: us-east-1}
resources:
  - name: uploads
    kind: files
    paths: [/srv/shop/uploads, /srv/shop/other]
    schedule: {every: 1h}
    vaults: [s3-west]
    keep: {last: 3}
"""


def files(paths: dict[str, tuple[str, ...]] | None, **more: object) -> Vocabulary:
    return words(kinds={**KINDS, "files": KindWords(Files, native=False, probes=False)}, paths=paths, **more)


@pytest.mark.parametrize(
    "granted",
    [
        {"shop": ("/srv/shop",)},
        {"shop": ("/",)},
        {"shop": ("/srv/shop/uploads", "/srv/shop/other")},
        {"shop": ("/nowhere", "/srv")},
        None,
    ],
)
def test_what_is_granted_to_the_application_may_be_read(granted: dict[str, tuple[str, ...]] | None) -> None:
    policy = policy_of(TEXT, files(granted))
    assert policy.resources[0].options.model_dump(mode="json") == {"paths": ["/srv/shop/uploads", "/srv/shop/other"]}


@pytest.mark.parametrize(
    ("granted", "wrong"),
    [
        ({}, [12, 31]),
        ({"billing": ("/srv",)}, [12, 31]),
        ({"shop": ("/srv/shop/uploads",)}, [31]),
        ({"shop": ("/srv/sho", "/srv/shop/upload", "/srv/shop/other/below")}, [12, 31]),
    ],
)
def test_what_is_not_granted_is_refused_at_its_place(granted: dict[str, tuple[str, ...]], wrong: list[int]) -> None:
    policy, findings = read(TEXT, files(granted))
    assert policy is None
    assert [(finding.line, finding.column) for finding in findings] == [(8, 1 + column) for column in wrong]
    assert "is not granted to shop" in findings[0].message
    assert findings[0].hint == f"paths: {{shop: [{findings[0].message.split()[1]}]}} in drorch.yaml"


def test_probes_of_files_are_refused_and_those_of_the_default_drill_left_out() -> None:
    probes = '    drill: {every: 7d, probes: [{sql: select 1, expect: "== 1"}]}\n'
    policy, (finding,) = read(TEXT + probes, files(None))
    assert policy is None
    assert finding.message == "kind files answers no probes"
    default = DrillRule(every=timedelta(days=7), probes=(Probe(sql="select 1", expect="== 1"),))
    resource = policy_of(TEXT, files(None, defaults={"drill": default})).resources[0]
    assert resource.drill == DrillRule(every=timedelta(days=7), **{"from": ("s3-west",)})  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "srv", "/srv/", "/srv//x", "/./srv", "/srv/..", "/a\nb", "/a\0b"])
def test_a_path_has_one_form(path: str) -> None:
    with pytest.raises(ValidationError):
        HostPath.model_validate(path)


def test_the_longest_grant_is_the_one_that_counts() -> None:
    assert granting("/srv/shop/x", ("/", "/srv/shop", "/srv")) == "/srv/shop"
    assert granting("/srv", ("/srv/shop",)) is None
    assert covers("/", "/srv")
    assert not covers("/srv", "/srv2")
