from __future__ import annotations

import pytest

from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.sniff import CONTAINERS, sniff


def box(kind: bytes, body: bytes = b"") -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


TS = (b"\x47" + bytes(187)) * 6

TAKEN = {
    "mp4": box(b"ftyp", b"isom\0\0\2\0isomavc1"),
    "mp4 fragment": box(b"ftyp", b"iso5\0\0\2\0"),
    "mov": box(b"ftyp", b"qt  \0\0\2\0qt  "),
    "mov without ftyp": box(b"moov", bytes(64)),
    "mov, data first": b"\0\0\0\1mdat" + bytes(8),
    "mov, wide": box(b"wide") + box(b"mdat"),
    "3gp": box(b"ftyp", b"3gp4\0\0\2\0"),
    "matroska": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska",
    "webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm",
    "avi": b"RIFF\x10\0\0\0AVI LIST",
    "flv": b"FLV\x01\x05\0\0\0\x09",
    "mpegts": TS,
    "mpegts of a camera": b"".join(bytes(4) + TS[:188] for _ in range(6)),
    "mpeg": b"\0\0\1\xba\x44\0\4\0",
}

REFUSED = [
    (b"", Reason.EMPTY),
    # Text that points elsewhere, in every disguise that FFmpeg's readers would follow.
    (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", Reason.FORBIDDEN),
    (b"\xef\xbb\xbf#EXTM3U\n", Reason.FORBIDDEN),
    (b"\r\n  #EXTM3U\n", Reason.FORBIDDEN),
    ("#EXTM3U\nx".encode("utf-16"), Reason.FORBIDDEN),
    (b"#EXT-X-VERSION:3\n", Reason.FORBIDDEN),
    (b"ffconcat version 1.0\nfile 'x.mp4'\n", Reason.FORBIDDEN),
    (b"file '/etc/passwd'\n", Reason.FORBIDDEN),
    (b"file /etc/passwd\n", Reason.FORBIDDEN),
    (b"[playlist]\nFile1=x\n", Reason.FORBIDDEN),
    (b"[Reference]\nRef1=http://x\n", Reason.FORBIDDEN),
    (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", Reason.FORBIDDEN),
    (b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash'>", Reason.FORBIDDEN),
    (b"<MPD>", Reason.FORBIDDEN),
    (b"<smil><body>", Reason.FORBIDDEN),
    (b"<ASX version='3'>", Reason.FORBIDDEN),
    (b"RTSPtextRTSP://x", Reason.FORBIDDEN),
    (b"http://169.254.169.254/latest/meta-data", Reason.FORBIDDEN),
    (b"rtmp://x/y", Reason.FORBIDDEN),
    (b"data:video/mp4;base64,AAAA", Reason.FORBIDDEN),
    (b"concat:a.mp4|b.mp4", Reason.FORBIDDEN),
    (b"subfile,,start,0,end,9,,:x", Reason.UNREADABLE),
    (b"file:///etc/passwd", Reason.FORBIDDEN),
    # Recognised, and no video.
    (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", Reason.UNSUPPORTED),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", Reason.UNSUPPORTED),
    (b"GIF89a", Reason.UNSUPPORTED),
    (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28", Reason.UNSUPPORTED),
    (b"RIFF\x10\0\0\0WEBPVP8 ", Reason.UNSUPPORTED),
    (box(b"ftyp", b"heic\0\0\0\0"), Reason.UNSUPPORTED),
    (box(b"ftyp", b"avif\0\0\0\0"), Reason.UNSUPPORTED),
    (b"PK\x03\x04" + bytes(20), Reason.UNSUPPORTED),
    (b"\x1f\x8b\x08" + bytes(20), Reason.UNSUPPORTED),
    (b"%PDF-1.7", Reason.UNSUPPORTED),
    (b"\x7fELF\x02", Reason.UNSUPPORTED),
    (b"OggS\0\2", Reason.UNSUPPORTED),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Reason.UNSUPPORTED),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84evil", Reason.UNSUPPORTED),
    (b"\0\0\0\1\x67\x42\0\x1e", Reason.UNSUPPORTED),
    (b"<!DOCTYPE html><html>", Reason.UNSUPPORTED),
    (b"\n<html><video src=x></video>", Reason.UNSUPPORTED),
    (b"<?xml version='1.0'?><svg/>", Reason.UNSUPPORTED),
    # Sound.
    (b"RIFF\x10\0\0\0WAVEfmt ", Reason.NO_VIDEO),
    (b"ID3\x04\0", Reason.NO_VIDEO),
    (b"fLaC\0\0\0\x22", Reason.NO_VIDEO),
    (b"\xff\xfb\x90\x44" + bytes(20), Reason.NO_VIDEO),
    # Nothing known.
    (b"just some text\n", Reason.UNREADABLE),
    (bytes(4096), Reason.UNREADABLE),
    (b"\0", Reason.UNREADABLE),
    (b"\x47" + bytes(4095), Reason.UNREADABLE),
]


@pytest.mark.parametrize("name", TAKEN)
def test_containers_by_their_first_bytes(name):
    container = sniff(TAKEN[name])
    assert container == name.split(",")[0].split(" ")[0]
    assert container in CONTAINERS


@pytest.mark.parametrize(("head", "reason"), REFUSED, ids=lambda value: repr(value)[:40])
def test_everything_else_is_refused_by_name(head, reason):
    with pytest.raises(MediaError) as caught:
        sniff(head)
    assert caught.value.reason is reason, caught.value
    assert caught.value.detail


def test_a_name_of_a_video_does_not_help_text_inside_a_box_does_not_hurt():
    assert sniff(box(b"ftyp", b"isom" + b"\n#EXTM3U\nhttp://x")) == "mp4"
