import os
import signal

import pytest

from netbuild._child import run
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


def test_a_killed_child_is_told():
    with pytest.raises(CaffeError, match="ended early: exit status -9"):
        list(run("jobs:die", signal_number=int(signal.SIGKILL)))


def test_the_last_line_is_told_where_there_is_no_fatal_one():
    with pytest.raises(CaffeError, match="ended early: last line"):
        list(run("jobs:complain"))


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


def test_an_abandoned_child_is_gone():
    events = run("jobs:until_interrupted")
    child = next(events)
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
