"""One video to one clip: frames, faces, sound and windows put together.

probe → plan → decode once ─┬─ every third frame: detect
                            └─ frames that windows need: landmarks → aligned face
      → choose whom → mask, MPEG-4 step, JPEG → clip, with the sound's log-mel
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fakeout_core.clip import AudioStatus, Clip, FaceTrack
from fakeout_core.config import CropConfig
from fakeout_core.errors import MediaError, Reason
from fakeout_core.faces.assemble import make_track, select_tracks
from fakeout_core.faces.detect import Mtcnn, levels_to_skip
from fakeout_core.faces.extract import Extraction, Extractor
from fakeout_core.faces.mesh import FaceMesh
from fakeout_core.faces.schedule import SMOOTHING, Plan, make_plan
from fakeout_core.media.audio import read_audio
from fakeout_core.media.logmel import log_mel, no_sound
from fakeout_core.media.probe import VideoInfo, probe
from fakeout_core.media.rate import reference_rate
from fakeout_core.media.video import VideoReader, open_reader
from fakeout_core.media.windows import window_frames

LEAST_SIDE_PX = 20
"""A picture with a shorter side cannot hold a face the detector finds."""


@dataclass(frozen=True)
class Pass:
    """One pass over a video, and what it was made for.

    Attributes:
        plan: what was to be done with each frame.
        shown: source frame of every frame at 29 fps, int32 [n_29].
        windows: frames at 29 fps of every window, int32 [n_windows, steps].
        found: by the pass.
        rate: frames per second of the file FacePipe would have written.
        fps: mean frame rate of the source.
        end_s: when the last frame ends.
        decoder: who decoded.
        n_errors: decoding errors met.
    """

    plan: Plan
    shown: np.ndarray
    windows: np.ndarray
    found: Extraction
    rate: int
    fps: float
    end_s: float
    decoder: str
    n_errors: int


def crop_video(path: str, config: CropConfig) -> Clip:
    """Make the clip of one video.

    Deterministic; one thread; holds a few frames at a time. Meant to run inside a killable child
    process (``fakeout_core.media.isolate``), since decoders may crash on hostile files.

    Args:
        path: a local file, whatever its name.
        config: what a clip looks like.

    Returns:
        The clip, with one to ``config.max_tracks`` tracks.

    Raises:
        MediaError: ``no_face``, ``too_short``, or whatever probing and reading give.
    """
    cv2.setNumThreads(1)
    info = probe(path, config.limits)
    if min(info.width, info.height) < LEAST_SIDE_PX:
        raise MediaError(
            Reason.NO_FACE, f"{info.width}×{info.height} px; a face needs {LEAST_SIDE_PX}"
        )
    done = look(path, info, config)
    tracks = _tracks(done, info, config)
    starts, ends = window_times(done)
    sound = read_audio(path, info, config)
    has_sound = sound.status in (AudioStatus.USED, AudioStatus.SILENT)
    return Clip(
        tracks=tracks,
        log_mel=log_mel(sound.samples, config.n_windows) if has_sound else no_sound(0),
        audio_status=sound.status,
        window_start_s=starts,
        window_end_s=ends,
        duration_s=done.end_s,
        fps=done.fps,
        width=info.width,
        height=info.height,
        n_frames=len(done.found.times_s),
        n_frames_29=len(done.shown),
        decoder=done.decoder,
        notes=(f"{done.n_errors} decoding errors",) if done.n_errors else (),
    )


def window_times(done: Pass) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of every window in seconds, by the timestamps of the frames shown.

    Args:
        done: a pass.

    Returns:
        Two float64 [n_windows]; an end is when the last frame of the window ends.
    """
    times = np.append(done.found.times_s, done.end_s)
    source = done.shown[done.windows]
    return times[source.min(1)], times[source.max(1) + 1]


def look(path: str, info: VideoInfo, config: CropConfig) -> Pass:
    """Pass over a video; once more in the rare case that it has other frames than it promised.

    Args:
        path: a local file.
        info: what probing said.
        config: what a clip looks like.

    Returns:
        What the last pass found.

    Raises:
        MediaError: ``too_short``, or whatever reading gives.
    """
    done, is_whole = _pass(path, info, config, None)
    return done if is_whole else _pass(path, info, config, done)[0]


def _pass(path: str, info: VideoInfo, config: CropConfig, before: Pass | None) -> tuple[Pass, bool]:
    """One pass, planned by the packet table or by the pass before; and whether the plan held."""
    with open_reader(path, info, limits=config.limits, max_seconds=config.max_seconds) as reader:
        n_frames = reader.n_expected if before is None else len(before.found.times_s)
        shown = reader.output_map(max(1, n_frames)) if before is None else before.shown
        windows = window_frames(len(shown), config.steps, config.stride, config.n_windows)
        n_planned = min(max(1, n_frames), int(shown[-1]) + SMOOTHING)
        plan = make_plan(n_planned, shown[windows], config.detect_every)
        extractor = Extractor(
            plan,
            Mtcnn(levels_to_skip(config.pyramid_skip, info.width, info.height)),
            FaceMesh(),
            None if before is None else before.found.detections,
        )
        found = extractor.run(reader.frames(extractor.needs_pixels))
        n_seen = len(found.times_s)
        if n_seen < config.limits.min_frames:
            least = config.limits.min_frames
            raise MediaError(Reason.TOO_SHORT, f"{n_seen} frames; at least {least}")
        is_whole = n_seen == n_frames
        return _passed(
            reader, plan, reader.output_map() if not is_whole else shown, windows, found
        ), is_whole


def _passed(
    reader: VideoReader, plan: Plan, shown: np.ndarray, windows: np.ndarray, found: Extraction
) -> Pass:
    return Pass(
        plan=plan,
        shown=shown,
        windows=windows,
        found=found,
        rate=max(1, int(reference_rate(reader.fps))),
        fps=float(reader.fps),
        end_s=reader.end_s,
        decoder=reader.decoder,
        n_errors=reader.n_errors,
    )


def _tracks(done: Pass, info: VideoInfo, config: CropConfig) -> list[FaceTrack]:
    """The tracks of a video; at least one.

    Raises:
        MediaError: ``no_face``.
    """
    found = done.found
    chosen = select_tracks(found, done.plan, info.width, info.height, config.max_tracks)
    made = [make_track(found, one, done.shown, done.windows, done.rate, config) for one in chosen]
    tracks = [track for track in made if track is not None]
    if not tracks:
        n_boxes = sum(len(slot.faces) > 0 for slot in found.slots)
        raise MediaError(
            Reason.NO_FACE,
            f"a face in {n_boxes} of {len(found.slots)} pictures searched, nobody in a fifth of "
            f"the {len(found.times_s)} frames",
        )
    return tracks
