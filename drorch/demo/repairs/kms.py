"""KMS: decryption under multi-Region keys, dry runs, and one lookup that EC2 and RDS share.

Multi-Region key ids have 40 characters (``mrk-`` + 36); moto's ciphertext header keeps 36, so that decrypting with one
is always AccessDenied. https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

from __future__ import annotations

from typing import Any

import moto.kms.utils as kms_utils
from moto.core.exceptions import JsonRESTError, ServiceException
from moto.kms.models import KmsBackend, kms_backends
from moto.kms.policy_validator import ALTERNATIVE_ACTIONS
from moto.kms.responses import KmsResponse

from drorch.demo.repairs.replacing import around

_MULTI_REGION_ID_CHARACTERS = 40
_DATA_KEY = "kms:GenerateDataKeyWithoutPlaintext"

_utils: Any = kms_utils
_utils.KEY_ID_LEN = _MULTI_REGION_ID_CHARACTERS
_utils.HEADER_LEN = _MULTI_REGION_ID_CHARACTERS + kms_utils.IV_LEN + kms_utils.TAG_LEN
_utils.CIPHERTEXT_HEADER_FORMAT = f">{_MULTI_REGION_ID_CHARACTERS}s{kms_utils.IV_LEN}s{kms_utils.TAG_LEN}s"


@around(kms_utils, "_deserialize_ciphertext_blob")
def _deserialize_ciphertext_blob(original: Any, ciphertext_blob: bytes) -> Any:
    ciphertext = original(ciphertext_blob)
    return ciphertext._replace(key_id=ciphertext.key_id.rstrip("\0"))


@around(KmsBackend, "create_key")
def _create_key(original: Any, self: Any, policy: str | None, key_usage: str | None, *args: Any, **kwargs: Any) -> Any:
    """A key is for encryption unless it says otherwise (KMS API, CreateKey, KeyUsage)."""
    return original(self, policy, key_usage or "ENCRYPT_DECRYPT", *args, **kwargs)


_UNUSABLE = {"Disabled": "DisabledException", "Enabled": ""}
ALTERNATIVE_ACTIONS[_DATA_KEY] = ["kms:*", "kms:GenerateDataKey*", _DATA_KEY]


@around(KmsResponse, "generate_data_key_without_plaintext")
def _generate_data_key_without_plaintext(original: Any, self: Any) -> Any:
    """A dry run answers by an error; a key that is not enabled by another, in either case, and so does its policy
    (KMS API, GenerateDataKeyWithoutPlaintext, Errors and DryRun).
    """
    name = self._get_param("KeyId")
    self._validate_key_id(name)
    self._validate_key_policy(name, _DATA_KEY)
    state = self.kms_backend.describe_key(self.kms_backend.get_key_id(name)).key_state
    if code := _UNUSABLE.get(state, "KMSInvalidStateException"):
        raise JsonRESTError(code, f"{name} is {state}")
    if self._get_param("DryRun"):
        raise JsonRESTError("DryRunOperationException", "The request would have succeeded")
    return original(self)


@around(KmsBackend, "create_alias")
def _create_alias(original: Any, self: Any, target_key_id: str, alias_name: str) -> Any:
    """Keys under ``alias/aws/`` are those that AWS manages (KMS API, KeyMetadata, KeyManager)."""
    made = original(self, target_key_id, alias_name)
    if alias_name.startswith("alias/aws/"):
        self.describe_key(target_key_id).key_manager = "AWS"
    return made


def is_default(account: str, region: str, key: str | None) -> bool:
    """Whether AWS manages the key: it is no account's to share."""
    if not key:
        return False
    try:
        return kms_backends[account][region].describe_key(key).key_manager == "AWS"
    except (KeyError, AttributeError, ServiceException):
        return False


def key_arn(account: str, region: str, key: str) -> str | None:
    """The ARN of an enabled key of `region`, named by id, alias or either's ARN; None when it cannot be used there."""
    if key.startswith("arn:") and key.split(":")[3] != region:
        return None
    try:
        found = kms_backends[account][region].describe_key(key)
    except (KeyError, AttributeError, ServiceException):  # moto trips over the None that an unknown alias gives
        return None
    return str(found.arn) if found.key_state == "Enabled" else None
