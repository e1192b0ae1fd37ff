"""The network as an ONNX graph, with everything folded that can be.

Batch norms that follow a convolution become its weights and bias, and the division by 255 becomes
the stem's weights. The norm at the head of a block stays,
because the block's shortcut takes the value before it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fakeout_core.model.folding import affine_of_norm
from fakeout_core.model.network import BLOCKS, SHIFT_SHARE
from fakeout_core.model.trees import LOG_MEL_SHAPE, WINDOW_SHAPE, Weights

OPSET = 17
IR_VERSION = 9

_VIDEO = "text_audio_video/visual_module/~/TSMResNetV2"
_AUDIO = "text_audio_video/audio_module/~/res_net_v2"
_BN = "__cross_replica_batch_norm"


def video_graph(weights: Weights, batch: int) -> onnx.ModelProto:
    """Build the video tower for one static batch.

    Args:
        weights: parameters and state.
        batch: windows at once.

    Returns:
        A model from ``frames`` uint8 [batch, 32, 224, 224, 3] to ``video`` float32 [batch, C].
    """
    return _Graph(weights, batch).video()


def audio_graph(weights: Weights, batch: int) -> onnx.ModelProto:
    """Build the audio tower: ``log_mel`` float32 [batch, 183, 80, 1] to ``audio`` [batch, 2048]."""
    return _Graph(weights, batch).audio()


class _Graph:
    def __init__(self, weights: Weights, batch: int) -> None:
        self._weights, self._batch = weights, batch
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def video(self) -> onnx.ModelProto:
        shape = (self._batch, *WINDOW_SHAPE)
        frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, shape)
        return self._model(frames, self._video("frames"), "video")

    def audio(self) -> onnx.ModelProto:
        shape = (self._batch, *LOG_MEL_SHAPE)
        log_mel = helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, shape)
        return self._model(log_mel, self._audio("log_mel"), "audio")

    def _model(self, source: onnx.ValueInfoProto, result: str, name: str) -> onnx.ModelProto:
        self._nodes.append(helper.make_node("Identity", [result], [name]))
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, (self._batch, None))
        graph = helper.make_graph(self._nodes, name, [source], [output], self._constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def _video(self, frames: str) -> str:
        n_frames, size = WINDOW_SHAPE[0], WINDOW_SHAPE[1]
        x = self._reshape(frames, (self._batch * n_frames, size, size, 3))
        x = self._op("Cast", self._op("Transpose", x, perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
        stem = self._weights.params[f"{_VIDEO}/tsm_resnet_stem"]["w"].astype(np.float64) / 255.0
        x = self._conv(x, stem, None, 2, (size, size))
        x = self._pool(x, (size // 2, size // 2))
        size //= 4
        channels_in = stem.shape[-1]
        for unit, blocks in enumerate(BLOCKS):
            for index in range(blocks):
                name = f"{_VIDEO}/tsm_resnet_unit_{unit}/block_{index}"
                stride = 2 if unit > 0 and index == 0 else 1
                shift = (int(channels_in * SHIFT_SHARE), channels_in, size)
                x, channels_in = self._block(x, name, name, stride, (size, size), shift)
                size //= stride
        x = self._pre_activation(x, f"{_VIDEO}/{_BN}")
        x = self._op("GlobalAveragePool", x)
        x = self._reshape(x, (self._batch, n_frames, channels_in))
        return self._op("ReduceMean", x, axes=[1], keepdims=0)

    def _audio(self, log_mel: str) -> str:
        height, width = LOG_MEL_SHAPE[:2]
        x = self._reshape(log_mel, (self._batch, 1, height, width))
        stem = self._weights.params[f"{_AUDIO}/~/initial_conv"]["w"].astype(np.float64)
        x = self._conv(x, stem, None, 2, (height, width))
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        x = self._pool(x, (height, width))
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        channels = 0
        for group, blocks in enumerate(BLOCKS):
            for index in range(blocks):
                name = f"{_AUDIO}/~/block_group_{group}/block_{index}"
                stride = 2 if group > 0 and index == 0 else 1
                x, channels = self._block(x, name, f"{name}/~", stride, (height, width), None)
                height, width = math.ceil(height / stride), math.ceil(width / stride)
        x = self._op("GlobalAveragePool", self._pre_activation(x, f"{_AUDIO}/{_BN}"))
        return self._reshape(x, (self._batch, channels))

    def _block(
        self,
        x: str,
        norms: str,
        convs: str,
        stride: int,
        size: tuple[int, int],
        shift: tuple[int, int, int] | None,
    ) -> tuple[str, int]:
        """One bottleneck; returns its output and the output's channels."""
        params = self._weights.params
        out = self._pre_activation(x, f"{norms}/{_BN}")
        shortcut = x
        if f"{convs}/shortcut_conv" in params:
            kernel = params[f"{convs}/shortcut_conv"]["w"].astype(np.float64)
            shortcut = self._conv(out, kernel, None, stride, size)
        if shift is not None:
            out = self._shift(out, *shift)
        out = self._conv_norm_relu(out, f"{convs}/conv_0", f"{norms}/{_BN}_1", 1, size)
        out = self._conv_norm_relu(out, f"{convs}/conv_1", f"{norms}/{_BN}_2", stride, size)
        last = params[f"{convs}/conv_2"]["w"].astype(np.float64)
        small = (math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        out = self._conv(out, last, None, 1, small)
        return self._op("Add", out, shortcut), last.shape[-1]

    def _conv_norm_relu(
        self, x: str, conv: str, norm: str, stride: int, size: tuple[int, int]
    ) -> str:
        scale, offset = affine_of_norm(self._weights, norm)
        kernel = self._weights.params[conv]["w"].astype(np.float64) * scale
        return self._op("Relu", self._conv(x, kernel, offset, stride, size))

    def _pre_activation(self, x: str, norm: str) -> str:
        scale, offset = affine_of_norm(self._weights, norm)
        shape = (1, -1, 1, 1)
        scaled = self._op("Mul", x, self._constant(scale.reshape(shape)))
        return self._op("Relu", self._op("Add", scaled, self._constant(offset.reshape(shape))))

    def _conv(
        self,
        x: str,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        stride: int,
        size: tuple[int, int],
    ) -> str:
        inputs = [x, self._constant(kernel.transpose(3, 2, 0, 1))]
        if bias is not None:
            inputs.append(self._constant(bias))
        pads = same_pads(size, kernel.shape[0], stride)
        return self._op("Conv", *inputs, strides=[stride, stride], pads=pads)

    def _pool(self, x: str, size: tuple[int, int]) -> str:
        pads = same_pads(size, 3, 2)
        return self._op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=pads)

    def _shift(self, x: str, n: int, channels: int, size: int) -> str:
        n_frames = WINDOW_SHAPE[0]
        clips = self._reshape(x, (self._batch, n_frames, channels, size * size))
        following = self._slice(clips, (1, channels - n), (n_frames, channels))
        previous = self._slice(clips, (0, 0), (n_frames - 1, n))
        middle = self._slice(clips, (0, n), (n_frames, channels - n))
        following = self._op("Pad", following, self._shape((0, 0, 0, 0, 0, 1, 0, 0)))
        previous = self._op("Pad", previous, self._shape((0, 1, 0, 0, 0, 0, 0, 0)))
        shifted = self._op("Concat", following, middle, previous, axis=2)
        return self._reshape(shifted, (self._batch * n_frames, channels, size, size))

    def _slice(self, x: str, starts: tuple[int, int], ends: tuple[int, int]) -> str:
        bounds = (self._shape(starts), self._shape(ends), self._shape((1, 2)))
        return self._op("Slice", x, *bounds)

    def _reshape(self, x: str, shape: tuple[int, ...]) -> str:
        return self._op("Reshape", x, self._shape(shape))

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        output = f"{kind.lower()}_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, values: np.ndarray) -> str:
        return self._store(np.ascontiguousarray(values, np.float32))

    def _shape(self, values: tuple[int, ...]) -> str:
        return self._store(np.array(values, np.int64))

    def _store(self, array: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name


def same_pads(size: tuple[int, int], kernel: int, stride: int) -> list[int]:
    """SAME padding as ONNX pads: top, left, bottom, right; the odd pixel goes to the end."""
    total = [max(0, (math.ceil(one / stride) - 1) * stride + kernel - one) for one in size]
    before = [one // 2 for one in total]
    return before + [one - first for one, first in zip(total, before, strict=True)]
