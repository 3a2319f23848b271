from __future__ import annotations

import json

import pytest
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from drorch.domain.errors import Refused
from drorch.domain.iam import MOST_CHARACTERS, Statement, characters, documents

MANY = tuple(f"arn:aws:rds:us-east-1:111111111111:db:shop-{number:03}" for number in range(400))


def test_what_fits_is_one_document_in_iams_grammar() -> None:
    (document,) = documents(
        [Statement("Look", ("ec2:DescribeVolumes",), ("*",)), Statement("Do", ("s3:PutObject",), ("arn:aws:s3:::a/*",))]
    )
    assert [statement["Sid"] for statement in document["Statement"]] == ["Look", "Do"]
    IAMPolicyDocumentValidator(json.dumps(document)).validate()


def test_what_does_not_fit_is_divided_and_nothing_is_lost() -> None:
    whole = Statement("Cut", ("rds:CreateDBSnapshot",), MANY, {"StringEquals": {"aws:RequestTag/a": "b"}})
    made = documents([Statement("Look", ("ec2:DescribeVolumes",), ("*",)), whole])
    assert len(made) > 1
    assert all(characters(document) <= MOST_CHARACTERS for document in made)
    parts = [s for document in made for s in document["Statement"] if s["Sid"].startswith("Cut")]
    assert sorted(arn for part in parts for arn in part["Resource"]) == sorted(MANY)
    assert all(part["Condition"] == {"StringEquals": {"aws:RequestTag/a": "b"}} for part in parts)
    for document in made:
        IAMPolicyDocumentValidator(json.dumps(document)).validate()


def test_sids_are_unique_in_a_document() -> None:
    for document in documents([Statement("Cut", ("rds:CreateDBSnapshot",), MANY)], most=20_000):
        sids = [statement["Sid"] for statement in document["Statement"]]
        assert len(sids) == len(set(sids))


def test_a_statement_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(Refused):
        documents([Statement("Cut", ("a:" + "B" * 200,), ("*",))], most=100)
