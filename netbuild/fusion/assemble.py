"""The whole of a fused net: branches placed, seams joined, heads put on top, the result checked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import blocks
from ..branches.branch import Branch, Builder, Input
from ..branches.source import find_branch, taking
from ..branches.written import carried_names
from ..errors import GraphError
from ..graph.apart import has_automatic_name, misnamed
from ..graph.check import require_sound_views
from ..graph.freeze import frozen
from ..graph.frozen import require_frozen
from ..graph.rename import names_in
from ..graph.view import NetView, Views, views
from ..layers import Shape, any_batch_text
from ..layers.lengths import Length, may_be_alike
from ..layers.roles import is_open_input
from ..names import local, overlapping, qualify, stem
from ..proto import Staged, name_of_net
from ..schema import TEST, Message, netspec
from ..schema.programs import net_written
from ..spelling import branch_option, either, name_of
from . import agreement, preparation
from .heads import Head, add_answer, add_loss, add_scores
from .joins import CONCAT, Join, join, require_joinable
from .learning import learning
from .naming import Naming
from .wiring import DATA, LABEL, BranchSpec, Placed, errors_of, open_reads, owner, place


@dataclass(frozen=True)
class Fusion:
    """What is to be one net: branches by prefix, how their seams are joined, and what is trained on top.

    One builder under the empty prefix, not frozen, is that net alone with its own classifier.

    Examples:
        Two trained LeNets, frozen, under a new classifier of ten classes:

        >>> from netbuild import BranchSpec, Fusion, Join, build, lenet
        >>> fusion = Fusion({"odd": lenet, "even": lenet}, classes=10)
        >>> build(fusion).seams
        {'odd': 'odd/ip1', 'even': 'even/ip1'}

        A net from a file beside one that learns, their mean as the join:

        >>> new = BranchSpec(lenet, frozen=False, lr=0.1)
        >>> fusion = Fusion({"old": "odd/deploy.prototxt@ip1", "new": new}, classes=4, join=Join("mean"))
        >>> fusion.specs["old"].frozen, fusion.specs["new"].frozen
        (True, False)
    """

    branches: Mapping[str, Union[Builder, BranchSpec, str, Staged]]
    """By prefix each branch: a builder, what `find_branch` takes (`"lenet"`, `"net.prototxt@ip1"`), also in a state
    (`Staged("net.prototxt@ip1", ["deploy"])`), or a `BranchSpec`, which says more."""
    classes: Optional[int] = None
    """Short for one `Head` with so many classes. Without heads the net ends at the join."""
    frozen: bool = True
    """Whether the branches that are not given as a `BranchSpec` are frozen."""
    join: Join = CONCAT
    """How the seams of the branches become one blob; by default a concat of their channels."""
    heads: Sequence[Head] = ()
    """The classifiers on the joined blob, where `classes` does not say enough."""
    ensemble: bool = False
    """Let each branch end in the softmax of its own classifier, so that the join is the answer; nothing trains."""

    @cached_property
    def specs(self) -> Dict[str, BranchSpec]:
        """Every branch as a BranchSpec."""
        return {prefix: self._spec(prefix, one) for prefix, one in self.branches.items()}

    def _spec(self, prefix: str, one: Union[Builder, BranchSpec, str, Staged]) -> BranchSpec:
        if isinstance(one, BranchSpec):
            return one
        with errors_of(prefix):
            return BranchSpec(_builder(one), frozen=self.frozen, batch_norm=None)

    @property
    def all_heads(self) -> Tuple[Head, ...]:
        """The heads, the one that `classes` stands for included."""
        short = self.classes is not None and not self.ensemble
        return (Head(self.classes or 0),) if short else tuple(self.heads)


def _builder(one: Union[Builder, str, Staged]) -> Builder:
    if isinstance(one, Staged):
        return find_branch(name_of_net(one), stages=one.stages, level=one.level)
    return find_branch(one) if isinstance(one, str) else one


@dataclass(frozen=True)
class Built:
    """A fusion written into a NetSpec."""

    net: Any
    message: Message
    """The net as a NetParameter whose inputs are left open: no layer makes the blobs of `inputs` and `labels` yet."""
    placed: Mapping[str, Placed]
    joined: Tuple[str, ...]
    """The branches whose seams are joined: those that no other branch reads."""
    labels: Mapping[str, int]
    """The label blobs, each with the numbers that one image has in it."""

    @property
    def branches(self) -> List[Branch]:
        """The branches in the order given."""
        return [one.branch for one in self.placed.values()]

    @property
    def seams(self) -> Dict[str, str]:
        """Each branch's prefix and the full name of its seam."""
        return {branch.prefix: qualify(branch.prefix, branch.seam) for branch in self.branches}

    @cached_property
    def inputs(self) -> Dict[str, Input]:
        """What data layers have to give to each input of the net, as far as the branches' sources declare it.

        Raises GraphError where branches read one input in different sizes.
        """
        return agreement.merged(open_reads(self.placed))

    @cached_property
    def uneven(self) -> Set[str]:
        """The inputs whose images each branch prepares for itself."""
        return preparation.uneven(open_reads(self.placed))

    @cached_property
    def doubts(self) -> Dict[str, Dict[str, str]]:
        """What no source declares of each input's images, or the sources declare differently: a sentence for each
        option that decides it."""
        return agreement.doubts(open_reads(self.placed))


