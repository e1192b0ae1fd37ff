"""The published face method, assembled from its public packages: the peer of ``faces.py``.

Run by it with another Python (``requirements-faces.txt``); imports nothing of the product.
Written from the method's description, not from its code: MTCNN (facenet-pytorch) on every third
frame of batches of 80, mode and windows from the boxes, a second decode per face, FaceMesh on every
frame of the window, two slots, gaps interpolated, five-frame mean, similarity, scikit-image warp,
``mp4v`` file. One thread.

Prints one JSON object; with ``--points`` writes landmarks, windows and some crops there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
import types
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["GLOG_minloglevel"] = "3"  # noqa: SIM112  (its own spelling)

import cv2
import numpy as np
import torch

FIVE = [2, 130, 243, 463, 359]
TARGET = np.array(
    [
        [128.87017960974802, 137.30253355584708],
        [92.52245552947952, 94.36876013925871],
        [112.7724172413806, 94.94360869870115],
        [145.52511509158018, 94.5349986248377],
        [166.67710071343456, 93.56562295717796],
    ]
) + np.array([-17.05, 5.0])

clock: Counter[str] = Counter()


class Timed:
    """Adds the CPU time of a block to a stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *exception: object) -> None:
        clock[self.stage] += time.process_time() - self.start


def batched_nms(boxes, scores, groups, threshold):
    """What facenet-pytorch takes from torchvision: greedy suppression within each group."""
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.int64)
    shift = groups.to(boxes) * (boxes.max() + 1)
    x1, y1, x2, y2 = (boxes + shift[:, None]).double().numpy().T
    area = (x2 - x1) * (y2 - y1)
    order, kept = np.argsort(-scores.numpy(), kind="stable"), []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        w = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
        h = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
        shared = np.maximum(w, 0) * np.maximum(h, 0)
        order = rest[shared / (area[best] + area[rest] - shared) <= threshold]
    return torch.as_tensor(np.array(kept, np.int64))


def make_mtcnn():
    """MTCNN with the published settings, torchvision's one function put in its place."""
    vision, ops, boxes = (types.ModuleType(f"torchvision{x}") for x in ("", ".ops", ".ops.boxes"))
    transforms = types.ModuleType("torchvision.transforms")
    functional = types.ModuleType("torchvision.transforms.functional")
    boxes.batched_nms, transforms.functional = batched_nms, functional
    for module in (vision, ops, boxes, transforms, functional):
        sys.modules.setdefault(module.__name__, module)
    from facenet_pytorch import MTCNN

    return MTCNN(
        keep_all=True,
        min_face_size=20,
        factor=0.6,
        thresholds=[0.6, 0.7, 0.7],
        margin=14,
        device="cpu",
    )


def frames_of(path: str) -> list[np.ndarray]:
    """Decode the whole video, BGR."""
    capture, frames = cv2.VideoCapture(path), []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(frame)
    capture.release()
    return frames


