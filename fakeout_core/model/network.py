"""The FakeOut network in Haiku: TSM-ResNet-50 video tower, ResNet-50 audio tower, MLP head.

Module names repeat those of the published MMV and FakeOut checkpoints, so parameters load by
name. This is the reference: every other engine is checked against it, and accelerators run it.

Source: Knafo & Fried, arXiv 2212.00773; Alayrac et al., arXiv 2006.16228 (MMV); pre-activation
ResNet, He et al., arXiv 1603.05027; temporal shift, Lin et al., arXiv 1811.08383, in MMV's channel
layout (shifted channels change places), which checkpoints were trained with.
"""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from fakeout_core.model.config import Modality, Variant

BLOCKS = (3, 4, 6, 3)
"""Residual blocks of each unit of a ResNet-50."""

SHIFT_SHARE = 0.125
"""Share of a block's input channels that comes from the next frame, and from the previous one."""

BN_EPSILON = 1e-5

Endpoints = dict[str, jax.Array]


class Outputs(NamedTuple):
    """What the network gives for N windows.

    Attributes:
        logits: float32 [N, 2]; real, fake.
        video: float32 [N, 2048 × width], the video representation.
        audio: float32 [N, 2048], the audio representation; None for a video-only network.
        endpoints: named intermediate values, for parity checks.
    """

    logits: jax.Array
    video: jax.Array
    audio: jax.Array | None
    endpoints: Endpoints


def _batch_norm() -> hk.BatchNorm:
    return hk.BatchNorm(True, True, 0.9, eps=BN_EPSILON, name="__cross_replica_batch_norm")


def _conv(channels: int, kernel: int, stride: int, name: str) -> hk.Conv2D:
    # SAME depends on the input's size and pads unevenly at stride 2, as the checkpoints expect.
    return hk.Conv2D(channels, kernel, stride, padding="SAME", with_bias=False, name=name)


