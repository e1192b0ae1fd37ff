"""The generated documents are those of today's schemas."""

from __future__ import annotations

from pathlib import Path

from fakeout_core.metrics.evaluate import METRIC_NAMES
from fakeout_core.schemas import TABLES
from pipelines import data_dictionary


def test_generated_documents_are_not_stale() -> None:
    found = data_dictionary.stale()
    assert not found, f"run: python -m pipelines.data_dictionary (stale: {found})"


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    assert len(data_dictionary.stale(tmp_path)) == 2
    for name, text in (
        (data_dictionary.DICTIONARY, data_dictionary.dictionary()),
        (data_dictionary.DDL, data_dictionary.ddl() + "-- edited\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert data_dictionary.stale(tmp_path) == [data_dictionary.DDL]


def test_every_metric_is_defined_and_nothing_else() -> None:
    others = {"roc_auc_delong", "coverage", "share_…"}
    assert set(data_dictionary.METRICS) == set(METRIC_NAMES) | others


def test_every_column_is_described() -> None:
    text = data_dictionary.dictionary()
    for spec in TABLES.values():
        for field in spec.schema:
            assert (field.metadata or {}).get(b"description"), f"{spec.name}.{field.name}"
            assert f"| `{field.name}` |" in text


def test_partition_keys_stay_text_in_bigquery() -> None:
    text = data_dictionary.ddl()
    for spec in TABLES.values():
        keys = ", ".join(f"{key} STRING" for key in spec.partition_keys)
        assert f"WITH PARTITION COLUMNS ({keys})" in text
    assert text.count("CREATE OR REPLACE EXTERNAL TABLE") == len(TABLES)
