"""Clips survive the table without loss."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeout_core.clip import AudioStatus, Clip, FaceTrack
from fakeout_core.clip_rows import LOG_MEL_SHAPE, clip_to_row, row_to_clip
from fakeout_core.schemas import CLIPS


def make_clip(n_tracks: int, n_windows: int, n_frames: int, has_sound: bool, seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    tracks = [
        FaceTrack(
            frames=[rng.bytes(20) for _ in range(n_frames)],
            frame_index=np.arange(n_frames, dtype=np.int32),
            windows=np.arange(n_windows, dtype=np.int32),
            window_frames=rng.integers(0, n_frames, (n_windows, 32)).astype(np.int32),
            absent_share=rng.random(n_windows).astype(np.float32),
            face_px=float(np.float32(rng.random())),
            n_frames_seen=n_frames,
            box=tuple(float(x) for x in rng.integers(0, 99, 4)),  # type: ignore[arg-type]
            fixes=("one", "two")[: seed % 3],
            sprite=rng.bytes(5),
        )
        for _ in range(n_tracks)
    ]
    mel = rng.normal(size=(n_windows if has_sound else 0, *LOG_MEL_SHAPE)).astype(np.float32)
    status = AudioStatus.USED if has_sound else AudioStatus.ABSENT
    starts = np.sort(rng.random(n_windows))
    return Clip(tracks, mel, status, starts, starts + 2, 9.5, 25.0, 640, 360, 237, 275, "decord")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2), st.integers(1, 6), st.integers(1, 9), st.booleans(), st.integers(0, 1000))
def test_round_trip_through_arrow(
    n_tracks: int, n_windows: int, n_frames: int, has_sound: bool, seed: int
) -> None:
    clip = make_clip(n_tracks, n_windows, n_frames, has_sound, seed)
    names = list(clip_to_row(clip))
    schema = pa.schema([CLIPS.schema.field(name) for name in names])
    (row,) = pa.Table.from_pylist([clip_to_row(clip)], schema=schema).to_pylist()
    back = row_to_clip(row)
    assert back.audio_status == clip.audio_status
    np.testing.assert_array_equal(back.log_mel, clip.log_mel)
    np.testing.assert_array_equal(back.window_start_s, clip.window_start_s)
    for one, other in zip(back.tracks, clip.tracks, strict=True):
        assert (one.frames, one.sprite, one.fixes) == (other.frames, other.sprite, other.fixes)
        np.testing.assert_array_equal(one.window_frames, other.window_frames)
        np.testing.assert_array_equal(one.absent_share, other.absent_share)
        assert one.box == other.box
        assert one.face_px == other.face_px
