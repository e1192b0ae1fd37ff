"""What a file is, by its first bytes, before any demuxer sees it.

A name ending in ``.mp4`` means nothing: readers built on FFmpeg follow playlists and concat scripts
to other files whatever they are called. So a file goes on only if its first bytes are those of a
container we take; the demuxer is then told which one it is and never guesses.
"""

from __future__ import annotations

import re

from fakeout_core.errors import MediaError, Reason

HEAD_BYTES = 4096
"""How much of a file ``sniff`` wants to see; it makes do with less."""

CONTAINERS = ("mp4", "mov", "3gp", "matroska", "webm", "avi", "flv", "mpegts", "mpeg")
"""Every name that ``sniff`` returns."""

_QUICKTIME_BOXES = {b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx"}
_IMAGE_BRANDS = set(b"avif avis heic heix hevc heim heis mif1 msf1".split()) | {b"jp2 ", b"jpx "}

_NAMED: tuple[tuple[bytes, Reason, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", Reason.UNSUPPORTED, "a PNG image"),
    (b"\xff\xd8\xff", Reason.UNSUPPORTED, "a JPEG image"),
    (b"GIF8", Reason.UNSUPPORTED, "a GIF image"),
    (b"II*\x00", Reason.UNSUPPORTED, "a TIFF image"),
    (b"MM\x00*", Reason.UNSUPPORTED, "a TIFF image"),
    (b"8BPS", Reason.UNSUPPORTED, "a Photoshop image"),
    (b"\xff\x0a", Reason.UNSUPPORTED, "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", Reason.UNSUPPORTED, "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP  ", Reason.UNSUPPORTED, "a JPEG 2000 image"),
    (b"PK\x03\x04", Reason.UNSUPPORTED, "a ZIP archive"),
    (b"PK\x05\x06", Reason.UNSUPPORTED, "a ZIP archive"),
    (b"\x1f\x8b", Reason.UNSUPPORTED, "gzip-compressed data"),
    (b"BZh", Reason.UNSUPPORTED, "bzip2-compressed data"),
    (b"\xfd7zXZ\x00", Reason.UNSUPPORTED, "xz-compressed data"),
    (b"\x28\xb5\x2f\xfd", Reason.UNSUPPORTED, "zstd-compressed data"),
    (b"7z\xbc\xaf\x27\x1c", Reason.UNSUPPORTED, "a 7z archive"),
    (b"Rar!\x1a\x07", Reason.UNSUPPORTED, "a RAR archive"),
    (b"%PDF-", Reason.UNSUPPORTED, "a PDF document"),
    (b"\x7fELF", Reason.UNSUPPORTED, "a program"),
    (b"PAR1", Reason.UNSUPPORTED, "a Parquet file"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Reason.UNSUPPORTED, "an ASF (Windows Media) file"),
    (b"\x06\x0e\x2b\x34", Reason.UNSUPPORTED, "an MXF file"),
    (b"YUV4MPEG2", Reason.UNSUPPORTED, "a raw Y4M video"),
    (b"DKIF", Reason.UNSUPPORTED, "an IVF video"),
    (b"\x00\x00\x01\xb3", Reason.UNSUPPORTED, "an MPEG stream without a container"),
    (b"\x00\x00\x00\x01\x67", Reason.UNSUPPORTED, "an H.264 stream without a container"),
    (b"\x00\x00\x00\x01\x40", Reason.UNSUPPORTED, "an HEVC stream without a container"),
    (b"OggS", Reason.UNSUPPORTED, "an Ogg file"),
    (b"ID3", Reason.NO_VIDEO, "an MP3 file: sound only"),
    (b"fLaC", Reason.NO_VIDEO, "a FLAC file: sound only"),
    (b"#!AMR", Reason.NO_VIDEO, "an AMR file: sound only"),
    (b".snd", Reason.NO_VIDEO, "an AU file: sound only"),
)

_POINTERS = re.compile(
    rb"\A\s*(?:"
    rb"#EXT(?:M3U|INF|-X-)|ffconcat\s|\[playlist\]|\[reference\]|RTSPtext|RTSPtextRTSP"
    rb"|SMILtext|<smil|<asx|file\s+['\"\\/\w]|v=0\r?\n|(?:;FFMETADATA)"
    rb"|(?:https?|rtsps?|rtmp[a-z]*|rtp|udp|tcp|tls|ftp|sftp|mms[a-z]*|gopher|file|data|concat[a-z]*"
    rb"|subfile|crypto|cache|async|pipe|fd|hls\+?\w*|gs|s3):"
    rb")",
    re.IGNORECASE,
)
"""Text that stands for media lying elsewhere: playlists, concat scripts, bare addresses."""

_XML_POINTERS = re.compile(rb"<(?:MPD|smil|asx|playlist|SmoothStreamingMedia|manifest)[\s>]", re.I)


def sniff(head: bytes) -> str:
    """Name the container of a file from its first bytes.

    Args:
        head: the first ``HEAD_BYTES`` of the file, or all of a shorter one.

    Returns:
        One of ``CONTAINERS``.

    Raises:
        MediaError: ``empty``; ``forbidden`` for playlists, scripts and addresses that point to
            other files; ``unsupported`` or ``no_video`` for what is recognised and is no video we
            take; ``unreadable`` for anything else.

    Source: magic numbers as registered or as the formats' specifications give them.
    """
    if not head:
        raise MediaError(Reason.EMPTY, "the file has no bytes")
    for test in (_iso_media, _matroska, _riff, _stream_formats):
        container = test(head)
        if container is not None:
            return container
    for magic, reason, what in _NAMED:
        if head.startswith(magic):
            raise MediaError(reason, f"{what}; wanted a video in {', '.join(CONTAINERS)}")
    _refuse_text(head)
    if head[:2] == b"BM" and len(head) > 14 and head[6:10] == bytes(4):
        raise MediaError(Reason.UNSUPPORTED, "a BMP image")
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
        raise MediaError(Reason.NO_VIDEO, "an MPEG audio stream: sound only")
    raise MediaError(Reason.UNREADABLE, f"no known container begins with {head[:12].hex(' ')}")


def _iso_media(head: bytes) -> str | None:
    kind = head[4:8]
    if kind == b"ftyp":
        brand = head[8:12]
        if brand in _IMAGE_BRANDS:
            raise MediaError(Reason.UNSUPPORTED, f"an image of brand {brand.decode('latin-1')!r}")
        if brand == b"qt  ":
            return "mov"
        return "3gp" if brand[:3] in (b"3gp", b"3g2") else "mp4"
    return "mov" if kind in _QUICKTIME_BOXES and _plausible_box(head) else None


def _plausible_box(head: bytes) -> bool:
    """Whether the first four bytes can be the size of a top-level box: 0, 1 or at least 8."""
    size = int.from_bytes(head[:4], "big")
    return size in (0, 1) or size >= 8


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    found = re.search(rb"\x42\x82[\x84-\x90](webm|matroska)", head[:256])
    if found is None:
        raise MediaError(Reason.UNSUPPORTED, "an EBML document that is neither Matroska nor WebM")
    return found.group(1).decode()


def _riff(head: bytes) -> str | None:
    if not head.startswith(b"RIFF"):
        return None
    kind = head[8:12]
    if kind == b"AVI ":
        return "avi"
    if kind == b"WAVE":
        raise MediaError(Reason.NO_VIDEO, "a WAV file: sound only")
    if kind == b"WEBP":
        raise MediaError(Reason.UNSUPPORTED, "a WebP image")
    raise MediaError(Reason.UNSUPPORTED, f"a RIFF file of kind {kind!r}")


def _stream_formats(head: bytes) -> str | None:
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    for packet, offset in ((188, 0), (192, 4), (204, 0)):
        places = range(offset, min(len(head), offset + 5 * packet), packet)
        if len(places) >= 3 and all(head[place] == 0x47 for place in places):
            return "mpegts"
    return None


def _refuse_text(head: bytes) -> None:
    """Refuse text by name; return if the bytes are not text."""
    text = _plain(head)
    if _POINTERS.match(text) or _XML_POINTERS.search(text[:2048]):
        first = text.strip().splitlines()[0][:40].decode("latin-1")
        raise MediaError(Reason.FORBIDDEN, f"text that points to other media: {first!r}")
    if re.match(rb"\A\s*<(?:!doctype html|html|head|body)", text, re.I):
        raise MediaError(Reason.UNSUPPORTED, "an HTML page")
    if re.match(rb"\A\s*<(?:\?xml|svg)", text, re.I):
        raise MediaError(Reason.UNSUPPORTED, "an XML document")
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in text[:1024]):
        raise MediaError(Reason.UNREADABLE, "text, not a video")


def _plain(head: bytes) -> bytes:
    """The text without byte-order mark, in an 8-bit encoding."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(encoding, "replace").encode("utf-8", "replace")
    return head.removeprefix(b"\xef\xbb\xbf")
