"""The face stage against the published method: CPU time per frame, memory, landmarks.

    python benchmarks/faces.py --peer-python build/facepipe/bin/python

The peer (``facepipe_peer.py``) is the published method assembled from its public packages, in an
environment of its own (``requirements-faces.txt``), run in turn with ours on the same clips, each
pinned to one core. Loading of nets and libraries is left out on both sides; best of ``--repeats``.
Ours is ``crop_video`` whole, MPEG-4 step and JPEG included, without sound, which the peer does not
read either. Real footage is read from ``--shared`` (it may not ship); without it the one clip that
ships is measured.

Prints one JSON object as its last line:
    vs_facepipe_720p, vs_facepipe_360p   CPU time per frame, peer over ours, geometric mean of clips
    landmarks_median_px, landmarks_p95_px  five points in our crop against the peer's crop, px
    fps_per_core                         frames per CPU second on whole videos, sound included
    peak_mb                              of a worker process on 60 s of 1080p
    flat_mb                              memory of one process after 20, 100 and 200 videos
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import av  # noqa: E402
import numpy as np  # noqa: E402

SHIPPED = ROOT / "jobs" / "assets" / "speech.mp4"
CLIPS = {
    360: ("clips/franck_360.mp4", "clips/wolf_360.mp4", "clips/two_360.mp4"),
    720: ("clips/wolf_720.mp4", "clips/two_720.mp4", "videos/lp_s18.mp4"),
}
CORE = {max(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else set()


def pin() -> None:
    """Keep this process to one core."""
    if CORE:
        os.sched_setaffinity(0, CORE)


def child(command: list[str]) -> dict[str, Any]:
    """Run a command on one core and read the JSON object that it prints last."""
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak_mb() -> int:
    """Highest resident memory of this process; ru_maxrss would begin at its parent's."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def worker(path: str, calls: int, audio: bool) -> dict[str, Any]:
    """Crop one video several times in this process; the first call loads the nets."""
    from fakeout_core.config import CropConfig
    from fakeout_core.crop import crop_video

    spent, n_frames, n_tracks = [], 0, 0
    for _ in range(calls):
        start = time.process_time()
        clip = crop_video(path, CropConfig(audio=audio))
        spent.append(time.process_time() - start)
        n_frames, n_tracks = clip.n_frames, len(clip.tracks)
    return {
        "cpu_s": min(spent[1:] or spent),
        "n_frames": n_frames,
        "n_tracks": n_tracks,
        "peak_mb": peak_mb(),
    }


def transforms(path: str) -> list[dict[int, np.ndarray]]:
    """Alignment of every frame that is stored, by track: px of the picture to px of the crop."""
    from fakeout_core.config import CropConfig
    from fakeout_core.crop import look
    from fakeout_core.faces.assemble import select_tracks
    from fakeout_core.media.probe import probe

    config = CropConfig()
    info = probe(path, config.limits)
    done = look(path, info, config)
    chosen = select_tracks(done.found, done.plan, info.width, info.height, config.max_tracks)
    return [
        {frame: crop.matrix for frame, crop in done.found.crops[one.number].items()}
        for one in chosen
    ]


def deviation(path: str, points: Path) -> list[float]:
    """How far the five landmarks lie apart in the two crops, px, a mean for each frame.

    The peer's smoothed landmarks are put through both alignments.
    """
    from fakeout_core.faces.geometry import similarity

    theirs = np.load(points)
    ours = transforms(path)
    found: list[float] = []
    for number in range(int(theirs["n_tracks"])):
        target, seen = theirs[f"points_{number}"], theirs[f"seen_{number}"]
        best: list[float] = []
        for track in ours:
            errors = []
            for frame, mine in track.items():
                if not seen[frame]:
                    continue
                start = min(frame, len(target) - 5)
                mean = target[start : start + 5].mean(0)
                other = similarity(mean)
                gap = mean @ (mine - other)[:, :2].T + (mine - other)[:, 2]
                errors.append(float(np.linalg.norm(gap, axis=1).mean()))
            if errors and (not best or np.median(errors) < np.median(best)):
                best = errors
        found += best
    return found


def speed(clips: dict[int, list[Path]], peer: str, repeats: int) -> dict[str, Any]:
    """CPU time per frame of both on every clip, and how far the landmarks are apart."""
    table: dict[str, dict[str, Any]] = {}
    ratios: dict[int, list[float]] = {}
    apart: list[float] = []
    script = str(Path(__file__).with_name("facepipe_peer.py"))
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "points.npz"
        for lines, paths in clips.items():
            for path in paths:
                ours, theirs = [], []
                for _ in range(repeats):
                    theirs.append(child([peer, script, str(path), "--points", str(points)]))
                    ours.append(child(own("worker", str(path), "2")))
                mine, other = (min(runs, key=lambda run: run["cpu_s"]) for runs in (ours, theirs))
                per_frame = [1e3 * run["cpu_s"] / run["n_frames"] for run in (mine, other)]
                error = deviation(str(path), points)
                apart += error
                ratios.setdefault(lines, []).append(per_frame[1] / per_frame[0])
                table[path.name] = {
                    "ms": round(per_frame[0], 2),
                    "peer_ms": round(per_frame[1], 2),
                    "ratio": round(per_frame[1] / per_frame[0], 2),
                    "tracks": [mine["n_tracks"], other["n_tracks"]],
                    "median_px": round(float(np.median(error)), 3) if error else None,
                    "peak_mb": mine["peak_mb"],
                    "peer_peak_mb": other["peak_mb"],
                }
                print(path.name, table[path.name], flush=True)
    result: dict[str, Any] = {
        f"vs_facepipe_{lines}p": round(statistics.geometric_mean(values), 2)
        for lines, values in ratios.items()
    }
    result["landmarks_median_px"] = round(float(np.median(apart)), 3)
    result["landmarks_p95_px"] = round(float(np.percentile(apart, 95)), 3)
    result["clips"] = table
    return result


