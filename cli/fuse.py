"""netbuild fuse."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

import click

from netbuild import names
from netbuild.errors import did_you_mean, some
from netbuild.fuse.decision import Copy
from netbuild.fuse.fit import blob_text
from netbuild.fuse.fuse import Fused, fuse_weights
from netbuild.fuse.options import CHANNELS, CopyOptions, HeadStart
from netbuild.fuse.planned import Planned

from .console import say, say_json
from .options import dry_run_option, in_state, json_option, over_2gb_option, state_options, weights_option
from .progress import byte_progress
from .values import keyed, labels, one_of, pairs
from .words import whose


def _start(text: str) -> HeadStart:
    layer, colon, classes = text.rpartition(":")
    return HeadStart(labels(classes), layer if colon else None)


@click.command("fuse")
@click.argument("targets", metavar="TARGET.prototxt", nargs=-1, required=True)
@weights_option(
    "The trained weights of a branch (.caffemodel or .h5). If several files are given for one branch, a layer comes "
    "from the last file that has it. The empty prefix (=FILE) is for layers without a prefix.",
    required=True,
    repeat=True,
)
@click.option("-o", "--output", metavar="FILE", required=True, help="File to write; HDF5 if its name ends in .h5.")
@click.option(
    "--split", is_flag=True, help="Write one file for each branch, and print the solver's lines that load them."
)
@click.option(
    "--map",
    "maps",
    metavar="PREFIX:LAYER=NAME",
    multiple=True,
    callback=pairs("layer"),
    help="Fill LAYER of the branch PREFIX from the layer that the file calls NAME.",
)
@click.option("--partial", is_flag=True, help="Accept layers that no file has; their fillers set them.")
@click.option(
    "--reshape",
    metavar="LAYER",
    multiple=True,
    help="Fill LAYER although the shapes differ, if the number of values is the same: odd/fc6 from a convolution, or "
    "the reverse.",
)
@click.option(
    "--channels",
    metavar=f"LAYER={'|'.join(CHANNELS)}",
    multiple=True,
    callback=pairs("layer", one_of(CHANNELS)),
    help="Convert the kernel of LAYER from colour to a grey input, or from grey to colour: the mean or the sum over "
    "its channels, or a kernel that sees the mean or the sum of the three channels. From three to several, such as "
    "stacked optical flow, each gets the mean.",
)
@click.option(
    "--accept",
    metavar="PARAMETER",
    multiple=True,
    help="Accept layers that differ in this parameter (such as dilation) from their definition in the file.",
)
@over_2gb_option
@click.option(
    "--init-head",
    "head",
    metavar="PREFIX=[LAYER:]CLASSES",
    multiple=True,
    callback=keyed(_start),
    help="Fill the new classifier from the classifier that the branch was trained with. CLASSES are the new classes "
    "that its outputs stand for, in order: odd=1,3,5,7,9. Give it once for each branch.",
)
@state_options
@dry_run_option
@json_option
def command(
    targets: Sequence[str],
    weights: Dict[str, List[str]],
    output: str,
    split: bool,
    dry_run: bool,
    as_json: bool,
    stages: Sequence[str],
    level: Optional[int],
    **wishes: Any,
) -> None:
    """Copy the trained weights of several branches into one caffemodel for the net TARGET.

    With --weights odd=FILE, the layer conv1 of FILE fills the layer odd/conv1 of TARGET. No data is read and no Caffe
    net is built. If anything is missing, ambiguous or does not fit, all of it is listed and nothing is written.
    FILE.json, written beside the output FILE, records what it is made of.
    """
    choices = _choices(weights, **wishes)
    target = in_state(_target(targets), stages, level)
    fused = fuse_weights(
        target, weights, output, choices, split=split, dry_run=dry_run, on_progress=byte_progress("copying")
    )
    if as_json:
        say_json(_as_dict(fused, weights, output, dry_run))
        return
    copies = _copies(fused.plan.copies, in_full=dry_run)
    for line in [*copies, *_decided(fused.planned, weights), *_outcome(fused, weights, dry_run, split)]:
        say(line)


def _target(targets: Sequence[str]) -> str:
    if len(targets) > 1:
        raise click.UsageError(
            f"expected one TARGET.prototxt, found {' and '.join(targets)}; weights are given as --weights PREFIX=FILE, "
            "and the file to write as -o FILE"
        )
    return targets[0]


def _choices(
    weights: Iterable[str],
    maps: Mapping[str, str],
    head: Mapping[str, HeadStart],
    **options: Any,
) -> CopyOptions:
    unknown = sorted(set(head) - set(weights))
    if unknown:
        hint = did_you_mean(unknown[0], weights, f"they are given for {', '.join(weights)}")
        raise click.UsageError(f"--init-head {unknown[0]}: no --weights are given for this prefix; {hint}")
    full = {}
    for key, name in maps.items():
        prefix, colon, layer = key.partition(":")
        full[names.qualify(prefix, layer) if colon and prefix in weights else key] = name
    return CopyOptions(maps=full, head=head, **options)


def _copies(copies: Iterable[Copy], *, in_full: bool) -> Iterator[str]:
    """Yield a line for each copy that is not plain: one layer to the layer of the same name, unchanged."""
    for copy in copies:
        change = _change(copy)
        if in_full or change or copy.source != names.local(copy.prefix, copy.target):
            shapes = ", ".join(map(blob_text, copy.shapes))
            yield f"{copy.target}  <-  {copy.path}: {copy.source}  ({shapes}){change}"


def _decided(planned: Planned, weights: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a line for each decision that the user should know of."""
    plan = planned.plan
    for layer, path in plan.overridden:
        yield f"passed over, a later file has it: {layer} from {path}"
    for prefix, paths in weights.items():
        if plan.unused[prefix]:
            yield f"not wanted from {' and '.join(paths)}: {', '.join(plan.unused[prefix])}"
    if planned.head:
        yield f"begins as the branches' own classifiers: {planned.head}"
    for difference in planned.accepted:
        yield f"accepted: {difference}"
    yield from _without_values(planned)


