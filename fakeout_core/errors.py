"""Errors by kind: a bad input becomes a row, a bad configuration or a bug raises.

Every exception here carries its facts as fields, prints what was wanted, what was found and what
to do next, and pickles, because it travels between Ray workers.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a video has no score. The list is closed: tables, alerts and retries depend on it."""

    # Permanent: the same bytes will fail again. Retried only when the content changes.
    EMPTY = "empty"  # zero bytes
    UNREADABLE = "unreadable"  # no demuxer or decoder makes sense of it
    UNSUPPORTED = "unsupported"  # understood, and not a video we take (image, 4:4:4 HDR alpha, ...)
    FORBIDDEN = "forbidden"  # points outside itself: playlist, concat script, data reference
    NO_VIDEO = "no_video"  # no video stream, or one that yields no frame
    NO_FACE = "no_face"  # decoded, and no face track long enough
    TOO_SHORT = "too_short"  # fewer frames than the least we score
    TOO_LARGE = "too_large"  # over the limit on bytes, pixels, frames or duration
    CRASHED = "crashed"  # the decoder process died of a signal
    # Transient: worth another attempt, up to a limit.
    TIMEOUT = "timeout"  # over the wall-clock limit for one video
    OUT_OF_MEMORY = "out_of_memory"  # over the memory limit for one video
    STORAGE = "storage"  # object store or file system failed after its own retries
    DISK_FULL = "disk_full"  # no room for the local copy
    NOT_FOUND = "not_found"  # listed, and gone when read
    CHANGED = "changed"  # kept changing while it was read
    INTERNAL = "internal"  # an exception nobody foresaw; its text is in the message


TRANSIENT = frozenset(
    {
        Reason.TIMEOUT,
        Reason.OUT_OF_MEMORY,
        Reason.STORAGE,
        Reason.DISK_FULL,
        Reason.NOT_FOUND,
        Reason.CHANGED,
        Reason.INTERNAL,
    }
)


class FakeoutError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(FakeoutError):
    """A setting, command line or configuration file is wrong. Exit code 2."""


class CheckpointError(FakeoutError):
    """A checkpoint is refused: hostile, damaged, or another network. Exit code 2."""


class MediaError(FakeoutError):
    """One video cannot be used. Becomes a row with ``reason``; never stops a job.

    Attributes:
        reason: the closed-list reason.
        detail: one line for people: what was found, what was wanted.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = Reason(reason)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"

    @property
    def is_transient(self) -> bool:
        """Whether another attempt on the same bytes could succeed."""
        return self.reason in TRANSIENT


class StorageError(FakeoutError):
    """The lake or a corpus cannot be read or written after retries. Exit code 1."""


class LockedError(FakeoutError):
    """Another run holds the dataset's lock. Exit code 1."""


class PlacementError(FakeoutError):
    """No machine of the cluster has room for a stage's worker. Exit code 1."""
