"""The error tree of the whole project.

    NightreelError
    |-- UserError (also a ValueError)      what was asked for can't be done, now or later
    |   |-- RequestError                   one row: names column, value, reason; is quarantined
    |   |-- ManifestError                  the manifest as a whole can't be read
    |   |   `-- ManifestMissingError       there is none
    |   |-- ConfigError                    unknown key, wrong type, values that don't fit
    |   |-- WeightsError                   a checkpoint folder is incomplete or damaged
    |   |-- ImageError                     a video's first frame can't be used
    |   `-- VideoFileError                 a video that was to be measured can't be
    |-- SegmentError                       one segment's actor failed or answered out of turn
    |   `-- NotFiniteError                 its latents became NaN or infinite
    |-- MemoryExceededError                a device or machine has less memory than it takes
    |-- SnapshotMismatchError              a snapshot is of another video, plan or step
    |-- EncodeError                        ffmpeg failed, or its file is not what was asked for
    |-- QualityError                       the finished film is black, frozen, torn: not delivered
    |-- StoreError                         the object store said no
    |   |-- StoreUnavailableError          unreachable, throttled, timed out: try again later
    |   |-- StoreAccessError               wrong or missing credentials, or no permission
    |   |-- StoreFullError                 no space left
    |   |-- ObjectMissingError             no object under that key
    |   |-- ObjectExistsError              create-only write found an object already there
    |   `-- ObjectCorruptError             size or checksum is not what was recorded
    |-- PausedError                        no failure: it was to stop, and goes on later from there
    |-- VideoCancelledError                somebody does not want this video any more
    `-- ClusterError                       the Ray cluster can't serve the job; retry elsewhere or
    later

Broken invariants of our own are plain ``AssertionError``: a bug, never an answer to a user.
"""

from __future__ import annotations

from typing import Any


class NightreelError(Exception):
    """Root of every error that nightreel raises on purpose."""


class UserError(NightreelError, ValueError):
    """What was asked for can't be done; trying again won't help."""


class RequestError(UserError):
    """One row of a manifest can't be rendered.

    Attributes:
        column: the manifest column at fault.
        value: what was found there.
        reason: what was expected instead, in one sentence.
    """

    def __init__(self, column: str, value: object, reason: str) -> None:
        super().__init__(column, value, reason)
        self.column = column
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.column} = {self.value!r}: {self.reason}"


class ManifestError(UserError):
    """The manifest as a whole can't be read."""


class ManifestMissingError(ManifestError):
    """There is no such file, folder, object or prefix, or nothing in it."""


class ConfigError(UserError):
    """The configuration is not valid."""


class WeightsError(UserError):
    """A checkpoint folder is missing something or is damaged."""


class ImageError(UserError):
    """A file that was to be a video's first frame can't be used as one."""


class VideoFileError(UserError):
    """A file that was to be measured is no video, is too short or can't be read to its end."""


class SegmentError(NightreelError):
    """One segment's actor failed or answered out of turn."""


class NotFiniteError(SegmentError):
    """A segment's latents became NaN or infinite: the model, not the process, is at fault."""


class MemoryExceededError(NightreelError):
    """A device, or the machine, has less memory than the engine takes.

    Attributes:
        profile: the memory profile that took too much; empty: it is not known, or there is none.
    """

    def __init__(self, message: str, profile: str = "") -> None:
        super().__init__(message, profile)
        self.profile = profile

    def __str__(self) -> str:
        return str(self.args[0])


class SnapshotMismatchError(NightreelError):
    """A snapshot is of another video, plan or step than the one that would go on from it."""


class EncodeError(NightreelError):
    """ffmpeg failed, or the file that it wrote is not what was asked for."""


class QualityError(NightreelError):
    """A finished film is over a limit of the quality gate and is not delivered.

    Attributes:
        figure: what was measured, such as ``black_share``.
        value: how much of it there is.
        limit: the setting that it is over, such as ``quality.max_black_share``.
        allowed: what that setting is.
    """

    def __init__(self, figure: str, value: float, limit: str, allowed: float) -> None:
        super().__init__(figure, value, limit, allowed)
        self.figure = figure
        self.value = value
        self.limit = limit
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.figure} = {self.value:.3g}: over {self.limit} = {self.allowed:g}"


class StoreError(NightreelError):
    """The object store said no."""


class StoreUnavailableError(StoreError):
    """The store is unreachable, throttled or timed out: a later run may succeed."""


class StoreAccessError(StoreError):
    """Credentials are wrong or missing, or they lack the permission."""


class StoreFullError(StoreError):
    """No space left where the object was to be written."""


class ObjectMissingError(StoreError):
    """There is no object under that key."""


class ObjectExistsError(StoreError):
    """A create-only write found an object already there."""


class ObjectCorruptError(StoreError):
    """An object's size or checksum is not what was written or recorded."""


class PausedError(NightreelError):
    """Work that was to stop has stopped; it goes on from its last snapshot."""


class VideoCancelledError(NightreelError):
    """A video that was being rendered, or was to be, is not wanted any more."""


class ClusterError(NightreelError):
    """The Ray cluster can't serve the job; retry elsewhere or later."""


def describe(error: BaseException) -> dict[str, Any]:
    """An error as plain values for ledgers and reports: its class name and its message."""
    return {"error": type(error).__name__, "message": str(error)}
