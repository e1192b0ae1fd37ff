"""A corpus of hostile and damaged files, the same for the same seed.

Run ``python -m tests.mutate FOLDER --seed 7 --count 1000`` to look at one. Sources are made on the
spot, but for one short stretch of a real speech.
"""

from __future__ import annotations

import argparse
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests.fakes.samples import pictures, tone, write_sound, write_video

SPEECH = Path(__file__).parent / "data" / "media" / "obama_speech.mp4"
_FILE_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"stts", b"stsc", b"stsz")
_FILE_BOXES += (b"stco", b"tkhd", b"mdhd", b"hdlr", b"avcC", b"mvhd", b"ctts", b"elst", b"esds")


@dataclass(frozen=True)
class Mutant:
    """One file of the corpus.

    Attributes:
        path: where it is.
        kind: how it was made.
        is_good: a whole video with a face, which must pass.
    """

    path: Path
    kind: str
    is_good: bool


class Corpus:
    """Makes mutants in a folder.

    Args:
        folder: where to; it is created.
        seed: of everything random.
        canary: a file outside the corpus that pointers point at; nobody may open it.
        port: of the local host, that addresses point at; nobody may call there.
    """

    def __init__(self, folder: Path, seed: int, canary: Path, port: int = 9) -> None:
        self._folder, self._canary, self._port = folder, canary, port
        self._random = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self._good = _speech(folder / ".speech.mp4", 24)
        self._sources = _sources(folder / ".sources", self._good)

    def make(self, count: int) -> list[Mutant]:
        """Write ``count`` files: each kind in turn."""
        kinds: list[tuple[str, Callable[[], bytes]]] = [
            ("good", lambda: self._good),
            ("bit flips", self._bit_flips),
            ("bit flips in the index", self._index_flips),
            ("cut", self._cut),
            ("spliced header", self._spliced),
            ("swapped boxes", self._swapped),
            ("zero bytes", self._zeroed),
            ("giant dimensions", self._giant),
            ("wild box sizes", self._wild_sizes),
            ("wild tables", self._wild_tables),
            ("pointer", self._pointer),
            ("data reference", self._data_reference),
            ("picture bomb", self._bomb),
            ("no video", self._no_video),
            ("noise", self._noise),
            ("doubled", self._doubled),
        ]
        made: list[Mutant] = []
        for number in range(count):
            kind, make = kinds[number % len(kinds)]
            suffix = self._random.choice((".mp4", ".mp4", ".mp4", ".mov", ".mkv", ".m3u8", ""))
            path = self._folder / f"{number:04d}-{kind.replace(' ', '-')}{suffix}"
            path.write_bytes(make())
            made.append(Mutant(path, kind, kind == "good"))
        return made

    def _source(self) -> bytes:
        return self._random.choice(self._sources)

    def _bit_flips(self) -> bytes:
        data = bytearray(self._source())
        for _ in range(self._random.choice((1, 4, 32, 256))):
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return bytes(data)

    def _index_flips(self) -> bytes:
        data = bytearray(self._random.choice((self._good, self._sources[0])))
        start = data.find(b"moov")
        for _ in range(self._random.choice((1, 2, 8, 64))):
            data[self._random.randrange(start, len(data))] ^= 1 << self._random.randrange(8)
        return bytes(data)

    def _cut(self) -> bytes:
        data = self._source()
        return data[: self._random.choice((0, 1, 7, 11, self._random.randrange(len(data))))]

    def _spliced(self) -> bytes:
        one, other = self._source(), self._source()
        cut = self._random.choice((4, 8, 32, 64, 512, len(one) // 2))
        return one[:cut] + other[self._random.choice((0, cut)) :]

    def _swapped(self) -> bytes:
        """Exchange the names of two boxes: sound for picture, tables for each other."""
        data = self._random.choice((self._good, self._sources[0]))
        one, other = self._random.sample(_FILE_BOXES, 2)
        if self._random.random() < 0.3:
            one, other = b"vide", b"soun"
        return data.replace(one, b"????").replace(other, one).replace(b"????", other)

    def _zeroed(self) -> bytes:
        data = bytearray(self._source())
        if self._random.random() < 0.2:
            return bytes(self._random.choice((0, 1, 8, 4_096, 100_000)))
        start = self._random.randrange(len(data))
        length = min(len(data) - start, self._random.choice((16, 256, 4_096, 1 << 20)))
        data[start : start + length] = bytes(length)
        return bytes(data)

    def _giant(self) -> bytes:
        """Large pictures in the sample description, the track header, or the stream itself."""
        data = bytearray(self._random.choice((self._good, self._sources[0])))
        sides = self._random.choice(((65_535, 65_535), (16_384, 16_384), (65_535, 2), (0, 0)))
        at = data.find(b"avc1", data.find(b"stsd"))
        how = self._random.randrange(3)
        if how == 0:
            data[at + 28 : at + 32] = struct.pack(">HH", *sides)
        elif how == 1:
            track = data.find(b"tkhd")
            data[track + 80 : track + 88] = struct.pack(">II", sides[0] << 16, sides[1] << 16)
        else:
            parameters = data.find(b"avcC") + 4 + 8
            data[parameters : parameters + 12] = self._random.randbytes(12)
        return bytes(data)

    def _wild_sizes(self) -> bytes:
        data = bytearray(self._random.choice((self._good, self._sources[0])))
        for _ in range(self._random.choice((1, 3))):
            at = data.find(self._random.choice(_FILE_BOXES))
            if at >= 4:
                size = self._random.choice((0, 1, 7, 8, 0x7FFFFFFF, 0xFFFFFFFF, len(data)))
                data[at - 4 : at] = struct.pack(">I", size)
        return bytes(data)

    def _wild_tables(self) -> bytes:
        """Counts, durations and offsets far out of range: frames without end, time running back."""
        data = bytearray(self._random.choice((self._good, self._sources[0])))
        for name in self._random.sample((b"stts", b"stsz", b"stsc", b"stco", b"ctts", b"mdhd"), 2):
            at = data.find(name)
            if at < 0:
                continue
            for _ in range(3):
                place = at + 8 + 4 * self._random.randrange(1, 8)
                value = self._random.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 24))
                data[place : place + 4] = struct.pack(">I", value)
        return bytes(data)

    def _pointer(self) -> bytes:
        """Text that names the canary, or an address, as players would follow it."""
        name = str(self._canary)
        return self._random.choice(
            (
                f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n",
                f"#EXTM3U\n#EXTINF:9,\nfile://{name}\n",
                f"#EXTM3U\n#EXTINF:9,\nconcat:{name}|{name}\n",
                f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{name}"\n#EXTINF:9,\n{name}\n',
                f"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:{self._port}/x.ts\n",
                f"ffconcat version 1.0\nfile '{name}'\n",
                f"file '{name}'\n",
                f"\ufeff#EXTM3U\n#EXTINF:9,\n{name}\n",
                f"<?xml version='1.0'?><MPD><BaseURL>{name}</BaseURL></MPD>",
                f"<smil><body><video src='{name}'/></body></smil>",
                f"[playlist]\nFile1={name}\n",
                f"v=0\r\nc=IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\na={name}\r\n",
                f"file:{name}",
                "data:video/mp4;base64,AAAA",
                f"http://127.0.0.1:{self._port}/x.mp4\n",
                f"<html><video src='{name}'></video></html>",
                f"subfile,,start,0,end,0,,:{name}",
            )
        ).encode()

    def _data_reference(self) -> bytes:
        """A movie whose samples lie in the canary."""
        data = self._good
        at = data.index(b"dref") + 12
        place = self._random.choice((str(self._canary), f"http://127.0.0.1:{self._port}/x"))
        name = place.encode()
        url = struct.pack(">I4sI", 12 + len(name) + 1, self._random.choice((b"url ", b"alis")), 0)
        entry = url + name + b"\0"
        grown = len(entry) - 12
        out = bytearray(data[:at] + entry + data[at + 12 :])
        for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
            head = data.rindex(box, 0, at) - 4
            size = struct.unpack(">I", data[head : head + 4])[0]
            out[head : head + 4] = struct.pack(">I", size + grown)
        return bytes(out)

    def _bomb(self) -> bytes:
        """Few bytes, many or large pictures."""
        return self._random.choice(self._bombs())

    def _bombs(self) -> list[bytes]:
        folder = self._folder / ".bombs"
        if not folder.exists():
            folder.mkdir()
            flat = [np.full((64, 64, 3), 90, np.uint8)] * 1_500
            write_video(folder / "many.mp4", flat, fps=30, options={"bf": "0"})
            write_video(folder / "fast.mp4", flat, fps=1_000, options={"bf": "0"})
            large = [np.full((2_304, 4_096, 3), 90, np.uint8)] * 8
            write_video(folder / "large.mp4", large, options={"preset": "ultrafast"})
            write_video(folder / "slow.mp4", flat[:16], fps=1)
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    def _no_video(self) -> bytes:
        return self._random.choice(self._others())

    def _others(self) -> list[bytes]:
        folder = self._folder / ".others"
        if not folder.exists():
            folder.mkdir()
            write_sound(folder / "sound.mp4", tone(0.5))
            write_sound(folder / "sound.mp3", tone(0.5), codec="libmp3lame")
            write_video(folder / "three.mp4", pictures(3, 96, 64))
            (folder / "page.html").write_text("<!DOCTYPE html><html><body>hello</body></html>")
            (folder / "text.txt").write_text("not a video\n" * 50)
            (folder / "image.png").write_bytes(_png(64, 64))
            (folder / "bomb.png").write_bytes(_png(60_000, 60_000, full=False))
            (folder / "zip.zip").write_bytes(b"PK\x03\x04" + bytes(200))
            (folder / "gzip.gz").write_bytes(b"\x1f\x8b\x08" + zlib.compress(bytes(1 << 20)))
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    def _noise(self) -> bytes:
        head = self._random.choice(
            (
                b"\0\0\0\x18ftypisom",
                b"\0\0\0\x08moov",
                b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm",
                b"RIFF\xff\xff\xff\xffAVI LIST",
                b"FLV\x01\x05\0\0\0\x09",
                b"\0\0\1\xba",
                b"",
            )
        )
        return head + self._random.randbytes(self._random.choice((16, 3_000, 60_000)))

    def _doubled(self) -> bytes:
        """Two indices, or a second movie behind the first."""
        data = self._good
        moov = data[data.index(b"moov") - 4 :]
        return self._random.choice((data + data, data + moov, data + self._source()))


