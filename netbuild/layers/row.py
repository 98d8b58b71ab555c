"""What a row of the table says of a layer type: the questions, none of which a new type can leave open.

A field takes a value, or a function where the answer depends on the layer's options; `answer` asks either.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from ..schema import Message
from .lengths import Known, Length, Rule, Shape

Answer = TypeVar("Answer")
Fact = Union[bool, Callable[[Message], bool]]
"""A fact of all layers of a type, or what tells it from one layer's options."""

ABORTS, ELSE, GRADIENT = "Caffe aborts", "Caffe computes something else", "Caffe computes another gradient"
FINE: Optional[str] = None
NOT_SEEN: Optional[str] = None
"""Of a type that was not tried in place in any Caffe here, which therefore nothing is said of."""
NEVER: Optional[str] = None
"""Of a type without bottoms or without tops, which has nothing to work in place on."""
ANY = 1 << 30
"""The most bottoms or tops of a type that takes any number."""


def answer(fact: Union[Answer, Callable[..., Answer]], *layer: Any) -> Answer:
    """Return what a row says: its value, or what its function makes of a layer and what it wants to know beside it."""
    value: Any = fact(*layer) if callable(fact) else fact
    return value  # type: ignore[no-any-return]  # a type variable cannot exclude functions


class Arity(NamedTuple):
    """How many bottoms and tops Caffe lets a layer have (Layer::CheckBlobCounts)."""

    bottoms: Tuple[int, int]
    """The least and the most."""
    tops: Tuple[int, int]
    paired: bool = False
    """Whether there must be one top for each bottom (EqualNumBottomTopBlobs)."""


class Filled(NamedTuple):
    """A blob that Caffe fills when it builds the net."""

    field: str
    filler: Message
    shape: Shape


Fillers = Union[Sequence[str], Callable[[Message, List[Shape], List[Shape]], Iterator[Filled]]]
"""The options that fill the parameter blobs, in the blobs' order; or what tells them from a layer, its parameters'
and its tops' shapes."""
Work = Callable[[Message, Sequence[Shape], Sequence[Shape], Sequence[Shape]], Length]
"""From a layer and the shapes of its bottoms, tops and parameters to the multiply-adds of a forward pass."""


class Weights(NamedTuple):
    """What is known of a type's parameters besides their shapes."""

    fillers: Fillers
    work: Work
    """How often they are multiplied in a forward pass of the whole batch."""


class Use(NamedTuple):
    """A layer in a net whose shapes are all known, as far as its memory goes by it."""

    layer: Message
    bottoms: Sequence[Shape]
    tops: Sequence[Shape]
    phase: int
    """The net's, or that of the layer's own `phase`."""
    backward: bool
    """Whether the backward pass runs it."""
    in_place: bool
    """Whether it overwrites a bottom."""


Values = Callable[[Use], int]
"""How many values a layer keeps somewhere."""


class Memory(NamedTuple):
    """What a type takes besides its tops and parameters, and what happens to the memory of its tops."""

    kept: Values
    """Values that it keeps beside its tops, which grow with the batch (its Reshape and Forward_cpu)."""
    columns: Values
    """Values that it lays out for one image, whatever the batch, such as those of windows (im2col)."""
    hands_on: Fact
    """Whether its tops are its bottom's own memory, under other names."""
    stays: Union[bool, Callable[[Message, List[Shape]], bool]]
    """Whether it reads its tops' memory in the next pass, so that what overwrites it stays for good."""


Judge = Callable[[Message, List[Shape], List[Shape]], Optional[str]]
"""From a layer, its bottoms' and its tops' shapes to ABORTS, ELSE or GRADIENT; None where it may work in place."""


class Left(IntEnum):
    """How much of a blob's values is left after a layer in place has overwritten them, or is needed of them."""

    NOTHING = 0
    SIGNS = 1
    VALUES = 2
    """All values for which a gradient comes back."""
    EVERYTHING = 3


class Gradient(NamedTuple):
    """What the backward pass of a type reads: it goes wrong where a layer in place has overwritten that by then."""

    bottoms: Fact
    """Whether it reads the values of its bottoms."""
    tops: Fact
    """Whether it reads the values of its tops."""
    needs: Left
    """How much of these values."""
    places: bool = False
    """Whether it goes to places that the forward pass has found: in a window without numbers there are none."""
    copies: bool = False
    """Whether it keeps a copy of a bottom that it overwrites itself."""
    leaves: Union[Left, Callable[[Message], Left]] = Left.NOTHING
    """How much of what it overwrites itself it leaves as it was."""
    stops: Tuple[int, ...] = ()
    """The bottoms that it hands no gradient down to, by position (-1: the last): Caffe aborts where one is wanted."""
    forced: bool = True
    """Whether a net's `force_backward` wants one there too (AllowForceBackward)."""
    stops_all: bool = False
    """Whether Caffe aborts wherever the backward pass comes by, even where none is wanted."""


