"""What a data layer has to give to each input of a net: what its readers declare of their images, put together."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ..branches.branch import Cut, Input
from ..branches.declared import values_text
from ..errors import GraphError
from ..layers.lengths import Shape, UnfitError, in_full, shape_text
from ..layers.lengths import merged as agreed_shape
from ..spelling import branch_option, either, name_of, option
from .preparation import Reads, readers, uneven

Readers = Mapping[str, Input]
"""What the branches that read one input declare of it, by prefix."""


def merged(reads: Reads) -> Dict[str, Input]:
    """Return what a data layer has to give to each input of the net; a mean and scale that all readers share included.

    Raises GraphError where the readers of one input need different sizes. Where they were cut differently to one size
    the result says so (`Input.disputed`): whoever makes the data layer has to choose.
    """
    raw = uneven(reads)
    return {blob: _agreed(blob, known, raw=blob in raw) for blob, known in readers(reads).items()}


def in_batches(inputs: Mapping[str, Input], batch: int) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of a net's inputs with N, for batches of this size, those that are known."""
    shapes = {blob: declared.in_full(batch) for blob, declared in inputs.items()}
    return {blob: shape for blob, shape in shapes.items() if shape is not None}


def declared_batch(inputs: Mapping[str, Input]) -> Optional[int]:
    """Return the N that the sources of all inputs declare, None where they declare several or none."""
    lengths = {one.declared[0] for one in inputs.values() if one.batched and one.declared}
    return lengths.pop() if len(lengths) == 1 else None


def _agreed(blob: str, known: Readers, *, raw: bool) -> Input:
    batched = all(one.batched for one in known.values())
    shape = _shape(blob, {prefix: _seen(one) if batched else one.declared for prefix, one in known.items()})
    both = {phase: _cuts(known, phase) for phase in ("test", "train")}
    agreed = dataclasses.replace(
        _first(known),
        shape=shape if batched or shape is None else shape[1:],
        channels=None if shape is not None else _only(_declared(known, lambda one: one.seen[0])),
        declared=_only(_declared(known, lambda one: one.declared)),
        batched=batched,
        test=_common(both["test"].values()),
        train=_common(both["train"].values()),
        decoded=next(iter(_declared(known, lambda one: one.decoded)), None),
        from_database=any(_declared(known, lambda one: one.from_database)),
        root_folder=_only(filter(None, _declared(known, lambda one: one.root_folder))) or "",
        disputed=_disputed(both),
    )
    return dataclasses.replace(agreed, mean=(), scale=1.0, mean_file=None) if raw else agreed


def _first(known: Readers) -> Input:
    """Return what the first branch declares that knows its preparation, or else the first at all."""
    inputs = list(known.values())
    prepared = [one for one in inputs if one.prepared]
    return next(iter([*prepared, *inputs]), Input(None))


def _declared(known: Readers, what: Callable[[Input], Any]) -> List[Any]:
    """Return what the branches declare of one thing, those that do."""
    return [value for value in map(what, known.values()) if value is not None]


def _shape(blob: str, seen: Mapping[str, Shape]) -> Optional[Tuple[int, ...]]:
    """Return the shape that all readers see, as far as each declares it; GraphError where they see different ones."""
    shapes = {prefix: shape for prefix, shape in seen.items() if shape is not None}
    try:
        return in_full(agreed_shape(list(shapes.values()))) if shapes else None
    except UnfitError:
        listed = _listed({prefix: shape_text(shape) for prefix, shape in shapes.items()})
        raise GraphError(
            f"the branches read the input {blob!r} in different sizes ({listed}): give one an input of its own "
            f"({branch_option('PREFIX', either('input', 'reads'), 'NAME')}), or one {name_of('shape')} to all"
        ) from None


def _seen(declared: Input) -> Shape:
    """Return what one reader sees without N, as far as it is declared."""
    if declared.shape is not None and len(declared.shape) != 3:
        return declared.shape
    return declared.seen if any(declared.seen) else None


def _cuts(known: Readers, phase: str) -> Dict[str, Cut]:
    cuts: Dict[str, Optional[Cut]] = {prefix: getattr(one, phase) for prefix, one in known.items()}
    return {prefix: cut for prefix, cut in cuts.items() if cut is not None}


