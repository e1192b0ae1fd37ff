"""The lake's tables: explicit Arrow schemas, versioned, one place for every column.

Partition keys live in the path (``dataset=…/split=…``) and not in the files. Columns are added,
never renamed or retyped: a new column is nullable and raises ``SCHEMA_VERSION`` by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 1

_TIME = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, about: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": about})


@dataclass(frozen=True)
class TableSpec:
    """One table of the lake.

    Attributes:
        name: folder below the lake's root.
        row: what one row stands for.
        partition_keys: Hive keys in path order, all strings.
        key: columns (partition keys included) that no two current rows share.
        schema: columns inside the files; each field's metadata holds its description.
        row_group_rows: rows per Parquet row group.
    """

    name: str
    row: str
    partition_keys: tuple[str, ...]
    key: tuple[str, ...]
    schema: pa.Schema
    row_group_rows: int = 122_880

    @property
    def full_schema(self) -> pa.Schema:
        """Columns of the files, then the partition keys as strings."""
        keys = [
            _field(key, pa.string(), "partition key", nullable=False) for key in self.partition_keys
        ]
        return pa.schema([*self.schema, *keys])


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, {"fakeout.table": name, "fakeout.schema_version": str(SCHEMA_VERSION)})


CATALOG = TableSpec(
    "catalog",
    "video",
    ("dataset", "split"),
    ("dataset", "split", "video_id"),
    _schema(
        "catalog",
        [
            _field(
                "video_id", pa.string(), "path inside the dataset, '/'-separated", nullable=False
            ),
            _field("uri", pa.string(), "where the bytes are", nullable=False),
            _field("size_bytes", pa.int64(), "length", nullable=False),
            _field("generation", pa.string(), "object generation, etag, or local mtime in ns"),
            _field("checksum", pa.string(), "crc32c:… or md5:… as listed by the store"),
            _field("content_version", pa.string(), "changes when the bytes do", nullable=False),
            _field(
                "container", pa.string(), "container by its magic bytes; null if not recognised"
            ),
            _field("codec", pa.string(), "video codec, if probed"),
            _field("duration_s", pa.float64(), "declared duration in seconds, if probed"),
            _field("fps", pa.float64(), "declared mean frame rate, if probed"),
            _field("width", pa.int32(), "declared width in px, if probed"),
            _field("height", pa.int32(), "declared height in px, if probed"),
            _field("has_audio", pa.bool_(), "whether a sound stream is declared, if probed"),
            _field(
                "probe_status",
                pa.string(),
                "ok, or the reason the probe met; null if nobody looked",
            ),
            _field("label", pa.int8(), "0 real, 1 fake, null unknown"),
            _field(
                "manipulation",
                pa.string(),
                "method that made the fake; 'real' for reals; null unknown",
            ),
            _field(
                "source_id", pa.string(), "identity that related videos share (for the bootstrap)"
            ),
            _field(
                "duplicate_of", pa.string(), "video_id of an earlier video with the same checksum"
            ),
            _field("listed_at", _TIME, "when the listing saw this version", nullable=False),
        ],
    ),
)

TRACK = pa.struct(
    [
        _field("track", pa.int32(), "0 or 1: the most relevant face first"),
        _field("frames", pa.list_(pa.binary()), "unique aligned 224×224 RGB frames, JPEG"),
        _field("frame_index", pa.list_(pa.int32()), "index at 29 fps of each of `frames`"),
        _field("window", pa.list_(pa.int32()), "number of each scored window, in order"),
        _field(
            "window_frames", pa.list_(pa.list_(pa.int32())), "per window 32 positions in `frames`"
        ),
        _field(
            "absent_share", pa.list_(pa.float32()), "per window share of frames with no face seen"
        ),
        _field("face_px", pa.float32(), "median side of the detected box in px of the source"),
        _field("n_frames_seen", pa.int32(), "frames in which the face was found"),
        _field(
            "box", pa.list_(pa.float32()), "x1, y1, x2, y2 of the window used, in px of the source"
        ),
        _field("fixes", pa.list_(pa.string()), "names of the deviations from FacePipe that acted"),
        _field("sprite", pa.binary(), "one JPEG strip of 8 aligned frames, to look at"),
    ]
)

CLIPS = TableSpec(
    "clips",
    "video, whatever happened to it",
    ("dataset", "split", "crop"),
    ("dataset", "split", "crop", "video_id", "content_version", "attempts"),
    _schema(
        "clips",
        [
            _field("video_id", pa.string(), "path inside the dataset", nullable=False),
            _field("uri", pa.string(), "where the bytes were", nullable=False),
            _field(
                "content_version", pa.string(), "version of the bytes really read", nullable=False
            ),
            _field("status", pa.string(), "ok or failed", nullable=False),
            _field("reason", pa.string(), "why it failed (closed list); null if ok"),
            _field("message", pa.string(), "one line for people; null if ok"),
            _field("attempts", pa.int32(), "attempts on this content so far", nullable=False),
            _field("duration_s", pa.float64(), "decoded duration in seconds"),
            _field("fps", pa.float64(), "mean frame rate of the source"),
            _field("width", pa.int32(), "px, after rotation"),
            _field("height", pa.int32(), "px, after rotation"),
            _field("n_frames", pa.int32(), "frames decoded"),
            _field("n_frames_29", pa.int32(), "frames after resampling to 29 fps"),
            _field("decoder", pa.string(), "decord or pyav"),
            _field("audio_status", pa.string(), "used, silent, absent, unreadable or disabled"),
            _field("window_start_s", pa.list_(pa.float64()), "start of each video window, seconds"),
            _field("window_end_s", pa.list_(pa.float64()), "end of each video window, seconds"),
            _field(
                "log_mel",
                pa.list_(pa.binary()),
                "per window float32 little-endian [183, 80], dB; empty if sound is not used",
            ),
            _field("tracks", pa.list_(TRACK), "up to two face tracks", nullable=True),
            _field("crop_s", pa.float64(), "seconds of work on this video"),
            _field("label", pa.int8(), "as in the catalog"),
            _field("manipulation", pa.string(), "as in the catalog"),
            _field("source_id", pa.string(), "as in the catalog"),
            _field("run_id", pa.string(), "run that made the row", nullable=False),
            _field("cropped_at", _TIME, "when", nullable=False),
        ],
    ),
    row_group_rows=4,
)

WINDOWS = TableSpec(
    "windows",
    "window",
    ("dataset", "split", "model"),
    ("dataset", "split", "model", "video_id", "content_version", "crop", "track", "window"),
    _schema(
        "windows",
        [
            _field("video_id", pa.string(), "path inside the dataset", nullable=False),
            _field("content_version", pa.string(), "version of the bytes scored", nullable=False),
            _field("crop", pa.string(), "crop fingerprint", nullable=False),
            _field("track", pa.int32(), "face track", nullable=False),
            _field("window", pa.int32(), "window number", nullable=False),
            _field("start_s", pa.float64(), "start in the video, seconds"),
            _field("end_s", pa.float64(), "end in the video, seconds"),
            _field("logit_real", pa.float32(), "first logit", nullable=False),
            _field("logit_fake", pa.float32(), "second logit", nullable=False),
            _field("p_fake", pa.float64(), "softmax of the logits, 0..1", nullable=False),
            _field("label", pa.int8(), "as in the catalog"),
            _field("run_id", pa.string(), "run that made the row", nullable=False),
        ],
    ),
)

SCORES = TableSpec(
    "scores",
    "video",
    ("dataset", "split", "model"),
    ("dataset", "split", "model", "video_id", "content_version", "crop", "attempts"),
    _schema(
        "scores",
        [
            _field("video_id", pa.string(), "path inside the dataset", nullable=False),
            _field("uri", pa.string(), "where the bytes were", nullable=False),
            _field("content_version", pa.string(), "version of the bytes scored", nullable=False),
            _field("crop", pa.string(), "crop fingerprint", nullable=False),
            _field("status", pa.string(), "scored or failed", nullable=False),
            _field("reason", pa.string(), "why there is no score (closed list); null if scored"),
            _field("message", pa.string(), "one line for people; null if scored"),
            _field("attempts", pa.int32(), "attempts on this content so far", nullable=False),
            _field("score", pa.float64(), "probability of fake, 0..1; null if failed"),
            _field("track_scores", pa.list_(pa.float64()), "score of each face track"),
            _field("n_windows", pa.int32(), "windows scored over all tracks", nullable=False),
            _field(
                "aggregation",
                pa.string(),
                "windows→track→video rule, e.g. mean,max",
                nullable=False,
            ),
            _field("weights", pa.string(), "untrained, or the checkpoint's digest", nullable=False),
            _field("engine", pa.string(), "what ran the towers, e.g. onnxruntime/float32"),
            _field("audio_status", pa.string(), "used, silent, absent, unreadable or disabled"),
            _field("duration_s", pa.float64(), "decoded duration in seconds"),
            _field("face_px", pa.float32(), "median face side in px, largest over tracks"),
            _field("label", pa.int8(), "0 real, 1 fake, null unknown"),
            _field("manipulation", pa.string(), "method that made the fake; 'real' for reals"),
            _field("source_id", pa.string(), "identity that related videos share"),
            _field("run_id", pa.string(), "run that made the row", nullable=False),
            _field("scored_at", _TIME, "when", nullable=False),
        ],
    ),
)

METRICS = TableSpec(
    "metrics",
    "metric × slice",
    ("dataset", "split", "model"),
    ("dataset", "split", "model", "level", "slice", "metric", "no_face_policy"),
    _schema(
        "metrics",
        [
            _field("level", pa.string(), "video or window", nullable=False),
            _field(
                "slice",
                pa.string(),
                "all, manipulation=…, audio=…, duration=…, face_px=…",
                nullable=False,
            ),
            _field("metric", pa.string(), "name, e.g. roc_auc", nullable=False),
            _field("value", pa.float64(), "null where undefined"),
            _field("undefined_reason", pa.string(), "why the value is null"),
            _field("ci_low", pa.float64(), "lower end of the 95 % interval"),
            _field("ci_high", pa.float64(), "upper end of the 95 % interval"),
            _field("ci_method", pa.string(), "bootstrap-source, delong, or null"),
            _field(
                "n_real",
                pa.int64(),
                "labelled reals with a score (rows of the level)",
                nullable=False,
            ),
            _field(
                "n_fake",
                pa.int64(),
                "labelled fakes with a score (rows of the level)",
                nullable=False,
            ),
            _field("n_sources", pa.int64(), "source identities among n_real and n_fake"),
            _field("coverage", pa.float64(), "share of labelled videos that have a score"),
            _field("no_face_policy", pa.string(), "exclude or score_0.5", nullable=False),
            _field("error_bound", pa.float64(), "bound of the approximation; 0 if exact"),
            _field("weights", pa.string(), "untrained, or the checkpoint's digest"),
            _field("run_id", pa.string(), "run that made the row", nullable=False),
            _field("computed_at", _TIME, "when", nullable=False),
            _field("input_digest", pa.string(), "of the scores, labels and settings used"),
        ],
    ),
)

QUARANTINE = TableSpec(
    "quarantine",
    "failure",
    ("stage",),
    ("stage", "dataset", "split", "video_id", "content_version", "attempts", "run_id"),
    _schema(
        "quarantine",
        [
            _field("dataset", pa.string(), "dataset of the video", nullable=False),
            _field("split", pa.string(), "split of the video", nullable=False),
            _field("video_id", pa.string(), "path inside the dataset", nullable=False),
            _field("uri", pa.string(), "where the bytes were"),
            _field("content_version", pa.string(), "version of the bytes", nullable=False),
            _field("reason", pa.string(), "closed list", nullable=False),
            _field("message", pa.string(), "one line for people"),
            _field("attempts", pa.int32(), "attempts on this content so far", nullable=False),
            _field(
                "transient", pa.bool_(), "whether another attempt could succeed", nullable=False
            ),
            _field("run_id", pa.string(), "run that recorded it", nullable=False),
            _field("at", _TIME, "when", nullable=False),
        ],
    ),
)

_SLICE_FIELDS = [
    _field("level", pa.string(), "video or window", nullable=False),
    _field("slice", pa.string(), "as in metrics", nullable=False),
    _field("no_face_policy", pa.string(), "exclude or score_0.5", nullable=False),
]
_SLICE_KEY = ("dataset", "split", "model", "level", "slice", "no_face_policy")
_RUN_ID = _field("run_id", pa.string(), "run that made the row", nullable=False)

ROC_POINTS = TableSpec(
    "roc_points",
    "point of a ROC curve",
    ("dataset", "split", "model"),
    (*_SLICE_KEY, "point"),
    _schema(
        "roc_points",
        [
            *_SLICE_FIELDS,
            _field("point", pa.int32(), "0 at the start; thresholds fall", nullable=False),
            _field("threshold", pa.float64(), "fake if score ≥ threshold; null: none is fake"),
            _field("fpr", pa.float64(), "share of reals called fake", nullable=False),
            _field("tpr", pa.float64(), "share of fakes called fake", nullable=False),
            _RUN_ID,
        ],
    ),
)

PR_POINTS = TableSpec(
    "pr_points",
    "point of a precision-recall curve",
    ("dataset", "split", "model"),
    (*_SLICE_KEY, "point"),
    _schema(
        "pr_points",
        [
            *_SLICE_FIELDS,
            _field("point", pa.int32(), "0 at the start; thresholds fall", nullable=False),
            _field("threshold", pa.float64(), "fake if score ≥ threshold", nullable=False),
            _field("recall", pa.float64(), "share of fakes called fake", nullable=False),
            _field("precision", pa.float64(), "share of called fakes that are", nullable=False),
            _RUN_ID,
        ],
    ),
)

RELIABILITY = TableSpec(
    "reliability",
    "bin of scores",
    ("dataset", "split", "model"),
    (*_SLICE_KEY, "bin"),
    _schema(
        "reliability",
        [
            *_SLICE_FIELDS,
            _field("bin", pa.int32(), "number, from low scores to high", nullable=False),
            _field("low", pa.float64(), "scores above this", nullable=False),
            _field("high", pa.float64(), "and up to this", nullable=False),
            _field("n", pa.int64(), "labelled rows in the bin", nullable=False),
            _field("mean_score", pa.float64(), "their mean score; null if n is 0"),
            _field("share_fake", pa.float64(), "share of fakes among them; null if n is 0"),
            _RUN_ID,
        ],
    ),
)

SCORE_HISTOGRAM = TableSpec(
    "score_histogram",
    "bin of scores",
    ("dataset", "split", "model"),
    (*_SLICE_KEY, "bin"),
    _schema(
        "score_histogram",
        [
            *_SLICE_FIELDS,
            _field("bin", pa.int32(), "number, from low scores to high", nullable=False),
            _field("low", pa.float64(), "scores from this (the first bin: from below)"),
            _field("high", pa.float64(), "to below this (the last bin: to above)"),
            _field("n_real", pa.int64(), "reals in the bin", nullable=False),
            _field("n_fake", pa.int64(), "fakes in the bin", nullable=False),
            _field("n_unlabelled", pa.int64(), "rows of unknown label; null if not counted"),
            _RUN_ID,
        ],
    ),
)

MODEL_COMPARISONS = TableSpec(
    "model_comparisons",
    "pair of models × slice × method",
    ("dataset", "split"),
    (
        "dataset",
        "split",
        "level",
        "slice",
        "no_face_policy",
        "metric",
        "model_a",
        "model_b",
        "method",
    ),
    _schema(
        "model_comparisons",
        [
            *_SLICE_FIELDS,
            _field("metric", pa.string(), "roc_auc", nullable=False),
            _field("model_a", pa.string(), "one model", nullable=False),
            _field("model_b", pa.string(), "the other", nullable=False),
            _field("value_a", pa.float64(), "of model_a on the videos both scored"),
            _field("value_b", pa.float64(), "of model_b on the same videos"),
            _field("delta", pa.float64(), "value_a − value_b"),
            _field("ci_low", pa.float64(), "lower end of the 95 % interval of delta"),
            _field("ci_high", pa.float64(), "upper end of the 95 % interval of delta"),
            _field("p_value", pa.float64(), "two-sided, of no difference"),
            _field(
                "method",
                pa.string(),
                "delong (videos independent), delong-source or bootstrap-source",
                nullable=False,
            ),
            _field("undefined_reason", pa.string(), "why values are null"),
            _field("n_real", pa.int64(), "reals that both models scored", nullable=False),
            _field("n_fake", pa.int64(), "fakes that both models scored", nullable=False),
            _field("n_sources", pa.int64(), "source identities among them", nullable=False),
            _RUN_ID,
            _field("computed_at", _TIME, "when", nullable=False),
        ],
    ),
)

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        CATALOG,
        CLIPS,
        WINDOWS,
        SCORES,
        METRICS,
        ROC_POINTS,
        PR_POINTS,
        RELIABILITY,
        SCORE_HISTOGRAM,
        MODEL_COMPARISONS,
        QUARANTINE,
    )
}
