"""The KMS keys of an account and region, as KMS itself describes them, and whether this caller could encrypt with one.

The dry run answers by an error of its own and makes nothing
(https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drorch.aws import code_of, mapped
from drorch.domain.errors import DrorchError, NotFound, Refused, Unavailable
from drorch.domain.kms import KmsKey
from drorch.domain.model import native_vault_name
from drorch.kinds import described_key

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = ("kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext")
"""The second for the dry run alone, whose answer is an error; what it would make is useless without the key."""

WOULD_WORK = "DryRunOperationException"
ABSENT = "NotFoundException"
DENIED = frozenset({"AccessDeniedException", "InvalidArnException"})
"""KMS's own words about the key; any other refusal (credentials, a region that is off) is not about the key."""


class AwsKmsKeys:
    """Keys at KMS (KmsKeys)."""

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def describe(self, account: str, region: str, key: str) -> KmsKey:
        """DescribeKey. NotFound and Refused are KMS's own word on the key; whatever else goes wrong is Unavailable."""
        said = {"operation": "kms DescribeKey", "resource": key, "vault": native_vault_name(account, region)}
        try:
            found = described_key(self._accounts, account, region, key)
        except (NotFound, Refused) as error:
            if code_of(error) == ABSENT or code_of(error) in DENIED:
                raise
            raise Unavailable("the key could not be asked about", cause=error.cause, hint=error.hint, **said) from error
        if not found.state:
            raise Unavailable("the reply to DescribeKey tells of no key", **said)
        return found

    def require_use(self, account: str, region: str, key: str) -> None:
        """GenerateDataKeyWithoutPlaintext as a dry run; its answer is an error whichever way it is.

        An endpoint that knows no dry runs makes a data key that is thrown away, encrypted as it comes.
        """
        client = self._accounts.client("kms", account, region)
        try:
            with mapped("kms GenerateDataKeyWithoutPlaintext", resource=key, vault=native_vault_name(account, region)):
                client.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256", DryRun=True)
        except DrorchError as error:
            if code_of(error) != WOULD_WORK:
                raise
