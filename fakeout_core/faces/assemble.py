"""From what a pass found to the face tracks of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fakeout_core.clip import FaceTrack
from fakeout_core.config import CropConfig
from fakeout_core.faces.alignment import blackened
from fakeout_core.faces.candidates import Candidate, face_side
from fakeout_core.faces.extract import Crop, Extraction
from fakeout_core.faces.geometry import Window, corners, enlarged, iou
from fakeout_core.faces.mpeg4 import through_mpeg4
from fakeout_core.faces.schedule import Plan
from fakeout_core.faces.select import Choice, choose

LEAST_SHARE = 0.2
"""A track seen in fewer of the frames than this is none."""

MOST_ABSENT = 0.2
"""Windows in which the face is absent from more of the frames are left out, if others remain."""

SPRITE_FRAMES, SPRITE_PX = 8, 112


@dataclass(frozen=True)
class Selected:
    """One candidate that becomes a track.

    Attributes:
        number: of the candidate.
        choice: the output it answers.
        window: pixels come from here.
        seen: bool [n], frames in which the face was seen.
        fixes: repairs that acted.
        size: width and height of the picture in px.
    """

    number: int
    choice: Choice
    window: Window
    seen: np.ndarray
    fixes: tuple[str, ...]
    size: tuple[int, int]


def select_tracks(
    found: Extraction, plan: Plan, width: int, height: int, max_tracks: int
) -> list[Selected]:
    """Decide whose tracks a video gives.

    Args:
        found: by the pass.
        plan: of the pass.
        width: of the picture in px.
        height: of the picture in px.
        max_tracks: at most so many.

    Returns:
        Up to ``max_tracks``, none twice; empty if nobody is seen in a fifth of the frames.
    """
    n_frames = len(found.times_s)
    counts = {slot.first: slot.count for slot in found.slots}
    seen = [_seen(candidate, plan, n_frames, counts) for candidate in found.candidates]
    selected: list[Selected] = []
    for choice in choose(found.slots, width, height, max_tracks):
        taken = {item.number for item in selected}
        number = _best(choice, found, seen, taken)
        if number is None or seen[number].sum() < LEAST_SHARE * n_frames:
            continue
        candidate, window, fixes = found.candidates[number], choice.window, list(choice.fixes)
        if not choice.is_single:
            for _, box in candidate.boxes:
                window = window.joined(enlarged(box, width, height))
            if window != choice.window:
                fixes.append("window_follows_face")
        size = (width, height)
        selected.append(Selected(number, choice, window, seen[number], tuple(fixes), size))
    return selected


def _seen(candidate: Candidate, plan: Plan, n_frames: int, counts: dict[int, int]) -> np.ndarray:
    """Frames in which a face was seen: by landmarks where they were wanted, else by boxes."""
    seen = np.zeros(plan.n_frames, bool)
    for frame, _ in candidate.boxes:
        seen[frame : frame + counts.get(frame, 1)] = True
    seen[plan.follow] = False
    followed = np.asarray(candidate.frames, np.int64)
    seen[followed] = True
    seen[followed[1:][np.diff(followed) == 2] - 1] = True  # spared between two that were looked at
    return seen[:n_frames]


def _best(
    choice: Choice, found: Extraction, seen: Sequence[np.ndarray], taken: set[int]
) -> int | None:
    """The candidate that covers the anchor, or the one seen most inside the window.

    Source: the reference keeps the one with most frames in the window. With several faces in a
    panning picture that may be a neighbour, so the anchor's own face comes first there.
    """
    owners = [
        number
        for number, candidate in enumerate(found.candidates)
        if any(
            frame == choice.anchor_frame and iou(corners(box), corners(choice.anchor)) > 0.5
            for frame, box in candidate.boxes
        )
    ]
    inside: dict[int, float] = {}
    for number, candidate in enumerate(found.candidates):
        if number in taken or not found.crops[number]:
            continue
        share = _share_inside(candidate, choice.window)
        inside[number] = float(seen[number].sum()) * share * (1.1 if number in owners else 1.0)
    if not inside:
        return None
    own = [n for n in owners if n in inside and seen[n].sum() >= LEAST_SHARE * len(seen[n])]
    if own and not choice.is_single:
        return own[0]
    best = max(inside, key=inside.__getitem__)
    return best if inside[best] > 0 else None


def _share_inside(candidate: Candidate, window: Window) -> float:
    """Share of a candidate's sightings whose middle lies in the window."""
    middles = [points.mean(0) for points in candidate.points]
    middles += [box[:2] + box[2:] / 2 for _, box in candidate.boxes]
    if not middles:
        return 0.0
    return sum(window.holds(float(x), float(y)) for x, y in middles) / len(middles)


