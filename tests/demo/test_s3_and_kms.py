"""The S3 and KMS repairs, each seen through boto3."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client
from moto.s3.models import FakeKey

from drorch.demo.aws import EmbeddedAws

HOME, SECOND, _ = REGIONS
PART = 5 * 1024 * 1024
WRONG = [
    {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
    {"ChecksumCRC32": "AAAAAA=="},
    {"ChecksumCRC32C": "AAAAAA=="},
    {"ChecksumCRC64NVME": "AAAAAAAAAAA="},
    {"ChecksumSHA1": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
    {"ChecksumSHA256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
]


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    made = client(aws, "s3")
    made.create_bucket(Bucket="vault", CreateBucketConfiguration={"LocationConstraint": HOME})
    return made


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def body(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket="vault", Key=key)["Body"].read())


@pytest.mark.parametrize("checksum", WRONG, ids=lambda checksum: next(iter(checksum)))
def test_a_wrong_checksum_is_refused_and_nothing_is_stored(s3: Any, checksum: dict[str, str]) -> None:
    assert error_code(lambda: s3.put_object(Bucket="vault", Key="a", Body=b"data", **checksum)) == "BadDigest"
    assert error_code(lambda: body(s3, "a")) == "NoSuchKey"


@pytest.mark.parametrize("checksum", WRONG, ids=lambda checksum: next(iter(checksum)))
def test_a_wrong_checksum_of_a_part_is_refused(s3: Any, checksum: dict[str, str]) -> None:
    upload = s3.create_multipart_upload(Bucket="vault", Key="a")["UploadId"]
    part = {"Bucket": "vault", "Key": "a", "UploadId": upload, "PartNumber": 1, "Body": b"data"}
    assert error_code(lambda: s3.upload_part(**part, **checksum)) == "BadDigest"
    assert "Parts" not in s3.list_parts(Bucket="vault", Key="a", UploadId=upload)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_right_checksums_pass(s3: Any, algorithm: str) -> None:
    s3.put_object(Bucket="vault", Key="a", Body=b"data", ChecksumAlgorithm=algorithm)
    assert body(s3, "a") == b"data"


def test_an_object_is_written_once(s3: Any) -> None:
    s3.put_object(Bucket="vault", Key="a", Body=b"first", IfNoneMatch="*")
    second = {"Bucket": "vault", "Key": "a", "Body": b"second", "IfNoneMatch": "*"}
    assert error_code(lambda: s3.put_object(**second)) == "PreconditionFailed"
    assert body(s3, "a") == b"first"


def test_of_eight_racing_writers_one_wins(s3: Any) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            s3.put_object(Bucket="vault", Key="race", Body=str(number).encode(), IfNoneMatch="*")
            outcomes.append("won")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes) == ["PreconditionFailed"] * 7 + ["won"]


def test_a_multipart_upload_is_completed_once(s3: Any) -> None:
    def upload(fill: bytes) -> Any:
        made = {"Bucket": "vault", "Key": "big"}
        made["UploadId"] = s3.create_multipart_upload(**made)["UploadId"]
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**made, PartNumber=number, Body=chunk)["ETag"]}
            for number, chunk in ((1, fill * PART), (2, fill))
        ]
        return lambda: s3.complete_multipart_upload(**made, MultipartUpload={"Parts": parts}, IfNoneMatch="*")

    first, second = upload(b"1"), upload(b"2")
    first()
    assert error_code(second) == "PreconditionFailed"
    assert body(s3, "big") == b"1" * (PART + 1)


def test_write_once_ends_at_a_delete_marker(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="vault", Key="a", Body=b"first", IfNoneMatch="*")
    s3.delete_object(Bucket="vault", Key="a")
    s3.put_object(Bucket="vault", Key="a", Body=b"second", IfNoneMatch="*")
    assert body(s3, "a") == b"second"
    assert len(s3.list_object_versions(Bucket="vault", Prefix="a")["Versions"]) == 2


def test_a_listing_of_versions_reads_no_contents(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_object(Bucket="vault", Key="a", Body=b"first")
    (listed,) = s3.list_object_versions(Bucket="vault")["Versions"]
    with monkeypatch.context() as patched:
        patched.setattr(FakeKey, "value", property(lambda _key: pytest.fail("the contents were read")))
        (again,) = s3.list_object_versions(Bucket="vault")["Versions"]
    assert (again["Size"], again["ETag"], again["IsLatest"]) == (5, listed["ETag"], True)
    assert body(s3, "a") == b"first"


# --- locks and unfinished uploads ------------------------------------------------------------------------------------

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


@pytest.fixture
def locked(aws: EmbeddedAws) -> Any:
    made = client(aws, "s3")
    made.create_bucket(
        Bucket="vault", CreateBucketConfiguration={"LocationConstraint": HOME}, ObjectLockEnabledForBucket=True
    )
    return made


def lock(mode: str, until: datetime = SOON) -> dict[str, Any]:
    return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}


def lock_of(s3: Any, key: str) -> tuple[str | None, datetime | None]:
    head = s3.head_object(Bucket="vault", Key=key)
    return head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")


def send(s3: Any, key: str, **settings: Any) -> None:
    upload = {"Bucket": "vault", "Key": key}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **settings)["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"data")["ETag"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})


def test_a_multipart_upload_keeps_the_lock_that_it_began_with(locked: Any) -> None:
    send(locked, "big", **lock("COMPLIANCE"))
    send(locked, "plain")
    assert lock_of(locked, "big") == ("COMPLIANCE", SOON)
    assert lock_of(locked, "plain") == (None, None)


def test_a_multipart_upload_with_a_lock_into_a_bucket_without_is_refused(s3: Any) -> None:
    assert error_code(lambda: send(s3, "big", **lock("COMPLIANCE"))) == "InvalidRequest"


def test_the_buckets_default_locks_what_comes_in_parts(locked: Any) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    locked.put_object_lock_configuration(
        Bucket="vault", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    send(locked, "big")
    mode, until = lock_of(locked, "big")
    assert mode == "GOVERNANCE"
    assert until is not None and until > SOON


@pytest.mark.parametrize(("mode", "bypass"), [("COMPLIANCE", True), ("COMPLIANCE", False), ("GOVERNANCE", False)])
def test_a_locked_version_is_not_deleted(locked: Any, mode: str, bypass: bool) -> None:
    version = locked.put_object(Bucket="vault", Key="a", Body=b"data", ChecksumAlgorithm="CRC32", **lock(mode))
    named = {"Bucket": "vault", "Key": "a", "VersionId": version["VersionId"]}
    extra = {"BypassGovernanceRetention": True} if bypass else {}
    assert error_code(lambda: locked.delete_object(**named, **extra)) == "AccessDenied"
    assert body(locked, "a") == b"data"


def retain(s3: Any, mode: str, until: datetime, **extra: Any) -> None:
    s3.put_object_retention(Bucket="vault", Key="a", Retention={"Mode": mode, "RetainUntilDate": until}, **extra)


@pytest.mark.parametrize("bypass", [{}, {"BypassGovernanceRetention": True}])
def test_a_compliance_retention_only_grows(locked: Any, bypass: dict[str, Any]) -> None:
    locked.put_object(Bucket="vault", Key="a", Body=b"data", ChecksumAlgorithm="CRC32", **lock("COMPLIANCE"))
    later = SOON + timedelta(hours=1)
    shorter = SOON - timedelta(minutes=1)
    assert error_code(lambda: retain(locked, "COMPLIANCE", shorter, **bypass)) == "AccessDenied"
    assert error_code(lambda: retain(locked, "GOVERNANCE", later, **bypass)) == "AccessDenied"
    assert lock_of(locked, "a") == ("COMPLIANCE", SOON)
    retain(locked, "COMPLIANCE", later, **bypass)
    assert lock_of(locked, "a") == ("COMPLIANCE", later)


def test_a_governance_retention_is_shortened_by_who_bypasses_it_only(locked: Any) -> None:
    locked.put_object(Bucket="vault", Key="a", Body=b"data", ChecksumAlgorithm="CRC32", **lock("GOVERNANCE"))
    shorter = SOON - timedelta(minutes=1)
    assert error_code(lambda: retain(locked, "GOVERNANCE", shorter)) == "AccessDenied"
    retain(locked, "GOVERNANCE", shorter, BypassGovernanceRetention=True)
    assert lock_of(locked, "a") == ("GOVERNANCE", shorter)


def test_unfinished_uploads_are_listed_in_pages_with_their_instant(s3: Any) -> None:
    begun = {
        (key, s3.create_multipart_upload(Bucket="vault", Key=key)["UploadId"]) for key in ("x", "a", "b", "b", "c")
    }
    found: list[Any] = []
    marker: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket="vault", MaxUploads=2, **marker)
        assert len(page["Uploads"]) <= 2
        found += page["Uploads"]
        if not page["IsTruncated"]:
            break
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert {(upload["Key"], upload["UploadId"]) for upload in found} == begun
    assert [upload["Key"] for upload in found] == ["a", "b", "b", "c", "x"]
    assert all(abs(upload["Initiated"] - datetime.now(UTC)) < timedelta(minutes=5) for upload in found)
    after = s3.list_multipart_uploads(Bucket="vault", KeyMarker="b")["Uploads"]
    assert [upload["Key"] for upload in after] == ["c", "x"]


def test_a_multi_region_key_decrypts_at_home_and_in_its_replica(aws: EmbeddedAws) -> None:
    kms = client(aws, "kms")
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=key, ReplicaRegion=SECOND)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext={"for": "test"})["CiphertextBlob"]
    for region in (HOME, SECOND):
        opened = client(aws, "kms", region).decrypt(CiphertextBlob=sealed, EncryptionContext={"for": "test"})
        assert opened["Plaintext"] == b"secret"


def test_a_key_is_for_encryption_unless_it_says_otherwise(aws: EmbeddedAws) -> None:
    kms = client(aws, "kms")
    assert kms.create_key()["KeyMetadata"]["KeyUsage"] == "ENCRYPT_DECRYPT"
    made = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    assert made["KeyMetadata"]["KeyUsage"] == "SIGN_VERIFY"


def test_a_single_region_key_still_decrypts_at_home_only(aws: EmbeddedAws) -> None:
    kms = client(aws, "kms")
    sealed = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"secret")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"secret"
    there = client(aws, "kms", SECOND)
    assert error_code(lambda: there.decrypt(CiphertextBlob=sealed)) == "AccessDeniedException"


def test_a_dry_run_of_a_data_key_answers_by_an_error_and_a_key_that_is_not_enabled_by_another(aws: EmbeddedAws) -> None:
    kms = client(aws, "kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]

    def answer(**more: Any) -> str:
        with pytest.raises(ClientError) as refused:
            kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256", **more)
        return str(refused.value.response["Error"]["Code"])

    assert kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
    assert answer(DryRun=True) == "DryRunOperationException"
    kms.disable_key(KeyId=key)
    assert (answer(DryRun=True), answer()) == ("DisabledException",) * 2
    kms.schedule_key_deletion(KeyId=key)
    assert (answer(DryRun=True), answer()) == ("KMSInvalidStateException",) * 2
