"""``fakeout query`` and ``fakeout report``: views over local and remote lakes, and nothing else."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from fakeout_core.errors import ConfigError
from fakeout_core.schemas import TABLES
from jobs.commands import metrics as metrics_command
from jobs.commands import query as query_command
from jobs.commands import report as report_command
from jobs.report.gather import gather
from jobs.report.page import page
from pipelines.lake import Lake
from pipelines.views import VIEWS, connect

from .scored_lake import DATASET, MODELS, NOW, SPLIT, Truth, rows, write_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Truth]:
    uri = str(tmp_path_factory.mktemp("lake"))
    return uri, write_lake(uri)


def ask(uri: str, sql: str) -> list[dict[str, Any]]:
    return connect(uri).execute(sql).to_arrow_table().to_pylist()


def app() -> typer.Typer:
    found = typer.Typer()
    for command in (query_command, metrics_command, report_command):
        command.register(found)
    return found


def run(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app(), list(arguments), input=stdin)


def test_latest_scores_are_the_current_rows(lake: tuple[str, Truth]) -> None:
    uri, truth = lake
    found = ask(uri, "select * from latest_scores where status = 'scored'")
    for model in MODELS:
        mine = {r["video_id"]: r["score"] for r in found if r["model"] == model}
        expected = truth.score[model][~np.isnan(truth.score[model])]
        assert sorted(mine.values()) == sorted(expected.tolist())
        assert "gone.mp4" not in mine, "deleted videos leave the view"
    assert {r["label"] for r in found} == {0, 1}, "labels come from the catalog"


def test_suspicious_disagreements_and_failures(lake: tuple[str, Truth]) -> None:
    uri, truth = lake
    a, b = (truth.score[model] for model in MODELS)
    found = ask(uri, "from suspicious")
    assert len(found) == int((a > 0.5).sum() + (b > 0.5).sum())
    assert [r["score"] for r in found] == sorted((r["score"] for r in found), reverse=True)
    found = ask(uri, "from disagreements")
    by_kind = {kind: [r for r in found if r["kind"] == kind] for kind in ("models", "label")}
    both = ~np.isnan(a) & ~np.isnan(b)
    assert len(by_kind["models"]) == int(((a > 0.5) != (b > 0.5))[both].sum())
    wrong = sum(int(((s > 0.5) != (truth.label == 1))[~np.isnan(s)].sum()) for s in (a, b))
    assert len(by_kind["label"]) == wrong
    found = ask(uri, "from failures")
    assert [r["reason"] for r in found] == ["no_face"], "the timeout healed on its second attempt"


def test_drift_compares_a_scan_with_the_one_before(tmp_path: Path) -> None:
    uri = str(tmp_path)
    n = 400
    for number, run_id in enumerate(("scan-1", "scan-2", "scan-3")):
        rng = np.random.default_rng(number)
        score = rng.beta(2, 2, n) if number < 2 else rng.beta(6, 2, n)
        columns = {
            "dataset": [DATASET] * n,
            "split": [SPLIT] * n,
            "model": ["m"] * n,
            "video_id": [f"{run_id}/{i}" for i in range(n)],
            "uri": [""] * n,
            "content_version": ["v"] * n,
            "crop": ["c"] * n,
            "status": ["scored"] * n,
            "attempts": [1] * n,
            "score": score,
            "n_windows": [1] * n,
            "aggregation": ["mean"] * n,
            "weights": ["w"] * n,
            "run_id": [run_id] * n,
            "scored_at": [NOW + timedelta(days=number)] * n,
        }
        Lake(uri).replace("scores", [], [rows("scores", columns)])
    found = ask(uri, "from drift")
    assert [r["run_id"] for r in found] == ["scan-1", "scan-2", "scan-3"]
    assert [r["previous_run_id"] for r in found] == [None, "scan-1", "scan-2"]
    assert found[0]["psi"] is None
    assert found[1]["psi"] < 0.1 < 0.25 < found[2]["psi"], "the usual thresholds tell them apart"
    assert found[2]["mean_change"] == pytest.approx(0.25, abs=0.05)


def test_empty_and_partial_lakes_have_empty_views(tmp_path: Path) -> None:
    for view in (*(v.name for v in VIEWS), *TABLES):
        assert ask(str(tmp_path), f"select count(*) as n from {view}") == [{"n": 0}], view
    partial = tmp_path / "partial"
    write_lake(str(partial), models=())
    assert ask(str(partial), "select count(*) as n from catalog") == [{"n": 120}]
    for view in VIEWS:
        ask(str(partial), f"from {view.name}")
    with pytest.raises(ConfigError, match="not a folder"):
        connect(str(tmp_path / "typo"))


FORBIDDEN = (
    "copy (select 1) to '{folder}/x.csv'",
    "copy scores to '{folder}/x.parquet'",
    "export database '{folder}/x'",
    "attach '{folder}/x.db'",
    "select * from read_text('{lake}/../secret.txt')",
    "select * from read_parquet('{lake}/scores/**/*.parquet')",
    "select * from glob('{folder}/*')",
    "set enable_external_access = true",
    "reset lock_configuration",
    "install httpfs",
    "load '{folder}/x.duckdb_extension'",
)


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_sql_reads_the_lake_and_touches_nothing_else(
    sql: str, lake: tuple[str, Truth], tmp_path: Path
) -> None:
    before = sorted(Path(lake[0]).rglob("*"))
    with pytest.raises(ConfigError):
        query_command.run(connect(lake[0]), sql.format(folder=tmp_path, lake=lake[0]))
    assert not list(tmp_path.iterdir())
    assert sorted(Path(lake[0]).rglob("*")) == before


def test_python_variables_are_not_tables(lake: tuple[str, Truth]) -> None:
    secret = pa.table({"x": [1]})
    assert secret.num_rows == 1
    with pytest.raises(ConfigError, match="secret"):
        query_command.run(connect(lake[0]), "select * from secret")


def test_the_command_writes_every_format(lake: tuple[str, Truth], tmp_path: Path) -> None:
    uri, _ = lake
    sql = (
        "select video_id, score, label, scored_at, [1, 2] as list, 'nan'::double as gap "
        "from suspicious limit 3"
    )
    expected = ask(uri, sql)
    text = run("query", uri, sql, "--format", "csv").stdout
    parsed = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["score"]) for row in parsed] == [row["score"] for row in expected]
    assert parsed[0]["list"] == "[1, 2]"
    assert parsed[0]["gap"] == ""
    parsed = json.loads(run("query", uri, sql, "-f", "json").stdout)
    assert [row["video_id"] for row in parsed] == [row["video_id"] for row in expected]
    assert parsed[0]["scored_at"] == "2026-01-02T03:04:05+00:00"
    assert parsed[0]["gap"] is None
    for name in ("x.csv", "x.json", "x.parquet"):
        assert run("query", uri, sql, "--out", str(tmp_path / name)).exit_code == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.csv", "x.json", "x.parquet"]
    assert "3 rows" in run("query", uri, sql).stdout
    assert run("query", uri, stdin="select 41 + 1 as answer").stdout.count("42") == 1


def test_wrong_use_says_what_to_do(lake: tuple[str, Truth], tmp_path: Path) -> None:
    uri, _ = lake
    for arguments, expected in (
        (("query", uri, "selec 1"), "syntax error"),
        (("query", uri, "select * from no_such"), "no_such"),
        (("query", uri, " "), "no SQL"),
        (("query", uri, "select 1", "--out", str(tmp_path / "x.txt")), ".csv, .json or .parquet"),
        (("query", uri, "select 1", "--out", str(tmp_path / "no" / "x.csv")), "does not exist"),
        (("report", uri, "--out", str(tmp_path / "no" / "r.html")), "does not exist"),
        (("metrics", uri, "--dataset", "nope"), "no scores for dataset nope"),
        (("metrics", uri, "--set", "replicas=1"), "replicates"),
    ):
        error = run(*arguments).exception
        assert isinstance(error, ConfigError), arguments
        assert expected in str(error), arguments


def test_the_prompt(lake: tuple[str, Truth], capsys: Any, monkeypatch: Any) -> None:
    typed = iter(
        [
            ".tables",
            ".schema suspicious",
            "select count(*)",
            "as videos from catalog;",
            "nonsense;",
            ".help",
            ".quit",
        ]
    )
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    query_command.interact(connect(lake[0]), lake[0])
    shown = capsys.readouterr()
    assert "disagreements" in shown.out
    assert "audio_status" in shown.out
    assert "120" in shown.out
    assert ".quit" in shown.out
    assert "syntax error" in shown.err
    assert next(typed, None) is None


def test_on_an_object_store(gcs_bucket: str) -> None:
    uri = f"{gcs_bucket}/lake"
    assert ask(uri, "select count(*) as n from latest_scores") == [{"n": 0}]
    truth = write_lake(uri, models=MODELS[:1])
    score = truth.score[MODELS[0]]
    found = ask(uri, "select count(*) as n from suspicious where dataset = 'ff'")
    assert found == [{"n": int((score > 0.5).sum())}]


class Page(HTMLParser):
    """What a browser would see: tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.beam
