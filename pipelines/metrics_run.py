"""Running the metrics' graph to its end; needs Beam installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsList

from pipelines.beam_pipeline import pipeline_for
from pipelines.metrics_graph import MetricsTask, Work, build_graph
from pipelines.metrics_views import read_table, write_table
from pipelines.storage import join


class ListResults(beam.DoFn):
    """Writes the list of results, last of all, where the driver finds it."""

    def process(self, element: MetricsTask, found: list[tuple[str, str]]) -> Iterator[str]:
        """Write the list; yield its address."""
        names, uris = zip(*sorted(found), strict=True) if found else ((), ())
        table = pa.table(
            {"table": pa.array(names, pa.string()), "uri": pa.array(uris, pa.string())}
        )
        uri = results_uri(element)
        write_table(uri, table)
        yield uri


def results_uri(task: MetricsTask) -> str:
    """Where the list of results is."""
    return join(task.spool_uri, "results.parquet")


def execute(
    task: MetricsTask, work: list[Work], beam_args: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Run the graph.

    Args:
        task: settings and places.
        work: the groups.
        beam_args: of the runner; without one the graph runs in this process.

    Returns:
        (table, address of its rows in the spool).

    Raises:
        ConfigError: an option or a runner that is not known, or not installed.
    """
    pipeline = pipeline_for(beam_args)
    found = build_graph(pipeline, task, work)
    _ = (
        pipeline
        | "Once" >> beam.Create([task])
        | "List results" >> beam.ParDo(ListResults(), AsList(found))
    )
    pipeline.run().wait_until_finish()
    listed = read_table(results_uri(task))
    return list(zip(listed["table"].to_pylist(), listed["uri"].to_pylist(), strict=True))