def _max_pool(x: jax.Array) -> jax.Array:
    return hk.max_pool(x, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")


def temporal_shift(x: jax.Array, n_frames: int) -> jax.Array:
    """Give each frame channels of its neighbours.

    Args:
        x: [N × n_frames, height, width, channels], frames of a window next to each other.
        n_frames: frames per window.

    Returns:
        Same shape; per frame, in this order: the last eighth of the next frame's channels, the
        frame's own middle channels, the first eighth of the previous frame's channels. Beyond a
        window's ends there are zeros.
    """
    n = int(x.shape[-1] * SHIFT_SHARE)
    clips = x.reshape(-1, n_frames, *x.shape[1:])
    following = jnp.pad(clips[:, 1:, ..., -n:], [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0)])
    previous = jnp.pad(clips[:, :-1, ..., :n], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
    shifted = jnp.concatenate([following, clips[..., n:-n], previous], axis=-1)
    return shifted.reshape(x.shape)


class VideoBlock(hk.Module):
    """Pre-activation bottleneck with a temporal shift at the head of the residual branch."""

    def __init__(self, channels: int, stride: int, project: bool, name: str) -> None:
        super().__init__(name)
        self._channels, self._stride, self._project = channels, stride, project

    def __call__(self, x: jax.Array, n_frames: int, training: bool) -> jax.Array:
        """Map [N × n_frames, H, W, C] to [N × n_frames, H / stride, W / stride, channels]."""
        inner = self._channels // 4
        out = jax.nn.relu(_batch_norm()(x, training))
        shortcut = x
        if self._project:
            shortcut = _conv(self._channels, 1, self._stride, "shortcut_conv")(out)
        out = _conv(inner, 1, 1, "conv_0")(temporal_shift(out, n_frames))
        out = jax.nn.relu(_batch_norm()(out, training))
        out = _conv(inner, 3, self._stride, "conv_1")(out)
        out = jax.nn.relu(_batch_norm()(out, training))
        return shortcut + _conv(self._channels, 1, 1, "conv_2")(out)


class VideoUnit(hk.Module):
    """A run of blocks; the first changes width and resolution."""

    def __init__(self, channels: int, blocks: int, stride: int, name: str) -> None:
        super().__init__(name)
        self._channels, self._blocks, self._stride = channels, blocks, stride

    def __call__(self, x: jax.Array, n_frames: int, training: bool) -> tuple[jax.Array, Endpoints]:
        """Apply the blocks in turn."""
        endpoints: Endpoints = {}
        for index in range(self._blocks):
            stride, name = self._stride if index == 0 else 1, f"block_{index}"
            x = VideoBlock(self._channels, stride, index == 0, name)(x, n_frames, training)
            endpoints[name] = x
        return x, endpoints


class TSMResNet(hk.Module):
    """TSM-ResNet-50 v2 of a width multiplier."""

    def __init__(self, width: int) -> None:
        super().__init__("TSMResNetV2")
        self._width = width

    def __call__(self, video: jax.Array, training: bool) -> tuple[jax.Array, Endpoints]:
        """Map float [N, T, 224, 224, 3] in 0..1 to [N, 2048 × width]."""
        n_frames = video.shape[1]
        x = video.reshape(-1, *video.shape[2:])
        stem = _conv(64 * self._width, 7, 2, "tsm_resnet_stem")(x)
        x = _max_pool(stem)
        endpoints = {"video/tsm_resnet_stem": stem, "video/max_pool": x}
        for index, blocks in enumerate(BLOCKS):
            channels, stride = 256 * self._width << index, 1 if index == 0 else 2
            name = f"tsm_resnet_unit_{index}"
            x, inner = VideoUnit(channels, blocks, stride, name)(x, n_frames, training)
            endpoints |= {f"video/{name}/{block}": value for block, value in inner.items()}
            endpoints[f"video/{name}"] = x
        x = jax.nn.relu(_batch_norm()(x, training))
        endpoints["video/last_conv"] = x
        per_frame = jnp.mean(x, axis=(1, 2))
        return jnp.mean(per_frame.reshape(-1, n_frames, x.shape[-1]), axis=1), endpoints


class AudioBlock(hk.Module):
    """Pre-activation bottleneck; convolutions are made with the module, norms on first use."""

    def __init__(self, channels: int, stride: int, project: bool, name: str) -> None:
        super().__init__(name)
        self._conv_0 = _conv(channels // 4, 1, 1, "conv_0")
        self._conv_1 = _conv(channels // 4, 3, stride, "conv_1")
        self._conv_2 = _conv(channels, 1, 1, "conv_2")
        self._shortcut = _conv(channels, 1, stride, "shortcut_conv") if project else None

    def __call__(self, x: jax.Array, training: bool) -> jax.Array:
        """Map [N, H, W, C] to [N, H / stride, W / stride, channels]."""
        out = jax.nn.relu(_batch_norm()(x, training))
        shortcut = x if self._shortcut is None else self._shortcut(out)
        out = jax.nn.relu(_batch_norm()(self._conv_0(out), training))
        out = jax.nn.relu(_batch_norm()(self._conv_1(out), training))
        return shortcut + self._conv_2(out)


class AudioGroup(hk.Module):
    """A run of audio blocks."""

    def __init__(self, channels: int, blocks: int, stride: int, name: str) -> None:
        super().__init__(name)
        self._channels, self._blocks, self._stride = channels, blocks, stride

    def __call__(self, x: jax.Array, training: bool) -> tuple[jax.Array, Endpoints]:
        """Apply the blocks in turn."""
        endpoints: Endpoints = {}
        for index in range(self._blocks):
            stride, name = self._stride if index == 0 else 1, f"block_{index}"
            x = AudioBlock(self._channels, stride, index == 0, name)(x, training)
            endpoints[name] = x
        return x, endpoints


class AudioResNet(hk.Module):
    """ResNet-50 v2 over a log-mel window taken as a one-channel picture."""

    def __init__(self) -> None:
        super().__init__("res_net_v2")
        self._stem = _conv(64, 7, 2, "initial_conv")
        self._groups = [
            AudioGroup(256 << index, blocks, 1 if index == 0 else 2, f"block_group_{index}")
            for index, blocks in enumerate(BLOCKS)
        ]

    def __call__(self, log_mel: jax.Array, training: bool) -> tuple[jax.Array, Endpoints]:
        """Map float [N, 183, 80, 1] in decibels to [N, 2048]."""
        stem = self._stem(log_mel)
        x = _max_pool(stem)
        endpoints = {"audio/initial_conv": stem}
        for index, group in enumerate(self._groups):
            name = f"audio/block_group_{index}"
            x, inner = group(x, training)
            endpoints |= {f"{name}/{block}": value for block, value in inner.items()}
            endpoints[name] = x
        return jnp.mean(jax.nn.relu(_batch_norm()(x, training)), axis=(1, 2)), endpoints


class _VisualModule(hk.Module):
    def __init__(self, width: int) -> None:
        super().__init__("visual_module")
        self._tower = TSMResNet(width)

    def __call__(self, video: jax.Array, training: bool) -> tuple[jax.Array, Endpoints]:
        return self._tower(video, training)


class _AudioModule(hk.Module):
    def __init__(self) -> None:
        super().__init__("audio_module")
        self._tower = AudioResNet()

    def __call__(self, log_mel: jax.Array, training: bool) -> tuple[jax.Array, Endpoints]:
        return self._tower(log_mel, training)


class _Towers(hk.Module):
    def __init__(self, width: int) -> None:
        super().__init__("text_audio_video")
        self._width = width

    def __call__(
        self, video: jax.Array | None, log_mel: jax.Array | None, training: bool
    ) -> tuple[jax.Array | None, jax.Array | None, Endpoints]:
        seen, heard, endpoints = None, None, Endpoints()
        if video is not None:
            seen, endpoints = _VisualModule(self._width)(video, training)
        if log_mel is not None:
            heard, more = _AudioModule()(log_mel, training)
            endpoints |= more
        return seen, heard, endpoints


def _pixels(video: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return (video.astype(jnp.float32) / 255.0).astype(dtype)


def network(variant: Variant, modality: Modality) -> hk.TransformedWithState:
    """The whole network as pure functions: the definition every engine is checked against.

    Args:
        variant: ``x1`` or ``x2``: width of the video tower.
        modality: ``av`` or ``v``.

    Returns:
        ``init(key, video, log_mel, training)`` and ``apply(params, state, key, video, log_mel,
        training)``, where video is uint8 [N, T, 224, 224, 3] RGB, log_mel float32
        [N, 183, 80, 1] or None, and the result ``Outputs``. ``init`` needs ``training=True``.
    """
    width = int(variant[1:])

    def forward(
        video: jax.Array, log_mel: jax.Array | None = None, training: bool = False
    ) -> Outputs:
        sound = log_mel if modality == "av" else None
        pixels = _pixels(video, jnp.dtype(jnp.float32))
        seen, heard, endpoints = _Towers(width)(pixels, sound, training)
        assert seen is not None
        features = seen if heard is None else jnp.concatenate([seen, heard], axis=-1)
        # Three affine maps with nothing between them: so were the published heads trained.
        x = features
        for size, name in ((512, "first"), (128, "second"), (2, "third")):
            x = hk.Linear(size, name=f"{name}_mlp_layer")(x)
            endpoints[f"{name}_mlp_layer"] = x
        return Outputs(x, seen, heard, endpoints)

    return hk.transform_with_state(forward)


def video_tower(variant: Variant, dtype: jnp.dtype) -> hk.TransformedWithState:
    """The video tower alone, under the same names: ``apply(params, state, None, video)``.

    Args:
        variant: ``x1`` or ``x2``.
        dtype: of the activations; parameters of the same type are the caller's business.

    Returns:
        Pure functions from uint8 [N, T, 224, 224, 3] to ``dtype`` [N, 2048 × width].
    """

    def forward(video: jax.Array) -> jax.Array:
        seen, _, _ = _Towers(int(variant[1:]))(_pixels(video, dtype), None, False)
        assert seen is not None
        return seen

    return hk.transform_with_state(forward)


def audio_tower(dtype: jnp.dtype) -> hk.TransformedWithState:
    """The audio tower alone: ``apply(params, state, None, log_mel)``, see ``video_tower``."""

    def forward(log_mel: jax.Array) -> jax.Array:
        _, heard, _ = _Towers(1)(None, log_mel.astype(dtype), False)
        assert heard is not None
        return heard

    return hk.transform_with_state(forward)
