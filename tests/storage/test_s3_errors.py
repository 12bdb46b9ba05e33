"""What can be wrong with a bucket, a server or credentials, and the name that each gets."""

from __future__ import annotations

import traceback
import zlib
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    FlexibleChecksumError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)

from pipeline import errors
from storage import backoff
from storage.backoff import LONGEST_DELAY_S, delay, retry
from storage.connection import S3Options
from storage.location import parse_location
from storage.open import open_store
from storage.s3 import S3Store
from storage.s3_errors import ConflictError, NotSupportedError, translated
from storage.s3_upload import MAX_PARTS, part_bytes_for

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.s3_server import S3Server

SECRET = "hunter2-is-a-secret"


def answer(status: int, code: str, message: str = "words") -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
        },
        "PutObject",
    )


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", errors.StoreAccessError),
        (403, "403", errors.StoreAccessError),
        (401, "Unauthorized", errors.StoreAccessError),
        (403, "InvalidAccessKeyId", errors.StoreAccessError),
        (400, "ExpiredToken", errors.StoreAccessError),
        (400, "AuthorizationHeaderMalformed", errors.StoreAccessError),
        (404, "NoSuchBucket", errors.StoreUnavailableError),
        (404, "NoSuchKey", errors.ObjectMissingError),
        (404, "404", errors.ObjectMissingError),
        (404, "NoSuchUpload", ConflictError),
        (409, "ConditionalRequestConflict", ConflictError),
        (412, "PreconditionFailed", errors.ObjectExistsError),
        (400, "BadDigest", errors.ObjectCorruptError),
        (400, "XAmzContentSHA256Mismatch", errors.ObjectCorruptError),
        (400, "InvalidArgument", errors.StoreError),
        (301, "PermanentRedirect", errors.StoreUnavailableError),
        (429, "TooManyRequests", errors.StoreUnavailableError),
        (500, "InternalError", errors.StoreUnavailableError),
        (501, "NotImplemented", NotSupportedError),
        (503, "SlowDown", errors.StoreUnavailableError),
        (507, "InsufficientStorage", errors.StoreFullError),
        (507, "XMinioStorageFull", errors.StoreFullError),
        (403, "QuotaExceeded", errors.StoreFullError),
    ],
)
def test_answers_by_name(status: int, code: str, kind: type[errors.StoreError]) -> None:
    with pytest.raises(errors.StoreError) as caught, translated("s3://bucket/k"):
        raise answer(status, code)
    assert type(caught.value) is kind
    assert str(caught.value) == f"s3://bucket/k: {code}: words"


def test_swift_quota_is_full() -> None:
    with pytest.raises(errors.StoreFullError), translated("x"):
        raise answer(413, "EntityTooLarge", "Upload exceeds quota.")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectTimeoutError(endpoint_url="u"), errors.StoreUnavailableError),
        (ReadTimeoutError(endpoint_url="u"), errors.StoreUnavailableError),
        (SSLError(endpoint_url="u", error="bad"), errors.StoreUnavailableError),
        (FlexibleChecksumError(error_msg="differs"), errors.ObjectCorruptError),
        (ParamValidationError(report="bad"), errors.StoreError),
    ],
)
def test_client_errors_by_name(error: Exception, kind: type[errors.StoreError]) -> None:
    with pytest.raises(errors.StoreError) as caught, translated("x"):
        raise error
    assert type(caught.value) is kind


def test_missing_bucket(moto_options: S3Options) -> None:
    store = open_store("s3://no-such-bucket/x", s3=moto_options)
    url = str(moto_options.endpoint_url)
    with pytest.raises(errors.StoreUnavailableError, match=f"s3://no-such-bucket/x at {url}"):
        store.check()
    with pytest.raises(errors.StoreUnavailableError, match="NoSuchBucket"):
        store.put_bytes("a", b"1")


def test_nobody_listens(credentials: None) -> None:
    options = S3Options(endpoint_url="http://127.0.0.1:9", max_attempts=1)
    with pytest.raises(
        errors.StoreUnavailableError, match=r"s3://bucket.* at http://127\.0\.0\.1:9"
    ):
        open_store("s3://bucket/x", s3=options).check()


