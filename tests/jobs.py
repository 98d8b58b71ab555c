"""What test_child runs in child processes."""

import os
import signal
import sys
import time
from pathlib import Path

from netbuild.errors import GraphError


def count(to):
    print("noise on standard output")
    yield from range(to)


def refuse():
    yield 1
    raise GraphError("layer 'x' is wrong")


def abort(prototxt):
    from netbuild._caffe import TEST, caffe

    yield "started"
    caffe().Net(prototxt, TEST)


def die(signal_number):
    yield "started"
    os.kill(os.getpid(), signal_number)
    time.sleep(10)


def complain():
    sys.stderr.write("first line\nlast line\n")
    sys.exit(3)
    yield


def until_interrupted():
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    yield os.getpid()
    while not seen:
        time.sleep(0.01)
    yield "ended cleanly"


def double(tasks, marker):
    """Die once on task 3, for which `marker` does not exist yet, and always on task 13."""
    for task in tasks:
        if task == 13:
            sys.stderr.write("thirteen\n")
            sys.stderr.flush()
        if task == 13 or (task == 3 and not Path(marker).exists()):
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield 2 * task, os.getpid(), os.environ["OPENBLAS_NUM_THREADS"]
