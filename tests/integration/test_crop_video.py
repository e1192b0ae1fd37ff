"""``crop_video`` on real footage: what ships, and what the reference data adds.

One property each of real corpora: several faces, heads turned away, faces that leave and return,
cuts, tiny and huge faces, dark and grey pictures, damage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fakeout_core.clip import AudioStatus, Clip
from fakeout_core.clip_rows import clip_to_row, row_to_clip
from fakeout_core.config import CropConfig, MediaLimits
from fakeout_core.crop import crop_video
from fakeout_core.errors import MediaError, Reason
from fakeout_core.faces.geometry import LANDMARKS
from fakeout_core.faces.mesh import FaceMesh, Region

SPEECH = Path(__file__).resolve().parents[2] / "jobs" / "assets" / "speech.mp4"
SILENT = CropConfig(audio=False)
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def speech() -> Clip:
    return crop_video(str(SPEECH), CropConfig())


def frames_of(path: Path, start: int = 0, stop: int = 10_000) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="bgr24")
            for k, frame in enumerate(container.decode(video=0))
            if start <= k < stop
        ]


def write(path: Path, frames: list[np.ndarray], rate: int = 25) -> str:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "16"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return str(path)


def pictures(clip: Clip, track: int = 0) -> np.ndarray:
    stored = clip.tracks[track].frames
    return np.stack([cv2.imdecode(np.frombuffer(one, np.uint8), 1) for one in stored])


def check_whole(clip: Clip, config: CropConfig) -> None:
    """Everything a scorer reads is there and fits together."""
    assert 1 <= len(clip.tracks) <= config.max_tracks
    assert clip.window_start_s.shape == clip.window_end_s.shape == (config.n_windows,)
    assert (clip.window_start_s >= 0).all()
    assert (clip.window_start_s < clip.window_end_s).all()
    assert (clip.window_end_s <= clip.duration_s + 1e-6).all()
    assert clip.decoder in ("decord", "pyav")
    for track in clip.tracks:
        n = len(track.frames)
        assert track.frame_index.shape == (n,)
        assert (np.diff(track.frame_index) > 0).all()
        assert track.frame_index.max() < clip.n_frames_29
        assert track.window_frames.shape == (len(track.windows), config.steps)
        assert set(np.unique(track.window_frames)) == set(range(n))
        assert track.absent_share.shape == track.windows.shape
        assert set(track.windows.tolist()) <= set(range(config.n_windows))
        x1, y1, x2, y2 = track.box
        assert 0 <= x1 < x2 <= clip.width
        assert 0 <= y1 < y2 <= clip.height
        picture = cv2.imdecode(np.frombuffer(track.frames[0], np.uint8), 1)
        assert picture.shape == (224, 224, 3)
        strip = cv2.imdecode(np.frombuffer(track.sprite, np.uint8), 1)
        assert strip.shape[1] == 8 * strip.shape[0]


def test_a_clip_is_whole(speech):
    check_whole(speech, CropConfig())
    assert (speech.n_frames, speech.n_frames_29) == (105, 277)
    assert (speech.width, speech.height) == (320, 240)
    assert speech.audio_status is AudioStatus.USED
    assert speech.log_mel.shape == (5, 183, 80, 1)
    assert speech.duration_s == pytest.approx(8.79, abs=0.1)
    (track,) = speech.tracks
    assert track.n_frames_seen == pytest.approx(105, abs=5)
    assert track.face_px == pytest.approx(48, abs=8)
    assert track.box == (137.0, 0.0, 259.0, 110.0)
    assert track.absent_share.tolist() == [0.0] * 5


def test_the_same_video_gives_the_same_clip(speech):
    again = crop_video(str(SPEECH), CropConfig())
    assert clip_to_row(again) == clip_to_row(speech)


def test_a_clip_survives_its_row(speech):
    back = row_to_clip(clip_to_row(speech))
    assert clip_to_row(back) == clip_to_row(speech)


def test_faces_are_aligned(speech):
    """The eyes lie where the mean face has them: darker than the cheeks below, in every frame."""
    grey = pictures(speech).mean(-1)
    eyes = grey[:, 92:106, 78:94].mean((1, 2)) + grey[:, 92:106, 130:146].mean((1, 2))
    cheeks = grey[:, 124:138, 78:94].mean((1, 2)) + grey[:, 124:138, 130:146].mean((1, 2))
    assert (eyes < cheeks).mean() > 0.95


def test_the_codec_step_of_the_published_profile_shows():
    config = replace(SILENT, n_windows=1)
    clean = pictures(crop_video(str(SPEECH), replace(config, profile="clean"))).astype(float)
    published = pictures(crop_video(str(SPEECH), config)).astype(float)
    assert clean.shape == published.shape
    ratio = 10 * np.log10(255**2 / np.mean((clean - published) ** 2))
    assert 32 < ratio < 44


def test_settings_shape_the_clip():
    config = CropConfig(audio=False, n_windows=2, steps=8, stride=1)
    clip = crop_video(str(SPEECH), config)
    check_whole(clip, config)
    assert clip.audio_status is AudioStatus.DISABLED
    assert clip.log_mel.shape == (0, 183, 80, 1)
    assert len(clip.tracks[0].frames) < 16  # 12 fps: each picture is shown two or three times


def test_a_video_without_a_face_is_refused_by_name(tmp_path):
    bars = np.repeat(np.arange(0, 240, 20, np.uint8), 30)[None, :, None]
    path = write(
        tmp_path / "bars.mp4", [np.broadcast_to(bars, (240, 360, 3)) + k for k in range(15)]
    )
    with pytest.raises(MediaError) as refused:
        crop_video(path, SILENT)
    assert refused.value.reason is Reason.NO_FACE


def test_a_face_in_a_tenth_of_the_frames_is_no_track(tmp_path):
    face = frames_of(SPEECH, 0, 10)
    noise = np.random.default_rng(5).integers(0, 255, (240, 320, 3), np.uint8)
    path = write(tmp_path / "glimpse.mp4", face + [np.roll(noise, k, 1) for k in range(90)])
    with pytest.raises(MediaError) as refused:
        crop_video(path, SILENT)
    assert refused.value.reason is Reason.NO_FACE


def test_a_few_frames_are_too_short(tmp_path):
    path = write(tmp_path / "short.mp4", frames_of(SPEECH, 0, 5))
    with pytest.raises(MediaError) as refused:
        crop_video(path, SILENT)
    assert refused.value.reason is Reason.TOO_SHORT


def test_a_video_shorter_than_a_window_is_looped(tmp_path):
    path = write(tmp_path / "half.mp4", frames_of(SPEECH, 0, 12), rate=12)
    clip = crop_video(path, SILENT)
    check_whole(clip, SILENT)
    assert len(clip.tracks[0].frames) == 12
    assert clip.window_start_s.tolist() == [0.0] * 5


def test_a_cut_off_file_gives_what_is_there(tmp_path):
    frames = frames_of(SPEECH)
    whole = Path(write(tmp_path / "whole.mp4", frames, rate=12)).read_bytes()
    moved = tmp_path / "front.mp4"  # with the index in front, so that the cut leaves it
    with (
        av.open(str(tmp_path / "whole.mp4")) as source,
        av.open(str(moved), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = moved.read_bytes()
    assert len(data) > 0.9 * len(whole)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(0.6 * len(data))])
    clip = crop_video(str(cut), SILENT)
    check_whole(clip, SILENT)
    assert 20 < clip.n_frames < 100
    assert clip.notes


def test_limits_hold():
    with pytest.raises(MediaError) as refused:
        crop_video(str(SPEECH), CropConfig(limits=MediaLimits(max_pixels=320 * 240 - 1)))
    assert refused.value.reason is Reason.TOO_LARGE


def test_only_the_first_seconds_are_looked_at():
    clip = crop_video(str(SPEECH), replace(SILENT, max_seconds=4.0))
    assert clip.n_frames == pytest.approx(48, abs=1)
    assert clip.n_frames_29 <= 116
    assert clip.window_end_s.max() <= 4.2


def test_tiny_faces_are_found(tmp_path):
    """Faces of 24 px: the finest levels of the pyramid must not be skipped."""
    small = [cv2.resize(one, (160, 120), interpolation=cv2.INTER_AREA) for one in frames_of(SPEECH)]
    path = write(tmp_path / "tiny.mp4", small[:40], rate=12)
    config = replace(SILENT, pyramid_skip=0)
    clip = crop_video(path, config)
    check_whole(clip, config)
    assert 18 < clip.tracks[0].face_px < 32
    with pytest.raises(MediaError, match="no_face"):
        crop_video(path, replace(SILENT, pyramid_skip=3))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("dark", lambda frame: (frame.astype(np.float32) * 0.2).astype(np.uint8)),
        ("grey", lambda frame: np.repeat(frame.mean(-1, keepdims=True), 3, 2).astype(np.uint8)),
        ("mirrored", lambda frame: frame[:, ::-1]),
    ],
)
def test_dark_grey_and_mirrored_pictures(tmp_path, name: str, change: Change):
    plain = crop_video(write(tmp_path / "plain.mp4", frames_of(SPEECH, 0, 30), 12), SILENT)
    path = write(tmp_path / f"{name}.mp4", [change(one) for one in frames_of(SPEECH, 0, 30)], 12)
    clip = crop_video(path, SILENT)
    check_whole(clip, SILENT)
    (track,) = clip.tracks
    assert track.n_frames_seen >= 28
    assert track.face_px == pytest.approx(plain.tracks[0].face_px, rel=0.15)


def test_a_cut_between_two_framings_keeps_both(tmp_path):
    """The face jumps from 48 to 96 px: FacePipe refuses the second half by its area gate."""
    near = [
        cv2.resize(one[10:130, 110:270], (320, 240), interpolation=cv2.INTER_CUBIC)
        for one in frames_of(SPEECH, 30, 60)
    ]
    path = write(tmp_path / "cut.mp4", frames_of(SPEECH, 0, 30) + near, rate=25)
    config = replace(SILENT, n_windows=3)
    clip = crop_video(path, config)
    check_whole(clip, config)
    track = max(clip.tracks, key=lambda one: one.n_frames_seen)
    assert any("reseed" in fix for fix in track.fixes)
    assert track.n_frames_seen >= 30


# What follows needs footage that may not ship.


@pytest.mark.shared
def test_two_people_give_two_tracks(shared):
    clip = crop_video(str(shared / "faces" / "clips" / "two_360.mp4"), SILENT)
    check_whole(clip, SILENT)
    one, other = clip.tracks
    assert {one.n_frames_seen, other.n_frames_seen} == {300}
    assert one.box[2] <= other.box[0] + 60 or other.box[2] <= one.box[0] + 60
    assert np.abs(pictures(clip, 0)[0].astype(int) - pictures(clip, 1)[0]).mean() > 20


@pytest.mark.shared
def test_a_crowd_gives_the_two_faces_asked_for(shared):
    clip = crop_video(str(shared / "faces" / "clips" / "crowd_720.mp4"), SILENT)
    check_whole(clip, SILENT)
    assert len(clip.tracks) == 2
    assert np.abs(pictures(clip, 0)[0].astype(int) - pictures(clip, 1)[0]).mean() > 15
    single = crop_video(
        str(shared / "faces" / "clips" / "crowd_720.mp4"), replace(SILENT, max_tracks=1)
    )
    assert len(single.tracks) == 1


@pytest.mark.shared
def test_a_face_that_leaves_and_returns(shared):
    clip = crop_video(str(shared / "faces" / "clips" / "leave_360.mp4"), SILENT)
    check_whole(clip, SILENT)
    (track,) = clip.tracks
    assert track.n_frames_seen == pytest.approx(215, abs=12)
    # Nobody is there from 117 to 201: the window in the middle must not be scored.
    assert 2 not in track.windows.tolist()
    assert {0, 4} <= set(track.windows.tolist())
    assert track.fixes


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "shown", "hidden"), [("face_noface.mov", 0, 4), ("noface_face.mov", 4, 0)]
)
def test_the_cartoon_beyond_the_cut_is_not_scored(shared, name: str, shown: int, hidden: int):
    clip = crop_video(str(shared / "faces" / "videos" / name), CropConfig())
    check_whole(clip, CropConfig())
    (track,) = clip.tracks
    assert track.n_frames_seen == pytest.approx(71, abs=4)
    assert shown in track.windows.tolist()
    assert hidden not in track.windows.tolist()
    assert clip.decoder == "pyav"  # variable rate


@pytest.mark.shared
@pytest.mark.parametrize("name", ["no_face.mp4", "shot_change.mp4"])
def test_cartoons_clocks_and_cats_have_no_face(shared, name: str):
    with pytest.raises(MediaError) as refused:
        crop_video(str(shared / "faces" / "videos" / name), CropConfig())
    assert refused.value.reason is Reason.NO_FACE


@pytest.mark.shared
def test_a_face_that_fills_the_picture(shared, tmp_path):
    frames = [
        cv2.resize(one[60:400, 70:410], (720, 720), interpolation=cv2.INTER_LINEAR)
        for one in frames_of(shared / "faces" / "videos" / "lp_d18.mp4", 0, 40)
    ]
    clip = crop_video(write(tmp_path / "huge.mp4", frames), SILENT)
    check_whole(clip, SILENT)
    (track,) = clip.tracks
    assert track.face_px > 400
    assert track.n_frames_seen == 40


@pytest.mark.shared
def test_a_head_in_three_quarter_profile(shared, tmp_path):
    """A woman looks down and aside: under her nose lies a third of the way between her eyes."""
    still = cv2.imread(str(shared / "faces" / "images" / "sample1.jpg"))
    frames = [still[300 + k : 780 + k, 610 + 2 * k : 1250 + 2 * k] for k in range(30)]
    clip = crop_video(write(tmp_path / "aside.mp4", frames), SILENT)
    check_whole(clip, SILENT)
    track = max(clip.tracks, key=lambda one: one.n_frames_seen)
    assert track.n_frames_seen == 30
    stored = pictures(clip, clip.tracks.index(track))
    mesh = FaceMesh().locate(stored[0], Region(112, 112, 200, 0.0))
    nose, outer, _, _, far = mesh.points[list(LANDMARKS)]
    assert 0.25 < (nose[0] - outer[0]) / (far[0] - outer[0]) < 0.42


@pytest.mark.shared
def test_a_head_that_turns_and_a_hand_over_the_face(shared, tmp_path):
    frames = frames_of(shared / "faces" / "videos" / "WolfgangLanger_Pexels.mp4", 140, 200)
    clip = crop_video(write(tmp_path / "turn.mp4", frames), SILENT)
    check_whole(clip, SILENT)
    (track,) = clip.tracks
    assert track.n_frames_seen >= 0.95 * len(frames)