def test_metrics_and_report_commands(tmp_path: Path) -> None:
    uri = str(tmp_path / "lake")
    write_lake(uri)
    hostile = '<script>alert(1)</script>"onload="x'
    lake = Lake(uri)
    strip = b"\xff\xd8\xff\xe0 jpeg"
    evil = ask(uri, "from suspicious limit 1")[0]
    for name in ("scores", "catalog"):
        table = lake.read(name).to_pylist()
        for row in table:
            if row["video_id"] == evil["video_id"]:
                row["video_id"] = hostile
        changed = pa.Table.from_pylist(table, TABLES[name].full_schema)
        lake.replace(name, lake.files(name), [changed])
    clip = {
        "dataset": [DATASET],
        "split": [SPLIT],
        "crop": ["c-1"],
        "video_id": [hostile],
        "uri": [""],
        "content_version": ["v-1"],
        "status": ["ok"],
        "attempts": [1],
        "tracks": [[{"track": 0, "sprite": strip}]],
        "run_id": ["r"],
        "cropped_at": [NOW],
    }
    lake.replace("clips", [], [rows("clips", clip)])
    dry = run("metrics", uri, "--dry-run")
    assert dry.stdout.count("would compute") == 2
    assert not lake.files("metrics")
    done = run("metrics", uri, "--set", "replicates=50")
    assert done.exit_code == 0, done.exception
    assert "AUC" in done.stdout
    assert "untrained" in done.stdout

    out = tmp_path / "r.html"
    assert run("report", uri, "--out", str(out)).exit_code == 0
    text = out.read_text()
    seen = Page(text)
    assert "script" not in seen.tags
    assert not seen.handlers
    assert seen.links, "faces are embedded"
    assert all(link.startswith("data:image/jpeg;base64,") for link in seen.links)
    assert "default-src 'none'" in text
    assert seen.tags.count("svg") >= 8
    for expected in ("untrained weights", "manipulation=DF", "no_face", "delong-source"):
        assert expected in text, expected
    assert hostile not in text
    assert "&lt;script&gt;" in text
    without = page(gather(uri, with_faces=False))
    assert not Page(without).links


def test_a_report_of_nothing(tmp_path: Path) -> None:
    text = page(gather(str(tmp_path)))
    for expected in ("catalog is empty", "Nothing is scored", "No failure stands", "No scan yet"):
        assert expected in text, expected
