"""The report's page. Every text from the lake is escaped: file names are anybody's input."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Any

from jobs.report.charts import bars, lines
from jobs.report.gather import Model, ReportData, Row

HEADLINE = {
    "roc_auc": "ROC-AUC",
    "partial_auc_fpr_0.1": "pAUC (FPR ≤ 10 %)",
    "eer": "EER",
    "average_precision": "AP",
    "tpr_at_fpr_0.01": "TPR at 1 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
}
MAX_CURVES = 8

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.8rem 0;font-size:.88rem}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td small{display:block;opacity:.7}td.path{overflow-wrap:anywhere;max-width:26rem}
.charts{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:270px}
figcaption{font-size:.8rem;opacity:.85}figcaption span{margin-right:.6rem;white-space:nowrap}
.mark{display:inline-block;width:.7em;height:.7em;margin-right:.25em}
svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .end{text-anchor:end}
svg .mid{text-anchor:middle}.frame{fill:none;stroke:var(--line)}
.guide{fill:none;stroke:currentColor;opacity:.35;stroke-dasharray:4 4}
.curve{fill:none;stroke-width:1.8}.warn{background:#f59e0b33;padding:.6rem 1rem;border-radius:6px}
img{max-width:100%;height:44px;border-radius:4px}summary{cursor:pointer}
"""


def page(data: ReportData) -> str:
    """Render the report.

    Args:
        data: of `jobs.report.gather.gather`.

    Returns:
        One HTML document that needs nothing else.
    """
    body = [
        f"<h1>FakeOut report</h1><p>{escape(data.lake_uri)} · {_time(data.made_at)}</p>",
        _warning(data),
        "<h2>Videos</h2>",
        _table(
            data.catalog,
            {
                "dataset": "dataset",
                "split": "split",
                "n_videos": "videos",
                "n_real": "real",
                "n_fake": "fake",
                "n_unknown": "label unknown",
                "hours": "hours",
                "gigabytes": "GB",
            },
            "The catalog is empty.",
        ),
        "<h2>Scores and metrics</h2>",
        *(_model(model) for model in data.models),
        "" if data.models else "<p>Nothing is scored yet.</p>",
        _comparisons(data.comparisons),
        _suspicious(data),
        "<h2>Failures</h2>",
        _table(
            data.failures,
            {
                "dataset": "dataset",
                "split": "split",
                "stage": "stage",
                "reason": "reason",
                "n_videos": "videos",
                "example": "for example",
            },
            "No failure stands.",
        ),
        _drift(data.drift),
        "<h2>How to read this</h2>",
        _READING,
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>FakeOut report</title><style>{_STYLE}</style></head><body>"
        + "\n".join(part for part in body if part)
        + "</body></html>\n"
    )


_READING = (
    "<p>Fake is the positive class; a score is the probability of fake. Intervals are 95 %, by a "
    "bootstrap over source identities. Videos without a face are left out here; the "
    "<code>metrics</code> table also holds the policy that scores them 0.5. A metric that is "
    "undefined names its reason. Definitions are in docs/data-dictionary.md.</p>"
)


def _warning(data: ReportData) -> str:
    if not any(model.scores["weights"] == "untrained" for model in data.models):
        return ""
    return (
        '<p class="warn">Some scores come from <b>untrained weights</b>. They show that the '
        "pipeline works and say nothing about any video.</p>"
    )


def _model(model: Model) -> str:
    dataset, split, name = model.key
    counts = model.scores
    scored = f"{counts['n_scored']:,} of {counts['n_videos']:,} videos scored"
    parts = [
        f"<h3>{escape(dataset)} · {escape(split)} · {escape(name)}</h3>",
        f"<p>{scored}, {counts['n_suspicious']:,} above 0.5 · weights "
        f"{escape(str(counts['weights']))} · {escape(str(counts['engine'] or ''))} · last "
        f"{_time(counts['scored_at'])}</p>",
    ]
    rows = [r for r in model.metrics if r["no_face_policy"] == "exclude"]
    for level in ("video", "window"):
        here = [row for row in rows if row["level"] == level]
        if here:
            table = _slices(here)
            parts.append(
                table
                if level == "video"
                else f"<details><summary>window level</summary>{table}</details>"
            )
    parts.append(_charts(model))
    return "\n".join(parts)


def _slices(rows: Iterable[Row]) -> str:
    slices: dict[str, dict[str, Row]] = {}
    for row in rows:
        slices.setdefault(row["slice"], {})[row["metric"]] = row
    order = sorted(slices, key=lambda name: (name != "all", not name.startswith("manip"), name))
    head = "".join(f'<th class="n">{escape(title)}</th>' for title in HEADLINE.values())
    lines_ = [
        f'<tr><th>slice</th><th class="n">real</th><th class="n">fake</th>'
        f'<th class="n">coverage</th>{head}</tr>'
    ]
    for name in order:
        metrics = slices[name]
        first = metrics["roc_auc"]
        cells = "".join(_metric(metrics.get(metric)) for metric in HEADLINE)
        lines_.append(
            f'<tr><td>{escape(name)}</td><td class="n">{first["n_real"]:,}</td>'
            f'<td class="n">{first["n_fake"]:,}</td>'
            f'<td class="n">{_number(first["coverage"])}</td>{cells}</tr>'
        )
    return f'<div class="scroll"><table>{"".join(lines_)}</table></div>'


