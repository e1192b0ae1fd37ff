"""Pictures for docs/parity.md: where the face stage departs from the published method on purpose.

    python -m tools.parity_pictures PEER_PYTHON docs/img [--reference DIR]

Made from the public-domain speech that ships with the demo and from nothing else. PEER_PYTHON has
``benchmarks/requirements-faces.txt``. Each picture of crops shows the published method above, ours
below, at frames 0, 30, 60 and 90; grey stands for a frame that is not scored. The picture of the
seal is of the same speech enlarged and of the published method's boxes on it, which are in the
reference data (``faces/clips/obama_720.mp4`` and ``golden/faces/obama_720.npz`` of DIR).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from fakeout_core.config import CropConfig
from fakeout_core.crop import crop_video
from fakeout_core.media.probe import probe
from fakeout_core.media.video import open_reader

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT / "jobs" / "assets" / "speech.mp4"
RATE = 29
SHOWN = (0, 30, 60, 90)


def speech() -> list[np.ndarray]:
    """Frames of the speech, uint8 [240, 320, 3] BGR."""
    with av.open(str(SPEECH)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def write(path: Path, frames: list[np.ndarray]) -> Path:
    """Encode frames at 29 per second, so that source frames and output frames have one number."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "12"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def zoomed() -> list[np.ndarray]:
    """A cut to a closer framing after 60 frames."""
    frames = speech()
    close = [
        cv2.resize(frame[5:125, 105:265], (320, 240), interpolation=cv2.INTER_CUBIC)
        for frame in frames[45:105]
    ]
    return frames[:60] + close


def left() -> list[np.ndarray]:
    """A cut to colour bars after 60 frames."""
    colours = np.array(
        [[191] * 3, [0, 191, 191], [191, 191, 0], [0, 191, 0], [191, 0, 191], [0, 0, 191]], np.uint8
    )
    bars = np.broadcast_to(np.repeat(colours, 54, axis=0)[:320], (240, 320, 3))
    return speech()[:60] + [bars] * 60


def published(video: Path, peer: str, folder: Path) -> list[np.ndarray]:
    """Crops of the published method."""
    out = folder / "peer.npz"
    script = ROOT / "benchmarks" / "facepipe_peer.py"
    subprocess.run([peer, script, video, "--points", out], check=True, capture_output=True)
    crops = np.load(out)["crops_0"]
    return [crops[frame // 30] for frame in SHOWN]


def ours(video: Path) -> list[np.ndarray]:
    """Our crops; grey where no scored window shows the frame."""
    track = crop_video(str(video), CropConfig(audio=False, steps=16, profile="clean")).tracks[0]
    tiles = []
    for frame in SHOWN:
        nearest = int(np.abs(track.frame_index - frame).argmin())
        is_there = abs(int(track.frame_index[nearest]) - frame) <= 2
        data = np.frombuffer(track.frames[nearest], np.uint8)
        tile = cv2.imdecode(data, cv2.IMREAD_COLOR) if is_there else np.full((224,) * 2 + (3,), 128)
        tiles.append(tile.astype(np.uint8))
    return tiles


def codec_step() -> np.ndarray:
    """A crop without and with the MPEG-4 step, and eight times their difference."""
    pair = []
    for profile in ("clean", "published"):
        config = CropConfig(audio=False, n_windows=1, profile=profile)  # type: ignore[arg-type]
        data = crop_video(str(SPEECH), config).tracks[0].frames[4]
        pair.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int))
    change = np.clip(128 + 8 * (pair[1] - pair[0]), 0, 255)
    return np.hstack([*pair, change]).astype(np.uint8)


def seal(reference: Path) -> np.ndarray:
    """The detection that mistakes a seal for a face; left the published method, right ours."""
    path = str(reference / "faces" / "clips" / "obama_720.mp4")
    with np.load(reference / "golden" / "faces" / "obama_720.npz") as golden:
        at = int(golden["box_det_frame"][golden["box_xywh"][:, 1].argmax()])  # the lowest box
        boxes = golden["box_xywh"][golden["box_det_frame"] == at]
        x1, x2, y1, y2 = golden["win0"].tolist()
    with open_reader(path, probe(path, CropConfig().limits)) as reader:
        picture = next(frame for frame in reader.frames() if frame.index == at).bgr()
    track = crop_video(path, CropConfig(audio=False)).tracks[0]
    theirs, mine = picture.copy(), picture.copy()
    for x, y, width, height in boxes.round().astype(int).tolist():
        cv2.rectangle(theirs, (x, y), (x + width, y + height), (0, 220, 255), 3)
    cv2.rectangle(theirs, (x1, y1), (x2 - 1, y2 - 1), (80, 255, 80), 5)
    left, top, right, bottom = (round(side) for side in track.box)
    cv2.rectangle(mine, (left, top), (right - 1, bottom - 1), (80, 255, 80), 5)
    both = np.hstack([theirs[:, 160:1120], mine[:, 160:1120]])  # without the black sides
    return cv2.resize(both, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", help="Python with benchmarks/requirements-faces.txt")
    parser.add_argument("out", type=Path)
    parser.add_argument("--reference", type=Path, help="folder of the reference data")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, frames in (("zoom", zoomed()), ("absent", left())):
            video = write(folder / f"{title}.mp4", frames)
            rows = [np.hstack(published(video, arguments.peer, folder)), np.hstack(ours(video))]
            cv2.imwrite(str(arguments.out / f"faces_{title}.jpg"), np.vstack(rows), quality)
    cv2.imwrite(str(arguments.out / "faces_codec.jpg"), codec_step(), quality)
    if arguments.reference is not None:
        cv2.imwrite(str(arguments.out / "faces_seal.jpg"), seal(arguments.reference), quality)


if __name__ == "__main__":
    main()
