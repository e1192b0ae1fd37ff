from __future__ import annotations

import io
import os
import struct
from fractions import Fraction
from pathlib import Path

import pytest

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason
from fakeout_core.media import opening
from fakeout_core.media.opening import open_container
from fakeout_core.media.probe import probe
from tests.fakes.samples import pictures, tone, with_hidden_start, write_sound, write_video

FRAMES = pictures(20, 96, 64)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("probe") / "plain.mp4", FRAMES, sound=tone(0.7))


def refused(source, **limits) -> MediaError:
    with pytest.raises(MediaError) as caught:
        probe(source, MediaLimits(**limits))
    return caught.value


def test_a_plain_video(plain):
    info = probe(str(plain))
    assert (info.container, info.codec, info.pix_fmt) == ("mp4", "h264", "yuv420p")
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert (info.fps, info.n_frames_declared) == (Fraction(30), 20)
    assert info.duration_s == pytest.approx(20 / 30, abs=0.001)
    assert info.has_audio
    assert not info.is_variable_rate
    assert not info.has_edit_list


def test_the_shipped_speech(data):
    info = probe(str(data / "media" / "obama_speech.mp4"))
    assert (info.width, info.height, info.fps) == (320, 240, Fraction(4500, 377))
    assert info.n_frames_declared == 105


def test_a_stream_gives_the_same_as_a_path(plain):
    assert probe(io.BytesIO(plain.read_bytes())) == probe(str(plain))


def test_names_are_never_addresses(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "data:x.mp4", "a b\n'\"😀.mp4", "-i.mp4", "%d.mp4", "noöxt"):
        Path(name).write_bytes(plain.read_bytes())
        assert probe(name).n_frames_declared == 20, name
    undecodable = os.fsdecode(b"\xff\xfe.mp4")
    Path(undecodable).write_bytes(plain.read_bytes())
    assert probe(undecodable).n_frames_declared == 20


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.mp4", "file:///etc/passwd", "nowhere"])
def test_addresses_are_only_names_of_files_that_do_not_exist(address):
    assert refused(address).reason is Reason.NOT_FOUND


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refused(str(tmp_path / "pipe.mp4")).reason is Reason.FORBIDDEN
    assert refused("/dev/zero").reason is Reason.FORBIDDEN
    assert refused(str(tmp_path)).reason is Reason.FORBIDDEN
    assert refused("a\0b").reason is Reason.STORAGE


@pytest.mark.parametrize("container", ["mov", "mp4"])
@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"alis"])
def test_data_references_to_other_files_are_forbidden(tmp_path, kind, container):
    source = write_video(tmp_path / f"in.{container}", FRAMES)
    data = source.read_bytes()
    at = data.index(b"dref") + 12  # version, count, then the first entry
    assert data[at + 4 : at + 8] in (b"url ", b"alis")
    data = data[: at + 4] + kind + b"\0\0\0\0" + data[at + 12 :]
    (tmp_path / "out.mp4").write_bytes(data)
    error = refused(str(tmp_path / "out.mp4"))
    assert error.reason is Reason.FORBIDDEN
    assert "data reference" in error.detail


def test_reference_movies_are_forbidden_and_compressed_ones_unsupported(tmp_path):
    def movie(kind: bytes) -> str:
        inner = struct.pack(">I4s", 24, kind) + bytes(16)
        path = tmp_path / "movie.mov"
        path.write_bytes(struct.pack(">I4s", 8 + len(inner), b"moov") + inner)
        return str(path)

    assert refused(movie(b"rmra")).reason is Reason.FORBIDDEN
    assert refused(movie(b"cmov")).reason is Reason.UNSUPPORTED


def test_a_demuxer_that_asks_for_another_file_is_refused(plain, monkeypatch):
    scripts = {
        "concat": f"ffconcat version 1.0\nfile '{plain}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{plain}\n#EXT-X-ENDLIST\n",
    }
    for demuxer, text in scripts.items():
        script = io.BytesIO(text.encode())
        with pytest.raises(MediaError), open_container(script, "mp4", 10_000):
            pass  # the magic bytes promised MP4, and no other demuxer is asked
        monkeypatch.setitem(opening.DEMUXERS, "mp4", demuxer)
        with pytest.raises(MediaError), open_container(script, "mp4", 10_000):
            pass  # not on the list of formats
        monkeypatch.undo()
    # Were all other barriers down, a demuxer that asks its owner for files is told no.
    monkeypatch.setitem(opening.DEMUXERS, "mp4", "hls")
    monkeypatch.setattr(opening, "_OPTIONS", {"allowed_extensions": "ALL"})
    with pytest.raises(MediaError) as caught, open_container(script, "mp4", 10_000):
        pass
    assert caught.value.reason is Reason.FORBIDDEN
    assert str(plain) in caught.value.detail


