"""What surrounds a Beam pipeline in its driver; imports no Beam, which takes a second."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fakeout_core.errors import ConfigError, FakeoutError
from pipelines import storage

_log = logging.getLogger(__name__)


@contextmanager
def spool(uri: str) -> Iterator[None]:
    """Remove at the end what a pipeline left for its driver, whatever happens in the block."""
    try:
        yield
    finally:
        try:
            for item in list(storage.list_objects(uri)):
                storage.delete(item.uri)
            storage.prune(uri)
        except (ConfigError, FileNotFoundError):
            pass  # the pipeline had not come so far as to write there
        except FakeoutError as error:
            _log.warning("left files below %s: %s", uri, error)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Keep Beam's remarks about optional Google clients, made at import, out of people's sight."""
    root = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return "apitools not found" not in record.getMessage()

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
