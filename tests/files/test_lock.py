import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from ecotone.errors import InputError, InterruptedRunError
from ecotone.files import lock
from ecotone.files.lock import FolderLock, boot_id, start_time


def record(**changes):
    mine = {"pid": os.getpid(), "started": start_time(os.getpid()), "host": socket.gethostname(), "boot": boot_id()}
    return json.dumps(mine | {"token": "00"} | changes)


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def refusal(folder):
    with pytest.raises(InterruptedRunError) as caught, FolderLock(folder):
        pass
    return caught.value


def test_held_then_free(tmp_path):
    with FolderLock(tmp_path / "run") as held:
        assert json.loads(held.path.read_text())["pid"] == os.getpid()
        refusals = []
        other = threading.Thread(target=lambda: refusals.append(refusal(tmp_path / "run")))
        other.start()
        other.join()
        assert refusals[0].code == "ST103"
        assert f"process {os.getpid()} on {socket.gethostname()}" in str(refusals[0])
        with FolderLock(tmp_path / "run"):  # the holder itself may enter again, and leaving keeps the lock
            pass
        assert held.path.exists()
    assert not held.path.exists()
    with FolderLock(tmp_path / "run"):
        pass


def test_an_error_inside_frees_it(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        raise ZeroDivisionError
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": "x"}', "null", "\xff\xfe"])
def test_a_lock_left_half_written_is_free(tmp_path, content):
    (tmp_path / ".lock").write_text(content, encoding="latin-1")
    with FolderLock(tmp_path) as held:
        assert json.loads(held.path.read_text())["pid"] == os.getpid()


def test_holders_that_died_are_recognised(tmp_path):
    stale = [record(pid=dead_pid())]
    if boot_id():
        stale += [record(boot="another boot"), record(started="1")]
    for content in stale:
        (tmp_path / ".lock").write_text(content)
        with FolderLock(tmp_path) as held:
            assert json.loads(held.path.read_text())["pid"] == os.getpid()


def test_another_host_holds_it_while_its_heart_beats(tmp_path):
    path = tmp_path / ".lock"
    path.write_text(record(host="elsewhere"))
    with pytest.raises(InterruptedRunError, match="elsewhere"), FolderLock(tmp_path):
        pass
    past = time.time() - lock.REMOTE_STALE_S - 5
    os.utime(path, (past, past))
    with FolderLock(tmp_path):
        pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    with FolderLock(tmp_path) as held:
        os.utime(held.path, (0, 0))
        deadline = time.time() + 10
        while held.path.stat().st_mtime < 1 and time.time() < deadline:
            time.sleep(0.01)
        assert held.path.stat().st_mtime > 1


def test_a_lock_taken_over_by_another_is_not_removed(tmp_path):
    with FolderLock(tmp_path) as held:
        held.path.write_text(record(token="another"))
    assert held.path.exists()


def test_of_many_newcomers_at_a_stale_lock_one_gets_it(tmp_path):
    (tmp_path / ".lock").write_text(record(pid=dead_pid()))
    start, finish, got, refused = threading.Barrier(8), threading.Event(), [], []

    def newcomer():
        start.wait()
        try:
            with FolderLock(tmp_path):
                got.append(1)
                finish.wait(10)
        except InterruptedRunError:
            refused.append(1)
            if len(refused) == 7:
                finish.set()

    threads = [threading.Thread(target=newcomer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(got), len(refused)) == (1, 7)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught, FolderLock(tmp_path / "file"):
        pass
    assert caught.value.code == "IO104"


def test_a_started_process_may_be_let_in(tmp_path, monkeypatch):
    assert lock.pass_of(tmp_path) is None
    with FolderLock(tmp_path):
        ticket = lock.pass_of(tmp_path)
        assert ticket
        monkeypatch.setattr(lock, "_HELD", {})  # as in another process
        with pytest.raises(InterruptedRunError):
            FolderLock(tmp_path).__enter__()
        monkeypatch.setenv(lock.PASS, "another")
        with pytest.raises(InterruptedRunError):
            FolderLock(tmp_path).__enter__()
        monkeypatch.setenv(lock.PASS, ticket)
        with FolderLock(tmp_path):
            pass
        assert (tmp_path / lock.NAME).exists()  # it is the holder's to remove
