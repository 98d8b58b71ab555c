"""What to say of the data of a net before it is written: what no source declares, what only the user can do."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Mapping, Tuple

from ..branches.branch import Input
from ..branches.declared import cut_text, described, values_text
from ..layers import any_batch_text
from ..schema import TEST, TRAIN
from ..spelling import either
from .accord import expected_size
from .source import AS_DECLARED, AS_IT_IS, DataSource


def notes(blob: str, doubts: Mapping[str, str], declared: Input, given: DataSource) -> List[str]:
    """Return what to say of one input and its data, as the caller gave it; `doubts` is what its branches leave open
    (`Built.doubts`), `declared` what they declare (`Built.inputs`).

    What the caller has decided is not said.
    """
    source = given.of_input(declared)
    if source.kind in AS_IT_IS:
        return _to_prepare(blob, doubts, source) if given.input is AS_DECLARED else []
    if source.input != declared:
        return _different(blob, declared, source)
    open_ones = [sentence for option, sentence in doubts.items() if not _decided(option, source)]
    said = [f"input {blob!r}: {sentence}" for sentence in open_ones]
    return [*said, *(_sizes(blob, source) if source.kind == "image" else _to_store(blob, source))]


def _different(blob: str, declared: Input, source: DataSource) -> List[str]:
    """Return in what a source prepares its images differently than the branches declare, but for its own options."""
    said = _differing(declared, source)
    if not said:
        return []
    found, expected = ("; ".join(texts) for texts in zip(*said.values()))
    return [
        f"input {blob!r}: the data layer prepares images otherwise than those that its branches were trained on: "
        f"{found}; they tell: {expected}. Leave out the source's input to do as they tell, or say what is true in "
        "BranchSpec(mean=, scale=, shape=)"
    ]


def _differing(declared: Input, source: DataSource) -> Dict[str, Tuple[str, str]]:
    """Return what a source does and what the branches declare, in words: of values, and of the cut in each phase."""
    found: Dict[str, Tuple[str, str]] = {}
    if declared.prepared and not source.mean_file:
        found["values"] = values_text(_short(source.input)), values_text(_short(declared))
    size, expected = source.size(), expected_size(declared, source)
    found["size"] = any_batch_text((None, *size)), any_batch_text((None, *expected))
    shape = declared.shape or source.input.shape
    as_declared = dataclasses.replace(source, input=dataclasses.replace(declared, shape=shape, disputed=()))
    for name, phase in (("TRAIN", TRAIN), ("TEST", TEST)):
        if declared.cut(phase) and not declared.disputed:
            cuts = [cut_text(one.cut(phase)) for one in (source, as_declared)]
            found[name] = f"in {name} {cuts[0]}", f"in {name} {cuts[1]}"
    return {name: texts for name, texts in found.items() if texts[0] != texts[1]}


def _short(declared: Input) -> Input:
    """Return the same with one mean where those of all channels are equal."""
    return dataclasses.replace(declared, mean=declared.mean[:1]) if len(set(declared.mean)) == 1 else declared


def _decided(option: str, source: DataSource) -> bool:
    if option in ("resize", "root_folder") and source.kind != "image":
        return True
    return option != "mean" and getattr(source, option) is not None


def _to_prepare(blob: str, doubts: Mapping[str, str], source: DataSource) -> List[str]:
    """Return how the caller has to prepare what the net takes as it is; nothing where all take any values alike."""
    declared = source.input
    wanted = dataclasses.replace(
        declared, train=None, test=declared.test if declared.test and any(declared.test) else None
    )
    if wanted == dataclasses.replace(wanted, mean=(), scale=1.0, mean_file=None, test=None):
        return []
    say = f"data of kind {source.kind} is taken as it is; give {blob!r} images that are {described(wanted)}"
    return [say, *(f"input {blob!r}: {doubts['mean']}" for _ in range("mean" in doubts))]


def _sizes(blob: str, source: DataSource) -> List[str]:
    """Return what to say of images cropped from files, where they were cropped from a database's."""
    cut = source.cut(TEST)
    if not (source.input.from_database and cut.crop and not cut.resize):
        return []
    return [
        f"input {blob!r}: its images came from a database, and nothing tells to what size they had been resized; now "
        f"they are cropped from files of whatever size. Say "
        f"{either('--resize H,W (often 256,256)', 'resize=(H, W), often (256, 256)')}"
    ]


def _to_store(blob: str, source: DataSource) -> List[str]:
    """Return in which size a database has to hold images that were resized for the branches."""
    crop = source.cut(TEST).crop
    size = source.input.test.resize if source.input.test else None
    if size is None and source.input.resize and not crop:
        size = (source.shape[1], source.shape[2])
    wanted = dict(source.input.disputed).get("resize") or (size and "{} x {}".format(*size))
    if not wanted:
        return []
    return [
        f"a database's images are taken in the size in which they are stored, and the branches that read {blob!r} were "
        f"trained on images resized to {wanted}{' before the crop' if crop else ''}: store them so"
    ]
