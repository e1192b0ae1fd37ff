"""The whole run on real Ray: what comes out, what a repetition does, and bad input."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fakeout_core.errors import ConfigError
from jobs.results import show_results
from jobs.terminal import console
from pipelines.config import RunConfig
from pipelines.lake import Lake
from pipelines.run import Parts, RunRequest, run
from pipelines.settings import load_settings
from tests.fakes.videos import write_corpus
from tests.integration.tables import outcomes, rows_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FAKES = Parts("tests.fakes.videos:crop_bytes", "tests.fakes.work:CountingDetector")
REAL_CROP = Parts(detector="tests.fakes.work:CountingDetector")
TABLES = ("catalog", "clips", "windows", "scores", "metrics", "quarantine")


class Notes:
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self.lines.append(f"{name}: {total}")

    def advance(self, name: str, done: int, note: str) -> None:
        pass

    def note(self, text: str) -> None:
        self.lines.append(text)


def request(videos: Path | str, lake: Path | str, parts: Parts = FAKES, **more: str) -> RunRequest:
    sets = ["crop.n_windows=2", "crop_stage.rows_per_shard=3", "crop_stage.retry_wait_s=0.01"]
    config = load_settings(RunConfig, None, sets)
    return RunRequest(
        str(lake), "films", "all", source_uri=str(videos), config=config, parts=parts, **more
    )


def test_second_run_does_nothing_and_says_so(ray_cluster: None, tmp_path: Path) -> None:
    videos, lake = tmp_path / "videos", str(tmp_path / "lake")
    write_corpus(videos, 7, {2: b"segfault", 5: b"noface"})
    first = run(request(videos, lake))
    assert (first.cropped, first.scored) == (7, 7)
    assert first.reasons["crop"] == {"ok": 5, "crashed": 1, "no_face": 1}
    before = {table: Lake(lake).read(table).to_pylist() for table in TABLES}
    files = sorted(path for path in (tmp_path / "lake").rglob("*.parquet"))

    notes = Notes()
    second = run(request(videos, lake), notes)
    assert (second.cropped, second.scored, second.metrics_rows) == (0, 0, 0)
    assert any("no video was decoded" in line for line in notes.lines)
    assert any("no window was scored" in line for line in notes.lines)
    # Not only equal rows: the very same files, times and run ids included.
    assert {table: Lake(lake).read(table).to_pylist() for table in TABLES} == before
    assert sorted(path for path in (tmp_path / "lake").rglob("*.parquet")) == files


def test_new_changed_and_deleted_videos(ray_cluster: None, tmp_path: Path) -> None:
    videos, lake = tmp_path / "videos", str(tmp_path / "lake")
    paths = write_corpus(videos, 5)
    run(request(videos, lake))
    paths[0].unlink()
    paths[1].write_bytes(b"plain\nother bytes")
    (videos / "new.mp4").write_bytes(b"plain\nnew bytes")
    again = run(request(videos, lake))
    assert (again.cropped, again.scored) == (2, 2)
    catalogued = {row["video_id"] for row in Lake(lake).read("catalog").to_pylist()}
    assert catalogued == {"video_001.mp4", "video_002.mp4", "video_003.mp4", "video_004.mp4"} | {
        "new.mp4"
    }
    scores = Lake(lake).read("scores").to_pylist()
    assert len([row for row in scores if row["video_id"] == "video_001.mp4"]) == 2


def test_a_new_model_scores_without_decoding(ray_cluster: None, tmp_path: Path) -> None:
    videos, lake = tmp_path / "videos", str(tmp_path / "lake")
    write_corpus(videos, 3)
    run(request(videos, lake))
    wanted = request(videos, lake)
    other = load_settings(
        RunConfig,
        None,
        ["crop.n_windows=2", "model.window_rule=max", "crop_stage.rows_per_shard=3"],
    )
    report = run(RunRequest(**{**wanted.__dict__, "config": other}))
    assert (report.cropped, report.scored) == (0, 3)
    assert len(Lake(lake).read("scores").to_pylist()) == 6


def test_fused_gives_the_same_scores_and_keeps_no_clips(ray_cluster: None, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    write_corpus(videos, 4, {1: b"noface"})
    run(request(videos, tmp_path / "apart"))
    wanted = request(videos, tmp_path / "fused")
    sets = ["crop.n_windows=2", "fused=true", "crop_stage.placement.cpus=0.5"]
    config = load_settings(RunConfig, None, [*sets, "score_stage.placement.cpus=0.4"])
    report = run(RunRequest(**{**wanted.__dict__, "config": config}))
    assert report.scored == 4
    for table in ("scores", "windows"):
        assert rows_of(str(tmp_path / "fused"), table) == rows_of(str(tmp_path / "apart"), table)
    assert not Lake(str(tmp_path / "fused")).files("clips")
    assert run(RunRequest(**{**wanted.__dict__, "config": config})).scored == 0


def test_bad_input_folder(
    ray_cluster: None, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each bad video has its row with a reason; every other one is scored."""
    from tests.fakes.samples import pictures, write_video

    videos = tmp_path / "videos"
    speech = data / "media" / "obama_speech.mp4"
    good = ["a/same.mp4", "b/same.mp4", "with space.mp4", 'quo\'te "double".mp4', "new\nline.mp4"]
    good += ["emoji 🎬.mp4", "per%cent=a&b.mp4", "mark[/b]up.mp4", "clear\x1b[2J.mp4"]
    for name in good:
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(speech, videos / name)
    (videos / "text.mp4").write_text("this is not a video\n")
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    write_video(videos / "no face.mp4", pictures(40, 320, 240))
    write_video(videos / "three frames.mp4", pictures(3, 320, 240))
    (videos / "cut.mp4").write_bytes(speech.read_bytes()[:20_000])
    (videos / "notes.txt").write_text("left out")

    lake = str(tmp_path / "lake")
    wanted = request(videos, lake, REAL_CROP)
    report = run(wanted)
    found = outcomes(lake)
    assert {name: found.get(name) for name in good} == dict.fromkeys(good, "scored")
    bad = {name: reason for name, reason in found.items() if name not in good}
    assert bad == {
        "text.mp4": "unreadable",
        "empty.mp4": "empty",
        "playlist.mp4": "forbidden",
        "no face.mp4": "no_face",
        "three frames.mp4": "too_short",
        "cut.mp4": "unreadable",
    }
    by_name = {row["video_id"]: row for row in Lake(lake).read("scores").to_pylist()}
    assert by_name["text.mp4"]["message"]
    assert by_name["a/same.mp4"]["audio_status"] == "used"
    quarantined = {row["video_id"] for row in Lake(lake).read("quarantine").to_pylist()}
    assert quarantined == set(bad)
    assert report.exceeded  # 4 of 15 count; the two that describe the video do not
    show_results(console(), wanted, report)
    said = capsys.readouterr().out
    assert "mark[/b]up.mp4" in said
    assert "new\\nline.mp4" in said
    assert "\x1b" not in said