def _metric(row: Row | None) -> str:
    if row is None:
        return "<td></td>"
    if row["value"] is None:
        return f'<td class="n"><small>{escape(row["undefined_reason"] or "")}</small></td>'
    interval = ""
    if row["ci_low"] is not None:
        interval = f"<small>{row['ci_low']:.3f}–{row['ci_high']:.3f}</small>"
    bound = f"<small>± {row['error_bound']:.1e}</small>" if row["error_bound"] else ""
    return f'<td class="n">{row["value"]:.4f}{interval}{bound}</td>'


def _charts(model: Model) -> str:
    def chosen(curves: dict[str, list[Row]]) -> list[str]:
        names = [name for name in curves if name == "all" or name.startswith("manipulation=")]
        return sorted(names, key=lambda name: (name != "all", name))[:MAX_CURVES]

    figures: list[str] = []
    if model.histogram:
        stacks = [(b["n_real"], b["n_fake"], b["n_unlabelled"] or 0) for b in model.histogram]
        figures.append(bars(stacks, ("real", "fake", "label unknown"), "Scores of videos"))
    if model.roc:
        curves = {n: [(p["fpr"], p["tpr"]) for p in model.roc[n]] for n in chosen(model.roc)}
        figures.append(lines(curves, "ROC", "FPR", "TPR", diagonal="up"))
    if model.pr:
        curves = {n: [(p["recall"], p["precision"]) for p in model.pr[n]] for n in chosen(model.pr)}
        figures.append(lines(curves, "Precision and recall", "recall", "precision", diagonal=None))
    points = [(b["mean_score"], b["share_fake"]) for b in model.reliability if b["n"]]
    if points:
        title = "Reliability: share of fakes by score"
        figures.append(lines({"all": points}, title, "mean score", "share fake", diagonal="up"))
    return f'<div class="charts">{"".join(figures)}</div>' if figures else ""


def _comparisons(rows: list[Row]) -> str:
    if not rows:
        return ""
    for row in rows:
        low, high = row["ci_low"], row["ci_high"]
        row["interval"] = "" if low is None else f"{low:.3f} to {high:.3f}"
    columns = {
        "dataset": "dataset",
        "split": "split",
        "model_a": "model a",
        "model_b": "model b",
        "value_a": "AUC a",
        "value_b": "AUC b",
        "delta": "a − b",
        "interval": "95 %",
        "p_value": "p",
        "method": "method",
    }
    return "<h2>Models compared on the same videos</h2>" + _table(rows, columns, "")


def _suspicious(data: ReportData) -> str:
    rows: list[str] = []
    for row in data.suspicious:
        strip = data.sprites.get((row["dataset"], row["split"], row["video_id"]))
        picture = ""
        if strip is not None and strip[:3] == b"\xff\xd8\xff":
            encoded = base64.b64encode(strip).decode("ascii")
            picture = f'<img alt="faces" src="data:image/jpeg;base64,{encoded}">'
        label = {0: "real", 1: "fake"}.get(row["label"], "")
        rows.append(
            f'<tr><td class="n">{row["score"]:.4f}</td><td class="path">{escape(row["video_id"])}'
            f"<small>{escape(row['dataset'])} · {escape(row['split'])} · {escape(row['model'])}"
            f"</small></td><td>{label}</td><td>{picture}</td></tr>"
        )
    if not rows:
        return "<h2>Most suspicious videos</h2><p>No current score is above 0.5.</p>"
    note = f"<p>{escape(data.note)}</p>" if data.note else ""
    head = '<tr><th class="n">score</th><th>video</th><th>label</th><th>faces</th></tr>'
    return f"<h2>Most suspicious videos</h2>{note}<table>{head}{''.join(rows)}</table>"


def _drift(rows: list[Row]) -> str:
    columns = {
        "dataset": "dataset",
        "split": "split",
        "model": "model",
        "run_id": "scan",
        "n_videos": "videos",
        "share_failed": "failed",
        "mean_score": "mean score",
        "share_suspicious": "above 0.5",
        "share_suspicious_change": "change",
        "psi": "stability index",
    }
    return "<h2>Scans</h2>" + _table(rows, columns, "No scan yet.")


def _table(rows: Sequence[Row], columns: dict[str, str], empty: str) -> str:
    if not rows:
        return f"<p>{escape(empty)}</p>" if empty else ""
    numeric = {
        name for name in columns if all(isinstance(row[name], int | float | None) for row in rows)
    }
    head = "".join(
        f"<th{_right(name in numeric)}>{escape(title)}</th>" for name, title in columns.items()
    )
    lines_ = [f"<tr>{head}</tr>"]
    for row in rows:
        cells = (f"<td{_right(n in numeric)}>{escape(_number(row[n]))}</td>" for n in columns)
        lines_.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table>{"".join(lines_)}</table></div>'


def _right(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _time(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"
