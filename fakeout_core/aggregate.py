"""From windows to a score: windows of a track, then tracks of a video.

Source: FakeOut's evaluation takes the mean of the windows' fake probability, then the maximum over
the tracks of a video; the other rules are offered, and recorded in the tables, as settings.
"""

from __future__ import annotations

import numpy as np

from fakeout_core.model.config import ModelConfig


def fake_probability(logits: np.ndarray) -> np.ndarray:
    """Softmax of the second logit.

    Args:
        logits: [N, 2]; real, fake.

    Returns:
        float64 [N] in 0..1.
    """
    wide = np.asarray(logits, np.float64)
    return 1.0 / (1.0 + np.exp(wide[:, 0] - wide[:, 1]))


def track_score(probabilities: np.ndarray, config: ModelConfig) -> float:
    """Score of one track from its windows.

    Args:
        probabilities: float64 [W], at least one.
        config: its ``window_rule`` and ``top_k``.

    Returns:
        A probability.

    Raises:
        ValueError: there is no window.
    """
    if len(probabilities) == 0:
        raise ValueError("a track needs at least one window")
    if config.window_rule == "max":
        return float(np.max(probabilities))
    if config.window_rule == "top_k":
        return float(np.mean(np.sort(probabilities)[-config.top_k :]))
    return float(np.mean(probabilities))


def video_score(track_scores: list[float], config: ModelConfig) -> float:
    """Score of a video from its tracks, by ``config.track_rule``.

    Raises:
        ValueError: there is no track.
    """
    if not track_scores:
        raise ValueError("a video needs at least one track")
    return float(max(track_scores) if config.track_rule == "max" else np.mean(track_scores))


def rule_name(config: ModelConfig) -> str:
    """How the tables name the rule, e.g. ``mean,max`` or ``top_3,max``."""
    windows = f"top_{config.top_k}" if config.window_rule == "top_k" else config.window_rule
    return f"{windows},{config.track_rule}"
