"""The catalog's pure parts: shards, header ranges, duplicates, counts, outcome."""

from __future__ import annotations

import itertools
import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fakeout_core.datasets.custom import CustomLayout
from fakeout_core.datasets.registry import find_spec, open_layout
from fakeout_core.errors import MediaError, Reason
from pipelines import catalog_duplicates as duplicates
from pipelines.catalog_listing import LISTED, Shard, Sidecar, into_tables
from pipelines.catalog_outcome import Outcome, read_outcome, write_outcome
from pipelines.catalog_probe import UnreadableObjectError, reason_of
from pipelines.catalog_ranges import HEAD_BYTES, MAX_BOXES, TAIL_BYTES, header_ranges
from pipelines.catalog_tally import EXAMPLES, Tally, merge
from pipelines.objects import ObjectInfo

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def listed(*paths: str) -> list[ObjectInfo]:
    return [ObjectInfo(f"gs://b/{path}", path, 5, "1", "", NOW) for path in paths]


def test_listing_is_cut_and_sorted_out() -> None:
    paths = ["a.mp4", "b.txt", "c", ".d.mp4", "e.mp4", "metadata.json", "f.MKV"]
    tally = Tally()
    layout = open_layout(find_spec("dfdc"))
    items = list(into_tables(listed(*paths), layout, 2, tally))
    tables = [item for item in items if not isinstance(item, Sidecar)]
    assert [table["video_id"].to_pylist() for table in tables] == [
        ["a.mp4", "c"],
        ["e.mp4", "f.MKV"],
    ]
    assert [table["sure"].to_pylist() for table in tables] == [[True, False], [True, True]]
    assert all(table.schema == LISTED for table in tables)
    assert [item for item in items if isinstance(item, Sidecar)] == [
        Sidecar("metadata.json", "gs://b/metadata.json")
    ]
    assert tally.counts["listed"] == len(paths)
    assert tally.skipped == {"not_media": 1, "hidden": 1}


def test_listing_holds_one_shard_at_a_time() -> None:
    endless = (listed(f"{number}.mp4")[0] for number in itertools.count())
    first = next(iter(into_tables(endless, CustomLayout(), 10, Tally())))
    assert first.num_rows == 10


