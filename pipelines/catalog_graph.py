"""The catalog's Beam graph: list → resolve → probe and find duplicates → rows.

What travels between steps is small: the address of a shard's Parquet file, one tuple for each
object that must be looked at, sixteen bytes a video for the duplicates. So no runner holds the
corpus, and any runner's workers share the load after the single listing.
"""

from __future__ import annotations

import apache_beam as beam
from apache_beam.pvalue import AsList

from pipelines.catalog_steps import (
    CatalogTask,
    FindDuplicates,
    FinishShard,
    ListShards,
    MergeTallies,
    ProbeObject,
    ResolveShard,
    WriteOutcome,
    failed_probe,
)


def build_graph(pipeline: beam.Pipeline, task: CatalogTask) -> beam.PCollection:
    """Add the catalog's steps to a pipeline.

    Args:
        pipeline: of any runner.
        task: what to catalog.

    Returns:
        One element: the address of the ``Outcome``, written last.
    """
    listed = (
        pipeline
        | "Source" >> beam.Create([task.source_uri])
        | "List"
        >> beam.ParDo(ListShards(task)).with_outputs(
            ListShards.SIDECARS, ListShards.TALLIES, main="shards"
        )
    )
    sidecars = AsList(listed[ListShards.SIDECARS])
    resolved = (
        listed.shards
        | "Spread shards" >> beam.Reshuffle()
        | "Resolve"
        >> beam.ParDo(ResolveShard(task), sidecars).with_outputs(
            ResolveShard.PROBES, ResolveShard.BUCKETS, ResolveShard.TALLIES, main="rows"
        )
    )
    good, bad = (
        resolved[ResolveShard.PROBES]
        | "Spread probes" >> beam.Reshuffle()
        | "Probe" >> beam.ParDo(ProbeObject(task)).with_exception_handling()
    )
    repeated = (
        resolved[ResolveShard.BUCKETS]
        | "Same content" >> beam.GroupByKey()
        | "Find duplicates" >> beam.ParDo(FindDuplicates(task))
    )
    finished = (
        {
            "rows": resolved.rows,
            "probed": good,
            "failed": bad | "Reasons" >> beam.Map(failed_probe),
            "duplicates": repeated,
        }
        | "By shard" >> beam.CoGroupByKey()
        | "Finish"
        >> beam.ParDo(FinishShard(task)).with_outputs(
            FinishShard.TALLIES, FinishShard.QUARANTINE, main="parts"
        )
    )
    tally = (
        (
            listed[ListShards.TALLIES],
            resolved[ResolveShard.TALLIES],
            finished[FinishShard.TALLIES],
        )
        | "All tallies" >> beam.Flatten()
        | "Add up" >> beam.CombineGlobally(MergeTallies())
    )
    return tally | "Record" >> beam.ParDo(
        WriteOutcome(task),
        AsList(finished.parts),
        AsList(finished[FinishShard.QUARANTINE]),
        sidecars,
    )
