"""Speed of the towers on this CPU, against its GEMM peak and against other engines.

    python benchmarks/towers.py --torch-python PEERS/bin/python

Per variant (x1, x2; audio and video, one window of 32 frames): our detector in float32 and
bfloat16; the same network and weights on our jitted XLA path, in ONNX Runtime (our two graphs,
default session options) and in PyTorch (eager, frozen, compiled; see ``requirements-towers.txt``);
the un-jitted network window by window, as the published script runs it (without the heads and the
text tower it also computes, which flatters it); float32 GEMMs of 4096³ in every library loaded.

All contenders take turns, round after round, with the same number of threads, so that a disturbance
meets all of them. The figure of a contender is its best round (the least disturbed); medians and
figures per CPU second are printed beside it. Ratios above 1 mean we are faster. A peer stands for
the best of its ways. Peak memory is that of a fresh process that loads and scores.
"""

# ruff: noqa: D102
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

GFLOP = {"x1": 258.0, "x2": 1004.01}
"""Of one audio+video window; 2 per multiply-add, counted by XLA on the reference graph."""

GEMM_SIDE = 4096


@dataclass
class Timings:
    """Seconds of every round of one contender."""

    gflop: float
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, wall_s: float, cpu_s: float) -> None:
        self.wall_s.append(wall_s)
        self.cpu_s.append(cpu_s)

    @property
    def best(self) -> float:
        return self.gflop / min(self.wall_s)

    @property
    def per_cpu_s(self) -> float:
        return self.gflop / statistics.median(self.cpu_s)

    def report(self) -> dict[str, float]:
        return {
            "gflops_best": round(self.best, 1),
            "gflops_median": round(self.gflop / statistics.median(self.wall_s), 1),
            "gflop_per_cpu_s": round(self.per_cpu_s, 1),
            "rounds": len(self.wall_s),
        }


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


