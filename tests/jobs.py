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
    from netbuild.engine.caffe import caffe
    from netbuild.schema import TEST

    yield "started"
    caffe().Net(prototxt, TEST)


def save(net, weights, seed=None):
    """Write weight files of a net: as its fillers make them, each anew, or normal ones by numpy of this seed."""
    import numpy as np

    from netbuild.engine.caffe import caffe
    from netbuild.schema import TEST

    for path in weights:
        made = caffe().Net(str(net), TEST)
        for blob in [blob for blobs in made.params.values() for blob in blobs] if seed is not None else ():
            blob.data[...] = np.random.default_rng(seed).normal(size=blob.data.shape)
        made.save(str(path))
        yield str(path)


def forward(net, phase):
    """Run a net forward once."""
    from netbuild.engine.caffe import caffe

    caffe().Net(net, phase).forward()
    yield "done"


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


def until_asked():
    """Tell which signal came first."""
    from netbuild.engine.child import ENDINGS

    seen = []
    for number in ENDINGS:
        signal.signal(number, lambda number, _frame: seen.append(number))
    yield os.getpid()
    while not seen:
        time.sleep(0.01)
    yield seen[0]


def deaf():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield os.getpid()
    time.sleep(60)


def putting_away(kept):
    try:
        yield os.getpid()
        while True:
            time.sleep(0.01)
            yield "more"
    except GeneratorExit:
        Path(kept).write_text("what it had in hand")
        raise


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


def forked(work, **arguments):
    """Do one of these jobs in a fork."""
    from netbuild.engine.child import apart

    yield from apart(lambda: globals()[work](**arguments))


def fail():
    yield 1 // 0


def outcomes(nets):
    """Run self-tests of the doctor's, each on the net given for it in place of its own."""
    from dataclasses import replace

    from netbuild.doctor import child
    from netbuild.doctor.table import SELF_TESTS

    yield from child.outcomes([replace(SELF_TESTS[name], net=net) for name, net in nets])


def outcomes_of_odd_ones():
    """Self-tests that need what is not installed, whose expectation raises, and whose expectation is broken."""
    from dataclasses import replace

    from netbuild.doctor import child
    from netbuild.doctor.table import SELF_TESTS

    test = SELF_TESTS["Scale"]
    odd = [lambda y: y["nowhere"], lambda y: {"output": (y + 1, y)}, lambda y: {"output": (y, y * float("nan"))}]
    yield from child.outcomes(
        [replace(test, needs="no_such_module"), *(replace(test, compare=_of_output(pairs)) for pairs in odd)]
    )


def doubts(concerned, force):
    """The gate of `train`, where Scale is computed wrong."""
    from dataclasses import replace

    from netbuild.doctor import gate

    wrong = replace(gate.SELF_TESTS["Scale"], compare=_of_output(lambda y: {"output": (y + 1, y)}))
    gate.SELF_TESTS["Scale"] = wrong
    yield from gate.doubts(concerned, None, force)


def _of_output(pairs):
    return lambda _before, after: pairs(after["y"])


def first_batches(net, lists):
    """For each list's bytes the labels of the first batch, or Caffe's last words."""
    from netbuild.engine.caffe import caffe

    caffe()
    for content in lists:
        Path("list.txt").write_bytes(content)
        yield _batch_or_words(net)


def first_batch_of(nets):
    """For each net the labels of its first batch, or Caffe's last words."""
    from netbuild.engine.caffe import caffe

    caffe()
    yield from map(_batch_or_words, nets)


def _batch_or_words(net):
    from netbuild.engine.child import apart
    from netbuild.errors import CaffeError

    try:
        return next(iter(apart(lambda: _first_batch(net))))
    except CaffeError as error:
        return str(error)


def _first_batch(net):
    from netbuild.engine.caffe import caffe
    from netbuild.schema import TEST

    loaded = caffe().Net(net, TEST)
    loaded.forward()
    yield loaded.blobs["label"].data.tolist()


def solved(solvers):
    """Let Caffe run each solver (a prototxt's path) in a fork: its last iteration and rate, or why it gave up."""
    from netbuild.engine.caffe import caffe

    caffe()
    yield from map(_solved, solvers)


def _solved(path):
    from netbuild.engine.caffe import caffe
    from netbuild.engine.child import apart
    from netbuild.errors import CaffeError

    def solve():
        solver = caffe().get_solver(path)
        solver.solve()
        yield solver.iter, solver.lr

    try:
        (end,) = apart(solve)
    except CaffeError as error:
        return str(error)
    return end


def trained(job):
    """Train; then tell what the signals that ask to end would do."""
    from netbuild.engine.child import ENDINGS
    from netbuild.train.child import train

    yield from train(job)
    yield [getattr(signal.getsignal(number), "name", "ours") for number in ENDINGS]


def finite(solvers):
    """Let Caffe run each solver; tell whether the parameters of its net are numbers then."""
    import numpy as np

    from netbuild.engine.caffe import caffe

    for path in solvers:
        solver = caffe().get_solver(path)
        solver.step(solver.param.max_iter)
        yield all(bool(np.isfinite(blob.data).all()) for blobs in solver.net.params.values() for blob in blobs)


def spelled():
    """How a child spells an option."""
    from netbuild.spelling import option

    yield option("join", "sum")


def echo(values):
    """Give back what was sent."""
    yield values


def talkative():
    """Print among the events, behind the back of what keeps prints away from them."""
    yield 1
    for place in [place for place in Path("/proc/self/fd").iterdir() if place.exists()]:
        if int(place.name) > 2 and os.readlink(place).startswith("pipe:"):
            os.write(int(place.name), b"noise")
    yield 2


def secretive():
    """Yield what cannot be sent."""
    yield object()


def silent():
    """End without a word, as if all were well."""
    yield 1
    os._exit(0)
