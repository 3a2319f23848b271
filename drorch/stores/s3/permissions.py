"""What the S3 adapter has to be allowed to do, and which operation asks for which right.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html ("Required permissions for
Amazon S3 API operations"): most operations are authorised as the action of their name, those of `_ACTIONS` are not.
"""

from __future__ import annotations

from collections.abc import Mapping

READING = ("s3:ListBucket", "s3:GetObject")
WRITING = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads")
HISTORY = ("s3:ListBucketVersions", "s3:GetObjectVersion")
"""On a versioned bucket: what lies under a delete marker or a newer version."""
LOOKING_AT_LOCKS = ("s3:GetBucketObjectLockConfiguration", "s3:GetObjectRetention")
"""HeadObject shows no lock to who may not read it (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html)."""
LOCKING = ("s3:PutObjectRetention",)
LETTING_GO = ("s3:DeleteObject", "s3:DeleteObjectVersion")

PERMISSIONS = (*READING, *WRITING, *HISTORY, *LOOKING_AT_LOCKS, *LOCKING, *LETTING_GO)

_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "HeadObject": "s3:GetObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
}
_OF_A_VERSION = frozenset({"s3:GetObject", "s3:DeleteObject"})
"""Authorised as an action of its own where the request names a version."""


def actions_of(operation: str, request: Mapping[str, object]) -> tuple[str, ...]:
    """The IAM actions that a call needs. `request` has its parameters, in boto's spelling."""
    action = _ACTIONS.get(operation, f"s3:{operation}")
    if action in _OF_A_VERSION and "VersionId" in request:
        action += "Version"
    locks = "ObjectLockMode" in request and action == "s3:PutObject"
    return (action, *LOCKING) if locks else (action,)
