from __future__ import annotations

import dataclasses
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.packets import is_variable, read_packets
from fakeout_core.media.probe import probe
from fakeout_core.media.video import Frame, VideoReader, open_reader
from tests.fakes.samples import pictures, with_hidden_start, write_video

FRAMES = pictures(40, 96, 64)
HAS_DECORD = sys.platform == "linux"


def reader_of(path: Path | str, **options) -> VideoReader:
    return open_reader(str(path), probe(str(path)), **options)


def read(path: Path | str, **options) -> tuple[VideoReader, list[np.ndarray]]:
    with reader_of(path, **options) as reader:
        return reader, [frame.rgb() for frame in reader]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(float) - other) ** 2))))


PLAIN = {
    "h264.mp4": {},
    "no reordering.mp4": {"options": {"bf": "0"}},
    "open groups.mp4": {
        "options": {
            "x264-params": "open-gop=1:keyint=7:min-keyint=7:bframes=3:scenecut=0:log-level=none"
        }
    },
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "part 2.mp4": {"codec": "mpeg4"},
    "h264.mov": {},
    "h264.mkv": {},
    "h264.3gp": {},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp8.webm": {"codec": "libvpx"},
    "tagged.mp4": {"tags": (5, 1)},
    "ntsc.mp4": {"fps": Fraction(30_000, 1_001)},
    "index first.mp4": {"container_options": {"movflags": "faststart"}},
}


@pytest.mark.parametrize("name", PLAIN)
def test_on_plain_files_decord_serves_and_both_give_the_same_frames(tmp_path, name):
    path = write_video(tmp_path / name, FRAMES, **PLAIN[name])
    decord, ours = read(path)
    pyav, theirs = read(path, decoder="pyav")
    assert (decord.decoder, decord.rule) == ("decord", "")
    assert (pyav.decoder, pyav.n_errors) == ("pyav", 0)
    assert decord.n_frames == pyav.n_frames == decord.n_expected == 40
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert np.allclose(decord.times_s, pyav.times_s, atol=2e-3)
    assert psnr(ours[20], FRAMES[20]) > 20


def test_the_shipped_speech_in_both(data):
    path = data / "media" / "obama_speech.mp4"
    decord, ours = read(path)
    _, theirs = read(path, decoder="pyav")
    assert decord.decoder == "decord"
    assert len(ours) == 105
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.shared
def test_real_files_in_both(shared):
    for path in sorted((shared / "faces" / "videos").iterdir()):
        decord, ours = thin(path, None)
        _, theirs = thin(path, "pyav")
        assert ours.keys() == theirs.keys(), path.name
        for index in ours:
            assert np.array_equal(ours[index], theirs[index]), (path.name, index, decord.rule)


def thin(path: Path, decoder) -> tuple[VideoReader, dict[int, np.ndarray]]:
    """Every 20th frame of the first 4 s."""
    with reader_of(path, decoder=decoder, max_seconds=4.0) as reader:
        wanted = reader.frames(lambda index: index % 20 == 0)
        return reader, {frame.index: frame.rgb() for frame in wanted if frame.index % 20 == 0}


@pytest.mark.parametrize("every", [2, 3, 5, 11])
@pytest.mark.parametrize("name", ["open groups.mp4", "h264.mp4", "hevc.mp4", "vp9.webm"])
def test_skipping_unwanted_frames_moves_no_other(tmp_path, name, every):
    """decord seeks when a skip crosses a key frame, and goes wrong after open groups."""
    path = write_video(tmp_path / name, FRAMES, **PLAIN[name])
    _, truth = read(path, decoder="pyav")
    with reader_of(path) as reader:
        for frame in reader.frames(lambda index: index % every == 0):
            if frame.index % every == 0:
                assert np.array_equal(frame.rgb(), truth[frame.index]), frame.index
        assert reader.decoder == "decord"
        assert reader.n_frames == 40


def test_pixels_of_skipped_frames_are_not_to_be_had(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES, options={"bf": "0", "g": "100"})
    with reader_of(path) as reader:
        frames: list[Frame] = list(reader.frames(lambda index: False))
        with pytest.raises(LookupError, match="frame 20"):
            frames[20].bgr()


def test_bgr_is_rgb_backwards(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES[:10])
    for decoder in ("decord", "pyav"):
        with reader_of(path, decoder=decoder) as reader:
            for frame in reader:
                bgr = frame.bgr()
                assert bgr.flags.c_contiguous
                assert np.array_equal(bgr[..., ::-1], frame.rgb()), decoder