def _common(cuts: Iterable[Cut]) -> Optional[Cut]:
    """Return the cut that all agree on, as far as they do; mirrored only where all are."""
    known = list(cuts)
    if not known:
        return None
    return Cut(_only(_sizes(known)), _only([cut.crop for cut in known]), all(cut.mirror for cut in known))


def _sizes(cuts: Iterable[Cut]) -> List[Tuple[int, int]]:
    """Return the sizes that are known: of images that are taken as they are stored nobody knows it."""
    return [cut.resize for cut in cuts if cut.resize]


def _only(values: Iterable[Any]) -> Any:
    """Return the one value that all are, None where there are several or none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _disputed(both: Mapping[str, Mapping[str, Cut]]) -> Tuple[Tuple[str, str], ...]:
    found: Dict[str, str] = {}
    for cuts in both.values():
        if len(set(_sizes(cuts.values()))) > 1:
            found["resize"] = _listed({p: "{} x {}".format(*cut.resize) for p, cut in cuts.items() if cut.resize})
        if len({cut.crop for cut in cuts.values()}) > 1:
            found["crop"] = _listed({p: f"{cut.crop} x {cut.crop}" if cut.crop else "none" for p, cut in cuts.items()})
    return tuple(found.items())


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{prefix}: {value}" if prefix else value for prefix, value in values.items())


def doubts(reads: Reads) -> Dict[str, Dict[str, str]]:
    """Return, of each input, what no source declares of its images or the sources declare differently, and what is done
    then: a sentence for each option that decides it ('mean', 'mirror', 'resize', 'root_folder')."""
    found = {}
    for blob, known in readers(reads).items():
        undeclared = _undeclared({prefix: blobs[blob] for prefix, blobs in reads.items() if blob in blobs})
        said = {"mean": undeclared, "mirror": _mirrored(known), "resize": _stored(known), "root_folder": _roots(known)}
        found[blob] = {option: sentence for option, sentence in said.items() if sentence}
    return found


def _undeclared(those: Mapping[str, Optional[Input]]) -> str:
    """Return a sentence for the branches whose source does not declare mean and scale."""
    prepared = {prefix: one for prefix, one in those.items() if one is not None and one.prepared}
    undeclared = [prefix for prefix in those if prefix not in prepared]
    if not undeclared:
        return ""
    who = f"the source of {' and of '.join(map(repr, undeclared))}" if undeclared != [""] else "the net"
    taken = "taken as raw pixels 0..255"
    for prefix, one in [*prepared.items()][:1]:
        taken = f"prepared as for {prefix!r} ({values_text(one)})"
    whose = undeclared[0]
    return (
        f"{who} does not tell how images were prepared; they are {taken}. Say "
        f"{branch_option(whose, 'mean', 'VALUE')} and {branch_option(whose, 'scale', 'FACTOR')} as in its training, or "
        f"{branch_option(whose, 'mean', either('none', '()'))} for raw pixels"
    )


def _mirrored(known: Readers) -> str:
    cuts = _cuts(known, "train")
    those = [prefix for prefix, cut in cuts.items() if cut.mirror]
    if not those or len(those) == len(cuts):
        return ""
    return (
        f"only {' and '.join(map(repr, those))} was trained on mirrored images; none is mirrored without "
        f"{option('mirror', True)}"
    )


def _stored(known: Readers) -> str:
    """Return a sentence where some cropped images of whatever size they had, and others say of which."""
    cuts = {prefix: cut for prefix, cut in _cuts(known, "test").items() if cut.crop}
    size = _only(_sizes(cuts.values()))
    those = [prefix for prefix, cut in cuts.items() if not cut.resize]
    if not size or not those:
        return ""
    return (
        f"{' and '.join(map(repr, those))} cropped images of the size in which they were stored; they are resized to "
        "{} x {} before, as for the others ({})".format(*size, either("--resize H,W", "resize=(H, W)"))
    )


def _of(values: Mapping[str, str]) -> str:
    """Return whose values these are: 'of a: x/, b: y/'; of a net alone 'x/'."""
    return f"of {_listed(values)}" if any(values) else _listed(values)


def _roots(known: Readers) -> str:
    roots = {prefix: one.root_folder for prefix, one in known.items() if one.root_folder}
    if not roots:
        return ""
    only = _only(roots.values())
    done = f"{only!r} is put in front of the lists' paths" if only else "nothing is put in front of the lists' paths"
    return f"{done} (root_folder {_of(roots)}); {option('root_folder', 'FOLDER')} says otherwise"