def build(fusion: Fusion, *, deploy: bool = False) -> Built:
    """Write the branches, the join and the heads of a fusion into a new NetSpec.

    To train, the net ends in a loss, and in TEST an accuracy too. Data and `label` are left open: `emit_files` puts the
    data layers in front.

    Args:
        fusion: What is to be one net.
        deploy: Whether the net is to answer (`prob`) in place of being trained; it then reads no label.

    Returns:
        The net: `net` is the NetSpec, `message` the NetParameter, and `seams`, `inputs` and `labels` name its blobs.

    Raises:
        GraphError: The branches cannot be one net, or `problems` finds something wrong with it.

    Examples:
        >>> from netbuild import Fusion, build, lenet
        >>> built = build(Fusion({"odd": lenet, "even": lenet}, classes=10))
        >>> [layer.name for layer in built.message.layer][-4:]
        ['concat', 'ip2', 'accuracy', 'loss']
    """
    parts = _parts(fusion)
    net, placed = place(parts)
    branches = _message(net)
    members = _members(branches, placed)
    joined = _joined(placed)
    naming = Naming(names_in(branches))
    top = join(net, [placed[prefix].branch for prefix in joined], _named(fusion, naming), naming)
    labels = _add_ends(net, fusion, [placed[prefix].branch for prefix in joined], top, naming, deploy=deploy)
    message = _message(net)
    built = Built(net, _opened(message, placed, labels), placed, joined, labels)
    of_phases = views(message)
    if not fusion.ensemble:
        require_frozen(of_phases, {prefix: members[prefix] for prefix, part in parts.items() if part.frozen})
    _require_sound(built, fusion, of_phases)
    learned = frozen(built.message) if fusion.ensemble else learning(built.message, parts, members)
    return dataclasses.replace(built, message=learned)


def _joined(placed: Mapping[str, Placed]) -> Tuple[str, ...]:
    """Return the branches whose seam no other branch reads."""
    read = {blob for one in placed.values() for blob in one.reads}
    return tuple(prefix for prefix, one in placed.items() if qualify(prefix, one.branch.seam) not in read)


def _members(branches: Message, placed: Mapping[str, Placed]) -> Dict[str, Set[str]]:
    """Return the names of each branch's layers; those of a net alone are of the empty prefix."""
    members: Dict[str, Set[str]] = {prefix: set() for prefix in placed}
    for layer in branches.layer:
        members.setdefault(owner(placed, layer.name) or "", set()).add(layer.name)
    return members


def require_fitting(built: Built, how: Join, view: NetView) -> None:
    """Raise GraphError where the seams cannot be joined, or a branch reads another's blob of the wrong shape.

    `view` is of the built net, whose inputs it gives shapes, (N, C, H, W).
    """
    blobs = view.shapes.blobs
    for one in built.placed.values():
        for blob, spec in one.reads.items():
            made = owner(built.placed, blob) is not None
            if made and spec is not None:
                _require_read(one, blob, blobs.get(blob), spec)
    require_joinable(how, {prefix: blobs.get(built.seams[prefix]) for prefix in built.joined})


def _require_read(one: Placed, blob: str, shape: Shape, spec: Input) -> None:
    """Raise GraphError where a branch reads a blob of another shape than its net was made for."""
    expected: Shape = spec.declared
    if spec.batched:
        # Of images whose size nothing declares, and of what is made of them, the channels are known.
        lengths: Optional[Sequence[Length]] = spec.shape or ((spec.channels, None, None) if spec.channels else None)
        expected = None if lengths is None else (None, *lengths)
    if expected is None or may_be_alike(shape, expected):
        return
    prefix, own, made_for = one.branch.prefix, one.own.get(blob), any_batch_text(expected)
    belief = f"its own {own!r} has {made_for}" if own else f"its net was made for {made_for}"
    remedy = "cut the front elsewhere"
    if blob == next(iter(one.reads)):
        remedy += f", or give {branch_option(prefix, 'shape', 'C', 'H', 'W')} where it takes this shape too"
    raise GraphError(f"branch {prefix!r} reads {blob!r} of shape {any_batch_text(shape)}, but {belief}; {remedy}")


