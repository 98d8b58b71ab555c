import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jobs
import pytest

from netbuild.engine import child, ending
from netbuild.engine.child import apart, run, share
from netbuild.errors import CaffeError, GraphError


def test_events_come_through_and_prints_do_not_disturb_them():
    assert list(run("jobs:count", to=3)) == [0, 1, 2]


def test_errors_keep_their_kind_and_text():
    events = run("jobs:refuse")
    assert next(events) == 1
    with pytest.raises(GraphError, match="layer 'x' is wrong"):
        next(events)


def test_caffes_abort_becomes_its_last_fatal_line(tmp_path):
    (tmp_path / "n.prototxt").write_text('layer { name: "r" type: "ReLU" bottom: "data" top: "r" }')
    events = run("jobs:abort", prototxt=str(tmp_path / "n.prototxt"))
    assert next(events) == "started"
    with pytest.raises(CaffeError, match=r"Caffe gave up: Unknown bottom blob 'data' \(layer 'r'.*\(insert_splits.cpp"):
        list(events)


def test_a_killed_child_is_told_with_the_memory_that_there_is():
    with pytest.raises(CaffeError, match=r"killed by signal 9 \(SIGKILL\): probably .* memory ran out") as told:
        list(run("jobs:die", signal_number=int(signal.SIGKILL)))
    kibibytes = int(Path("/proc/meminfo").read_text().split()[1])
    assert float(str(told.value).split("there are ")[1].split()[0]) <= kibibytes / 2**20 + 0.1


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE"])
def test_the_signal_that_ended_a_child_is_told_by_name(name):
    number = getattr(signal, name)
    with pytest.raises(CaffeError, match=rf"ended early: signal {int(number)} \({name}\), and nothing in its log"):
        list(run("jobs:die", signal_number=int(number)))


def test_less_memory_in_a_container_is_told(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text(f"{3 << 29}\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(ending, "_LIMITS", [tmp_path / "none", tmp_path / "memory.max", tmp_path / "missing"])
    with pytest.raises(CaffeError, match=r"there are 1\.5 GiB"):
        list(run("jobs:die", signal_number=int(signal.SIGKILL)))


def test_the_last_line_is_told_where_there_is_no_fatal_one():
    with pytest.raises(CaffeError, match="ended early: last line"):
        list(run("jobs:complain"))


def test_events_that_break_off_are_told_though_the_child_ends_well():
    for job in ("silent", "talkative"):
        events = run(f"jobs:{job}")
        assert next(events) == 1
        with pytest.raises(CaffeError, match="what it sent breaks off, or something else was printed in between"):
            list(events)
    with pytest.raises(CaffeError, match="breaks off"):
        list(run("jobs:forked", work="silent"))


def test_what_cannot_be_sent_is_told():
    with pytest.raises(CaffeError, match="ended early: TypeError: a builtins.object cannot be sent"):
        list(run("jobs:secretive"))


def test_ctrl_c_reaches_the_child_and_not_us():
    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    events = run("jobs:until_interrupted")
    next(events)
    os.kill(os.getpid(), signal.SIGINT)
    assert list(events) == ["ended cleanly"]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_current_folder_is_no_place_for_modules_of_the_child(in_tmp, monkeypatch):
    (in_tmp / "random.py").write_text("raise RuntimeError('imported by accident')")
    assert list(run("jobs:count", to=2)) == [0, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_the_child_too(number):
    events = run("jobs:until_interrupted")
    next(events)
    os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        list(events)


def test_a_hangup_that_nohup_has_ignored_does_not_reach_the_child():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        events = run("jobs:until_asked")
        next(events)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert list(events) == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_abandoned_child_is_gone():
    events = run("jobs:until_interrupted")
    child = next(events)
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_child_that_is_asked_to_end_goes_on_to_its_end():
    events = run("jobs:until_interrupted")
    next(events)
    assert events.send(child.END) == "ended cleanly"
    assert list(events) == []


def test_a_child_that_does_not_end_when_it_is_asked_to_is_killed(monkeypatch):
    monkeypatch.setattr(child, "_LAST_PATIENCE", 0.2)
    events = run("jobs:deaf")
    next(events)
    with pytest.raises(CaffeError, match="killed by signal 9"):
        events.send(child.END)


def test_a_child_whose_caller_was_killed_puts_its_work_away(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from netbuild.engine.child import run\n"
        "for event in run('jobs:putting_away', kept=sys.argv[2]): print(event, flush=True)"
    )
    arguments = [sys.executable, "-c", code, str(Path(jobs.__file__).parent), str(tmp_path / "kept")]
    caller = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    child = int(caller.stdout.readline())
    caller.kill()
    caller.communicate()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "kept").read_text() == "what it had in hand"


def shared(tasks, workers, tmp_path):
    return list(share("jobs:double", tasks, workers, blas_threads=1, marker=str(tmp_path / "died")))


def test_tasks_are_shared_among_processes_and_a_dead_ones_is_done_again(tmp_path):
    found = shared([*range(13), *range(14, 20)], 2, tmp_path)
    assert sorted(event[0] for event in found) == [2 * n for n in range(20) if n != 13]
    assert len({event[1] for event in found}) == 3  # two, and one in the place of the one that died
    assert {event[2] for event in found} == {"1"}
    assert (tmp_path / "died").exists()


def test_more_processes_than_tasks_are_not_started(tmp_path):
    assert len({event[1] for event in shared([1, 2], 8, tmp_path)}) <= 2
    assert shared([], 2, tmp_path) == []


def test_a_task_that_kills_every_process_is_given_up_with_its_last_words(tmp_path):
    with pytest.raises(CaffeError, match="killed by signal 9 .* ends with: thirteen"):
        shared([12, 13, 14], 2, tmp_path)


def test_a_fork_tells_as_a_child_does(tmp_path):
    assert list(run("jobs:forked", work="count", to=3)) == [0, 1, 2]
    with pytest.raises(GraphError, match="layer 'x' is wrong"):
        list(run("jobs:forked", work="refuse"))
    (tmp_path / "n.prototxt").write_text('layer { name: "r" type: "ReLU" bottom: "data" top: "r" }')
    with pytest.raises(CaffeError, match="Caffe gave up: Unknown bottom blob 'data'"):
        list(run("jobs:forked", work="abort", prototxt=str(tmp_path / "n.prototxt")))
    with pytest.raises(CaffeError, match="killed by signal 9"):
        list(run("jobs:forked", work="die", signal_number=int(signal.SIGKILL)))
    with pytest.raises(CaffeError, match="ended early: ZeroDivisionError"):
        list(run("jobs:forked", work="fail"))


def test_a_fork_leaves_its_original_as_it_was(tmp_path):
    before = Path.cwd()
    assert list(apart(lambda: [os.chdir(tmp_path), os.getpid()]))[1] != os.getpid()
    assert Path.cwd() == before


def test_a_fork_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(child, "_PATIENCE", 1)
    with pytest.raises(CaffeError, match="did not come to an end within 1 seconds"):
        list(apart(jobs.until_interrupted))


def test_an_abandoned_fork_is_gone():
    events = apart(jobs.until_interrupted)
    fork = next(events)
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(fork, 0)