def test_giant_pictures_are_refused_by_the_header(plain, tmp_path):
    at = plain.read_bytes().index(b"avc1", plain.read_bytes().index(b"stsd"))
    size = plain.read_bytes()[at + 28 : at + 32]
    assert size == struct.pack(">HH", 96, 64)
    source = plain.read_bytes()
    giant = source[: at + 28] + struct.pack(">HH", 65_535, 65_535) + source[at + 32 :]
    (tmp_path / "giant.mp4").write_bytes(giant)
    error = refused(str(tmp_path / "giant.mp4"))
    assert error.reason is Reason.TOO_LARGE
    assert "65535×65535" in error.detail


def test_limits(plain):
    assert refused(str(plain), max_pixels=96 * 64 - 1).reason is Reason.TOO_LARGE
    assert refused(str(plain), max_bytes=1_000).reason is Reason.TOO_LARGE
    assert refused(str(plain), max_duration_s=0.5).reason is Reason.TOO_LARGE
    assert refused(io.BytesIO(plain.read_bytes()), max_bytes=1_000).reason is Reason.TOO_LARGE


def test_a_bloated_index_is_not_read(tmp_path):
    path = tmp_path / "bloated.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x10ftypisom\0\0\0\0" + struct.pack(">I4s", 1 << 31, b"moov"))
        file.truncate(1 << 31)
    assert refused(str(path)).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_turned_pictures_are_declared_upright(tmp_path, turn, container):
    path = write_video(tmp_path / f"turned.{container}", FRAMES, rotation=turn)
    info = probe(str(path))
    assert info.rotation == 360 - turn
    assert (info.width, info.height) == ((96, 64) if turn == 180 else (64, 96))


def test_oblique_and_mirrored_pictures_are_refused_by_name(plain, tmp_path):
    assert "45" in refused(str(write_video(tmp_path / "a.mp4", FRAMES, rotation=45))).detail
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    mirror = struct.pack(">9i", -65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    start = plain.read_bytes().index(b"tkhd")
    data = plain.read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[:start] + data[start:].replace(unit, mirror, 1))
    error = refused(str(tmp_path / "b.mp4"))
    assert error.reason is Reason.UNSUPPORTED
    assert "mirrors" in error.detail


def test_files_without_pictures(tmp_path):
    for name in ("a.mp4", "a.m4a", "a.mkv"):
        path = write_sound(tmp_path / name, tone(0.5), codec="aac")
        assert refused(str(path)).reason is Reason.NO_VIDEO, name


def test_edit_lists(plain, tmp_path):
    hidden = with_hidden_start(tmp_path / "hidden.mp4", plain, 7)
    assert probe(str(hidden)).n_frames_declared == 20  # the packet table tells what is shown
    twice = struct.pack(">I4sII", 40, b"elst", 0, 2) + 2 * struct.pack(">Iii", 300, 0, 65536)
    data = plain.read_bytes()
    at = data.index(b"edts") - 4
    length = struct.unpack(">I", data[at : at + 4])[0]
    padding = struct.pack(">I4s", 8, b"free")
    body = struct.pack(">I4s", 8 + len(twice), b"edts") + twice
    grown = len(body) + len(padding) - length
    assert grown > 0
    (tmp_path / "twice.mp4").write_bytes(_grow(data, at, length, body + padding))
    assert probe(str(tmp_path / "twice.mp4")).has_edit_list


def _grow(data: bytes, at: int, length: int, body: bytes) -> bytes:
    """Replace a box inside moov/trak (the index comes last) and mend the sizes around it."""
    moov = data.rindex(b"moov") - 4
    trak = data.rindex(b"trak", 0, at) - 4
    more = len(body) - length
    out = bytearray(data[:at] + body + data[at + length :])
    for place in (moov, trak):
        out[place : place + 4] = struct.pack(
            ">I", struct.unpack(">I", data[place : place + 4])[0] + more
        )
    return bytes(out)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "bits", "alpha"),
    [
        ("libx264", "yuv420p10le", 10, False),
        ("prores_ks", "yuva444p10le", 12, True),
        ("qtrle", "argb", 8, True),
    ],
)
def test_depth_and_transparency_are_declared(tmp_path, codec, pix_fmt, bits, alpha):
    info = probe(str(write_video(tmp_path / "deep.mov", FRAMES[:8], codec=codec, pix_fmt=pix_fmt)))
    assert (info.bits, info.has_alpha) == (bits, alpha)


def test_codecs_off_the_list_are_refused_by_name(tmp_path):
    path = write_video(tmp_path / "x.avi", FRAMES[:8], codec="snow", pix_fmt="yuv420p")
    error = refused(str(path))
    assert error.reason is Reason.UNSUPPORTED
    assert "snow" in error.detail


def test_every_truncation_gives_a_verdict_and_never_another_exception(plain):
    data = plain.read_bytes()
    reasons = set()
    for length in [*range(0, 64, 3), *range(64, len(data), len(data) // 40)]:
        try:
            probe(io.BytesIO(data[:length]))
        except MediaError as error:
            reasons.add(error.reason)
    assert Reason.EMPTY in reasons
    assert Reason.UNREADABLE in reasons
    assert not any(reason in {Reason.INTERNAL, Reason.CRASHED} for reason in reasons)
