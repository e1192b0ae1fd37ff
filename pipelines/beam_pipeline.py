"""Beam pipelines from ``--beam-arg``: this process without a runner, any Beam runner with one."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from fakeout_core.errors import ConfigError

LOCAL_RUNNERS = ("", "DirectRunner", "FnApiRunner")
JOB_SERVER_RUNNERS = ("PortableRunner", "FlinkRunner", "SparkRunner")
"""Their job servers bring options of their own, which the Python side cannot check."""


def options_for(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam options; the code of this package is importable by name, so no session is pickled.

    Raises:
        ConfigError: an option that Beam does not know, for runners whose options it knows.
    """
    options = PipelineOptions(list(beam_args), save_main_session=False)
    if options.view_as(StandardOptions).runner not in JOB_SERVER_RUNNERS:
        given = options.get_all_options(drop_default=True, retain_unknown_options=True)
        unknown = sorted(set(given) - set(options.get_all_options()))
        if unknown:
            raise ConfigError(f"--beam-arg: Beam has no option {', '.join(unknown)}")
    return options


def pipeline_for(beam_args: Sequence[str]) -> beam.Pipeline:
    """An empty pipeline on the runner that the options name.

    Raises:
        ConfigError: an option or a runner that is not known, or not installed.
    """
    options = options_for(beam_args)
    name = options.view_as(StandardOptions).runner or ""
    if name in LOCAL_RUNNERS:
        # Beam's own portable runner, in this process: what DirectRunner may choose instead needs
        # a binary that may not be there.
        options.view_as(StandardOptions).runner = None
        return beam.Pipeline(runner=FnApiRunner(), options=options)
    try:
        return beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
        hint = "; it needs pip install 'apache-beam[gcp]'" if "Dataflow" in name else ""
        raise ConfigError(f"--beam-arg=--runner={name}: {error}{hint}") from None
