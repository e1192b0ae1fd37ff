"""SQL over a lake: its tables and ready views in an in-memory DuckDB that can change nothing.

Tables are pyarrow datasets over the lake's current files, so local, ``gs://`` and ``s3://`` lakes
are read the same way, without DuckDB's own network extensions, and a table that does not exist yet
is empty. After they are registered the connection loses every access to files and networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from fakeout_core.schemas import TABLES
from pipelines.lake import existing_lake

SUSPICIOUS_ABOVE = 0.5


@dataclass(frozen=True)
class ViewSpec:
    """A ready view.

    Attributes:
        name: to select from.
        about: one line for people.
        sql: its definition, over the tables and the views before it.
    """

    name: str
    about: str
    sql: str


VIEWS = (
    ViewSpec(
        "latest_scores",
        "the newest score row of every catalogued video and model; labels as the catalog has them",
        """
with listed as (
  select dataset, split, video_id, content_version, label, manipulation, source_id, listed_at
  from catalog
  qualify row_number() over (partition by dataset, split, video_id order by listed_at desc) = 1
),
catalogued as (select distinct dataset, split from catalog)
select
  s.dataset, s.split, s.model, s.video_id, s.uri, s.content_version, s.crop, s.status, s.reason,
  s.message, s.attempts, s.score, s.track_scores, s.n_windows, s.aggregation, s.weights, s.engine,
  s.audio_status, s.duration_s, s.face_px,
  coalesce(c.label, s.label) as label,
  coalesce(c.manipulation, s.manipulation) as manipulation,
  coalesce(c.source_id, s.source_id) as source_id,
  s.run_id, s.scored_at
from scores s
left join listed c on s.dataset = c.dataset and s.split = c.split and s.video_id = c.video_id
left join catalogued p on s.dataset = p.dataset and s.split = p.split
where p.dataset is null or s.content_version = c.content_version or s.scored_at >= c.listed_at
qualify row_number() over (
  partition by s.dataset, s.split, s.model, s.video_id order by s.scored_at desc, s.attempts desc
) = 1
""",
    ),
    ViewSpec(
        "suspicious",
        "current scores above 0.5, the highest first",
        f"""
select dataset, split, model, video_id, uri, score, track_scores, n_windows, audio_status,
  duration_s, face_px, label, manipulation, weights, scored_at
from latest_scores
where status = 'scored' and score > {SUSPICIOUS_ABOVE}
order by score desc, dataset, split, model, video_id
""",
    ),
    ViewSpec(
        "disagreements",
        "videos on which two models fall on different sides of 0.5, or a model and the label do",
        f"""
select 'models' as kind, a.dataset, a.split, a.video_id, a.uri, a.label,
  a.model as model_a, b.model as model_b, a.score as score_a, b.score as score_b,
  abs(a.score - b.score) as gap
from latest_scores a
join latest_scores b
  on a.dataset = b.dataset and a.split = b.split and a.video_id = b.video_id and a.model < b.model
where a.status = 'scored' and b.status = 'scored'
  and (a.score > {SUSPICIOUS_ABOVE}) <> (b.score > {SUSPICIOUS_ABOVE})
union all
select 'label', dataset, split, video_id, uri, label, model, null, score, null, abs(score - label)
from latest_scores
where status = 'scored' and label is not null and (score > {SUSPICIOUS_ABOVE}) <> (label = 1)
order by gap desc, dataset, split, video_id
""",
    ),
    ViewSpec(
        "failures",
        "failures that stand: of catalogued content, and not healed by a later attempt",
        """
with newest as (
  select * from quarantine
  qualify row_number() over (
    partition by dataset, split, video_id, content_version order by attempts desc, "at" desc
  ) = 1
),
catalogued as (select distinct dataset, split from catalog),
healed as (
  select dataset, split, video_id, content_version, max(attempts) as attempts from (
    select dataset, split, video_id, content_version, attempts from scores where status = 'scored'
    union all
    select dataset, split, video_id, content_version, attempts - 1 from clips where status = 'ok'
  ) group by all
)
select q.dataset, q.split, q.stage, q.video_id, q.uri, q.reason, q.message, q.attempts,
  q.transient, q.content_version, q.run_id, q."at"