def _parts(fusion: Fusion) -> Dict[str, BranchSpec]:
    """Return the branches as they are to be built: those of an ensemble with their own classifiers."""
    parts = fusion.specs
    _require_distinct(list(parts))
    _require_heads(fusion)
    if not fusion.ensemble:
        return parts
    if fusion.heads:
        raise GraphError("an ensemble's answer is the join of its branches' own: it takes no head")
    if len(parts) < 2 or fusion.join.kind not in ("mean", "max"):
        raise GraphError("an ensemble is the mean or the max of at least two branches; choose one of these joins")
    return {
        prefix: dataclasses.replace(part, builder=partial(_classified, part.builder, fusion.classes))
        for prefix, part in parts.items()
    }


def _require_heads(fusion: Fusion) -> None:
    """Raise GraphError for classifiers that are given twice, have no classes, or share a name."""
    if fusion.classes is not None and fusion.heads:
        raise GraphError("classes is short for one head: give either classes or heads")
    if fusion.classes is not None and fusion.classes < 1:
        raise GraphError(f"{fusion.classes} classes: a classifier needs at least 1")
    heads = fusion.all_heads
    head_names = [head.name for head in heads]
    if len(heads) > 1 and (None in head_names or len(set(head_names)) < len(heads)):
        named = either("--head digit=10 --head parity=2", "heads=[Head(10, 'digit'), Head(2, 'parity')]")
        raise GraphError(f"several heads need names of their own, as in {named}")


def _classified(
    builder: Builder, classes: Optional[int], net: Any, bottom: Any, prefix: str = "", **options: Any
) -> Branch:
    """Build a branch with its own classifier and the softmax of its scores. Of one that was cut at a blob of the
    user's choice, that blob is the scores, or their softmax already."""
    before = len(net.tops)
    branch = taking(builder, options.get("inputs", {}))(net, bottom, prefix, **options)
    if branch.top.fn.type_name == "Softmax":
        return branch
    count = classes or branch.classes
    if branch.classifier is None:
        scores = branch.top
    elif count is None:
        raise GraphError(f"its classifier {branch.classifier!r} needs a number of classes; give {name_of('classes')}")
    elif branch.head is not None:
        scores = branch.head(net, count)
    else:
        scores = blocks.fc(net, qualify(prefix, branch.classifier.format(classes=count)), branch.top, count)
    seam = Naming(_names_since(net, before), stem(prefix)).free("prob")
    net[seam] = netspec().layers.Softmax(scores)
    return dataclasses.replace(branch, seam=local(prefix, seam) or seam, top=net[seam], channels=count)


def _names_since(net: Any, count: int) -> Set[str]:
    """Return the names of what has been written into a NetSpec since it had so many Tops, of a branch alone."""
    part = netspec().NetSpec()
    part.tops.update(islice(net.tops.items(), count, None))
    return names_in(_message(part))


def _named(fusion: Fusion, naming: Naming) -> Join:
    """Return the join; that of an ensemble is called `prob`, for it is the answer."""
    if fusion.ensemble and fusion.join.blob is None:
        return dataclasses.replace(fusion.join, blob=naming.near("prob"))
    return fusion.join


def _add_ends(
    net: Any, fusion: Fusion, joined: Sequence[Branch], top: Any, naming: Naming, *, deploy: bool
) -> Dict[str, int]:
    """Add what follows the join: heads with their losses, or the answers to deploy. Return the labels that they read,
    each with the numbers that one image has in it."""
    labels: Dict[str, int] = {}
    if fusion.ensemble and not deploy:
        label = _open(net, naming)
        labels[label] = 1
        net[naming.free("accuracy")] = netspec().layers.Accuracy(top, net[label], include={"phase": TEST})
    for head in fusion.all_heads:
        scores, naming = _scores(net, joined, top, head, naming)
        ends = naming.behind(f"{head.name}_") if len(fusion.all_heads) > 1 else naming
        if deploy:
            add_answer(net, scores, head, ends)
            continue
        label = _open(net, ends)
        labels[label] = head.label_length
        add_loss(net, scores, net[label], head, ends)
    auxiliary = joined[0].auxiliary if joined[0].prefix == "" and len(labels) == 1 else None
    if auxiliary is not None:
        auxiliary(net, fusion.all_heads[0].classes, net[next(iter(labels))])
    return labels


