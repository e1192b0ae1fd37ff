"""Two nights on real Ray: the second does exactly the difference and reports it."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from fakeout_core.errors import ConfigError, LockedError
from jobs.notify import Webhook, notify, webhook_of
from pipelines.config import RunConfig
from pipelines.lake import Lake
from pipelines.lock import DatasetLock
from pipelines.nightly import NightlyConfig, Outcome, Summary, compare, rescan
from pipelines.run import Parts, RunReport, RunRequest
from pipelines.settings import load_settings
from tests.fakes.videos import write_corpus
from tests.integration.tables import rows_of

FAKES = Parts("tests.fakes.videos:crop_bytes", "tests.fakes.work:SlowDetector")


def request(videos: Path, lake: Path, *sets: str) -> RunRequest:
    settings = ["crop.n_windows=2", "crop_stage.rows_per_shard=2", *sets]
    config = load_settings(RunConfig, None, settings)
    return RunRequest(str(lake), "films", "all", source_uri=str(videos), config=config, parts=FAKES)


@pytest.mark.ray
@pytest.mark.slow
def test_two_nights_and_a_third_run_during_the_second(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run that waits sees at once that the lock is free: it must not be, before all is done.
    monkeypatch.setattr("pipelines.lock.POLL_S", 0.001)
    videos, lake = tmp_path / "videos", tmp_path / "lake"
    paths = write_corpus(videos, 6, {4: b"noface"})
    _, first = rescan(request(videos, lake), NightlyConfig(shift=0.0))
    assert (first.cropped, first.scored, first.videos) == (6, 6, 6)
    assert first.failed == [("video_004.mp4", "no_face")]

    for index in range(3):
        (videos / f"added_{index}.mp4").write_bytes(b"plain\nnew %d" % index)
    paths[0].write_bytes(b"plain\nother bytes")
    paths[1].write_bytes(b"noface\nnobody now")
    paths[2].unlink()
    third: list[object] = []

    def another() -> None:
        with_wait = request(videos, lake, "policy.lock_wait_s=400")
        try:
            rescan(request(videos, lake), NightlyConfig())
        except LockedError as error:
            third.append(error)
        third.append(rescan(with_wait, NightlyConfig()))

    class WhenScoring:
        """Starts the third run in the middle of the second."""

        thread: threading.Thread | None = None

        def stage(self, name: str, total: int) -> None:
            if name == "score":
                self.thread = threading.Thread(target=another)
                self.thread.start()

        def advance(self, name: str, done: int, note: str) -> None:
            pass

        def note(self, text: str) -> None:
            pass

    show = WhenScoring()
    report, second = rescan(request(videos, lake), NightlyConfig(shift=0.0), show)
    assert show.thread is not None
    show.thread.join(timeout=400)

    assert (report.cropped, report.scored) == (5, 5)
    assert second.new == ["added_0.mp4", "added_1.mp4", "added_2.mp4"]
    assert second.changed == ["video_000.mp4", "video_001.mp4"]
    assert second.deleted == ["video_002.mp4"]
    assert second.failed == [("video_001.mp4", "no_face")]
    assert "video_000.mp4" in {video for video, _, _ in second.shifted}
    assert second.counts["new"] == 3
    kept = json.loads((lake / "reports" / f"{report.run_id}.json").read_text())
    assert kept["changed"] == second.changed

    # The third left while the second was at work; told to wait, it found nothing to do.
    assert isinstance(third[0], LockedError), third
    waited = third[1]
    assert isinstance(waited, tuple)
    assert isinstance(waited[0], RunReport)
    assert (waited[0].cropped, waited[0].scored) == (0, 0)
    assert waited[1].counts == dict.fromkeys(second.counts, 0)
    keys = [(row["video_id"], row["content_version"]) for row in rows_of(str(lake), "scores")]
    assert len(keys) == len(set(keys)) == 6 + 5


def test_compare_counts_all_and_names_some() -> None:
    before = {f"v{i:03d}": Outcome("v-1", 0.2, None) for i in range(100)}
    before["bad"] = Outcome("v-1", None, "timeout")
    after = {name: dataclasses.replace(one, score=0.9) for name, one in before.items()}
    after["bad"] = Outcome("v-1", 0.5, None)
    summary = compare(before, after, 0.1)
    assert summary.counts["shifted"] == 100
    assert len(summary.shifted) == 50
    assert summary.healed == ["bad"]
    assert compare(after, after, 0.1).counts == dict.fromkeys(summary.counts, 0)


def test_summary_keeps_odd_names_on_one_line() -> None:
    summary = Summary("r", "d", "s", 1, {"new": 1}, new=["two\nlines.mp4"])
    assert "two\\nlines.mp4" in str(summary)


class Hook(BaseHTTPRequestHandler):
    """Takes one kind of request and keeps it."""

    got: ClassVar[list[tuple[str | None, bytes]]] = []
    failures: ClassVar[int] = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Hook.failures > 0:
            Hook.failures -= 1
            self.send_error(503)
            return
        Hook.got.append((self.headers["X-Fakeout-Signature"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_webhook_is_signed_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    Hook.failures = 1
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        assert notify(webhook_of(url, "HOOK_SECRET"), {"text": "hello"}) is None
    finally:
        server.shutdown()
        server.server_close()
    signature, body = Hook.got[-1]
    assert json.loads(body) == {"text": "hello"}
    assert signature == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    problem = notify(Webhook(url), {})
    assert problem is not None
    assert "could not be told" in problem


def test_webhook_refuses_plain_http_and_missing_secret() -> None:
    for url in ("http://example.com/hook", "http://127.0.0.1.example.com/", "ftp://x/", "https://"):
        with pytest.raises(ConfigError, match="https"):
            webhook_of(url, None)
    with pytest.raises(ConfigError, match="NO_SUCH_SECRET"):
        webhook_of("https://example.com/hook", "NO_SUCH_SECRET")


def test_lock_file_of_a_dead_run_is_named(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    with DatasetLock(lake, "films", "one", 60).held(), pytest.raises(LockedError, match="_locks"):
        DatasetLock(Lake(str(tmp_path)), "films", "two", 60).acquire()
