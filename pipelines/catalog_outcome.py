"""What the graph reports to its driver, as one small file beside the spool's tables.

A Parquet file with one cell of JSON, because the lake sweeps the Parquet files of dead runs.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.catalog_listing import Shard, Sidecar
from pipelines.catalog_tally import Tally
from pipelines.storage import read_bytes, write_bytes


@dataclass(frozen=True)
class Outcome:
    """What the graph leaves behind.

    Attributes:
        parts: Parquet files of the new snapshot, in listing order.
        quarantine: Parquet files of quarantine rows.
        sidecars: lists and labels found in the corpus.
        tally: counts.
    """

    parts: tuple[Shard, ...]
    quarantine: tuple[str, ...]
    sidecars: tuple[Sidecar, ...]
    tally: Tally


def write_outcome(uri: str, outcome: Outcome) -> None:
    """Write ``outcome`` to ``uri``."""
    tally = outcome.tally
    record = {
        "parts": [asdict(part) for part in outcome.parts],
        "quarantine": list(outcome.quarantine),
        "sidecars": [asdict(sidecar) for sidecar in outcome.sidecars],
        "counts": tally.counts,
        "skipped": tally.skipped,
        "examples": tally.examples,
        "groups": [[*group, count] for group, count in tally.groups.items()],
        "splits": tally.splits,
        "seen": {variant: _packed(entries) for variant, entries in tally.seen.items()},
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"outcome": [json.dumps(record)]}), sink)
    write_bytes(uri, memoryview(sink.getvalue()))


def read_outcome(uri: str) -> Outcome:
    """Read what ``write_outcome`` wrote."""
    table = pq.read_table(pa.BufferReader(read_bytes(uri)))
    record = json.loads(table["outcome"][0].as_py())
    tally = Tally(
        counts=Counter(record["counts"]),
        skipped=Counter(record["skipped"]),
        examples=record["examples"],
        groups=Counter({tuple(row[:3]): row[3] for row in record["groups"]}),
        splits=Counter(record["splits"]),
        seen={variant: _unpacked(text) for variant, text in record["seen"].items()},
    )
    return Outcome(
        tuple(Shard(**part) for part in record["parts"]),
        tuple(record["quarantine"]),
        tuple(Sidecar(**sidecar) for sidecar in record["sidecars"]),
        tally,
    )


def _packed(entries: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(entries.astype("<i4").tobytes(), 1)).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4")