class TorchPeer:
    """PyTorch in its own interpreter; waits between commands."""

    def __init__(self, python: str, weights: Path, threads: int) -> None:
        script = Path(__file__).parent / "peers" / "torch_towers.py"
        self._process = subprocess.Popen(
            [python, str(script), str(weights), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )

    def ask(self, command: str) -> dict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def seconds(self, name: str) -> tuple[float, float]:
        answer = self.ask(f"run {name}")
        return answer["wall_s"], answer["cpu_s"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def gemms(threads: int) -> dict[str, Callable[[], object]]:
    """One float32 product of 4096 × 4096 matrices per library."""
    import jax
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    side = GEMM_SIDE
    rng = np.random.default_rng(0)
    a, b = (rng.random((side, side), np.float32) for _ in range(2))
    source = helper.make_tensor_value_info("a", TensorProto.FLOAT, (side, side))
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, (side, side))
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    graph = helper.make_graph([node], "gemm", [source], [target], [numpy_helper.from_array(b, "b")])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    dot = jax.jit(lambda x, y: x @ y)
    on_device = jax.device_put(a), jax.device_put(b)
    found: dict[str, Callable[[], object]] = {
        "gemm numpy": lambda: a @ b,
        "gemm xla": lambda: dot(*on_device).block_until_ready(),
        "gemm onnxruntime": lambda: session.run(None, {"a": a}),
    }
    try:
        from fakeout_core.model.openvino_engine import _compile, ov
    except ImportError:
        return found
    request = _compile(ov.Core(), model, threads, "float32")
    found["gemm openvino"] = lambda: request.infer([a], share_inputs=True)
    return found


def ort_forward(weights, threads: int, in_pieces: bool, frames, log_mel) -> Callable[[], object]:
    import onnxruntime as ort

    from fakeout_core.model.onnx_graph import audio_graph, video_graph

    sessions = []
    for model in (video_graph(weights, in_pieces=in_pieces), audio_graph(weights)):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        sessions.append(
            ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        )

    def forward() -> None:
        sessions[0].run(None, {"frames": frames[0]})
        sessions[1].run(None, {"log_mel": log_mel[0]})

    return forward


def published_loop(weights, frames, log_mel) -> Callable[[], object]:
    from fakeout_core.model.network import network

    apply = network(weights.variant, "av").apply

    def forward() -> None:
        outputs, _ = apply(weights.params, weights.state, None, frames, log_mel)
        outputs.logits.block_until_ready()

    return forward


def measure(variant: str, options: argparse.Namespace) -> dict:
    import jax
    import numpy as np

    from fakeout_core.detector import Detector
    from fakeout_core.model.config import ModelConfig
    from fakeout_core.model.folding import head_of
    from fakeout_core.model.golden_rule import golden_weights

    started = time.monotonic()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (1, 32, 224, 224, 3), np.uint8)
    log_mel = rng.uniform(-80, 0, (1, 183, 80, 1)).astype(np.float32)
    weights = golden_weights(variant, "av")  # type: ignore[arg-type]
    rows: dict[str, Timings] = {}
    work: dict[str, Callable[[], tuple[float, float]]] = {}
    logits: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}

    def enter(name: str, forward: Callable[[], object], gflop: float = GFLOP[variant]) -> None:
        if any(name.startswith(one) for one in options.skip):
            return
        forward()
        rows[name] = Timings(gflop)
        work[name] = lambda: timed(forward)

    for precision in ("float32", "bfloat16"):
        for engine in ("auto", "xla"):
            config = ModelConfig(engine=engine, precision=precision, threads=options.threads)
            try:
                detector = Detector(weights, config)
            except Exception as error:
                notes[f"{engine} {precision}"] = str(error)
                continue
            name = f"{'ours' if engine == 'auto' else 'xla'} {precision}"
            if any(name.startswith(one) for one in options.skip):
                continue
            notes[name] = detector.engine
            logits[name] = detector.score_windows(frames, log_mel)
            enter(name, lambda detector=detector: detector.score_windows(frames, log_mel))
    for in_pieces in (True, False):
        name = f"onnxruntime float32 {'pieces' if in_pieces else 'plain'}"
        enter(name, ort_forward(weights, options.threads, in_pieces, frames, log_mel))
    notes["onnxruntime bfloat16"] = "no bfloat16 convolution on CPU: no peer in this precision"
    gemm_gflop = 2 * GEMM_SIDE**3 / 1e9
    for name, product in gemms(options.threads).items():
        enter(name, product, gemm_gflop)

    peer = None
    with tempfile.TemporaryDirectory() as folder:
        if options.torch_python:
            matrix, bias = head_of(weights.params)
            arrays = {
                f"{kind}/{module}/{leaf}": array
                for kind, tree in (("params", weights.params), ("state", weights.state))
                for module, leaves in tree.items()
                for leaf, array in leaves.items()
            }
            path = Path(folder) / "weights.npz"
            np.savez(path, frames=frames[0], log_mel=log_mel[0], head_weight=matrix,
                     head_bias=bias, **arrays)  # fmt: skip
            peer = TorchPeer(options.torch_python, path, options.threads)
            for way in options.torch_ways:
                for precision in ("float32", "bfloat16"):
                    name = f"{way}/{precision}"
                    print(f"{variant}: preparing torch {name}", file=sys.stderr)
                    answer = peer.ask(f"prepare {name}")
                    if not answer["ok"]:
                        notes[f"torch {name}"] = answer["error"]
                        continue
                    logits[f"torch {name}"] = np.array(answer["logits"])
                    rows[f"torch {name}"] = Timings(GFLOP[variant])
                    work[f"torch {name}"] = lambda name=name, peer=peer: peer.seconds(name)
        try:
            for number in range(options.rounds):
                if number > 0 and time.monotonic() - started > options.budget_s:
                    notes["rounds"] = f"stopped after {number} by --budget-s"
                    break
                for name, run in work.items():
                    rows[name].add(*run())
                said = " ".join(f"{name} {row.best:.0f}," for name, row in rows.items())
                print(f"{variant}: {number + 1} of {options.rounds}: {said}", file=sys.stderr)
            if options.loop_rounds:
                loop = published_loop(weights, frames, log_mel)
                rows["published loop"] = Timings(GFLOP[variant])
                for _ in range(options.loop_rounds):
                    rows["published loop"].add(*timed(loop))
                    rows["ours float32"].add(*work["ours float32"]())
        finally:
            if peer is not None:
                peer.close()
    jax.clear_caches()

    wanted = logits["ours float32"]
    result = ratios(rows)
    result["peak_rss_gb"] = peak_memory(variant, options.threads)
    result["max_logit_difference_from_ours_float32"] = {
        name: float(f"{np.abs(found - wanted).max():.2g}") for name, found in logits.items()
    }
    result["notes"] = notes
    result["contenders"] = {name: row.report() for name, row in rows.items()}
    return result


