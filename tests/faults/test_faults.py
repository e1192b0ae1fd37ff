"""Faults on real raylets: after each, the tables equal those of a run without it, row for row.

The two pieces of work are stand-ins (``tests.fakes``), because these tests are about what is
around them; decoder children, actors, raylets, the lake and the lock are the real ones.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fakeout_core.errors import LockedError
from pipelines.config import RunConfig
from pipelines.lake import Lake
from pipelines.run import Parts, RunReport, RunRequest, run
from pipelines.settings import load_settings
from tests.fakes.videos import write_corpus
from tests.integration.tables import outcomes, rows_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

FAKES = Parts("tests.fakes.videos:crop_bytes", "tests.fakes.work:SlowDetector")
SETTINGS = (
    "crop.n_windows=2",
    "crop_stage.rows_per_shard=2",
    "crop_stage.retry_wait_s=0.01",
    "crop_stage.wall_s=12",
    "crop_stage.placement.workers=2",
    "score_stage.rows_per_shard=2",
    "score_stage.placement.workers=2",
)
SLOW = b"slow 0.3"
TABLES = ("clips", "windows", "scores", "quarantine")


def request(videos: Path, lake: Path, **more: object) -> RunRequest:
    config = load_settings(RunConfig, None, list(SETTINGS))
    return RunRequest(
        str(lake),
        "films",
        "all",
        source_uri=str(videos),
        config=config,
        parts=FAKES,
        **more,  # type: ignore[arg-type]
    )


def same_tables(one: Path, other: Path, without: frozenset[str] = frozenset()) -> None:
    for table in TABLES:
        assert rows_of(str(one), table, without=without) == rows_of(
            str(other), table, without=without
        ), table


@contextlib.contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[list[object]]:
    """Run ``act`` in a thread beside the block; its result, or error, is in the list."""
    results: list[object] = []

    def body() -> None:
        try:
            results.append(act())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    yield results
    thread.join(timeout=120)


def find_worker(name: str) -> psutil.Process | None:
    """An actor process of that name in this test's own cluster, if one is up."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                return process
    return None


def kill_a_worker(name: str, within_s: float = 60.0) -> int:
    """SIGKILL the first actor process of that name, as the kernel does when memory runs out."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        process = find_worker(name)
        if process is not None:
            time.sleep(0.5)  # into its work
            process.kill()
            return process.pid
        time.sleep(0.05)
    raise AssertionError(f"no {name} to kill")


@pytest.fixture(scope="module")
def plain(raylets: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus, and the lake of a run over it without any fault."""
    folder = tmp_path_factory.mktemp("plain")
    write_corpus(folder / "videos", 10, {index: SLOW for index in range(10)} | {4: b"noface"})
    run(request(folder / "videos", folder / "lake"))
    return folder / "videos", folder / "lake"


def test_decoder_crash_and_hang_cost_their_video_only(raylets: object, tmp_path: Path) -> None:
    write_corpus(tmp_path / "videos", 6, {1: b"segfault", 3: b"hang"})
    report = run(request(tmp_path / "videos", tmp_path / "lake"))
    assert report.reasons["crop"] == {"ok": 4, "crashed": 1, "timeout": 1}
    found = outcomes(str(tmp_path / "lake"))
    assert (found["video_001.mp4"], found["video_003.mp4"]) == ("crashed", "timeout")
    assert sorted(found.values()) == ["crashed", *["scored"] * 4, "timeout"]


@pytest.mark.parametrize("worker", ["CropWorker", "ScoreWorker"])
def test_killed_worker(plain: tuple[Path, Path], tmp_path: Path, worker: str) -> None:
    videos, lake = plain
    with meanwhile(lambda: kill_a_worker(worker)) as killed:
        run(request(videos, tmp_path / "lake"))
    assert isinstance(killed[0], int), killed
    same_tables(tmp_path / "lake", lake)


def test_video_that_kills_its_worker_is_given_up(raylets: object, tmp_path: Path) -> None:
    write_corpus(tmp_path / "videos", 4, {2: b"killowner"})
    run(request(tmp_path / "videos", tmp_path / "lake"))
    found = outcomes(str(tmp_path / "lake"))
    assert found["video_002.mp4"] == "crashed"
    assert sorted(found.values()) == ["crashed", "scored", "scored", "scored"]


@pytest.mark.parametrize("worker", ["CropWorker", "ScoreWorker"])
def test_killed_raylet(
    raylets: object, plain: tuple[Path, Path], tmp_path: Path, worker: str
) -> None:
    videos, lake = plain
    node = raylets.add_node(num_cpus=4, resources={"doomed": 1})  # type: ignore[attr-defined]

    def kill_raylet() -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if find_worker(worker) is not None:
                time.sleep(0.7)
                raylets.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]
                return 1
            time.sleep(0.05)
        raise AssertionError("the stage never started")

    with meanwhile(kill_raylet) as killed:
        run(request(videos, tmp_path / "lake"))
    assert killed == [1]
    same_tables(tmp_path / "lake", lake)


DRIVER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.faults.test_faults import request
from pipelines.run import run
run(request(Path({videos!r}), Path({lake!r}), address={address!r}))
"""


def driver(raylets: object, videos: Path, lake: Path) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    code = DRIVER.format(
        root=root,
        videos=str(videos),
        lake=str(lake),
        address=raylets.address,  # type: ignore[attr-defined]
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=root)


def test_driver_killed_twenty_times(raylets: object, tmp_path: Path) -> None:
    """Twenty drivers in a row die of SIGKILL, each at its own point, while videos keep arriving.

    Every driver repeats the command of the one before. The last one is left alone; then there is
    one row per video, the same as a run without faults gives.
    """
    videos, lake = tmp_path / "videos", tmp_path / "lake"
    for seed in range(20):
        write_corpus(videos, 4 + seed // 2, {1: b"noface", 3: b"slow 0.2"})
        process = driver(raylets, videos, lake)
        # Imports take the first seconds; the rest of the range covers listing to metrics.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=random.Random(seed).uniform(2.0, 12.0))
        process.kill()
        process.wait()
    assert driver(raylets, videos, lake).wait(timeout=180) == 0
    run(request(videos, tmp_path / "undisturbed"))
    same_tables(lake, tmp_path / "undisturbed")
    outcomes(str(lake))  # no video twice
    assert not list((lake / "_staging").rglob("*.parquet"))


def test_two_runs_at_once(plain: tuple[Path, Path], tmp_path: Path) -> None:
    videos, lake = plain
    mine = request(videos, tmp_path / "lake")
    held = threading.Event()

    def other() -> RunReport:
        assert held.wait(timeout=60)
        return run(mine)

    with meanwhile(other) as second:
        run(mine, locked=lambda _: held.set())
    assert isinstance(second[0], LockedError), second
    assert "locked by run" in str(second[0])
    same_tables(tmp_path / "lake", lake)


def test_video_replaced_between_catalog_and_crop(raylets: object, tmp_path: Path) -> None:
    videos, lake = tmp_path / "videos", tmp_path / "lake"
    paths = write_corpus(videos, 4)
    run(request(videos, lake, stages=("catalog",)))
    paths[1].write_bytes(b"plain\nreplaced after it was listed")
    run(request(videos, lake, stages=("crop", "score")))
    report = run(request(videos, lake))
    assert report.cropped == 0  # the row says which bytes it is of, so nothing is owed again
    run(request(videos, tmp_path / "undisturbed"))
    same_tables(lake, tmp_path / "undisturbed")
    assert len(Lake(str(lake)).read("scores").to_pylist()) == 4
