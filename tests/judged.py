"""Real Caffe as the judge of `check`: one net in one state, and which of the two is right about it.

`judged` says what becomes of a net: both take it, both refuse it, or they disagree. Where they knowingly do, `REASONS`
says why; any other disagreement is a fault.
"""

import math
import os
import traceback
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from asking import Answer, Question, ask
from next_door import Caffe

from netbuild import proto
from netbuild.errors import NetbuildError
from netbuild.files import PathLike
from netbuild.graph.check import problems_of, remarks
from netbuild.graph.view import NetView
from netbuild.layers import Shape
from netbuild.layers.row import Kind
from netbuild.layers.table import of
from netbuild.proto import NetState
from netbuild.schema import Message

BOTH_TAKE, BOTH_REFUSE = "both take it", "both refuse it"
REFUSED, TAKEN, MISREAD, CRASH = (
    "we refuse, Caffe takes it",
    "we take it, Caffe aborts",
    "both take it, the shapes differ",
    "traceback",
)
NOT_ASKED = "not asked"
CELLS = (BOTH_TAKE, BOTH_REFUSE, REFUSED, TAKEN, MISREAD, CRASH, NOT_ASKED)
DISAGREE = (REFUSED, TAKEN, MISREAD, CRASH)

MOST_PARAMETERS, MOST_RUN = 200_000_000, 2_000_000
"""Values in the parameters of a net that Caffe is asked about, and in all blobs of one that it runs."""
NEEDS_FILES = ("Data", "HDF5Data", "HDF5Output", "ImageData", "WindowData")
OWN_CODE = ("Python",)
OF_THIS_CAFFE = ("has unknown engine", "Unknown layer type", "does not know the")
"""Why a Caffe aborts that another one is not to: it is built without cuDNN, or without some layers, or is older."""
OF_THIS_MACHINE = ("bad_alloc", "allocation", "killed", "signal 14", "DefaultCPUAllocator")


class Reason(NamedTuple):
    """Why netbuild refuses what Caffe takes."""

    words: str
    """What its sentence contains."""
    why: str


REASONS = (
    Reason(
        "input shapes; give one", "an input without a shape is dropped, which harms no state but those that read it"
    ),
    Reason("works in place", "Caffe takes it and computes something else, or aborts when it runs"),
    Reason("are all called", "Caffe gives the weights of a file to the first layer of a name alone"),
    Reason("has no name", "a layer without a name cannot be found in a weight file"),
    Reason("lengths below 1", "a blob without values is built, and aborts layers or computes nothing"),
    Reason("a top of its own", "two names of one memory: Caffe reads what another layer has written over"),
    Reason("aborts on its data_filler", "Caffe aborts when it runs the layer, not when it builds it"),
    Reason("NaN", "Caffe takes it, and what it computes is no number"),
    Reason("when it runs", "Caffe aborts when it runs the layer, which not every state does"),
    Reason("than 2147483647", "Caffe counts in C++ ints and makes another number of it"),
    Reason("at most 2147483647", "Caffe counts in C++ ints and makes another number of it"),
    Reason("a solver's test net", "Caffe aborts when a solver's test net shares what its train net has"),
    Reason("stride must be given, and at least 1", "Caffe takes a stride of 0 where it does not divide by it"),
    Reason("loss_weight", "Caffe drops or ignores it where a blob has several readers"),
)


REMARKED = "it aborts on the CPU alone, which is told in a note"
OF_VALUES = (
    "labels and indices that the net makes, and how many items Filter leaves, are values: nothing tells them before"
)


class Verdict(NamedTuple):
    """What became of one net in one state."""

    cell: str
    words: str = ""
    """The sentence that tells it: ours, or Caffe's last words."""
    reason: str = ""
    """Why the two disagree, where they knowingly do; why Caffe was not asked."""

    @property
    def is_fault(self) -> bool:
        """Whether the two disagree for no written reason."""
        return self.cell in DISAGREE and not self.reason


def judged(caffe: Any, path: PathLike, state: NetState) -> Verdict:
    """Judge the net of a file in one state."""
    try:
        message = proto.read_net(path)
        view = NetView(proto.in_state(message, state.stages, state.level), state.phase)
        found = problems_of(message, {state.phase: view})
        why_not = not_askable(view)
        runs = _runs(view)
    except NetbuildError as error:
        view, found, why_not, runs = None, [str(error)], "", False
    except Exception:
        return Verdict(CRASH, traceback.format_exc())
    if why_not:
        return Verdict(NOT_ASKED, reason=why_not)
    stages = tuple(sorted(state.stages))
    answer = ask_any(caffe, Question(os.fspath(path), state.phase, state.level, stages, runs))
    if view is not None and "Failed to parse" in answer.words and proto.needs(view.only).sentence:
        return Verdict(NOT_ASKED, answer.words, "another Caffe's")
    return compared(found, view, answer)


def ask_any(caffe: Any, question: Question) -> Answer:
    """Ask pycaffe, in this process or next door."""
    if isinstance(caffe, Caffe):
        return Answer(*caffe.answer(tuple(question)))
    return ask(caffe, question)