def detect(frames: list[np.ndarray], mtcnn) -> list[list[tuple[np.ndarray, float]]]:
    """Faces valid at every frame: box x, y, w, h and confidence, largest first."""
    slots: list[list[tuple[np.ndarray, float]]] = []
    for start in range(0, len(frames), 80):
        batch = frames[start : start + 80]
        rgb = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for frame in batch[::3]])
        boxes, confidences = mtcnn.detect(rgb)
        found = []
        for box, confidence in zip(boxes, confidences, strict=True):
            faces = [] if box is None else list(zip(box, confidence, strict=True))
            found.append([(np.r_[b[:2], b[2:] - b[:2]].astype(float), float(c)) for b, c in faces])
        slots += [found[k // 3] for k in range(len(batch))]
    return slots


def enlarge(box: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    x, y, w, h = box
    cx, cy, half = int(x + w / 2), int(y + h / 2), int(1.8 * max(w, h) / 2)
    return max(cx - half, 0), max(cy - half, 0), min(cx + half, width), min(cy + half, height)


def join(a, b):
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def windows_of(slots, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """The rectangles to cut, by the published rules."""
    size = lambda box: box[2] * box[3]  # noqa: E731
    seen = [slot for slot in slots if slot]
    if not seen:
        return []
    leading = [size(slot[0][0]) for slot in seen if slot[0][1] > 0.9995]
    mean = float(np.mean(leading)) if leading else float("nan")
    fits = lambda box: 0.8 * mean <= size(box) <= 1.2 * mean  # noqa: E731
    counts = Counter(sum(c > 0.9995 or (c > 0.9 and fits(b)) for b, c in slot) for slot in seen)
    mode = max(counts, key=counts.get)
    if mode <= 1:
        window, last = enlarge(seen[0][0][0], width, height), size(seen[0][0][0])
        for slot in seen:
            box, confidence = slot[0]
            if confidence > 0.99 and 0.6 * last <= size(box) <= 1.4 * last:
                window, last = join(window, enlarge(box, width, height)), size(box)
        return [window]
    start = next((s for s in seen if sum(c > 0.99 for _, c in s) == mode), None)
    if start is None:
        return []
    middle = lambda box: (int(box[0] + box[2] / 2), int(box[1] + box[3] / 2))  # noqa: E731
    windows = []
    for anchor in [b for b, c in start if c > 0.99]:
        window, at = enlarge(anchor, width, height), middle(anchor)
        for slot in seen:
            for box, confidence in slot:
                here = middle(box)
                is_near = (
                    abs(here[0] - at[0]) <= 0.2 * width and abs(here[1] - at[1]) <= 0.2 * height
                )
                if confidence > 0.9995 and fits(box) and is_near:
                    window = join(window, enlarge(box, width, height))
                    break
        windows.append(window)
    return windows


def overlap(a, b) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return w * h / total


def follow(cuts: list[np.ndarray], mesh) -> list[np.ndarray | None] | None:
    """Landmarks of the fuller of two slots, or None if it is too empty."""
    slots: list[list[np.ndarray | None]] = []
    rects: list[np.ndarray] = []
    for at, cut in enumerate(cuts):
        result = mesh.process(np.ascontiguousarray(cut))
        height, width = cut.shape[:2]
        for face in result.multi_face_landmarks or []:
            points = np.array([(p.x * width, p.y * height) for p in face.landmark])
            rect = np.r_[points.min(0), points.max(0)].astype(int)
            shares = [overlap(rect, other) for other in rects]
            best = int(np.argmax(shares)) if shares else -1
            if best >= 0 and shares[best] > 0.2:
                if slots[best][at] is None:
                    slots[best][at], rects[best] = points, rect
            elif len(slots) < 2:
                slots.append([None] * len(cuts))
                slots[-1][at] = points
                rects.append(rect)
    full = max(slots, key=lambda s: sum(p is not None for p in s), default=None)
    if full is None or sum(p is not None for p in full) < 0.2 * len(cuts):
        return None
    return full


def align(cuts: list[np.ndarray], found: list[np.ndarray | None]) -> tuple[list, np.ndarray]:
    """Aligned crops by scikit-image, and the five points after gap filling."""
    from skimage import transform

    there = [k for k, points in enumerate(found) if points is not None]
    stack = np.stack([found[k] for k in there]).reshape(len(there), -1)
    index = np.arange(len(cuts))
    whole = np.stack([np.interp(index, there, column) for column in stack.T], 1)
    points = whole.reshape(len(cuts), -1, 2)
    window = min(5, len(cuts))
    crops, similarity = [], None
    for k, cut in enumerate(cuts):
        if k + window <= len(cuts):
            mean = points[k : k + window].mean(0)[FIVE]
            similarity = transform.SimilarityTransform()
            similarity.estimate(mean, TARGET)
        warped = transform.warp(cut, inverse_map=similarity.inverse, output_shape=(224, 224))
        crops.append((warped * 255).astype(np.uint8))
    return crops, points[:, FIVE]


def run(path: str, out: Path) -> dict[str, np.ndarray]:
    """The whole method on one video; writes its crops and returns what can be compared."""
    import mediapipe

    kept: dict[str, np.ndarray] = {}
    with Timed("load"):
        mtcnn = make_mtcnn()
        mesh = mediapipe.solutions.face_mesh.FaceMesh(
            static_image_mode=False,
            max_num_faces=2,
            refine_landmarks=True,
            min_detection_confidence=0.3,
            min_tracking_confidence=0.8,
        )
    with Timed("decode"):
        frames = frames_of(path)
    with Timed("detect"):
        slots = detect(frames, mtcnn)
    height, width = frames[0].shape[:2]
    kept["n_frames"] = np.array(len(frames))
    rate = int(cv2.VideoCapture(path).get(cv2.CAP_PROP_FPS))
    number = 0
    for window in windows_of(slots, width, height):
        x1, y1, x2, y2 = window
        with Timed("decode"):
            cuts = [frame[y1:y2, x1:x2] for frame in frames_of(path)]
        with Timed("landmarks"):
            found = follow(cuts, mesh)
        if found is None:
            continue
        with Timed("warp"):
            crops, points = align(cuts, found)
        with Timed("write"):
            writer = cv2.VideoWriter(
                str(out / f"{number}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), rate, (224, 224)
            )
            for crop in crops:
                writer.write(crop)
            writer.release()
        kept[f"window_{number}"] = np.array(window)
        kept[f"points_{number}"] = points + np.array([x1, y1])
        kept[f"seen_{number}"] = np.array([p is not None for p in found])
        kept[f"crops_{number}"] = np.stack(crops[::30])
        number += 1
    kept["n_tracks"] = np.array(number)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--points", type=Path, help="write what can be compared here (npz)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        kept = run(arguments.video, Path(folder))
    if arguments.points:
        np.savez_compressed(arguments.points, **kept)
    spent = {stage: round(seconds, 4) for stage, seconds in clock.items() if stage != "load"}
    print(
        json.dumps(
            {
                "n_frames": int(kept["n_frames"]),
                "n_tracks": int(kept["n_tracks"]),
                "cpu_s": sum(spent.values()),
                "stages_s": spent,
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
