"""The lake as other engines see it: five readers, one set of numbers, before and after a column.

Each reads the plain files, without any code of ours.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakeout_core.schemas import SCORES
from pipelines.lake import Lake
from pipelines.metrics_views import Group, read_view
from pipelines.views import connect

from .scored_lake import DATASET, MODELS, NOW, SPLIT, rows, write_lake

Summary = dict[tuple[str, str], tuple[int, int, float]]
"""(model, status) → rows, labelled windows claimed, sum of scores."""


def by_duckdb(folder: str) -> Summary:
    import duckdb

    found = duckdb.sql(
        f"""
        select model, status, count(*), sum(n_windows), coalesce(sum(score), 0)
        from read_parquet('{folder}/scores/**/*.parquet', hive_partitioning = true,
                          hive_types_autocast = false, union_by_name = true)
        where dataset = '{DATASET}' and split = '{SPLIT}' group by all
        """
    ).fetchall()
    return {(row[0], row[1]): row[2:] for row in found}


def by_polars(folder: str) -> Summary:
    import polars as pl

    schema = {"dataset": pl.String, "split": pl.String, "model": pl.String}
    found = (
        pl.scan_parquet(
            f"{folder}/scores/**/*.parquet",
            hive_partitioning=True,
            hive_schema=schema,
            missing_columns="insert",
            extra_columns="ignore",
        )
        .filter((pl.col("dataset") == DATASET) & (pl.col("split") == SPLIT))
        .group_by("model", "status")
        .agg(pl.len(), pl.col("n_windows").sum(), pl.col("score").sum())
        .collect()
    )
    return {(row[0], row[1]): row[2:] for row in found.rows()}


def by_pandas(folder: str) -> Summary:
    import pandas as pd

    frame = pd.read_parquet(f"{folder}/scores", filters=[("dataset", "==", DATASET)])
    frame = frame[frame["split"] == SPLIT]
    return {
        (str(key[0]), str(key[1])): (len(part), part["n_windows"].sum(), part["score"].sum())
        for key, part in frame.groupby(["model", "status"], observed=True)
    }


def by_beam(folder: str) -> Summary:
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    target = Path(folder) / "_beam"
    target.mkdir()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        names = ["status", "n_windows", "score"]
        _ = (
            pipeline
            | beam.Create(sorted(str(path) for path in Path(folder, "scores").rglob("*.parquet")))
            | beam.io.ReadAllFromParquet(columns=names, with_filename=True)
            | beam.Map(
                lambda item: (
                    (item[0].split("model=")[1].split("/")[0], item[1]["status"]),
                    (1, item[1]["n_windows"], item[1]["score"] or 0.0),
                )
            )
            | beam.CombinePerKey(lambda found: tuple(map(sum, zip(*found, strict=True))))
            | beam.Map(lambda item: repr(item))
            | beam.io.WriteToText(str(target / "out"), shard_name_template="")
        )
    import ast

    lines = (target / "out").read_text().splitlines()
    shutil.rmtree(target)
    return dict(ast.literal_eval(line) for line in lines)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A local Spark session; it needs Java 17, and says so."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("PySpark needs Java 17 or later: no 'java' on the PATH")
    probe = subprocess.run([java, "-version"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"PySpark needs Java 17 or later: {java} does not run")
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .config("spark.driver.memory", "512m")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def by_spark(session: Any) -> Callable[[str], Summary]:
    def read(folder: str) -> Summary:
        frame = session.read.option("mergeSchema", "true").parquet(f"{folder}/scores")
        frame.createOrReplaceTempView("scores")
        found = session.sql(
            "select model, status, count(*), sum(n_windows), coalesce(sum(score), 0) from scores "
            f"where dataset = '{DATASET}' and split = '{SPLIT}' group by model, status"
        ).collect()
        return {(row[0], row[1]): tuple(row)[2:] for row in found}

    return read


def expected(uri: str) -> Summary:
    found: Summary = {}
    for row in Lake(uri).read("scores").to_pylist():
        key = (row["model"], row["status"])
        n, windows, total = found.get(key, (0, 0, 0.0))
        found[key] = (n + 1, windows + row["n_windows"], total + (row["score"] or 0.0))
    return found


def assert_same(found: Summary, wanted: Summary, reader: str) -> None:
    assert set(found) == set(wanted), reader
    for key, (n, windows, total) in wanted.items():
        assert (int(found[key][0]), int(found[key][1])) == (n, windows), (reader, key)
        assert float(found[key][2]) == pytest.approx(total, rel=1e-12), (reader, key)


def add_newer_file(uri: str) -> None:
    """A file of a later version of the program: one nullable column more."""
    n = 5
    columns = {
        "dataset": [DATASET] * n,
        "split": [SPLIT] * n,
        "model": [MODELS[0]] * n,
        "video_id": [f"new/{i}" for i in range(n)],
        "uri": [""] * n,
        "content_version": ["v-1"] * n,
        "crop": ["c-1"] * n,
        "status": ["scored"] * n,
        "attempts": [1] * n,
        "score": [0.125 * i for i in range(n)],
        "n_windows": [1] * n,
        "aggregation": ["mean,max"] * n,
        "weights": ["untrained"] * n,
        "run_id": ["run-9"] * n,
        "scored_at": [NOW] * n,
    }
    table = rows("scores", columns)
    table = table.drop_columns(list(SCORES.partition_keys))
    table = table.append_column("brand_new", pa.array(["x"] * n))
    place = f"{uri}/scores/dataset={DATASET}/split={SPLIT}/model={MODELS[0]}"
    pq.write_table(table, f"{place}/newer.parquet", compression="zstd")


@pytest.mark.slow
@pytest.mark.beam
def test_five_readers_see_the_same_numbers_before_and_after_a_new_column(
    tmp_path: Path, spark: Any
) -> None:
    uri = str(tmp_path / "lake")
    write_lake(uri)
    readers: dict[str, Callable[[str], Summary]] = {
        "duckdb": by_duckdb,
        "polars": by_polars,
        "pandas": by_pandas,
        "beam": by_beam,
        "spark": by_spark(spark),
    }
    before = expected(uri)
    for name, reader in readers.items():
        assert_same(reader(uri), before, name)
    add_newer_file(uri)
    after = expected(uri)
    assert after[MODELS[0], "scored"][0] == before[MODELS[0], "scored"][0] + 5
    for name, reader in readers.items():
        assert_same(reader(uri), after, f"{name}, with a newer file")


def test_sql_and_the_pipeline_agree_on_what_is_current(tmp_path: Path) -> None:
    """The view in SQL and the join in the pipeline are two writings of one rule."""
    uri = str(tmp_path)
    write_lake(uri)
    columns = "video_id, content_version, status, score, label, source_id, run_id"
    for model in MODELS:
        found = connect(uri).execute(
            f"select {columns} from latest_scores where model = '{model}' order by video_id"
        )
        view = read_view(Lake(uri), Group(DATASET, SPLIT, model))
        ours = [row for row in view.to_pylist() if row["status"] != "unscored"]
        wanted = [{name: row[name] for name in columns.split(", ")} for row in ours]
        assert found.to_arrow_table().to_pylist() == wanted


def test_our_own_reader_ignores_what_it_does_not_know(tmp_path: Path) -> None:
    uri = str(tmp_path)
    write_lake(uri)
    add_newer_file(uri)
    table = Lake(uri).read("scores")
    assert table.schema.equals(SCORES.full_schema)
    found = connect(uri).execute("select count(*) from scores where run_id = 'run-9'").fetchall()
    assert found == [(5,)]