class Kind(Enum):
    """What a layer is to a net."""

    INPUT = "takes what the caller gives"
    DATA = "brings in data, from files or from a program"
    FILLED = "fills its tops itself, with no data"
    LEARNED = "has a parameter as its top"
    LOSS = "says how far scores are from labels or targets; training makes that smaller"
    MEASURE = "says how good scores are, and has no gradient"
    ANSWER = "makes an answer of scores"
    LAST_ANSWER = "makes an answer of scores where it ends a net"
    SINK = "makes nothing of what it reads"
    OTHER = "computes"


class Scores(Enum):
    """What a layer has to do with the scores that a net gives for its classes."""

    NONE = "nothing"
    MAKES = "a layer before an answer or a loss, or at the end of a net, makes them"
    MAKES_WHERE_JUDGED = "a layer before an answer or a loss makes them; at the end of a net it does not say so"
    PASSES = "may stand between what makes them and what judges them"


class Reads(Enum):
    """Where a layer without bottoms has its values from, and what it does to them."""

    NOTHING = "nothing from outside, or nobody knows what"
    HDF5 = "HDF5 files, whose values come prepared"
    PROGRAM = "what a program gives, prepared or with a mean to take off and a scale"
    LIST = "a list of images, which it resizes, crops, mirrors, takes a mean off and scales"
    DATABASE = "a database of images, which it crops, mirrors, takes a mean off and scales"
    WINDOWS = "a list of windows in images, which it resizes to its crop, takes a mean off and scales"
    UNKNOWN = "what is not known here, by transform_param as Caffe's own data layers"


class Labels(NamedTuple):
    """What a layer asks of its second bottom, whose values it takes for classes."""

    classes: Callable[[Message, Known], Length]
    """How many classes scores (the first bottom) of a shape are for."""
    ignore: str
    """The options that have its ignore_label; '' where it heeds none."""


class Role(NamedTuple):
    """What a type is to a net, to its scores and labels, and what it reads."""

    kind: Kind
    scores: Scores = Scores.NONE
    labels: Optional[Labels] = None
    reads: Reads = Reads.NOTHING
    measures: Sequence[int] = ()
    """Which of its bottoms it takes only the shape of."""


class Statistics(NamedTuple):
    """What normalises by means and variances: those that a layer has stored, or those of each batch."""

    blobs: Callable[[Message], Optional[Sequence[int]]]
    """Which parameter blobs are statistics: they follow the batches, and have no learning rate. None where that is not
    known."""
    factor: Callable[[Message], Optional[int]]
    """Which of them is the factor of the moving average, by which the others are divided; None without one."""
    stored: Callable[[Message, bool], Optional[bool]]
    """Whether a layer works on stored statistics, in training or not; None for one that does not normalise."""
    store: Callable[[Message], None]
    """Make a layer work on its stored statistics in training too; raises UnfitError where nothing does that."""
    held_by: str
    """What makes it work on its stored statistics, as it is written."""
    release: Callable[[Message], None]
    """Make a layer work on each batch's own in training; raises UnfitError where nothing does that."""


class Training(NamedTuple):
    """What training does to a type, apart from learning rates."""

    draws: Fact
    """Whether in TRAIN it draws at random, anew in each pass."""
    draws_in_test: Fact
    """Whether in TEST it does."""
    statistics: Optional[Statistics]
    """What it normalises by; None for what does not normalise."""
    remembers: bool
    """Whether it begins a pass with what the last pass left."""
    own_code: bool
    """Whether a user's code decides all this."""
    own_rates: Fact = False
    """Whether it learns at a rate of its own, whatever its `param` entries say."""


class LayerType(NamedTuple):
    """A layer type: a row of the table, written with the names of its fields."""

    options: str
    """The field of LayerParameter that holds its options; '' for a type without any."""
    arity: Union[Optional[Arity], Callable[[Message], Arity]]
    """How many bottoms and tops it takes; None where that is not known."""
    shapes: Rule
    """From its bottoms' shapes to those of its tops and parameters."""
    weights: Weights
    """How its parameters are filled, and how often they are multiplied."""
    memory: Memory
    """What it keeps beside its tops, and whose memory its tops are."""
    in_place: Union[Optional[str], Judge]
    """What Caffe does where it is told to work in place and cannot: ABORTS, ELSE or GRADIENT; FINE where it can."""
    gradient: Gradient
    """Which values its gradient reads."""
    role: Role
    """Whether it brings data, judges, answers, or passes on."""
    training: Training
    """What it does in TRAIN that it does not do in TEST."""
