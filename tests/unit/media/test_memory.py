"""Opening many files and reading a long one must not grow a worker. Measured in fresh children."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import pytest

from fakeout_core.media.isolate import Child, ChildLimits
from tests.fakes.samples import pictures, write_video

HERE = Path(__file__).parent
MB = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def importable():
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))


def repeated(path: Path, source: Path, times: int) -> Path:
    """A long video made of copies of a short one, without encoding again."""
    with av.open(str(source)) as opened, av.open(str(path), "w") as output:
        stream = opened.streams.video[0]
        copy = output.add_stream_from_template(stream)
        packets = [packet for packet in opened.demux(stream) if packet.dts is not None]
        step = packets[1].dts - packets[0].dts
        stamps = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(times):
            later = turn * len(packets) * step
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.pts, packet.dts, packet.duration = pts + later, dts + later, step
                packet.stream = copy
                output.mux(packet)
    return path


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_two_hundred_opens_leave_nothing(data, decoder):
    path = str(data / "media" / "obama_speech.mp4")
    with Child("media_targets:open_often") as child:
        rss, files, threads = child.call(path, decoder, 200)
    assert rss[-1] - rss[50] < 8 * MB, rss[::50]
    assert files[-1] == files[50]
    assert threads[-1] <= threads[50]


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_a_long_full_hd_video_is_read_in_little_memory(tmp_path, decoder):
    frames = pictures(12, 1_920, 1_080)
    options = {"preset": "ultrafast", "bf": "0"}
    source = write_video(tmp_path / "short.mp4", frames, options=options)
    path = repeated(tmp_path / "long.mp4", source, 50)
    with Child("media_targets:read_all", ChildLimits(memory_bytes=1_200 * MB)) as child:
        n_frames, peak = child.call(str(path), decoder)
    assert n_frames == 600  # 3.7 GB of pictures
    assert peak < 500 * MB