def make_track(
    found: Extraction,
    selected: Selected,
    shown: np.ndarray,
    windows: np.ndarray,
    rate: int,
    config: CropConfig,
) -> FaceTrack | None:
    """Finish one track: mask, codec step, JPEG, windows.

    Args:
        found: by the pass.
        selected: whose track.
        shown: source frame of every frame at 29 fps, ints [n_29].
        windows: frames at 29 fps of every window, ints [W, 32].
        rate: of the file FacePipe would have written.
        config: profile and quality.

    Returns:
        The track, or None if no shown frame has the face.
    """
    crops = found.crops[selected.number]
    source = shown[windows]
    absent = ~np.isin(source, list(crops))
    share = absent.mean(1)
    if absent.all():
        return None
    kept = np.flatnonzero(share <= MOST_ABSENT)
    if not len(kept):
        kept = np.flatnonzero(share == share.min())
    needed = np.unique(source[kept])
    pixels = _pixels(crops, needed, selected)
    if config.profile == "published":
        pixels = through_mpeg4(pixels, rate)
    quality = [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality]
    quality += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    candidate = found.candidates[selected.number]
    first_shown = np.searchsorted(shown, needed)
    fixes = list(selected.fixes)
    if absent.any():
        fixes.append("gap_absent")
    if any(candidate.frames[0] < cut <= candidate.frames[-1] for cut in candidate.breaks):
        fixes.append("cut_ends_stretch")
    return FaceTrack(
        frames=[cv2.imencode(".jpg", one, quality)[1].tobytes() for one in pixels],
        frame_index=first_shown.astype(np.int32),
        windows=kept.astype(np.int32),
        window_frames=np.searchsorted(needed, source[kept]).astype(np.int32),
        absent_share=share[kept].astype(np.float32),
        face_px=face_side(candidate),
        n_frames_seen=int(selected.seen.sum()),
        box=(
            float(selected.window.x1),
            float(selected.window.y1),
            float(selected.window.x2),
            float(selected.window.y2),
        ),
        fixes=tuple(fixes),
        sprite=_sprite(pixels),
    )


def _pixels(crops: dict[int, Crop], needed: np.ndarray, selected: Selected) -> list[np.ndarray]:
    """Crops of the needed frames, masked; where the face is absent the nearest crop stands in."""
    have = np.array(sorted(crops))
    out: list[np.ndarray] = []
    for frame in needed.tolist():
        nearest = int(have[np.abs(have - frame).argmin()])
        crop = crops[nearest]
        out.append(blackened(crop.pixels(), crop.matrix, selected.window, *selected.size))
    return out


def _sprite(pixels: Sequence[np.ndarray]) -> bytes:
    """Eight frames side by side, for people to look at."""
    picks = np.linspace(0, len(pixels) - 1, SPRITE_FRAMES).round().astype(int)
    size = (SPRITE_PX, SPRITE_PX)
    strip = [cv2.resize(pixels[i], size, interpolation=cv2.INTER_AREA) for i in picks]
    return cv2.imencode(".jpg", np.hstack(strip), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
