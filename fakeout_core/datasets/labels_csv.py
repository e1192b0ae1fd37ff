"""The label file of a custom corpus: ``path,label[,manipulation,source_id,split]``."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from fakeout_core.datasets.facts import FAKE, REAL, Facts
from fakeout_core.errors import ConfigError

PATH_COLUMNS = ("path", "filename", "file", "video", "video_id")
OPTIONAL_COLUMNS = ("label", "manipulation", "source_id", "split")
LABELS: dict[str, int | None] = {
    "": None,
    "unknown": None,
    "0": REAL,
    "real": REAL,
    "1": FAKE,
    "fake": FAKE,
}


@dataclass(frozen=True)
class LabelFile:
    """Labels by path, in the file's order.

    Attributes:
        facts: by path inside the corpus; ``entry`` counts from 0.
        has_splits: whether the file has a column ``split``.
        n_repeated: rows left out because an earlier row has the same path.
    """

    facts: dict[str, Facts]
    has_splits: bool
    n_repeated: int


def normal_path(text: str, source_uri: str = "") -> str:
    """Bring a path of a label file to the form of a video_id.

    Args:
        text: relative path, or a URI below ``source_uri``; backslashes count as separators only
            where the text has no slash at all, since they are legal in names.
        source_uri: root of the corpus.
    """
    path = text.replace("\\", "/") if "/" not in text else text
    root = source_uri.rstrip("/") + "/"
    if source_uri and path.startswith(root):
        path = path[len(root) :]
    while path.startswith("./"):
        path = path[2:]
    return path


def parse_labels(content: bytes, name: str, source_uri: str = "") -> LabelFile:
    """Read a label file.

    Args:
        content: UTF-8 CSV with a header, with or without byte order mark.
        name: of the file, for messages.
        source_uri: root of the corpus, for rows that hold whole URIs.

    Returns:
        Facts by path. A repeated path keeps its first row, as FakeOut's script does.

    Raises:
        ConfigError: not UTF-8, no header, a missing column, or a label nobody knows.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"labels {name}: not UTF-8 text ({error.reason}); save as UTF-8"
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    empty: list[str] = []
    first = next(reader, empty)
    header = [column.strip().lower() for column in first]
    path_column = next((column for column in PATH_COLUMNS if column in header), None)
    if path_column is None or not set(header) & set(OPTIONAL_COLUMNS):
        found = ", ".join(repr(column) for column in header) or "an empty file"
        raise ConfigError(
            f"labels {name}: wanted a header 'path,label[,manipulation,source_id,split]', "
            f"found {found}"
        )
    place = {column: header.index(column) for column in OPTIONAL_COLUMNS if column in header}
    at_path = header.index(path_column)
    facts: dict[str, Facts] = {}
    n_repeated = 0
    for row in reader:
        if not row:
            continue
        if len(row) <= at_path:
            raise ConfigError(f"labels {name}, line {reader.line_num}: no path in {row!r}")
        values = {column: row[at].strip() if at < len(row) else "" for column, at in place.items()}
        path = normal_path(row[at_path], source_uri)
        if path in facts:
            n_repeated += 1
            continue
        word = values.get("label", "").lower()
        if word not in LABELS:
            raise ConfigError(
                f"labels {name}, line {reader.line_num}: label {word!r} is none of 0, real, 1, "
                "fake, or empty for unknown"
            )
        label = LABELS[word]
        split = values.get("split")
        facts[path] = Facts(
            label=label,
            manipulation=values.get("manipulation") or ("real" if label == REAL else None),
            source_id=values.get("source_id") or None,
            splits=(split,) if split else None,
            entry=len(facts),
        )
    return LabelFile(facts, "split" in place, n_repeated)