class Store:
    """An object that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.read_bytes, self.calls = data, 0, 0

    def __call__(self, offset: int, length: int) -> bytes:
        self.calls += 1
        self.read_bytes += length
        return self.data[offset : offset + length]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def view(store: Store) -> bytes:
    whole = bytearray(len(store.data))
    for offset, data in header_ranges(store, len(store.data)).items():
        whole[offset : offset + len(data)] = data
    return bytes(whole)


def test_a_trailing_index_is_fetched_without_the_samples() -> None:
    samples, index = b"s" * 3_000_000, b"m" * 500_000
    store = Store(box(b"ftyp", b"isom") + box(b"mdat", samples) + box(b"moov", index))
    seen = view(store)
    at = store.data.index(b"moov") - 4
    assert seen[at:] == store.data[at:]
    assert seen[:HEAD_BYTES] == store.data[:HEAD_BYTES]
    assert store.read_bytes < HEAD_BYTES + len(index) + 200
    assert store.calls <= 3


def test_a_leading_index_longer_than_the_head() -> None:
    index = b"m" * (2 * HEAD_BYTES)
    store = Store(box(b"ftyp", b"isom") + box(b"moov", index) + box(b"mdat", b"s" * 1_000_000))
    assert view(store)[: len(index)] == store.data[: len(index)]


def test_a_64_bit_length() -> None:
    samples = b"s" * 1_000_000
    wide = struct.pack(">I4sQ", 1, b"mdat", 16 + len(samples)) + samples
    store = Store(box(b"ftyp", b"isom") + wide + box(b"moov", b"m" * 100))
    assert view(store).endswith(box(b"moov", b"m" * 100))


def test_other_containers_give_head_and_tail() -> None:
    store = Store(b"\x1aE\xdf\xa3" + bytes(range(256)) * 8000)
    seen = view(store)
    assert seen[:HEAD_BYTES] == store.data[:HEAD_BYTES]
    assert seen[-TAIL_BYTES:] == store.data[-TAIL_BYTES:]
    assert store.calls == 2


def test_a_short_object_is_read_once() -> None:
    for data in (b"", b"hello", box(b"ftyp", b"isom")):
        store = Store(data)
        assert view(store) == data
        assert store.calls == (1 if data else 0), "a range of nothing is an error"


def test_hostile_boxes_cost_little() -> None:
    tiny = Store(box(b"free", b"12345678") * 100_000)
    view(tiny)
    assert tiny.calls <= MAX_BOXES + 2
    for length in (1, 2, 7, 0xFFFFFFFF, 0):
        store = Store(struct.pack(">I4s", length, b"mdat") + b"\0" * 1_000_000)
        view(store)
        assert store.calls <= 3, length


def test_reasons_survive_a_dead_letter() -> None:
    error = UnreadableObjectError(Reason.STORAGE, "no: not allowed")
    assert reason_of(repr(error)) == (Reason.STORAGE, "no: not allowed")
    assert reason_of(repr(ValueError("x: y")))[0] is Reason.INTERNAL
    assert str(MediaError(error.reason, error.detail)) == repr(error)


def test_duplicate_keys() -> None:
    assert duplicates.key_of("crc32c:a", 1) != duplicates.key_of("crc32c:a", 2)
    assert duplicates.key_of("crc32c:a", 1) != duplicates.key_of("crc32c:b", 1)
    assert duplicates.key_of(None, 1) == duplicates.key_of("", 1)


def test_equal_keys_meet_in_one_bucket_in_listing_order() -> None:
    rng = np.random.default_rng(0)
    places = np.zeros(5000, duplicates.PLACE)
    places["key"] = [duplicates.key_of(str(n), 1) for n in rng.integers(0, 2500, 5000)]
    places["shard"] = np.arange(5000) // 100
    places["row"] = np.arange(5000) % 100
    chunks: dict[int, list[bytes]] = {}
    for part in np.split(rng.permutation(places), 7 * [0] + [1200]):
        for bucket, chunk in duplicates.into_buckets(part):
            chunks.setdefault(bucket, []).append(chunk)
    found = [group for parts in chunks.values() for group in duplicates.same_keys(parts)]
    keys, counts = np.unique(places["key"], return_counts=True)
    assert sorted(int(group["key"][0]) for group in found) == sorted(
        int(key) for key in keys[counts > 1]
    )
    for group in found:
        order = group["shard"] * 100 + group["row"]
        assert len(set(group["key"])) == 1
        assert (np.diff(order) > 0).all()
        assert len(group) == counts[keys == group["key"][0]][0]


def test_equal_lengths_are_compared_by_content() -> None:
    group = np.zeros(5, duplicates.PLACE)
    group["row"] = np.arange(5)
    digests = ["a", "b", None, "a", None]
    same = list(duplicates.content_groups(group, lambda _, row: digests[row]))
    assert [part["row"].tolist() for part in same] == [[0, 3]]


def test_a_pipe_in_a_files_place_is_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"hello")
    assert duplicates.file_digest(str(tmp_path / "pipe")) is None
    assert duplicates.file_digest(str(tmp_path / "gone")) is None
    assert duplicates.file_digest(str(tmp_path / "file")) is not None


def tallies() -> list[Tally]:
    parts = []
    for number in range(3):
        tally = Tally()
        tally.counts["videos"] = number
        tally.groups["", None, None] += 1
        tally.groups["c23", "real", 0] += number
        tally.seen = {"": np.array([number, 7], np.int32)}
        for name in range(EXAMPLES):
            tally.skip("hidden", f".{name}{number}")
        parts.append(tally)
    return parts


def plain(tally: Tally) -> tuple[object, ...]:
    seen = {key: value.tolist() for key, value in tally.seen.items()}
    return (+tally.counts, tally.skipped, tally.examples, +tally.groups, tally.splits, seen)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_tallies_merge_in_any_order(order: tuple[int, ...]) -> None:
    merged = merge(tallies()[at] for at in order)
    nested = merge([tallies()[order[0]], merge(tallies()[at] for at in order[1:])])
    assert plain(merged) == plain(nested) == plain(merge(tallies()))
    assert merged.skipped == {"hidden": 3 * EXAMPLES}
    assert merged.examples["hidden"] == [".00", ".01", ".02", ".10", ".11"]
    assert merged.seen[""].tolist() == [0, 1, 2, 7]


def test_outcome_round_trip(tmp_path: Path) -> None:
    outcome = Outcome(
        (Shard(0, "gs://b/part", 3),), ("gs://b/q",), (Sidecar("l", "u"),), merge(tallies())
    )
    write_outcome(str(tmp_path / "outcome.parquet"), outcome)
    again = read_outcome(str(tmp_path / "outcome.parquet"))
    assert (again.parts, again.quarantine, again.sidecars) == (
        outcome.parts,
        outcome.quarantine,
        outcome.sidecars,
    )
    assert plain(again.tally) == plain(outcome.tally)