def _open(net: Any, naming: Naming) -> str:
    """Add the input of a label and return its blob."""
    usual = naming.full(LABEL)
    if usual in net.tops and net.tops[usual].fn.type_name == "Input":
        raise GraphError(f"the label blob {usual!r} is there already: give that input or branch another name")
    label = naming.free(LABEL)
    net[label] = netspec().layers.Input()
    return label


def _scores(net: Any, joined: Sequence[Branch], top: Any, head: Head, naming: Naming) -> Tuple[Any, Naming]:
    """Add a head up to its scores; a net alone, of which nothing else is said, gets the classifier it was published
    with. Return the scores, and what gives names that are free now."""
    own = joined[0]
    if own.prefix == "" and own.head is not None and top is own.top and head == Head(head.classes):
        scores = own.head(net, head.classes)
        return scores, Naming(names_in(_message(net)))
    usual = (own.classifier or "fc{classes}").format(classes=head.classes)
    return add_scores(net, top, head, usual, naming), naming


def _opened(message: Message, placed: Mapping[str, Placed], labels: Mapping[str, int]) -> Message:
    """Return the net, under its name, without the Inputs that stood for its inputs and labels."""
    opened = {blob for one in placed.values() for blob in one.reads if owner(placed, blob) is None}.union(labels)
    found = {one.branch.net_name for one in placed.values()}
    name = found.pop() if len(found) == 1 and "" not in found else "Fusion"
    kept = [layer for layer in message.layer if not (is_open_input(layer) and opened.issuperset(layer.top))]
    return type(message)(name=name, layer=kept)


def _require_sound(built: Built, fusion: Fusion, of_phases: Views) -> None:
    """Raise GraphError for what is wrong with the net, of which the views are, its inputs included."""
    tested = of_phases[TEST]
    # Before the general check: it knows of the join only that some Concat's bottoms do not fit.
    require_fitting(built, fusion.join, _sized(built, tested))
    require_sound_views(tested.net, of_phases, "the net as built", built.seams)
    _require_assigned(tested.net, built.net)


def _sized(built: Built, view: NetView) -> NetView:
    """Return the view for one image, or for the batch that the sources declare where the net takes no other."""
    alone, *others = [
        view.with_inputs(agreement.in_batches(built.inputs, batch))
        for batch in (1, agreement.declared_batch(built.inputs))
        if batch
    ]
    return others[0] if alone.misfits and others else alone


def _message(net: Any) -> Message:
    try:
        return net_written(net)
    except Exception as error:
        # NetSpec looks at a layer's arguments only now.
        raise GraphError(f"a builder gave a layer an argument that it does not take: {error}") from error


def _require_assigned(message: Message, net: Any) -> None:
    """Refuse automatic names anywhere: NetSpec renames the first of two Tops of one name in silence.

    A layer from a file may be called Convolution1 there.
    """
    chosen = {*net.tops, *carried_names(net)}
    for layer in message.layer:
        for blob in layer.top:
            if blob not in net.tops:
                raise GraphError(
                    f"layer {layer.name!r} ({layer.type}): its top has the automatic name {blob!r}: the Top was not "
                    f"assigned, or its name was given to another (by {name_of('head')} or {name_of('blob')}, say); "
                    "choose different names"
                )
        if has_automatic_name(layer) and layer.name not in chosen:
            raise GraphError(f"the net as built: {misnamed(layer, '')}")


def _require_distinct(prefixes: Sequence[str]) -> None:
    """Raise GraphError for prefixes that cannot stand in one fusion."""
    if not prefixes:
        example = either("--branch odd=lenet", "Fusion({'odd': lenet})")
        raise GraphError(f"no branch given; name at least one, as in {example}")
    if "" in prefixes and len(prefixes) > 1:
        raise GraphError(
            "the empty prefix is for a net alone: in a fusion it would claim the head too; name each branch"
        )
    if DATA in prefixes and len(prefixes) > 1:
        raise GraphError(f"the prefix {DATA!r} is the name of the input that all branches read; choose another")
    _require_apart(prefixes)


def _require_apart(prefixes: Sequence[str]) -> None:
    """Raise GraphError where the names of one branch could be those of another."""
    count = Counter(map(stem, prefixes))
    doubled = sorted(prefix for prefix in prefixes if count[stem(prefix)] > 1)
    if doubled:
        listed = " and ".join(map(repr, doubled))
        raise GraphError(f"two branches have the prefix {listed}: their layers would get the same names")
    for one, other in overlapping(prefixes):
        raise GraphError(
            f"the prefixes {one!r} and {other!r} overlap: what begins with {stem(other)!r} begins with {stem(one)!r} "
            "too, and nobody could tell whose layer it is; choose prefixes of which none begins another"
        )