def test_no_credentials(moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    options = S3Options(endpoint_url=moto_url)
    with pytest.raises(errors.StoreAccessError, match=r"[Uu]nable to locate credentials"):
        open_store("s3://bucket/x", s3=options).check()
    with pytest.raises(errors.StoreAccessError, match="nobody"):
        open_store("s3://bucket/x", s3=S3Options(endpoint_url=moto_url, profile="nobody"))


def test_credentials_from_a_profile(
    moto_options: S3Options, moto_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[night]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    options = S3Options(endpoint_url=moto_options.endpoint_url, profile="night")
    store = open_store(f"s3://{moto_bucket}", s3=options)
    store.put_bytes("a", b"1")
    assert list(store.list_keys("")) == ["a"]


@pytest.mark.s3
def test_wrong_credentials(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store = open_store(f"s3://{s3_bucket}/x", s3=s3_server.options())
    for call in (
        store.check,
        lambda: store.put_bytes("a", b"1"),
        lambda: store.head("a"),
        lambda: list(store.list_keys("")),
        lambda: store.get_bytes("a"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(errors.StoreAccessError, match=s3_bucket) as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value)) + repr(store)
        assert SECRET not in shown
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody:nobody")
    with pytest.raises(errors.StoreAccessError):
        open_store(f"s3://{s3_bucket}/x", s3=s3_server.options()).check()


def test_the_servers_own_checksum_is_preferred(
    moto_client: S3Client, moto_options: S3Options, moto_bucket: str
) -> None:
    store = open_store(f"s3://{moto_bucket}", s3=moto_options)
    note = {"nightreel-crc32": "00000001"}
    moto_client.put_object(
        Bucket=moto_bucket, Key="a", Body=b"film", ChecksumAlgorithm="CRC32", Metadata=note
    )
    found = store.head("a")
    assert found is not None
    assert found.crc32 == zlib.crc32(b"film")
    moto_client.put_object(Bucket=moto_bucket, Key="b", Body=b"film", ChecksumAlgorithm="SHA256")
    foreign = store.head("b")
    assert foreign is not None
    assert foreign.size_bytes == 4


def test_old_servers_that_want_no_checksums(moto_options: S3Options, moto_bucket: str) -> None:
    options = S3Options(
        endpoint_url=moto_options.endpoint_url, region="us-east-1", checksums="when_required"
    )
    store = open_store(f"s3://{moto_bucket}", s3=options)
    info = store.put_bytes("a", b"film")
    assert store.head("a") == info


def test_content_type_and_metadata_arrive(
    moto_client: S3Client, moto_options: S3Options, moto_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"film")
    store = open_store(f"s3://{moto_bucket}/job", s3=moto_options)
    store.put_file("f.mp4", tmp_path / "f", content_type="video/mp4", metadata={"video": "cat"})
    head = moto_client.head_object(Bucket=moto_bucket, Key="job/f.mp4")
    assert head["ContentType"] == "video/mp4"
    assert head["Metadata"]["video"] == "cat"


def test_listing_over_many_pages(
    moto_options: S3Options, moto_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(parse_location(f"s3://{moto_bucket}"), moto_options)
    for number in range(25):
        store.put_bytes(f"k{number:02d}", b"", overwrite=True)
    paginate = store._client.get_paginator("list_objects_v2").paginate
    pages = paginate(Bucket=moto_bucket, PaginationConfig={"PageSize": 10})
    monkeypatch.setattr(store._client, "get_paginator", lambda _: _Pages(pages))
    assert list(store.list_keys("")) == [f"k{number:02d}" for number in range(25)]


class _Pages:
    def __init__(self, pages: object) -> None:
        self._pages = pages

    def paginate(self, **_: object) -> object:
        return self._pages


def test_parts_of_very_large_files() -> None:
    gib = 1 << 30
    assert part_bytes_for(gib, 16 << 20) == 16 << 20
    for size_bytes in (160 * gib, 1000 * gib, 5000 * gib):
        part_bytes = part_bytes_for(size_bytes, 16 << 20)
        assert part_bytes % (1 << 20) == 0
        assert -(-size_bytes // part_bytes) <= MAX_PARTS


def test_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(0 <= delay(failures) <= LONGEST_DELAY_S for failures in range(60))
    assert max(delay(0) for _ in range(50)) <= backoff.FIRST_DELAY_S
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ConflictError("again")

    monkeypatch.setattr(backoff, "FIRST_DELAY_S", 0.001)
    with pytest.raises(ConflictError):
        retry(fail, 4, (ConflictError,))
    assert len(calls) == 4
    with pytest.raises(ConflictError):
        retry(fail, 4, (errors.StoreFullError,))
    assert len(calls) == 5
