"""A small scored lake with known scores, for the tests of metrics, queries and readers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from fakeout_core.schemas import TABLES
from pipelines.lake import Lake

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATASET, SPLIT = "ff", "test"
MODELS = ("x1-av-aaaaaaaaaaaa", "x1-v-bbbbbbbbbbbb")
N = 120
WINDOWS = 3


@dataclass(frozen=True)
class Truth:
    """What was written: per model the scores of the videos that have one.

    Attributes:
        label: int [N].
        score: model → float [N], NaN where there is none.
        windows: model → (float [n], int [n] video).
    """

    label: np.ndarray
    score: dict[str, np.ndarray]
    windows: dict[str, tuple[np.ndarray, np.ndarray]]


def rows(name: str, columns: dict[str, Any]) -> pa.Table:
    """Rows of a table; columns not given are null."""
    n = len(columns["video_id"])
    schema = TABLES[name].full_schema
    return pa.table(
        {f.name: pa.array(list(columns.get(f.name, [None] * n)), f.type) for f in schema},
        schema=schema,
    )


def write_lake(uri: str, *, labelled: bool = True, models: tuple[str, ...] = MODELS) -> Truth:
    """Write catalog, scores, windows and quarantine.

    Video i is real where i % 3 is 0; every tenth has no face. One video of the catalog is not
    scored, one scored video was deleted, one changed since, and one failed before it succeeded.
    """
    rng = np.random.default_rng(5)
    lake = Lake(uri)
    label = (np.arange(N) % 3 > 0).astype(int)
    ids = [f"{['real', 'DF', 'FS'][i % 3]}/{i:03d}.mp4" for i in range(N)]
    place = {"dataset": [DATASET] * N, "split": [SPLIT] * N, "video_id": ids}
    place |= {"uri": [f"/corpus/{i}" for i in ids], "content_version": ["v-1"] * N}
    known = {
        "label": label.tolist() if labelled else [None] * N,
        "manipulation": [("real", "DF", "FS")[i % 3] if labelled else None for i in range(N)],
        "source_id": [f"s{i // 6}" for i in range(N)],
    }
    listing = {"size_bytes": [1] * N, "listed_at": [NOW] * N, "has_audio": [True] * N}
    lake.replace("catalog", [], [rows("catalog", {**place, **known, **listing})])
    truth = Truth(label, {}, {})
    for number, model in enumerate(models):
        score = 1 / (1 + np.exp(-rng.normal(label * (1.5 + number), 1.0)))
        no_face = np.arange(N) % 10 == 0
        failed = no_face.tolist()
        columns = {
            **place,
            "model": [model] * N,
            "crop": ["c-1"] * N,
            "status": ["failed" if f else "scored" for f in failed],
            "reason": ["no_face" if f else None for f in failed],
            "attempts": [1] * N,
            "score": [None if f else float(s) for f, s in zip(failed, score, strict=True)],
            "n_windows": [0 if f else WINDOWS for f in failed],
            "aggregation": ["mean,max"] * N,
            "weights": ["untrained"] * N,
            "audio_status": [("used", "absent")[i % 2] for i in range(N)],
            "duration_s": [float(i % 80) for i in range(N)],
            "face_px": [float(i * 3 % 300) for i in range(N)],
            "run_id": ["run-1"] * N,
            "scored_at": [NOW] * N,
        }
        table = rows("scores", columns)
        unscored, changed, healed = 1, 2, 4
        before = table.slice(healed, 1).to_pylist()[0]
        extra = [
            before | {"status": "failed", "reason": "timeout", "score": None, "run_id": "run-0"},
            before | {"video_id": "gone.mp4"},
        ]
        early = datetime(2026, 1, 1, tzinfo=UTC)
        extra = [row | {"scored_at": early} for row in extra]
        table = table.to_pylist()
        table[changed] |= {"content_version": "v-0", "scored_at": early}
        table[healed] |= {"attempts": 2}
        kept = [row for i, row in enumerate(table) if i != unscored] + extra
        lake.replace("scores", [], [pa.Table.from_pylist(kept, TABLES["scores"].full_schema)])

        video = np.repeat(np.arange(N), WINDOWS)
        p = np.clip(np.repeat(score, WINDOWS) + rng.normal(0, 0.05, video.size), 0, 1)
        has = ~no_face[video] & (video != unscored)
        video, p = video[has], p[has]
        windows = {
            "dataset": [DATASET] * video.size,
            "split": [SPLIT] * video.size,
            "model": [model] * video.size,
            "video_id": [ids[i] for i in video],
            "content_version": ["v-0" if i == changed else "v-1" for i in video],
            "crop": ["c-1"] * video.size,
            "track": [0] * video.size,
            "window": np.arange(video.size) % WINDOWS,
            "logit_real": np.zeros(video.size),
            "logit_fake": np.zeros(video.size),
            "p_fake": p,
            "run_id": ["run-1"] * video.size,
        }
        table = rows("windows", windows)
        half = table.num_rows // 2
        lake.replace("windows", [], [table.slice(0, half), table.slice(half)])

        gone = no_face | np.isin(np.arange(N), [unscored, changed])
        truth.score[model] = np.where(gone, np.nan, score)
        truth.windows[model] = (p[video != changed], video[video != changed])
    failed_rows = {
        "stage": ["crop"] * 2,
        "dataset": [DATASET] * 2,
        "split": [SPLIT] * 2,
        "video_id": [ids[4], ids[0]],
        "content_version": ["v-1"] * 2,
        "reason": ["timeout", "no_face"],
        "message": ["too slow", "nobody there"],
        "attempts": [1, 1],
        "transient": [True, False],
        "run_id": ["run-0", "run-1"],
        "at": [NOW] * 2,
    }
    lake.replace("quarantine", [], [rows("quarantine", failed_rows).slice(0, 1)])
    lake.replace("quarantine", [], [rows("quarantine", failed_rows).slice(1)])
    return truth