def _speech(path: Path, n_frames: int) -> bytes:
    """The first frames of the real speech with its sound, encoded anew."""
    with av.open(str(SPEECH)) as opened:
        stream = opened.streams.video[0]
        frames = [
            frame.to_ndarray(format="rgb24")
            for _, frame in zip(range(n_frames), opened.decode(stream), strict=False)
        ]
    return write_video(path, frames, fps=12, sound=tone(2.0, 24_000), sound_hz=24_000).read_bytes()


def _sources(folder: Path, good: bytes) -> list[bytes]:
    """Whole files of several kinds to mutate; few have a face, so that most end early."""
    folder.mkdir(exist_ok=True)
    frames = pictures(16, 96, 64)
    sound = tone(0.5)
    made = [
        write_video(folder / "a.mp4", frames, sound=sound),
        write_video(folder / "b.mkv", frames, sound=sound, sound_codec="libmp3lame"),
        write_video(folder / "c.webm", frames, codec="libvpx-vp9"),
        write_video(folder / "d.avi", frames, codec="mpeg4"),
        write_video(folder / "e.ts", frames, sound=sound),
        write_video(folder / "f.flv", frames),
        write_video(folder / "g.mpg", frames, codec="mpeg2video"),
        write_video(folder / "h.mov", frames, codec="prores_ks", pix_fmt="yuv422p10le"),
        write_video(
            folder / "i.mp4",
            frames,
            container_options={"movflags": "frag_keyframe+empty_moov"},
        ),
    ]
    return [*(path.read_bytes() for path in made), good]


def _png(width: int, height: int, *, full: bool = True) -> bytes:
    """A grey picture; without ``full`` a header that promises one."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes(width)) * height if full else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def main() -> None:
    """Write a corpus and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=1_000)
    options = parser.parse_args()
    canary = options.folder.parent / "canary.mp4"
    for mutant in Corpus(options.folder, options.seed, canary).make(options.count):
        print(f"{mutant.path.stat().st_size:>9}  {mutant.path.name}")


if __name__ == "__main__":
    main()
