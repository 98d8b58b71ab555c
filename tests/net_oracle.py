"""What must hold for any net, of whatever sense: netbuild's commands end well or with a sentence, and Caffe agrees."""

import faulthandler
import re
import signal
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import test_shapes_layers as layers
from nets import net, small
from next_door import Caffe
from shape_nets import INPUT, LABEL

from netbuild import DataSource, Fusion, emit_files, proto, prototxt
from netbuild.branches.branch import Input
from netbuild.costs.summary import summarize
from netbuild.engine.child import apart
from netbuild.errors import CaffeError, NetbuildError
from netbuild.graph.check import problems, remarks
from netbuild.graph.differences import differences
from netbuild.graph.view import NetView
from netbuild.schema import TEST, schema
from netbuild.show.drawing import dot

SECONDS = 20
"""That any one command may take for a small net."""
LARGEST = 20_000_000
"""Values in the blobs of a net that Caffe is asked about."""
FROM_FILES = ("Data", "HDF5Data", "HDF5Output", "ImageData", "InfogainLoss", "Python", "WindowData")
KNOWINGLY = (
    # What Caffe takes and misreads, and what it aborts on only when it runs.
    *(
        "works in place",
        "are all called",
        "has no name",
        "lengths below 1",
        "a top of its own",
        "aborts on its data_filler",
        "when it runs",
        "dropout_ratio 1 drops all",
    ),
    # What its C++ ints turn into another number.
    *("than 2147483647", "at most 2147483647", "a solver's test net"),
    # What it drops where a blob has several readers.
    "loss_weight",
)


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


def askable(message, phase):
    """Tell whether Caffe can be asked about a net: of known types and sizes, and without files."""
    view = NetView(message, phase)
    shapes = view.shapes
    kinds = {layer.type for _, layer in view.layers}
    if kinds & {*FROM_FILES} or view.unknown_types:
        return False
    count = 0
    for shape in (
        one
        for group in (*shapes.tops.values(), *shapes.params.values())
        for one in ([None] if group is None else group)
    ):
        if shape is None or None in shape:
            return False
        size = 1
        for length in shape:
            size *= max(length, 1)
        count += size
    return count < LARGEST


OF_THIS_CAFFE = ("has unknown engine", "Unknown layer type", "does not know the field")
"""Why a Caffe aborts that another one is not to: it is built without cuDNN, or without some layers, or is older."""


def built(caffe, path, phase):
    """Return why Caffe aborts on building the net in a fork, '' where another may not, None where it does not."""
    if isinstance(caffe, Caffe):
        said = caffe.shapes_or_words(path, phase)
        return _of_any(said) if isinstance(said, str) else None

    def build():
        # An abort is an answer here, and needs no traceback.
        faulthandler.disable()
        caffe.Net(str(path), phase)
        yield None

    try:
        return next(apart(build))
    except CaffeError as error:
        return _of_any(str(error))


def _of_any(said):
    return "" if any(why in said for why in OF_THIS_CAFFE) else said


def disagreements(caffe, message, path, found):
    """Yield (whether it is a crash, what is wrong) where Caffe does with the file other than check found."""
    wrong = [text for text in found if not any(known in text for known in KNOWINGLY)]
    in_both = all("(phase" not in text for text in wrong)
    for phase in proto.phases(message):
        if not askable(message, phase):
            continue
        said = built(caffe, path, phase)
        if said and not found:
            yield True, f"check finds nothing wrong; {said}"
        if said is None and wrong == found and wrong and in_both:
            yield False, wrong[0]


def kind_of(text):
    """Return what a sentence, or a traceback's last lines, say, whatever the names and numbers in it."""
    return re.sub(r"'[^']*'|\([^)]*\)|-?\d+", "#", text.partition("; its bottoms are")[0])
