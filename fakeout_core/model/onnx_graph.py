"""The towers as ONNX graphs for one window, with everything folded that can be.

Batch norms that follow a convolution become its weights and bias, and the division by 255 becomes
the stem's weights. The norm at the head of a block stays, because the block's shortcut takes the
value before it.

The temporal shift would copy every activation twice: once to cut off the channels that move, once
to put the rest together again. Instead an activation is kept in two *pieces*, the channels that
move and those that stay. A convolution writes pieces as well as a whole (its kernel is cut by
output) and reads them (cut by input, the sums added), so only the moving quarter is ever copied.
Measured on OpenVINO: decision 0012.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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

Size = tuple[int, int]


@dataclass(frozen=True)
class _Piece:
    """A tensor [frames, n, H, W] and which channels of the whole it holds."""

    name: str
    channels: np.ndarray


def video_graph(weights: Weights, *, in_pieces: bool = True) -> onnx.ModelProto:
    """Build the video tower for one window.

    Args:
        weights: parameters and state.
        in_pieces: keep moving and staying channels apart; False copies them at every shift.

    Returns:
        A model from ``frames`` uint8 [32, 224, 224, 3] to ``video`` float32 [1, C].
    """
    return _Graph(weights, in_pieces).video()


def audio_graph(weights: Weights) -> onnx.ModelProto:
    """Build the audio tower: ``log_mel`` float32 [183, 80, 1] to ``audio`` float32 [1, 2048]."""
    return _Graph(weights, False).audio()


class _Graph:
    def __init__(self, weights: Weights, in_pieces: bool) -> None:
        self._weights, self._in_pieces = weights, in_pieces
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def video(self) -> onnx.ModelProto:
        frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, WINDOW_SHAPE)
        size = WINDOW_SHAPE[1]
        x = self._op("Transpose", "frames", perm=[0, 3, 1, 2])
        x = self._op("Cast", x, to=TensorProto.FLOAT)
        stem = self._kernel(f"{_VIDEO}/tsm_resnet_stem") / 255.0
        x = self._pool(self._conv(x, stem, None, 2, (size, size)), (size // 2, size // 2))
        size //= 4
        pieces = [_Piece(x, np.arange(stem.shape[-1]))]
        for unit, blocks in enumerate(BLOCKS):
            for index in range(blocks):
                name = f"{_VIDEO}/tsm_resnet_unit_{unit}/block_{index}"
                stride = 2 if unit > 0 and index == 0 else 1
                pieces = self._block(pieces, name, name, stride, (size, size), True)
                size //= stride
        pieces = [
            _Piece(self._op("GlobalAveragePool", one.name), one.channels)
            for one in self._pre_activation(pieces, f"{_VIDEO}/{_BN}")
        ]
        features = self._whole(pieces)
        per_frame = self._op("Flatten", features)
        result = self._op("ReduceMean", per_frame, axes=[0], keepdims=1)
        return self._model(frames, result, "video")

    def audio(self) -> onnx.ModelProto:
        log_mel = helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, LOG_MEL_SHAPE)
        size = (LOG_MEL_SHAPE[0], LOG_MEL_SHAPE[1])
        x = self._op("Reshape", "log_mel", self._integers(1, 1, *size))
        x = self._conv(x, self._kernel(f"{_AUDIO}/~/initial_conv"), None, 2, size)
        size = _halved(size, 2)
        x = self._pool(x, size)
        size = _halved(size, 2)
        pieces = [_Piece(x, np.arange(64))]
        for group, blocks in enumerate(BLOCKS):
            for index in range(blocks):
                name = f"{_AUDIO}/~/block_group_{group}/block_{index}"
                stride = 2 if group > 0 and index == 0 else 1
                pieces = self._block(pieces, name, f"{name}/~", stride, size, False)
                size = _halved(size, stride)
        (last,) = self._pre_activation(pieces, f"{_AUDIO}/{_BN}")
        result = self._op("Flatten", self._op("GlobalAveragePool", last.name))
        return self._model(log_mel, result, "audio")

    def _model(self, source: onnx.ValueInfoProto, result: str, name: str) -> onnx.ModelProto:
        self._nodes.append(helper.make_node("Identity", [result], [name]))
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, None))
        graph = helper.make_graph(self._nodes, name, [source], [output], self._constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def _block(
        self, x: list[_Piece], norms: str, convs: str, stride: int, size: Size, is_shifted: bool
    ) -> list[_Piece]:
        """One pre-activation bottleneck, from pieces to pieces."""
        after = self._pre_activation(x, f"{norms}/{_BN}")
        last = self._kernel(f"{convs}/conv_2")
        outputs = self._cut(last.shape[-1]) if is_shifted else [np.arange(last.shape[-1])]
        shortcuts = [one.name for one in x]
        if f"{convs}/shortcut_conv" in self._weights.params:
            kernel = self._kernel(f"{convs}/shortcut_conv")
            shortcuts = [
                self._conv_pieces(after, kernel[..., chosen], None, stride, size)
                for chosen in outputs
            ]
        shifted = self._shift(after, size) if is_shifted else after
        scale, offset = affine_of_norm(self._weights, f"{norms}/{_BN}_1")
        kernel = self._kernel(f"{convs}/conv_0") * scale
        out = self._op("Relu", self._conv_pieces(shifted, kernel, offset, 1, size))
        scale, offset = affine_of_norm(self._weights, f"{norms}/{_BN}_2")
        kernel = self._kernel(f"{convs}/conv_1") * scale
        out = self._op("Relu", self._conv(out, kernel, offset, stride, size))
        small = _halved(size, stride)
        return [
            _Piece(
                self._op("Add", self._conv(out, last[..., chosen], None, 1, small), shortcut),
                chosen,
            )
            for chosen, shortcut in zip(outputs, shortcuts, strict=True)
        ]

    def _cut(self, channels: int) -> list[np.ndarray]:
        """Channels that stay, and channels that move, of an activation about to be shifted."""
        every = np.arange(channels)
        if not self._in_pieces:
            return [every]
        n = int(channels * SHIFT_SHARE)
        return [every[n:-n], np.concatenate([every[:n], every[-n:]])]

    def _shift(self, pieces: list[_Piece], size: Size) -> list[_Piece]:
        """Move channels between frames; channel numbers are those a kernel's input has after it."""
        channels = sum(len(one.channels) for one in pieces)
        n = int(channels * SHIFT_SHARE)
        n_frames = WINDOW_SHAPE[0]
        moving = pieces[-1]
        width = len(moving.channels)
        none = self._constant(np.zeros((1, n, *size)))
        later = self._slice(moving.name, (1, width - n), (n_frames, width))
        later = self._op("Concat", later, none, axis=0)
        earlier = self._slice(moving.name, (0, 0), (n_frames - 1, n))
        earlier = self._op("Concat", none, earlier, axis=0)
        every = np.arange(channels)
        if len(pieces) == 1:
            staying = self._slice(moving.name, (0, n), (n_frames, width - n))
            whole = self._op("Concat", later, staying, earlier, axis=1)
            return [_Piece(whole, every)]
        moved = self._op("Concat", later, earlier, axis=1)
        return [pieces[0], _Piece(moved, np.concatenate([every[:n], every[-n:]]))]

    def _pre_activation(self, pieces: list[_Piece], norm: str) -> list[_Piece]:
        scale, offset = affine_of_norm(self._weights, norm)
        results = []
        for one in pieces:
            factor = self._constant(scale[one.channels].reshape(1, -1, 1, 1))
            summand = self._constant(offset[one.channels].reshape(1, -1, 1, 1))
            out = self._op("Add", self._op("Mul", one.name, factor), summand)
            results.append(_Piece(self._op("Relu", out), one.channels))
        return results

    def _conv_pieces(
        self,
        pieces: list[_Piece],
        kernel: np.ndarray,
        bias: np.ndarray | None,
        stride: int,
        size: Size,
    ) -> str:
        """Convolve pieces with a kernel for the whole: cut it by input channels and add up."""
        total = ""
        for one in pieces:
            out = self._conv(one.name, kernel[:, :, one.channels], bias, stride, size)
            # In this order OpenVINO adds inside the second convolution.
            total = self._op("Add", out, total) if total else out
            bias = None
        return total

    def _conv(
        self, x: str, kernel: np.ndarray, bias: np.ndarray | None, stride: int, size: Size
    ) -> str:
        inputs = [x, self._constant(kernel.transpose(3, 2, 0, 1))]
        if bias is not None:
            inputs.append(self._constant(bias))
        pads = same_pads(size, kernel.shape[0], stride)
        return self._op("Conv", *inputs, strides=[stride, stride], pads=pads)

    def _kernel(self, module: str) -> np.ndarray:
        return self._weights.params[module]["w"].astype(np.float64)

    def _pool(self, x: str, size: Size) -> str:
        pads = same_pads(size, 3, 2)
        return self._op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=pads)

    def _whole(self, pieces: list[_Piece]) -> str:
        """Put pieces together along channels, in the channels' order."""
        if len(pieces) == 1:
            return pieces[0].name
        together = self._op("Concat", *(one.name for one in pieces), axis=1)
        order = np.argsort(np.concatenate([one.channels for one in pieces]))
        return self._op("Gather", together, self._integers(*order.tolist()), axis=1)

    def _slice(self, x: str, starts: Size, ends: Size) -> str:
        """Cut frames and channels."""
        bounds = (self._integers(*starts), self._integers(*ends), self._integers(0, 1))
        return self._op("Slice", x, *bounds)

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        output = f"{kind.lower()}_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, values: np.ndarray) -> str:
        return self._store(np.ascontiguousarray(values, np.float32))

    def _integers(self, *values: int) -> str:
        return self._store(np.array(values, np.int64))

    def _store(self, array: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name


def same_pads(size: Size, kernel: int, stride: int) -> list[int]:
    """SAME padding as ONNX pads: top, left, bottom, right; the odd pixel goes to the end."""
    total = [max(0, (math.ceil(one / stride) - 1) * stride + kernel - one) for one in size]
    before = [one // 2 for one in total]
    return before + [one - first for one, first in zip(total, before, strict=True)]


def _halved(size: Size, stride: int) -> Size:
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)