def compared(found: Sequence[str], view: Optional[NetView], answer: Answer) -> Verdict:
    """Compare what check found with what Caffe did."""
    for reason, known in (("another Caffe's", OF_THIS_CAFFE), ("too large for this machine", OF_THIS_MACHINE)):
        if any(words in answer.words for words in known):
            return Verdict(NOT_ASKED, answer.words, reason)
    if found:
        if answer.words:
            return Verdict(BOTH_REFUSE, found[0])
        # One fault that Caffe bears changes what comes of the others.
        known = next((sentence for sentence in found if _why(sentence)), found[0])
        return Verdict(REFUSED, known, _why(known))
    if answer.words:
        words = ("when it runs: " if answer.built else "") + answer.words
        return Verdict(TAKEN, words, _why_taken(view, built=answer.built) if view else "")
    differing = next(differences(view, answer), "") if view is not None else ""
    return Verdict(MISREAD, differing) if differing else Verdict(BOTH_TAKE)


def _why(sentence: str) -> str:
    return next((reason.why for reason in REASONS if reason.words in sentence), "")


def _why_taken(view: NetView, *, built: bool) -> str:
    """Return why netbuild takes what Caffe aborts on."""
    if any(layer.type == "Filter" for _, layer in view.layers):
        return OF_VALUES
    if not built:
        return ""
    if any("on the CPU Caffe aborts" in sentence for sentence in remarks(view.net, {view.phase: view})):
        return REMARKED
    return OF_VALUES if _makes_indices(view) else ""


def _makes_indices(view: NetView) -> bool:
    """Tell whether labels or indices (the bottoms without a gradient) are no input, which is given fit values."""
    for index, layer in view.layers:
        gradient, sources = of(layer).gradient, view.flow.sources[index]
        for position in () if gradient.stops_all else gradient.stops:
            if position < len(sources) and view.by_index[sources[position]].type != "Input":
                return True
    return False


def not_askable(view: NetView) -> str:
    """Return why Caffe cannot be asked about a net, '' where it can."""
    kinds = {layer.type for _, layer in view.layers}
    for names, why in ((NEEDS_FILES, "needs files"), (OWN_CODE, "needs a program's own code")):
        if kinds & {*names}:
            return why
    if any(layer.type == "InfogainLoss" and len(layer.bottom) < 3 for _, layer in view.layers):
        return "needs files"
    if view.unknown_types or view.unclear_options:
        return "another Caffe's"
    misfits = {fault.layer for fault in view.misfits}
    # A layer that does not fit makes nothing known either, but can be asked about.
    sources = [index for index, layer in view.layers if not layer.bottom and index not in misfits]
    if any(shape is None for index in sources for shape in view.shapes.tops[index]):
        return "its inputs have no shape"
    if sum(_count(shape) for shapes in view.shapes.params.values() for shape in shapes or ()) > MOST_PARAMETERS:
        return "too large for this machine"
    return ""


def _runs(view: NetView) -> bool:
    """Tell whether a net is run too: where it is small, and nobody has to bring data."""
    brought = any(of(layer).role.kind == Kind.DATA for _, layer in view.layers)
    return not brought and not view.misfits and _size(view) < MOST_RUN


def _count(shape: Shape) -> int:
    return math.prod(max(length or 0, 1) for length in shape or ())


def _size(view: NetView) -> int:
    known = [*view.shapes.tops.values(), *(shapes or [] for shapes in view.shapes.params.values())]
    return sum(_count(shape) for shapes in known for shape in shapes)


def differences(view: NetView, answer: Answer) -> Iterator[str]:
    """Yield where the shapes that are known before differ from those of Caffe."""
    blobs = answer.blobs or {}
    for name, shape in view.shapes.blobs.items():
        if name not in blobs:
            yield f"blob {name!r} is {shape}, and Caffe has none"
        elif shape is not None and not _same(shape, blobs[name]):
            yield f"blob {name!r} is {shape}, in Caffe {blobs[name]}"
    ours = [(layer.name, layer.type) for _, layer in view.layers]
    theirs = [(name, kind) for name, kind, _ in answer.layers]
    if ours != theirs:
        yield f"the layers are {ours}, in Caffe {theirs}"
        return
    for (index, layer), (_, _, params) in zip(view.layers, answer.layers):
        shapes = view.shapes.params[index]
        if shapes is not None and not _all_same(shapes, params):
            yield f"the parameters of layer {layer.name!r} are {shapes}, in Caffe {params}"


def _all_same(ours: List[Shape], theirs: Sequence[Tuple[int, ...]]) -> bool:
    return len(ours) == len(theirs) and all(one is None or _same(one, other) for one, other in zip(ours, theirs))


def _same(ours: Any, theirs: Tuple[int, ...]) -> bool:
    return len(ours) == len(theirs) and all(one in (None, other) for one, other in zip(ours, theirs))


def smaller(message: Message, still: Any) -> Message:
    """Return the net with as few layers and options as still have what is asked of it (`still(net)` tells)."""
    best, again = message, True
    while again:
        again = False
        for shrunk in _shrunk(best):
            if still(shrunk):
                best, again = shrunk, True
                break
    return best


def _shrunk(message: Message) -> Iterator[Message]:
    for position in reversed(range(len(message.layer))):
        one = proto.copied(message)
        del one.layer[position]
        yield one
    for position, layer in enumerate(message.layer):
        for field, _ in layer.ListFields():
            if field.name not in ("name", "type", "top", "bottom"):
                one = proto.copied(message)
                one.layer[position].ClearField(field.name)
                yield one
        for options, value in layer.ListFields():
            if options.message_type is not None and hasattr(value, "ListFields"):
                for field, _ in value.ListFields():
                    one = proto.copied(message)
                    getattr(one.layer[position], options.name).ClearField(field.name)
                    yield one
    for field, _ in message.ListFields():
        if field.name != "layer":
            one = proto.copied(message)
            one.ClearField(field.name)
            yield one