def ratios(rows: dict[str, Timings]) -> dict:
    """The figures the project is held to, by wall time and, beside it, by CPU time."""

    def best_of(prefix: str, suffix: str = "") -> str | None:
        names = [one for one in rows if one.startswith(prefix) and suffix in one]
        return max(names, key=lambda one: rows[one].best) if names else None

    pairs = {
        "fraction_of_gemm_peak": ("ours float32", best_of("gemm")),
        "vs_torch_float32": ("ours float32", best_of("torch", "float32")),
        "vs_torch_bfloat16": ("ours bfloat16", best_of("torch", "bfloat16")),
        "vs_onnxruntime_float32": ("ours float32", best_of("onnxruntime")),
        "vs_xla_float32": ("ours float32", "xla float32"),
        "vs_xla_bfloat16": ("ours bfloat16", "xla bfloat16"),
        "vs_published_loop": ("ours float32", best_of("published")),
    }
    result: dict = {}
    for key, (ours, other) in pairs.items():
        if ours not in rows or other is None or other not in rows:
            result[key] = None
            continue
        result[key] = round(rows[ours].best / rows[other].best, 3)
        result[f"{key}_by_cpu_time"] = round(rows[ours].per_cpu_s / rows[other].per_cpu_s, 3)
        result[f"{key}_peer"] = other
    return result


def peak_memory(variant: str, threads: int) -> dict[str, float]:
    """Peak resident memory in GB of a process that loads a detector and scores two windows."""
    code = (  # VmHWM, since ru_maxrss begins at the peak of the process that started it
        "import sys, numpy as np\n"
        "from fakeout_core.detector import Detector\n"
        "from fakeout_core.model.config import ModelConfig\n"
        f"config = ModelConfig(precision=sys.argv[1], threads={threads})\n"
        f"detector = Detector.load(None, variant={variant!r}, config=config)\n"
        "frames = np.arange(2, dtype=np.uint8).repeat(32 * 224 * 224 * 3)\n"
        "detector.score_windows(frames.reshape(2, 32, 224, 224, 3))\n"
        "status = open('/proc/self/status').read()\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) / 1e6)\n"
    )
    found = {}
    for precision in ("float32", "bfloat16"):
        done = subprocess.run(
            [sys.executable, "-c", code, precision], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            found[precision] = round(float(done.stdout.split()[-1]), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", action="append", choices=["x1", "x2"], dest="variants")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument(
        "--budget-s", type=float, default=600, help="per variant: begin no round after this"
    )
    parser.add_argument("--loop-rounds", type=int, default=2, help="of the un-jitted loop")
    parser.add_argument(
        "--torch-python",
        default=os.environ.get("FAKEOUT_TORCH_PYTHON", ""),
        help="interpreter that has torch; without it there is no PyTorch peer",
    )
    parser.add_argument(
        "--torch-ways", nargs="+", default=["eager", "frozen", "compiled"], metavar="WAY"
    )
    parser.add_argument(
        "--skip", nargs="+", default=[], help="contenders to leave out, by the start of the name"
    )
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    report = {
        "benchmark": "towers",
        "machine": f"{platform.machine()}, {options.threads} threads",
        "load_before": os.getloadavg()[0],
        "variants": {one: measure(one, options) for one in options.variants or ["x1", "x2"]},
        "load_after": os.getloadavg()[0],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
