"""What botocore's errors mean to a store. Messages carry the server's words, never a secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import (
    ObjectCorruptError,
    ObjectExistsError,
    ObjectMissingError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class ConflictError(StoreUnavailableError):
    """Another writer was at the same key, or the upload is gone: do the whole write again."""


class NotSupportedError(StoreError):
    """The server doesn't know the request or one of its options."""


_BY_CODE: Final[dict[str, type[StoreError]]] = {
    "AccessDenied": StoreAccessError,
    "AllAccessDisabled": StoreAccessError,
    "AuthorizationHeaderMalformed": StoreAccessError,
    "ExpiredToken": StoreAccessError,
    "InvalidAccessKeyId": StoreAccessError,
    "InvalidToken": StoreAccessError,
    "RequestTimeTooSkewed": StoreAccessError,
    "SignatureDoesNotMatch": StoreAccessError,
    "TokenRefreshRequired": StoreAccessError,
    "BadDigest": ObjectCorruptError,
    "InvalidDigest": ObjectCorruptError,
    "XAmzContentChecksumMismatch": ObjectCorruptError,
    "XAmzContentSHA256Mismatch": ObjectCorruptError,
    "InsufficientStorage": StoreFullError,
    "QuotaExceeded": StoreFullError,
    "XMinioStorageFull": StoreFullError,
    "NoSuchBucket": StoreUnavailableError,
    "NoSuchUpload": ConflictError,
    "NotImplemented": NotSupportedError,
    "PermanentRedirect": StoreUnavailableError,
    "RequestTimeout": StoreUnavailableError,
    "SlowDown": StoreUnavailableError,
    "TemporaryRedirect": StoreUnavailableError,
}
_BY_STATUS: Final[dict[int, type[StoreError]]] = {
    301: StoreUnavailableError,
    307: StoreUnavailableError,
    401: StoreAccessError,
    403: StoreAccessError,
    404: ObjectMissingError,
    408: StoreUnavailableError,
    409: ConflictError,
    412: ObjectExistsError,
    429: StoreUnavailableError,
    501: NotSupportedError,
    507: StoreFullError,
}
_ACCESS: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.NoAuthTokenError,
)
_OUR_FAULT: Final = (boto.ParamValidationError, boto.UnknownParameterError)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn botocore's errors inside into StoreErrors that name ``where`` and what went wrong.

    Raises:
        StoreAccessError: credentials missing, wrong or expired, or lacking the permission.
        StoreFullError: a quota is used up or the server has no space.
        StoreUnavailableError: no connection, timeout, throttled, no such bucket, wrong region.
        ObjectMissingError, ObjectExistsError, ObjectCorruptError: 404, 412, a wrong checksum.
    """
    try:
        yield
    except ClientError as error:
        raise of_response(error, where) from error
    except boto.FlexibleChecksumError as error:
        raise ObjectCorruptError(f"{where}: damaged on the way here: {error}") from error
    except _ACCESS as error:
        raise StoreAccessError(f"{where}: {error}") from error
    except _OUR_FAULT as error:
        raise StoreError(f"{where}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnavailableError(f"{where}: {error}") from error


def of_response(error: ClientError, where: str) -> StoreError:
    """The StoreError that a server's refusal amounts to."""
    status, code = status_of(error), code_of(error)
    words = error.response.get("Error", {}).get("Message") or f"HTTP {status}"
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is None:
        kind = StoreUnavailableError if status >= 500 else StoreError
    if status == 413 and "quota" in words.lower():
        kind = StoreFullError
    return kind(f"{where}: {code}: {words}")


def code_of(error: ClientError) -> str:
    """S3's name for the error, such as ``NoSuchKey``; for a HEAD only the status as text."""
    return str(error.response.get("Error", {}).get("Code", "")) or "error"


def status_of(error: ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