BY_RULE = {
    "tagged 709.mp4": ({"tags": (1, 1)}, "colour_tag"),
    "full range.mp4": ({"tags": (5, 2)}, "pixels:yuvj420p"),
    "10 bit.mp4": ({"pix_fmt": "yuv420p10le"}, "pixels:yuv420p10le"),
    "10 bit hevc.mp4": (
        {
            "codec": "libx265",
            "pix_fmt": "yuv420p10le",
            "options": {"x265-params": "log-level=none"},
        },
        "pixels:yuv420p10le",
    ),
    "4:2:2.mp4": ({"pix_fmt": "yuv422p"}, "pixels:yuv422p"),
    "4:4:4.mp4": ({"pix_fmt": "yuv444p"}, "pixels:yuv444p"),
    "alpha prores.mov": ({"codec": "prores_ks", "pix_fmt": "yuva444p10le"}, "codec:prores"),
    "alpha animation.mov": ({"codec": "qtrle", "pix_fmt": "argb"}, "codec:qtrle"),
    "alpha ffv1.mkv": ({"codec": "ffv1", "pix_fmt": "bgra"}, "codec:ffv1"),
    "interlaced.mp4": (
        {"options": {"x264-params": "tff=1:interlaced=1:log-level=none"}},
        "interlaced",
    ),
    "fragmented.mp4": (
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
        "fragmented",
    ),
    "variable.mp4": ({"stamps": [i + (i // 7) * 3 for i in range(40)]}, "variable_rate"),
    "variable.mkv": ({"stamps": [i + (i // 7) * 3 for i in range(40)]}, "variable_rate"),
    "mpeg4.avi": ({"codec": "mpeg4"}, "container:avi"),
    "mjpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "container:avi"),
    "stream.ts": ({}, "container:mpegts"),
    "program.mpg": ({"codec": "mpeg2video"}, "container:mpeg"),
    "flash.flv": ({}, "container:flv"),
}


@pytest.mark.parametrize("name", BY_RULE)
def test_by_rule_pyav_serves_and_the_frames_are_right(tmp_path, name):
    options, rule = BY_RULE[name]
    path = write_video(tmp_path / name.replace(":", ""), FRAMES, **options)
    reader, frames = read(path)
    assert (reader.decoder, reader.rule) == ("pyav", rule)
    assert len(frames) == reader.n_expected == 40
    # A neighbour differs by two pixels of drift: 17 dB at most.
    worst = min(psnr(frame, truth) for frame, truth in zip(frames, FRAMES, strict=True))
    assert worst > 20


@pytest.mark.parametrize("codec", ["libvpx-vp9", "ffv1"])
def test_odd_sizes(tmp_path, codec):
    small = [np.ascontiguousarray(frame[:63, :95]) for frame in FRAMES]
    path = write_video(tmp_path / "odd.mkv", small, codec=codec)
    reader, frames = read(path)
    assert (reader.width, reader.height) == (95, 63)
    assert reader.decoder == "pyav"
    assert psnr(frames[30], small[30]) > 20


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_turned_pictures_come_upright(tmp_path, turn, container):
    path = write_video(tmp_path / f"turned.{container}", FRAMES, rotation=turn)
    reader, frames = read(path)
    assert (reader.decoder, reader.rule) == ("pyav", "rotation")
    assert frames[0].shape == (reader.height, reader.width, 3)
    assert psnr(frames[30], np.rot90(FRAMES[30], turn // 90)) > 20
    assert frames[0].flags.c_contiguous


def test_hidden_frames_stay_hidden(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", FRAMES)
    path = with_hidden_start(tmp_path / "hidden.mp4", whole, 10)
    reader, frames = read(path)
    assert (reader.decoder, reader.rule, len(frames)) == ("pyav", "edit_list", 30)
    assert reader.times_s[0] == 0.0
    assert psnr(frames[0], FRAMES[10]) > 20


def test_colours_follow_bt601_whatever_the_tag(tmp_path):
    tagged = write_video(tmp_path / "709.mp4", FRAMES, tags=(1, 1))
    plain = write_video(tmp_path / "601.mp4", FRAMES, tags=(5, 1))
    assert all(np.array_equal(a, b) for a, b in zip(read(tagged)[1], read(plain)[1], strict=True))
    with av.open(str(tagged)) as opened:
        by_tag = next(opened.decode(video=0)).to_ndarray(format="rgb24")
    assert not np.array_equal(by_tag, read(tagged)[1][0])


def test_variable_rate_goes_by_timestamps(tmp_path):
    stamps = list(range(20)) + list(range(40, 60))
    reader, frames = read(write_video(tmp_path / "v.mp4", FRAMES, stamps=stamps))
    assert reader.is_variable
    assert np.allclose(reader.times_s, np.array(stamps) / 30, atol=1e-3)
    shown = reader.output_map()
    assert len(frames) == 40
    assert abs(len(shown) - 2 * 29) <= 1
    held = np.bincount(shown, minlength=40)
    assert held[19] >= 19  # the frame before the hole stands still through it
    assert np.array_equal(shown, reader.output_map(reader.n_expected))


def test_constant_rate_goes_by_the_whole_part_of_the_declared_rate(tmp_path):
    path = write_video(tmp_path / "n.mp4", FRAMES, fps=Fraction(30_000, 1_001))
    reader, _ = read(path)
    assert np.array_equal(reader.output_map(), np.arange(40))  # 29.97 is written as 29


def test_rounded_timestamps_are_no_variable_rate():
    times = np.round(np.arange(300) / 29.97, 3)
    assert not is_variable(times)
    assert is_variable(np.delete(times, 150))
    assert is_variable(np.array([0.0, 0.0, 0.0, 1.0]))
    assert not is_variable(np.array([0.0, 5.0]))


def test_the_table_knows_the_frames_before_any_is_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES, fps=10)
    info = probe(str(path))
    table = read_packets(str(path), info, MediaLimits(), 59.0)
    assert len(table.times_s) == 40
    assert table.end_s == pytest.approx(4.0)
    assert table.is_whole
    with reader_of(path, max_seconds=1.5) as reader:
        assert reader.n_expected == 15
        assert [round(frame.time_s * 10) for frame in reader] == list(range(15))
    _, by_pyav = read(path, max_seconds=1.5, decoder="pyav")
    assert len(by_pyav) == 15


def test_a_frame_limit_ends_the_reading(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    for decoder in ("decord", "pyav"):
        reader, frames = read(path, limits=MediaLimits(max_frames=12), decoder=decoder)
        assert len(frames) == reader.n_expected == 12, decoder


def test_three_frames_are_too_short_and_none_is_no_video(tmp_path):
    with pytest.raises(MediaError) as caught:
        read(write_video(tmp_path / "three.mp4", FRAMES[:3]))
    assert caught.value.reason is Reason.TOO_SHORT
    path = tmp_path / "none.mp4"
    data = bytearray(write_video(tmp_path / "a.mp4", FRAMES).read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        read(path)
    assert caught.value.reason is Reason.NO_VIDEO


def test_damage_costs_what_it_hits(tmp_path):
    options = {"x264-params": "keyint=5:scenecut=0:log-level=none"}
    whole = write_video(tmp_path / "whole.mp4", FRAMES, options=options)
    data = bytearray(whole.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    middle = (start + end) // 2
    data[middle : middle + 300] = bytes(300)
    (tmp_path / "hurt.mp4").write_bytes(data)
    reader, frames = read(tmp_path / "hurt.mp4")
    assert reader.decoder == "pyav"
    assert reader.n_errors > 0
    assert 20 <= len(frames) < 40
    assert len(reader.times_s) == len(frames)
    assert sorted(reader.times_s) == reader.times_s


def test_a_cut_file_gives_what_is_there(tmp_path):
    path = write_video(
        tmp_path / "a.mp4",
        FRAMES,
        options={"g": "5"},
        container_options={"movflags": "faststart"},
    )
    data = path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    reader, frames = read(tmp_path / "cut.mp4")
    assert reader.decoder == "pyav"
    assert 8 <= len(frames) < 40


def test_pyav_takes_over_where_decord_fails(tmp_path, monkeypatch):
    import decord

    path = write_video(tmp_path / "a.mp4", FRAMES)
    _, truth = read(path, decoder="pyav")
    real, count = decord.VideoReader.next, iter(range(1_000))

    def failing(self):
        if next(count) == 17:
            raise decord.DECORDError("made up")
        return real(self)

    monkeypatch.setattr(decord.VideoReader, "next", failing)
    reader, frames = read(path)
    assert (reader.decoder, reader.rule) == ("pyav", "decord_failed")
    assert all(np.array_equal(a, b) for a, b in zip(frames, truth, strict=True))


def test_pictures_that_change_size_keep_the_first(tmp_path):
    small = write_video(tmp_path / "small.ts", FRAMES[:10], options={"bf": "0"})
    large = write_video(tmp_path / "large.ts", pictures(10, 128, 96), options={"bf": "0"})
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    _, frames = read(tmp_path / "both.ts")
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    assert len(frames) >= 18


def test_growing_pictures_are_refused(tmp_path):
    small = write_video(tmp_path / "small.ts", FRAMES[:10], options={"bf": "0"})
    large = write_video(tmp_path / "large.ts", pictures(10, 256, 256), options={"bf": "0"})
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    frames = []
    with (
        reader_of(tmp_path / "both.ts", limits=MediaLimits(max_pixels=128 * 128)) as reader,
        pytest.raises(MediaError) as caught,
    ):
        frames.extend(frame.rgb() for frame in reader)
    assert caught.value.reason is Reason.TOO_LARGE
    assert len(frames) == 10


def test_a_video_is_read_once(tmp_path):
    with reader_of(write_video(tmp_path / "a.mp4", FRAMES)) as reader:
        list(reader)
        with pytest.raises(ValueError, match="once"):
            list(reader)


def test_a_wrong_frame_count_in_the_header_sends_the_file_to_pyav(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    info = dataclasses.replace(probe(str(path)), n_frames_declared=43)
    with open_reader(str(path), info) as reader:
        assert (reader.decoder, reader.rule) == ("pyav", "frame_count")
        assert len(list(reader)) == 40
