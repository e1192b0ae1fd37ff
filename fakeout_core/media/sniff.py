"""What a file is, by its first bytes, before any demuxer sees it.

FFmpeg follows playlists and concat scripts to other files whatever a file is called, so anything
that is not a known media container is refused here.
"""

from __future__ import annotations

from fakeout_core.errors import MediaError, Reason

HEAD_BYTES = 4_096
"""How much of a file ``sniff`` wants."""

_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_IMAGE_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")

_POINTERS = (
    (b"#EXTM3U", "an HLS playlist"),
    (b"ffconcat", "a concat script"),
    (b"[playlist]", "a playlist"),
    (b"v=0", "a session description"),
    (b"<?xml", "XML, such as a streaming manifest"),
    (b"<MPD", "a streaming manifest"),
    (b"<smil", "a playlist"),
    (b"RTSPtext", "a stream reference"),
)

_OTHERS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a bitmap image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"%PDF", "a PDF document"),
    (b"\x30\x26\xb2\x75", "a Windows Media file"),
    (b"OggS", "an Ogg file"),
)

_SOUND = ((b"ID3", "MP3"), (b"fLaC", "FLAC"), (b"\xff\xfb", "MP3"), (b"\xff\xf1", "AAC"))


def sniff(head: bytes) -> str:
    """Name the container of a file.

    Args:
        head: its first bytes, ``HEAD_BYTES`` of them if there are as many.

    Returns:
        ``mp4``, ``mov``, ``3gp``, ``matroska``, ``webm``, ``avi``, ``mpegts``, ``flv`` or ``mpeg``.

    Raises:
        MediaError: ``empty``; ``forbidden`` for what points outside itself; ``unsupported`` for
            images, archives and containers we do not take; ``no_video`` for sound files;
            ``unreadable`` for anything else.
    """
    if not head:
        raise MediaError(Reason.EMPTY, "zero bytes")
    container = _container(head)
    if container is not None:
        return container
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _POINTERS:
        if text[: len(magic)].lower() == magic.lower():
            raise MediaError(Reason.FORBIDDEN, f"{name}, which points to other files")
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise MediaError(Reason.UNSUPPORTED, f"{name}, not a video")
    for magic, name in _SOUND:
        if head.startswith(magic):
            raise MediaError(Reason.NO_VIDEO, f"an {name} sound file")
    kind = "text" if _is_text(head) else "no known container"
    raise MediaError(Reason.UNREADABLE, f"{kind} (starts with {head[:8].hex(' ')})")


def _container(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _by_brand(head[8:12])
    if head[4:8] in _BOXES:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"webm" in head[:64] else "matroska"
    if head.startswith(b"RIFF"):
        return _by_form(head[8:12])
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith((b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")):
        return "mpeg"
    for start, step in ((0, 188), (4, 192)):
        if len(head) > start + 2 * step and all(
            head[start + step * packet] == 0x47 for packet in range(3)
        ):
            return "mpegts"
    return None


def _by_brand(brand: bytes) -> str:
    if brand in _IMAGE_BRANDS:
        raise MediaError(Reason.UNSUPPORTED, f"an image ({brand.decode('latin-1')}), not a video")
    if brand == b"qt  ":
        return "mov"
    return "3gp" if brand[:2] == b"3g" else "mp4"


def _by_form(form: bytes) -> str | None:
    if form == b"AVI ":
        return "avi"
    if form == b"WAVE":
        raise MediaError(Reason.NO_VIDEO, "a WAVE sound file")
    if form == b"WEBP":
        raise MediaError(Reason.UNSUPPORTED, "a WebP image, not a video")
    return None


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n" for byte in head[:256])
