"""Clips to rows of the ``clips`` table and back, without loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fakeout_core.clip import AudioStatus, Clip, FaceTrack

LOG_MEL_SHAPE = (183, 80, 1)
"""Time steps, mel bands and channel of one window (FakeOut audio front end)."""


def clip_to_row(clip: Clip) -> dict[str, Any]:
    """Render the clip's part of a ``clips`` row.

    Args:
        clip: a cropped video.

    Returns:
        The columns from ``duration_s`` to ``tracks`` as Python values Arrow takes.
    """
    return {
        "duration_s": clip.duration_s,
        "fps": clip.fps,
        "width": clip.width,
        "height": clip.height,
        "n_frames": clip.n_frames,
        "n_frames_29": clip.n_frames_29,
        "decoder": clip.decoder,
        "audio_status": str(clip.audio_status),
        "window_start_s": [float(value) for value in clip.window_start_s],
        "window_end_s": [float(value) for value in clip.window_end_s],
        "log_mel": [np.ascontiguousarray(one, "<f4").tobytes() for one in clip.log_mel],
        "tracks": [_track_to_row(number, track) for number, track in enumerate(clip.tracks)],
    }


def _track_to_row(number: int, track: FaceTrack) -> dict[str, Any]:
    return {
        "track": number,
        "frames": list(track.frames),
        "frame_index": np.asarray(track.frame_index).tolist(),
        "window": np.asarray(track.windows).tolist(),
        "window_frames": np.asarray(track.window_frames).tolist(),
        "absent_share": np.asarray(track.absent_share).tolist(),
        "face_px": float(track.face_px),
        "n_frames_seen": int(track.n_frames_seen),
        "box": [float(edge) for edge in track.box],
        "fixes": list(track.fixes),
        "sprite": track.sprite,
    }


def row_to_clip(row: Mapping[str, Any]) -> Clip:
    """Rebuild a clip from a row with status ``ok``.

    Args:
        row: a ``clips`` row as Python values.

    Returns:
        The clip, equal to the one the row was made from.

    Raises:
        ValueError: a log-mel window has the wrong number of bytes.
    """
    mels = [np.frombuffer(one, "<f4").reshape(LOG_MEL_SHAPE) for one in row["log_mel"] or []]
    return Clip(
        tracks=[_row_to_track(track) for track in row["tracks"] or []],
        log_mel=np.stack(mels) if mels else np.zeros((0, *LOG_MEL_SHAPE), np.float32),
        audio_status=AudioStatus(row["audio_status"]),
        window_start_s=np.asarray(row["window_start_s"] or [], np.float64),
        window_end_s=np.asarray(row["window_end_s"] or [], np.float64),
        duration_s=row["duration_s"],
        fps=row["fps"],
        width=row["width"],
        height=row["height"],
        n_frames=row["n_frames"],
        n_frames_29=row["n_frames_29"],
        decoder=row["decoder"],
    )


def _row_to_track(row: Mapping[str, Any]) -> FaceTrack:
    return FaceTrack(
        frames=list(row["frames"]),
        frame_index=np.asarray(row["frame_index"], np.int32),
        windows=np.asarray(row["window"], np.int32),
        window_frames=np.asarray(row["window_frames"], np.int32).reshape(len(row["window"]), -1),
        absent_share=np.asarray(row["absent_share"], np.float32),
        face_px=row["face_px"],
        n_frames_seen=row["n_frames_seen"],
        box=tuple(row["box"]),
        fixes=tuple(row["fixes"] or ()),
        sprite=row["sprite"] or b"",
    )