from newest q
left join catalogued p on q.dataset = p.dataset and q.split = p.split
left join catalog c on q.dataset = c.dataset and q.split = c.split and q.video_id = c.video_id
  and q.content_version = c.content_version
left join healed h on q.dataset = h.dataset and q.split = h.split and q.video_id = h.video_id
  and q.content_version = h.content_version
where (p.dataset is null or c.video_id is not null) and coalesce(h.attempts, 0) < q.attempts
order by q.dataset, q.split, q.reason, q.video_id
""",
    ),
    ViewSpec(
        "drift",
        "per scan (run) of a model: the scores it added, against those of the scan before",
        f"""
with one as (
  select dataset, split, model, run_id, min(scored_at) as began_at, max(scored_at) as ended_at,
    count(*) as n_videos,
    count(*) filter (where status = 'scored') as n_scored,
    avg(score) filter (where status = 'scored') as mean_score,
    median(score) filter (where status = 'scored') as median_score,
    quantile_cont(score, 0.95) filter (where status = 'scored') as p95_score,
    avg((score > {SUSPICIOUS_ABOVE})::double) filter (where status = 'scored') as share_suspicious
  from scores group by all
),
sequence as (
  select *, row_number() over w as scan, lag(run_id) over w as previous_run_id,
    mean_score - lag(mean_score) over w as mean_change,
    share_suspicious - lag(share_suspicious) over w as share_suspicious_change
  from one window w as (partition by dataset, split, model order by began_at, run_id)
),
shares as (
  select q.dataset, q.split, q.model, q.run_id, b.bin,
    (count(s.score) filter (where least(floor(s.score * 10), 9) = b.bin) + 0.5)
      / (q.n_scored + 5.0) as share
  from sequence q
  cross join (select unnest(range(10)) as bin) b
  left join scores s on s.dataset = q.dataset and s.split = q.split and s.model = q.model
    and s.run_id = q.run_id and s.status = 'scored'
  group by q.dataset, q.split, q.model, q.run_id, q.n_scored, b.bin
),
stability as (
  select q.dataset, q.split, q.model, q.run_id, sum((n.share - o.share) * ln(n.share / o.share))
    as psi
  from sequence q
  join shares n on n.dataset = q.dataset and n.split = q.split and n.model = q.model
    and n.run_id = q.run_id
  join shares o on o.dataset = q.dataset and o.split = q.split and o.model = q.model
    and o.run_id = q.previous_run_id and o.bin = n.bin
  group by all
)
select q.dataset, q.split, q.model, q.scan, q.run_id, q.previous_run_id, q.began_at, q.ended_at,
  q.n_videos, q.n_scored, 1 - q.n_scored / q.n_videos as share_failed, q.mean_score,
  q.median_score, q.p95_score, q.share_suspicious, q.mean_change, q.share_suspicious_change, t.psi
from sequence q
left join stability t on t.dataset = q.dataset and t.split = q.split and t.model = q.model
  and t.run_id = q.run_id
order by q.dataset, q.split, q.model, q.scan
""",
    ),
)


def connect(lake_uri: str) -> duckdb.DuckDBPyConnection:
    """Open a lake for SQL.

    Args:
        lake_uri: root of the lake.

    Returns:
        A connection with every table of the lake and the `VIEWS`; it reads nothing else and
        writes nowhere. The tables' files are those of this moment.

    Raises:
        ConfigError: a local lake does not exist.
        StorageError: the store does not answer.
    """
    lake = existing_lake(lake_uri)
    connection = duckdb.connect(":memory:")
    connection.execute("set timezone = 'UTC'")
    for name in TABLES:
        connection.register(name, lake.dataset(name))
    for view in VIEWS:
        connection.execute(f"create view {view.name} as {view.sql}")
    for setting, value in (
        ("python_enable_replacements", "false"),
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ):
        connection.execute(f"set {setting} = {value}")
    return connection
