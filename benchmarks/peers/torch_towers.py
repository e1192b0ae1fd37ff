"""The towers in PyTorch, as a peer for ``towers.py``: same weights, same inputs, its best settings.

Runs under an interpreter that has torch; knows nothing of this project. Reads commands from
standard input, one a line, and answers each with one line of JSON::

    torch_towers.py WEIGHTS.npz WIDTH THREADS
    > prepare compiled/float32      load, warm up, check      < {"ok": true, "logits": [[...]]}
    > run compiled/float32          one window                < {"wall_s": 1.2, "cpu_s": 2.4}

Ways: ``eager`` (channels last, batch norms folded into convolutions), ``frozen`` (TorchScript,
frozen and optimised for inference), ``compiled`` (torch.compile with freezing).
"""

# ruff: noqa: D101, D102, N812
from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

BLOCKS = (3, 4, 6, 3)
VIDEO = "text_audio_video/visual_module/~/TSMResNetV2"
AUDIO = "text_audio_video/audio_module/~/res_net_v2"
BN = "__cross_replica_batch_norm"


def same(size: tuple[int, int], kernel: int, stride: int) -> tuple[int, int, int, int]:
    pads = []
    for one in (size[1], size[0]):
        total = max(0, (-(-one // stride) - 1) * stride + kernel - one)
        pads += [total // 2, total - total // 2]
    return tuple(pads)


class Conv(torch.nn.Module):
    def __init__(self, kernel: np.ndarray, bias: np.ndarray | None, stride: int) -> None:
        super().__init__()
        size = kernel.shape[0]
        self.conv = torch.nn.Conv2d(
            kernel.shape[2], kernel.shape[3], size, stride, bias=bias is not None
        )
        self.conv.weight.data = torch.from_numpy(
            np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
        )
        if bias is not None:
            self.conv.bias.data = torch.from_numpy(bias.astype(np.float32))
        self.size, self.stride = size, stride
        if size == 3 and stride == 1:
            self.conv.padding = (1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.size > 1 and self.stride > 1:
            x = F.pad(x, same((x.shape[2], x.shape[3]), self.size, self.stride))
        return self.conv(x)


class Affine(torch.nn.Module):
    def __init__(self, scale: np.ndarray, offset: np.ndarray) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(
            torch.from_numpy(scale.astype(np.float32)).view(1, -1, 1, 1)
        )
        self.offset = torch.nn.Parameter(
            torch.from_numpy(offset.astype(np.float32)).view(1, -1, 1, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x * self.scale + self.offset)


class Weights:
    def __init__(self, path: str) -> None:
        self.arrays = np.load(path)

    def kernel(self, module: str) -> np.ndarray:
        return self.arrays[f"params/{module}/w"].astype(np.float64)

    def has(self, module: str) -> bool:
        return f"params/{module}/w" in self.arrays

    def affine(self, module: str) -> tuple[np.ndarray, np.ndarray]:
        read = {
            "scale": f"params/{module}/scale",
            "offset": f"params/{module}/offset",
            "mean": f"state/{module}/~/mean_ema/average",
            "var": f"state/{module}/~/var_ema/average",
        }
        got = {key: self.arrays[name].astype(np.float64).ravel() for key, name in read.items()}
        scale = got["scale"] / np.sqrt(got["var"] + 1e-5)
        return scale, got["offset"] - got["mean"] * scale


class Block(torch.nn.Module):
    def __init__(self, w: Weights, norms: str, convs: str, stride: int, shift: bool) -> None:
        super().__init__()
        self.pre = Affine(*w.affine(f"{norms}/{BN}"))
        self.shift = shift
        self.shortcut = None
        if w.has(f"{convs}/shortcut_conv"):
            self.shortcut = Conv(w.kernel(f"{convs}/shortcut_conv"), None, stride)
        scale, offset = w.affine(f"{norms}/{BN}_1")
        self.conv_0 = Conv(w.kernel(f"{convs}/conv_0") * scale, offset, 1)
        scale, offset = w.affine(f"{norms}/{BN}_2")
        self.conv_1 = Conv(w.kernel(f"{convs}/conv_1") * scale, offset, stride)
        self.conv_2 = Conv(w.kernel(f"{convs}/conv_2"), None, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.pre(x)
        shortcut = x if self.shortcut is None else self.shortcut(p)
        if self.shift:
            n = p.shape[1] // 8
            later = F.pad(p[1:, -n:], (0, 0, 0, 0, 0, 0, 0, 1))
            earlier = F.pad(p[:-1, :n], (0, 0, 0, 0, 0, 0, 1, 0))
            p = torch.cat([later, p[:, n:-n], earlier], 1)
        out = F.relu(self.conv_0(p))
        out = F.relu(self.conv_1(out))
        return shortcut + self.conv_2(out)


class Tower(torch.nn.Module):
    def __init__(self, w: Weights, stem: str, scale: float, blocks: list, last: str) -> None:
        super().__init__()
        self.stem = Conv(w.kernel(stem) * scale, None, 2)
        self.blocks = torch.nn.ModuleList(Block(w, *one) for one in blocks)
        self.last = Affine(*w.affine(last))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)
        for block in self.blocks:
            x = block(x)
        return self.last(x).mean((2, 3))


class Towers(torch.nn.Module):
    def __init__(self, w: Weights) -> None:
        super().__init__()
        video = [
            (f"{VIDEO}/tsm_resnet_unit_{unit}/block_{i}",) * 2 + (2 if unit and not i else 1, True)
            for unit, count in enumerate(BLOCKS)
            for i in range(count)
        ]
        audio = [
            (
                f"{AUDIO}/~/block_group_{group}/block_{i}",
                f"{AUDIO}/~/block_group_{group}/block_{i}/~",
                2 if group and not i else 1,
                False,
            )
            for group, count in enumerate(BLOCKS)
            for i in range(count)
        ]
        self.video = Tower(w, f"{VIDEO}/tsm_resnet_stem", 1 / 255, video, f"{VIDEO}/{BN}")
        self.audio = Tower(w, f"{AUDIO}/~/initial_conv", 1.0, audio, f"{AUDIO}/{BN}")
        matrix = w.arrays["head_weight"].astype(np.float32)
        self.head = torch.nn.Linear(matrix.shape[0], 2)
        self.head.weight.data = torch.from_numpy(np.ascontiguousarray(matrix.T))
        self.head.bias.data = torch.from_numpy(w.arrays["head_bias"].astype(np.float32))

    def forward(self, frames: torch.Tensor, log_mel: torch.Tensor) -> torch.Tensor:
        dtype = self.head.weight.dtype
        seen = self.video(frames.permute(0, 3, 1, 2).to(dtype)).mean(0, keepdim=True)
        heard = self.audio(log_mel.permute(2, 0, 1)[None].to(dtype))
        return self.head(torch.cat([seen, heard], 1))


def prepare(way: str, precision: str, w: Weights, example: tuple) -> torch.nn.Module:
    model = Towers(w).eval().to(memory_format=torch.channels_last)
    model = model.to(getattr(torch, precision))
    if way == "frozen":
        traced = torch.jit.trace(model, example, check_trace=False)
        model = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    elif way == "compiled":
        import torch._inductor.config as inductor

        inductor.freezing = True
        model = torch.compile(model, dynamic=False)
    return model


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    w = Weights(path)
    example = (torch.from_numpy(w.arrays["frames"]), torch.from_numpy(w.arrays["log_mel"]))
    models: dict[str, torch.nn.Module] = {}
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        try:
            if command == "prepare":
                way, precision = name.split("/")
                models[name] = prepare(way, precision, w, example)
                for _ in range(2):
                    logits = models[name](*example)
                answer = {"ok": True, "logits": logits.float().tolist()}
            elif command == "drop":
                del models[name]
                answer = {"ok": True}
            else:
                wall, cpu = time.perf_counter(), time.process_time()
                models[name](*example)
                answer = {
                    "wall_s": time.perf_counter() - wall,
                    "cpu_s": time.process_time() - cpu,
                }
        except Exception as error:  # a peer that fails is a line of the report, not an end
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


main()
