"""netbuild summary."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple, Union

import click

from netbuild.errors import printable, some

from .complete import complete_net
from .console import note, say, say_json
from .options import classes_option, json_option, prefixes_option, shapes_option, state_options
from .words import aligned, counted, mib

if TYPE_CHECKING:
    from netbuild.costs.summary import LayerCost, MemoryNeed, Summary, Total

_MEMORIES = (2, 4, 8, 12, 16, 24)
"""GiB that machines and cards of today and yesterday have."""


@click.command("summary")
@click.argument("net", metavar="NET", shell_complete=complete_net)
@prefixes_option("Prefix of a branch, if the names do not show it")
@classes_option
@state_options
@shapes_option("Shape of an input whose shape the net does not declare.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Items in a batch.  [default: from the net]")
@click.option(
    "--memory",
    "memories",
    type=click.FloatRange(0, min_open=True),
    metavar="GIB",
    multiple=True,
    help="Show the largest batch that fits in this memory; repeat for several.  [default: 2 to 24]",
)
@click.option("--totals", is_flag=True, help="Print the totals only, not each layer.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print the layers as CSV.")
def command(
    net: str,
    prefixes: Sequence[str],
    classes: Optional[int],
    stages: Sequence[str],
    level: Optional[int],
    shapes: Dict[str, Tuple[int, ...]],
    batch: Optional[int],
    memories: Sequence[float],
    totals: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show what NET, a prototxt or a builder, consists of and costs: layers, parameters, multiply-adds, memory.

    A layer is frozen if training does not change it. Memory is what Caffe needs on the CPU. It is computed layer by
    layer: values, gradients where the backward pass goes, and what layers keep. No Caffe net is built.
    """
    from netbuild.costs.summary import summarize
    from netbuild.emit.named import named_net

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    message = named_net(net, classes, stages=stages, level=level)
    found = summarize(message, prefixes=prefixes, shapes=shapes, batch=batch)
    budgets = [int(one * 2**30) for one in memories or _MEMORIES]
    if as_json:
        say_json(_as_dict(found, budgets))
        return
    if as_csv:
        click.echo(_csv(found.layers), nl=False)
        return
    for line in [*([] if totals else [*_layers(found), ""]), *_totals(found), *_needs(found, budgets)]:
        say(line)
    _remarks(found, net)


def _layers(found: Summary) -> List[str]:
    heading = ["LAYER", "TYPE", "SHAPE", "PARAMETERS", "STATE", "MULTIPLY-ADDS", *_phases(found)]
    by_branch: Dict[str, List[LayerCost]] = defaultdict(list)
    for cost in found.layers:
        by_branch[cost.branch].append(cost)
    rows = [_row(found, cost) for branch in dict.fromkeys([*found.branches, ""]) for cost in by_branch[branch]]
    return aligned([heading, *rows], ["LAYER", "TYPE", "SHAPE", "STATE"])


def _row(found: Summary, cost: LayerCost) -> List[str]:
    from netbuild.layers import any_batch_text

    shape = any_batch_text(cost.shape)
    figures = [_number(cost.parameters), cost.state, _number(cost.multiply_adds)]
    return [cost.name, cost.type, shape, *figures, *_memory(found, cost)]


def _totals(found: Summary) -> List[str]:
    heading = ["BRANCH", "LAYERS", "PARAMETERS", "TRAINABLE", "MULTIPLY-ADDS", *_phases(found)]
    names = {"": "(no branch)", None: "total"}
    rows = [
        [
            names.get(total.branch, str(total.branch)),
            str(total.layers),
            *map(_exact, (total.parameters, total.learning, total.multiply_adds)),
            *_memory(found, total),
        ]
        for total in found.totals
    ]
    return aligned([heading, *rows], ["BRANCH"])


def _phases(found: Summary) -> List[str]:
    return [f"{phase} MIB" for phase in found.phases]


def _memory(found: Summary, one: Union[LayerCost, Total]) -> List[str]:
    """Return the memory of a layer, or of a branch, in each phase of the net; empty for a phase the layer is not in."""
    sizes = {"TRAIN MIB": one.train_bytes, "TEST MIB": one.test_bytes}
    here = getattr(one, "phases", ("TRAIN", "TEST"))
    return [_mib(sizes[phase]) if phase.split()[0] in here else "" for phase in _phases(found)]


def _needs(found: Summary, budgets: Sequence[int]) -> List[str]:
    lines: List[str] = []
    if found.training is not None:
        need = found.training
        parts = f"parameters, their gradients and SGD's history {_mib(need.parameters)}"
        beside = f", the net in TEST {_mib(need.tested)}" if need.tested else ""
        lines += [
            "",
            f"training at batch {need.batch} takes {_mib(need.total)} MiB: {parts}, convolutions' columns "
            f"{_mib(need.columns)}{beside}, the batch {_mib(need.growing)}",
            _fits(need, budgets),
        ]
    if found.testing is not None:
        need = found.testing
        lines += [
            "",
            f"a pass in TEST at batch {need.batch} takes {_mib(need.total)} MiB: parameters {_mib(need.parameters)}, "
            f"convolutions' columns {_mib(need.columns)}, the batch {_mib(need.growing)}",
            _fits(need, budgets),
        ]
    return lines


def _fits(need: MemoryNeed, budgets: Sequence[int]) -> str:
    fitting = (f"{need.largest_batch(memory):,} in {memory / 2**30:g} GiB" for memory in budgets)
    return f"largest batch that fits: {', '.join(fitting)}"


def _remarks(found: Summary, net: str) -> None:
    for sentence in found.faults:
        note(sentence)
    if found.unknown:
        open_ones = some(found.unknown, 3)
        note(
            f"{net}: {counted(len(found.unknown), 'layer')} of unknown shape ({open_ones}): not in the totals; "
            "if the shape of an input is unknown, give it, as in --shape data=1,3,224,224"
        )
    uncounted = [one.name for one in found.layers if one.parameters is None and one.name not in found.unknown]
    if uncounted:
        open_ones = some(uncounted, 3)
        number = counted(len(uncounted), "layer")
        note(f"{net}: {number} with parameters of unknown number ({open_ones}): these are not in the totals")


def _as_dict(found: Summary, budgets: Sequence[int]) -> Dict[str, object]:
    needs = {"training": _need(found.training, budgets), "testing": _need(found.testing, budgets)}
    return {**dataclasses.asdict(found), **needs}


def _need(need: Optional[MemoryNeed], budgets: Sequence[int]) -> Optional[Dict[str, object]]:
    if need is None:
        return None
    fits = [{"memory": memory, "largest_batch": need.largest_batch(memory)} for memory in budgets]
    return {**need._asdict(), "total": need.total, "fits": fits}


def _csv(layers: Sequence[LayerCost]) -> str:
    import csv
    import io

    from netbuild.costs.summary import LayerCost

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(LayerCost)])
    for cost in layers:
        shape = "" if cost.shape is None else "x".join("?" if one is None else str(one) for one in cost.shape)
        named = map(printable, (cost.branch, cost.name, cost.type))
        writer.writerow([*named, " ".join(cost.phases), shape, *dataclasses.astuple(cost)[5:]])
    return text.getvalue()


def _number(value: Optional[int]) -> str:
    return "?" if value is None else _exact(value) if value else ""


def _exact(value: int) -> str:
    return f"{value:,}"


def _mib(size: Optional[int]) -> str:
    return "?" if size is None else mib(size)