def test_video_without_sound_is_scored(ray_cluster: None, tmp_path: Path, data: Path) -> None:
    import av

    silent = tmp_path / "videos" / "silent.mp4"
    silent.parent.mkdir()
    with (
        av.open(str(data / "media" / "obama_speech.mp4")) as source,
        av.open(str(silent), "w") as target,
    ):
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    lake = str(tmp_path / "lake")
    run(request(silent.parent, lake, REAL_CROP))
    (row,) = Lake(lake).read("scores").to_pylist()
    assert (row["status"], row["audio_status"]) == ("scored", "absent")


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_nothing_to_do_is_a_usage_error(tmp_path: Path, what: str) -> None:
    videos = tmp_path / "videos"
    if what == "empty":
        videos.mkdir()
    with pytest.raises(ConfigError, match="videos"):
        run(request(videos, tmp_path / "lake"))


def test_whole_job_on_object_storage(
    ray_cluster: None, gcs_bucket: str, data: Path, tmp_path: Path
) -> None:
    """From listing to metrics against the GCS emulator, with real cropping."""
    from pipelines.storage import write_bytes

    speech = (data / "media" / "obama_speech.mp4").read_bytes()
    for index, name in enumerate(["real/one.mp4", "real/two.mp4", "fake/three.mp4"]):
        write_bytes(f"{gcs_bucket}/corpus/{name}", speech + bytes(index))
    write_bytes(f"{gcs_bucket}/corpus/fake/four.mp4", b"no video at all")
    lake = f"{gcs_bucket}/lake"
    report = run(request(f"{gcs_bucket}/corpus", lake, REAL_CROP))
    assert report.scored == 4
    assert outcomes(lake)["fake/four.mp4"] == "unreadable"
    metrics = Lake(lake).read("metrics").to_pylist()
    auc = [row for row in metrics if row["metric"] == "roc_auc" and row["slice"] == "all"]
    assert {row["n_real"] for row in auc if row["level"] == "video"} == {2}
    assert run(request(f"{gcs_bucket}/corpus", lake, REAL_CROP)).scored == 0
