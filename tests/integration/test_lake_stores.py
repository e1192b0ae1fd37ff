"""The commit protocol on every kind of storage, and what other engines read there."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest

from fakeout_core.errors import LockedError, StorageError
from fakeout_core.schemas import CLIPS
from pipelines import storage
from pipelines.compact import compact
from pipelines.config import PolicyConfig
from pipelines.current import View
from pipelines.lake import Lake
from pipelines.lock import DatasetLock
from pipelines.owed import owed_crops, owed_scores

from .lake_rows import CROP, DATASET, MODEL, SPLIT, catalog, clips, failures, scores, windows


def videos(lake: Lake, table: str = "clips") -> list[str]:
    return sorted(lake.read(table, ["video_id"])["video_id"].to_pylist())


def view(lake: Lake) -> View:
    return View(lake, DATASET, SPLIT, CROP, MODEL)


def test_a_night_and_what_it_left(root: str) -> None:
    lake = Lake(root)
    odd = "a b/é 😀\n.mp4"
    ids = ["a", "b", "c", "d", odd]
    with DatasetLock(lake, DATASET, "r1", 60).held():
        lake.replace("catalog", lake.files("catalog"), [catalog(ids)])
        assert owed_crops(view(lake), PolicyConfig())["video_id"].to_pylist() == sorted(ids)
        first = lake.stage(DATASET, "r1", {"clips": clips(["a", odd])})
        failed = clips(["b"], reason="timeout")
        second = lake.stage(DATASET, "r1", {"clips": failed, "quarantine": failures(["b"])})
        assert videos(lake) == [], "staged rows are not visible"
        assert lake.publish(first).rows == {"clips": 2}
        assert lake.publish(first).files == lake.publish(first).files
        assert lake.publish(second).reasons == {"timeout": 1}
        lake.stage(DATASET, "r1", {"clips": clips(["c"])})  # the run dies before it is published
    lake = Lake(root)
    with DatasetLock(lake, DATASET, "r2", 60).held():
        lake.stage(DATASET, "r0", {"clips": clips(["a", "d"])})  # a zombie of an older night
        assert lake.recover(DATASET, "r2") == 1
        assert videos(lake) == sorted(["a", "b", "c", odd])
        owed = owed_crops(view(lake), PolicyConfig()).select(["video_id", "attempts", "why"])
        assert owed.to_pylist() == [
            {"video_id": "b", "attempts": 1, "why": "retry"},
            {"video_id": "d", "attempts": 0, "why": "new"},
        ]
        to_score = owed_scores(view(lake))
        assert sorted(to_score["video_id"].to_pylist()) == sorted(["a", "b", "c", odd])
        filesystem, path = storage.filesystem(to_score["clip_file"][0].as_py())
        assert pq.read_table(path, filesystem=filesystem).num_rows >= 1
        lake.publish(lake.stage(DATASET, "r2", {"scores": scores(["a"]), "windows": windows("a")}))
        done = compact(lake, ["clips"])
    assert [len(one.group.files) for one in done] == [3]
    assert videos(lake) == sorted(["a", "b", "c", odd])
    assert len(lake.files("clips")) == 1
    assert not [
        one.relative_path
        for one in storage.list_objects(root)
        if one.relative_path.startswith(("_staging/", "_tx/")) and one.relative_path[-5:] != ".done"
    ]
    (file,) = lake.files("clips")
    filesystem, path = storage.filesystem(lake.place(file))
    with filesystem.open_input_file(path) as source:
        parquet = pq.ParquetFile(source)
        assert parquet.schema_arrow.equals(CLIPS.schema)
        assert parquet.schema_arrow.metadata[b"fakeout.table"] == b"clips"
        assert b"fakeout.run_id" in parquet.schema_arrow.metadata
        assert parquet.metadata.row_group(0).column(0).compression == "ZSTD"
        assert parquet.metadata.row_group(0).num_rows <= CLIPS.row_group_rows
    read = lake.dataset("clips", dataset=DATASET).to_table(columns=["video_id", "crop", "dataset"])
    assert set(read["dataset"].to_pylist()) == {DATASET}


def test_nothing_is_published_without_the_lock(root: str) -> None:
    lake = Lake(root)
    marker = lake.stage(DATASET, "r1", {"clips": clips("a")})
    with pytest.raises(LockedError):
        lake.publish(marker)
    with pytest.raises(LockedError):
        lake.recover(DATASET, "r1")
    ours = DatasetLock(lake, DATASET, "r1", 60)
    with ours.held():
        # Another run takes over while this one sleeps.
        storage.write_bytes(ours.uri, storage.read_bytes(ours.uri).replace(b"r1", b"r2"))
        taken = storage.read_bytes(ours.uri).replace(ours.token.encode(), b"0123")
        storage.write_bytes(ours.uri, taken)
        with pytest.raises(LockedError, match="taken over by run r2"):
            lake.publish(marker)
    assert videos(lake) == []
    assert storage.read_bytes(ours.uri) == taken, "a lost lock is not released"


def test_a_shard_that_repeats_rows_of_its_run_is_dropped(tmp_path) -> None:
    lake = Lake(str(tmp_path))
    with DatasetLock(lake, DATASET, "r1", 60).held():
        lake.publish(lake.stage(DATASET, "r1", {"clips": clips("ab")}))
        again = lake.publish(lake.stage(DATASET, "r1", {"clips": clips("bc")}))
        assert not again.is_new
        with pytest.raises(StorageError, match="no staged shard"):
            lake.publish(lake.place("_staging/d%201%2F%C3%A9/r1/none.json"))
    assert Counter(videos(lake)) == Counter("ab")


def test_wrong_rows_are_refused_before_anything_is_written(tmp_path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    with pytest.raises(ValueError, match="occur twice"):
        lake.stage(DATASET, "r1", {"clips": clips("aa")})
    with pytest.raises(ValueError, match="needs a column"):
        lake.stage(DATASET, "r1", {"clips": clips("a").drop_columns(["status"])})
    extra = clips("a").append_column("sorce", clips("a")["video_id"])
    with pytest.raises(ValueError, match="no columns"):
        lake.stage(DATASET, "r1", {"clips": extra})
    with pytest.raises(ValueError, match="without rows"):
        lake.stage(DATASET, "r1", {"clips": clips("")})
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pandas"])
def test_engines_decode_the_partition_values(tmp_path, engine: str) -> None:
    root = str(tmp_path)
    lake = Lake(root)
    with DatasetLock(lake, DATASET, "r1", 60).held():
        lake.publish(lake.stage(DATASET, "r1", {"scores": scores(["x y"])}))
    glob = f"{root}/scores/**/*.parquet"
    if engine == "duckdb":
        import duckdb

        relation = duckdb.sql(f"select * from read_parquet('{glob}', hive_partitioning=true)")
        row = relation.to_arrow_table().to_pylist()[0]
    elif engine == "polars":
        import polars

        row = polars.scan_parquet(glob, hive_partitioning=True).collect().to_dicts()[0]
    else:
        import pandas

        row = pandas.read_parquet(f"{root}/scores").to_dict("records")[0]
    assert (row["dataset"], row["split"], row["model"]) == (DATASET, SPLIT, MODEL)
    assert (row["video_id"], row["score"]) == ("x y", 0.5)
