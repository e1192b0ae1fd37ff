"""The nets that ship with the package, loaded once per process."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter


def _file(name: str) -> bytes:
    return resources.files("fakeout_core.faces").joinpath("models", name).read_bytes()


@functools.cache
def onnx_net(name: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX net of the package on CPU.

    Args:
        name: file name in ``models``.
        threads: 1 in workers: parallelism comes from several videos.

    Returns:
        Session, cached per process; idle threads do not spin.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(_file(name), options, providers=["CPUExecutionProvider"])


def run(
    net: onnxruntime.InferenceSession, outputs: list[str], picture: np.ndarray
) -> list[np.ndarray]:
    """Named outputs of a net for its input ``picture``."""
    return [np.asarray(value) for value in net.run(outputs, {"picture": picture})]


class LiteNet:
    """A LiteRT net with one input.

    Not safe for several threads at once: the buffers belong to the net.
    """

    def __init__(self, name: str) -> None:
        self._net: Any = Interpreter(model_content=_file(name), num_threads=1)
        self._net.allocate_tensors()
        self._input: int = self._net.get_input_details()[0]["index"]
        self._outputs: list[int] = [item["index"] for item in self._net.get_output_details()]

    def __call__(self, picture: Any) -> list[Any]:
        """Run on float32 [1, h, w, c]; copies of all outputs, in the file's order."""
        self._net.set_tensor(self._input, picture)
        self._net.invoke()
        return [self._net.get_tensor(index) for index in self._outputs]


@functools.cache
def lite_net(name: str) -> LiteNet:
    """A LiteRT net of the package, cached per process."""
    return LiteNet(name)
