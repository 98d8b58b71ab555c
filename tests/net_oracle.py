"""What must hold for any net, of whatever sense: netbuild's commands end well or with a sentence, and Caffe agrees."""

import re
import signal
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import judged
import test_shapes_layers as layers
from nets import net, small
from shape_nets import INPUT, LABEL

from netbuild import DataSource, Fusion, emit_files, proto, prototxt
from netbuild.branches.branch import Input
from netbuild.costs.summary import summarize
from netbuild.errors import NetbuildError
from netbuild.graph.check import problems, remarks
from netbuild.graph.differences import differences
from netbuild.graph.view import NetView
from netbuild.proto import NetState
from netbuild.schema import TEST, schema
from netbuild.show.drawing import dot

SECONDS = 20
"""That any one command may take for a small net."""


def seeds():
    """Nets of every layer type and of usual make."""
    rows = [
        *(*layers.WINDOWS, *layers.LEARNED, *layers.OVER_TIME, *layers.REARRANGED, *layers.COMPUTED, *layers.LOSSES),
        *layers.SOURCES,
    ]
    known = schema().LayerParameter.DESCRIPTOR.fields_by_name
    options = re.compile(r"(\w+_param) \{")
    yield from (net(INPUT + LABEL + row) for row in rows if set(options.findall(row)) <= set(known))
    trained = small() + layers.layer("SoftmaxWithLoss", "", "fc3 label", "loss")
    yield from (net(small()), net(small().replace('"data"', '"odd/data"')), net(LABEL + trained))


@contextmanager
def within(seconds):
    """Raise TimeoutError in what takes longer."""

    def give_up(*_):
        raise TimeoutError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(message, other, folder, *, emits):
    """Run the commands on a net; return what check finds, None for a file that is refused. Anything else raises."""
    path = Path(folder) / "net.prototxt"
    path.write_text(proto.to_text(message), encoding="utf-8")
    with within(SECONDS):
        try:
            read = proto.read_net(path)
        except NetbuildError:
            return None
        found = problems(read)
        remarks(read)
        assert isinstance(NetView(read, TEST).unknown_types, dict)
        for command in (summarize, dot, lambda one: dot(one, collapse=True), lambda one: differences(one, other)):
            with suppressed():
                command(read)
        differences(other, read)
        if emits:
            with suppressed():
                source = DataSource(Input((3, 8, 8)), kind="input", train_batch=2, test_batch=2)
                branch = prototxt(path)
                emit_files(Fusion({"odd": branch, "even": branch}, 3), source, folder, dry_run=True)
    return found


@contextmanager
def suppressed():
    """A refusal in words is an answer."""
    with warnings.catch_warnings(), suppress(NetbuildError):
        warnings.simplefilter("ignore")
        yield


def disagreements(caffe, message, path):
    """Yield (whether it is a crash, what is wrong) where Caffe does with the file other than check says."""
    for phase in proto.phases(message):
        found = judged.judged(caffe, path, NetState(phase))
        if found.is_fault:
            yield found.cell != judged.REFUSED, f"{found.cell}: {found.words}"


def kind_of(text):
    """Return what a sentence, or a traceback's last lines, say, whatever the names and numbers in it."""
    return re.sub(r"'[^']*'|\([^)]*\)|-?\d+", "#", text.partition("; its bottoms are")[0])
