from __future__ import annotations

import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fakeout_core.errors import FakeoutError, MediaError, Reason
from fakeout_core.media.isolate import Child, ChildLimits

HERE = Path(__file__).parent
TARGET = "child_targets:do"
PAUSE = threading.Event()
LIMITS = ChildLimits(wall_s=30, memory_bytes=512 << 20, output_bytes=1 << 20)


@pytest.fixture(scope="module", autouse=True)
def importable():
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def child():
    with Child(TARGET, LIMITS) as child:
        yield child


def reason_of(child: Child, *arguments: object) -> Reason:
    with pytest.raises(MediaError) as caught:
        child.call(*arguments)
    return caught.value.reason


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie of someone else's counts as ended)."""
    for _ in range(1_000):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        PAUSE.wait(0.01)
    return False


def test_answers_and_stays_warm(child):
    assert child.call("echo", {"a": [1, 2.5, None, (b"x", True)]}) == {
        "a": [1, 2.5, None, (b"x", True)]
    }
    assert child.call("pid") == child.call("pid") == child.pid != os.getpid()


def test_a_clip_comes_back_whole(child):
    clip = child.call("clip")
    assert clip.tracks[0].frames == [b"one", b""]
    assert clip.tracks[0].box == (0.0, 1.5, 2.0, 3.0)
    assert clip.log_mel.dtype == np.float32
    assert clip.log_mel.shape == (1, 183, 80, 1)
    assert clip.log_mel.flags.writeable
    assert clip.audio_status.value == "used"
    assert clip.notes == ()


def test_exceptions_arrive_as_reasons_and_the_child_lives_on(child):
    pid = child.call("pid")
    assert reason_of(child, "media_error") is Reason.NO_FACE
    assert reason_of(child, "bug") is Reason.INTERNAL
    assert reason_of(child, "unsendable") is Reason.INTERNAL
    assert child.call("pid") == pid


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        (("segfault",), Reason.CRASHED, "SIGSEGV"),
        (("abort",), Reason.CRASHED, "SIGABRT"),
        (("leave", 3), Reason.CRASHED, "code 3"),
        (("leave", 0), Reason.CRASHED, "code 0"),
        (("kill",), Reason.OUT_OF_MEMORY, "killed"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_death_is_named_and_the_next_call_has_a_new_child(child, how, reason, words):
    before = child.call("pid")
    with pytest.raises(MediaError, match=words) as caught:
        child.call(*how)
    assert caught.value.reason is reason
    assert child.call("pid") != before


def test_a_crash_tells_where_it_struck(child):
    with pytest.raises(MediaError, match=r"ctypes|__init__\.py:\d+"):
        child.call("segfault")


@pytest.mark.parametrize("how", ["spin", "deaf"])
def test_over_the_wall_clock_it_is_killed(how):
    with Child(TARGET, ChildLimits(wall_s=2.0)) as child:
        child.call("pid")
        pid = child.pid
        assert reason_of(child, how) is Reason.TIMEOUT
        assert pid is not None
        assert gone(pid)
        assert child.call("echo", 1) == 1


def test_its_own_children_die_with_it(tmp_path):
    mark = tmp_path / "mark"
    with Child(TARGET, ChildLimits(wall_s=3.0)) as child:
        child.call("pid")
        group = child.pid
        assert reason_of(child, "with_grandchild", str(mark)) is Reason.TIMEOUT
        assert mark.exists()
    members = [
        path.name
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and gone_or_group(path) == group and not gone(int(path.name))
    ]
    assert members == []


def gone_or_group(path: Path) -> int | None:
    try:
        return int((path / "stat").read_text().rsplit(")", 1)[1].split()[2])
    except (OSError, IndexError, ValueError):
        return None


def test_over_the_memory_limit(child):
    assert child.call("hoard", 64) == 64 << 20
    assert reason_of(child, "hoard", 2_000) is Reason.OUT_OF_MEMORY
    assert reason_of(child, "hoard_natively", 2_000) is Reason.OUT_OF_MEMORY
    assert child.call("echo", 1) == 1


def test_an_answer_over_the_limit_is_not_taken(child):
    assert reason_of(child, "echo", b"x" * (2 << 20)) is Reason.TOO_LARGE
    assert child.call("echo", 1) == 1


def test_noise_on_its_outputs_disturbs_nothing(child):
    assert child.call("shout", 3) == 3
    assert child.call("echo", "after") == "after"


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def framed(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


@pytest.mark.parametrize(
    "message",
    [
        framed(pickle.dumps(("ok", Evil()))),
        framed(b"\0\0\0\x02{}"),
        framed(b"\xff\xff\xff\xff[]"),
        framed(b'\0\0\0\x2f["ok",{"is":"os:system","of":{"command":"true"}}]'),
        framed(b"\0\0\xff\xff" + b"[" * 0xFFFF),
    ],
    ids=["pickle", "no tuple", "no tree", "foreign type", "deep"],
)
def test_answers_are_data_never_code(child, message, monkeypatch):
    assert reason_of(child, "nonsense", message) is Reason.CRASHED


def test_it_sees_no_secrets_and_no_open_files(child, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("STORE_ADDRESS", "http://here")
    with (tmp_path / "open").open("w"), Child(TARGET, pass_variables=("STORE_ADDRESS",)) as fresh:
        environment = fresh.call("environment")
        assert "hush" not in environment.values()
        assert environment["STORE_ADDRESS"] == "http://here"
        assert environment["HOME"] != os.environ.get("HOME")
        assert str(tmp_path / "open") not in fresh.call("open_files")
    assert "STORE_ADDRESS" not in child.call("environment")


def test_it_is_off_the_network_unless_it_needs_it(child):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with Child(TARGET, LIMITS, with_network=True) as connected:
            ours, reached = connected.call("call_port", port)
        assert reached
        theirs, reached = child.call("call_port", port)
    if theirs == ours:
        pytest.skip("this kernel lets no process leave its network without further rights")
    assert not reached


def test_it_is_replaced_after_some_calls():
    with Child(TARGET, ChildLimits(calls_before_recycle=2)) as child:
        pids = [child.call("pid") for _ in range(5)]
    assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]


def test_a_target_that_cannot_be_loaded_is_a_bug_not_a_bad_video():
    with (
        Child("child_targets:missing") as child,
        pytest.raises(FakeoutError, match="missing") as caught,
    ):
        child.call()
    assert not isinstance(caught.value, MediaError)


def test_it_outlives_the_thread_that_started_it(child):
    with Child(TARGET, LIMITS) as other:
        starter = threading.Thread(target=other.call, args=("pid",))
        starter.start()
        starter.join()
        pid = other.pid
        assert other.call("pid") == pid


def test_it_dies_with_its_owner():
    script = (
        "import os, sys, signal; from fakeout_core.media.isolate import Child\n"
        f"sys.path.insert(0, {str(HERE)!r})\n"
        f"child = Child({TARGET!r}); child.call('pid'); print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert gone(int(done.stdout))


def test_it_starts_again_after_a_fork(child):
    child.call("pid")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with Child(TARGET, LIMITS) as other:
            os.write(write, b"1" if other.call("echo", 7) == 7 else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1) == b"1"
    os.close(read)
    os.close(write)


def test_close_leaves_nothing_behind():
    child = Child(TARGET)
    child.call("pid")
    pid = child.pid
    child.close()
    assert pid is not None
    assert gone(pid)
    child.close()
