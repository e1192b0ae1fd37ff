"""Checkpoints by URI: a local path to load from, wherever the file is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fakeout_core.errors import CheckpointError, MediaError
from pipelines.storage import fetch, local_path

MAX_CHECKPOINT_BYTES = 4 << 30
"""Above any FakeOut or MMV checkpoint (x2: about 0.6 GB of parameters, thrice that with state)."""


@contextmanager
def local_checkpoint(uri: str | None) -> Iterator[str | None]:
    """Give a local path to the checkpoint at ``uri`` for as long as the block runs.

    Args:
        uri: local path, ``gs://`` or ``s3://`` URI, or None for no checkpoint.

    Yields:
        The path, or None.

    Raises:
        CheckpointError: the file does not exist or cannot be read.
    """
    if uri is None:
        yield None
        return
    path = local_path(uri)
    if path is not None:
        if not Path(path).is_file():
            raise CheckpointError(f"checkpoint {uri} does not exist")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="fakeout-checkpoint-") as folder:
        copy = str(Path(folder) / PurePosixPath(uri).name)
        try:
            fetch(uri, copy, MAX_CHECKPOINT_BYTES)
        except MediaError as error:
            raise CheckpointError(f"checkpoint {uri} cannot be read: {error}") from None
        yield copy
