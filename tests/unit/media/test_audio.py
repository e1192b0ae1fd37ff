from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from fakeout_core.clip import AudioStatus
from fakeout_core.config import CropConfig
from fakeout_core.media.audio import Sound, read_audio
from fakeout_core.media.probe import probe
from tests.fakes.samples import pictures, tone, write_video

FRAMES = pictures(60, 96, 64)
HZ = 44_100


def sound_of(path: Path, **settings) -> Sound:
    return read_audio(str(path), probe(str(path)), CropConfig(**settings))


def onset_s(samples: np.ndarray) -> float:
    return float(np.flatnonzero(np.abs(samples) > 3_000)[0]) / HZ


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples[4_096 : 4_096 + 32_768] * np.hanning(32_768)))
    return float(np.argmax(spectrum)) * HZ / 32_768


def test_range_rate_and_length(tmp_path):
    sound = sound_of(write_video(tmp_path / "a.mp4", FRAMES, sound=tone(2.0)))
    assert sound.status is AudioStatus.USED
    assert sound.samples.dtype == np.float32
    assert len(sound.samples) == pytest.approx(2.0 * HZ, abs=2)
    # Half of int16's range, less the 3 dB that ffmpeg takes from mono on its way to stereo.
    assert np.abs(sound.samples[4_096:-4_096]).max() == pytest.approx(11_585, rel=0.1)
    assert pitch_hz(sound.samples) == pytest.approx(440, abs=2)


def test_other_rates_are_brought_to_44100_or_kept_as_the_reference_does(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES, sound=tone(2.0, 48_000), sound_hz=48_000)
    assert pitch_hz(sound_of(path).samples) == pytest.approx(440, abs=2)
    kept = sound_of(path, resample_audio=False).samples
    assert len(kept) == pytest.approx(2.0 * 48_000, abs=2)
    assert pitch_hz(kept) == pytest.approx(440 * HZ / 48_000, abs=2)


def test_the_first_of_two_channels(tmp_path):
    both = np.stack([tone(2.0, pitch=300), tone(2.0, pitch=900)], axis=1)
    path = write_video(tmp_path / "a.mkv", FRAMES, sound=both, sound_codec="pcm_s16le")
    sound = sound_of(path)
    assert pitch_hz(sound.samples) == pytest.approx(300, abs=2)
    whole = np.round(both[: len(sound.samples), 0] * 32_767)
    assert np.abs(sound.samples - whole).max() <= 1


def test_sound_that_starts_late_lies_late(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES, sound=tone(1.2), sound_start_s=0.6)
    sound = sound_of(path)
    assert onset_s(sound.samples) == pytest.approx(0.6, abs=0.03)
    assert not sound.samples[: round(0.5 * HZ)].any()


@pytest.mark.shared
def test_a_real_file_whose_sound_starts_late(shared):
    samples = sound_of(shared / "faces" / "videos" / "face_noface.mov").samples
    assert np.flatnonzero(samples)[0] / HZ == pytest.approx(2.43, abs=0.01)


def test_sound_that_ends_early_or_late_is_brought_to_the_pictures_end(tmp_path):
    short = sound_of(write_video(tmp_path / "short.mp4", FRAMES, sound=tone(1.0)))
    assert len(short.samples) == pytest.approx(2.0 * HZ, abs=64)
    assert not short.samples[round(1.1 * HZ) :].any()
    long = sound_of(write_video(tmp_path / "long.mp4", FRAMES, sound=tone(4.0)))
    assert len(long.samples) == pytest.approx(2.0 * HZ, abs=64)
    near = sound_of(write_video(tmp_path / "near.mp4", FRAMES, sound=tone(1.8)))
    assert len(near.samples) == pytest.approx(1.8 * HZ, abs=2)


def test_only_as_much_as_is_looked_at(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES, sound=tone(2.0))
    assert len(sound_of(path, max_seconds=1.0).samples) == HZ


def test_silence_absence_and_switched_off_are_told_apart(tmp_path):
    silent = write_video(tmp_path / "silent.mp4", FRAMES, sound=np.zeros(2 * HZ))
    assert sound_of(silent).status is AudioStatus.SILENT
    assert len(sound_of(silent).samples) > HZ
    assert sound_of(silent, audio=False).status is AudioStatus.DISABLED
    absent = sound_of(write_video(tmp_path / "absent.mp4", FRAMES))
    assert (absent.status, len(absent.samples)) == (AudioStatus.ABSENT, 0)


def test_damaged_sound_costs_itself_and_not_the_video(tmp_path):
    path = write_video(tmp_path / "a.mkv", FRAMES, sound=tone(2.0), sound_codec="libmp3lame")
    info = probe(str(path))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(path.read_bytes()[:600])
    assert read_audio(str(broken), info, CropConfig()).status is AudioStatus.UNREADABLE
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(1_500, len(data) - 10, 60):
        data[place] ^= 255
    (tmp_path / "hurt.mkv").write_bytes(data)
    hurt = read_audio(str(tmp_path / "hurt.mkv"), info, CropConfig())
    assert hurt.status in (AudioStatus.USED, AudioStatus.UNREADABLE)
    assert len(hurt.samples) <= 3 * HZ


def test_a_hole_in_time_is_silent(tmp_path):
    source = write_video(tmp_path / "a.mkv", FRAMES, sound=tone(2.0), sound_codec="pcm_s16le")
    holed = tmp_path / "holed.mkv"
    with av.open(str(source)) as opened, av.open(str(holed), "w") as output:
        copies = {item.index: output.add_stream_from_template(item) for item in opened.streams}
        for packet in opened.demux():
            if packet.dts is None or packet.pts is None:
                continue
            is_sound = packet.stream.type == "audio"
            at_s = float(packet.pts * packet.time_base)
            if is_sound and 0.5 < at_s < 1.0:
                continue
            packet.stream = copies[packet.stream_index]
            output.mux(packet)
    samples = sound_of(holed).samples
    assert not samples[round(0.6 * HZ) : round(0.95 * HZ)].any()
    assert np.abs(samples[round(1.1 * HZ) : round(1.9 * HZ)]).max() > 10_000
    assert len(samples) == pytest.approx(2.0 * HZ, abs=0.1 * HZ)