def rates(paths: list[Path]) -> dict[str, float]:
    """Frames per CPU second of whole videos, sound included."""
    found: dict[str, float] = {}
    for path in paths:
        run = child(own("worker", str(path), "2", "--sound"))
        found[path.name] = round(run["n_frames"] / run["cpu_s"], 1)
        print(path.name, found[path.name], "frames per CPU second", flush=True)
    return found


def enlarge(source: Path, target: Path, width: int, height: int, seconds: float) -> None:
    """Scale a video and repeat it, to and fro, until it is long enough."""
    with av.open(str(source)) as video, av.open(str(target), "w", format="mp4") as out:
        rate = Fraction(video.streams.video[0].average_rate or 25).limit_denominator(1001)
        frames = [
            frame.reformat(width=width, height=height, format="yuv420p")
            for frame, _ in zip(video.decode(video=0), range(300), strict=False)
        ]
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        order = frames + frames[::-1]
        for number in range(int(seconds * rate)):
            picture = order[number % len(order)]
            picture.pts, picture.time_base = number, 1 / rate
            picture.pict_type = av.video.frame.PictureType.NONE
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def memory(source: Path, folder: Path) -> dict[str, Any]:
    """Peak of a worker process on 60 s of 1080p."""
    video = folder / "long_1080.mp4"
    enlarge(source, video, 1920, 1080, 60.0)
    run = child(own("worker", str(video), "1", "--sound"))
    run["fps_per_core"] = round(run["n_frames"] / run["cpu_s"], 1)
    return run


def soak(videos: list[str], count: int) -> dict[str, int]:
    """Resident memory of this process after 20, 100 and ``count`` videos."""
    from fakeout_core.config import CropConfig
    from fakeout_core.crop import crop_video

    marks = sorted({20, 100, count})
    found: dict[str, int] = {}
    for number in range(1, count + 1):
        crop_video(videos[number % len(videos)], CropConfig())
        if number in marks:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            found[str(number)] = pages * resource.getpagesize() >> 20
    return found


def short_videos(sources: list[Path], folder: Path) -> list[str]:
    """A second or so of each source, in several sizes."""
    sizes = ((320, 240), (640, 360), (480, 480), (854, 480))
    made = []
    for source in sources:
        for width, height in sizes:
            path = folder / f"{source.stem}_{width}.mp4"
            enlarge(source, path, width, height, 1.2)
            made.append(str(path))
    return made


def own(command: str, *arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), f"--{command}", *arguments]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", default="", help="Python with requirements-faces.txt")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "faces")
    parser.add_argument("--parts", default="speed,rates,memory,soak", help="what to measure")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clips", nargs="*", help="names without .mp4, of the standard ones")
    parser.add_argument("--videos", type=int, default=200, help="of the soak")
    parser.add_argument("--worker", nargs=2, metavar=("VIDEO", "CALLS"), help=argparse.SUPPRESS)
    parser.add_argument("--sound", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--soak", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(worker(arguments.worker[0], int(arguments.worker[1]), arguments.sound)))
        return
    if arguments.soak:
        print(json.dumps(soak(arguments.soak[1:], int(arguments.soak[0]))))
        return
    has_shared = (arguments.shared / "videos").is_dir()
    clips = {k: [arguments.shared / name for name in v] for k, v in CLIPS.items()}
    if not has_shared:
        clips = {240: [SHIPPED]}
    if arguments.clips:
        clips = {k: [p for p in v if p.stem in arguments.clips] for k, v in clips.items()}
        clips = {k: v for k, v in clips.items() if v}
    videos = sorted((arguments.shared / "videos").glob("*.m*")) if has_shared else [SHIPPED]
    parts = arguments.parts.split(",")
    result: dict[str, Any] = {}
    if "speed" in parts:
        if not arguments.peer_python:
            raise SystemExit("--peer-python is needed; see benchmarks/requirements-faces.txt")
        result |= speed(clips, arguments.peer_python, arguments.repeats)
    if "rates" in parts:
        faceless = {"no_face.mp4", "shot_change.mp4"}
        result["fps_per_core"] = rates([path for path in videos if path.name not in faceless])
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.shared / "videos" / "WolfgangLanger_Pexels.mp4"
        if "memory" in parts:
            run = memory(source if has_shared else SHIPPED, Path(folder))
            result["peak_mb"], result["fps_per_core_1080p"] = run["peak_mb"], run["fps_per_core"]
        if "soak" in parts:
            sources = [SHIPPED, source] if has_shared else [SHIPPED]
            short = short_videos(sources, Path(folder))
            result["flat_mb"] = child(own("soak", str(arguments.videos), *short))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