def _without_values(planned: Planned) -> Iterator[str]:
    if planned.untrained:
        yield f"BatchNorm with factor 0 (never trained, or never loaded): {some(planned.untrained)}"
    if planned.plan.missing:
        yield f"in none of their branch's files: {', '.join(planned.plan.missing)}"
    if planned.plan.left_to_fillers:
        yield f"left to their fillers: {', '.join(planned.plan.left_to_fillers)}"


def _change(copy: Copy) -> str:
    """Return how the values change when they are copied, after a comma."""
    if copy.channels:
        return f", the {copy.channels} over its channels ({blob_text(copy.blobs[0].shape)})"
    if copy.reshaped:
        return f", reshaped ({', '.join(blob_text(blob.shape) for blob in copy.blobs)})"
    return ""


def _outcome(fused: Fused, weights: Mapping[str, Sequence[str]], dry_run: bool, split: bool) -> Iterator[str]:
    if dry_run:
        listed = " and ".join(fused.files)
        yield f"dry run: {fused.plan.blob_count()} blobs fit; {listed} was not written"
        return
    for path, size in fused.files.items():
        yield f"wrote {path} ({size:,} bytes)"
    if split:
        yield "for the solver, which loads them in order:"
        yield from (f'weights: "{path}"' for path in fused.files)
    for prefix, paths in weights.items():
        count = fused.plan.blob_count(prefix)
        yield f"{count} of {count} blobs of {whose(prefix)} bit-equal to {' and '.join(paths)}"


def _as_dict(fused: Fused, weights: Mapping[str, Sequence[str]], output: str, dry_run: bool) -> Dict[str, object]:
    plan = fused.plan
    return {
        "output": output,
        "bytes_written": None if dry_run else sum(size or 0 for size in fused.files.values()),
        "files": dict(fused.files),
        "branches": {
            prefix: {
                "file": paths[-1],
                "files": list(paths),
                "blobs": plan.blob_count(prefix),
                "bit_equal": not dry_run,
                "not_wanted": list(plan.unused[prefix]),
            }
            for prefix, paths in weights.items()
        },
        "copies": [
            {
                "target": copy.target,
                "file": copy.path,
                "source": copy.source,
                "shapes": [list(shape) for shape in copy.shapes],
                "reshaped": copy.reshaped,
                "channels": copy.channels,
            }
            for copy in plan.copies
        ],
        "passed_over": [{"target": layer, "file": path} for layer, path in plan.overridden],
        "head_from_branches": fused.planned.head,
        "accepted": list(fused.planned.accepted),
        "untrained_batch_norms": list(fused.planned.untrained),
        "missing": list(plan.missing),
        "left_to_fillers": list(plan.left_to_fillers),
    }
