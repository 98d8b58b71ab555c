"""netbuild summary."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Dict, List, Optional, Sequence, Tuple

import click

from netbuild.costs.summary import LayerCost, MemoryNeed, Summary, Total, summarize
from netbuild.emit.named import named_net
from netbuild.errors import printable, some
from netbuild.layers import any_batch_text

from .builders import complete_net
from .console import note, say
from .options import aligned, counted, json_option, keyed, lengths

_MEMORIES = (2, 4, 8, 12, 16, 24)
"""GiB that machines and cards of today and yesterday have."""


@click.command("summary")
@click.argument("net", metavar="NET", shell_complete=complete_net)
@click.option("--prefix", "prefixes", multiple=True, help="A branch, where the names do not tell; repeat for several.")
@click.option("--classes", type=click.IntRange(1), help="Of a builder: the net that trains, with so many classes.")
@click.option(
    "--shape",
    "sizes",
    metavar="BLOB=N,C,H,W",
    multiple=True,
    callback=keyed(lengths),
    help="Shape of an input, where the net does not tell it.",
)
@click.option("--batch", type=click.IntRange(1), help="Items in a batch.  [default: as the net says]")
@click.option(
    "--memory",
    "memories",
    type=click.FloatRange(0, min_open=True),
    metavar="GIB",
    multiple=True,
    help="Tell the largest batch for this memory; repeat for several.  [default: 2 to 24]",
)
@click.option("--totals", is_flag=True, help="Leave the single layers out.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print the layers as CSV.")
def command(
    net: str,
    prefixes: Sequence[str],
    classes: Optional[int],
    sizes: Dict[str, Tuple[int, ...]],
    batch: Optional[int],
    memories: Sequence[float],
    totals: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Tell what NET, a prototxt or a builder, is made of and costs: layers, parameters, multiply-adds, memory.

    Frozen is what training does not change. Memory is what Caffe takes on the CPU, reckoned layer by layer: values,
    gradients where the backward pass goes, what layers keep. No Caffe net is built.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if "" in sizes:
        raise click.UsageError("--shape needs the name of an input: --shape data=1,3,224,224")
    found = summarize(named_net(net, classes), prefixes=prefixes, shapes=sizes, batch=batch)
    budgets = [int(one * 2**30) for one in memories or _MEMORIES]
    if as_json:
        click.echo(json.dumps(_as_dict(found, budgets), indent=2))
        return
    if as_csv:
        click.echo(_csv(found.layers), nl=False)
        return
    for line in [*([] if totals else [*_layers(found), ""]), *_totals(found), *_needs(found, budgets)]:
        say(line)
    _remarks(found, net)


def _layers(found: Summary) -> List[str]:
    heading = ["LAYER", "TYPE", "SHAPE", "PARAMETERS", "STATE", "MULTIPLY-ADDS", *_phases(found)]
    rows = [
        [
            cost.name,
            cost.type,
            any_batch_text(cost.shape) if cost.shape != () else "one value",
            _number(cost.parameters),
            cost.state,
            _number(cost.multiply_adds),
            *_memory(found, cost),
        ]
        for branch in dict.fromkeys([*found.branches, ""])
        for cost in found.layers
        if cost.branch == branch
    ]
    return aligned([heading, *rows], ["LAYER", "TYPE", "SHAPE", "STATE"])


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
    return [f"{phase} MIB" for phase in ("TRAIN", "TEST") if any(phase in cost.phases for cost in found.layers)]


def _memory(found: Summary, one: LayerCost | Total) -> List[str]:
    taken = {"TRAIN MIB": one.train_bytes, "TEST MIB": one.test_bytes}
    here = one.phases if isinstance(one, LayerCost) else ("TRAIN", "TEST")
    return [_mib(taken[phase]) if phase.split()[0] in here else "" for phase in _phases(found)]


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
    told = (f"{need.largest_batch(memory):,} in {memory / 2**30:g} GiB" for memory in budgets)
    return f"largest batch that fits: {', '.join(told)}"


def _remarks(found: Summary, net: str) -> None:
    for sentence in found.faults:
        note(sentence)
    if found.unknown:
        open_ones = some(found.unknown, 3)
        note(
            f"{net}: {counted(len(found.unknown), 'layer')} of unknown shape ({open_ones}): not in the totals; "
            "where it is the input that is unknown, give its shape, as in --shape data=1,3,224,224"
        )


def _as_dict(found: Summary, budgets: Sequence[int]) -> Dict[str, object]:
    told = dataclasses.asdict(found)
    for name in ("training", "testing"):
        need: Optional[MemoryNeed] = getattr(found, name)
        fits = need and [{"memory": memory, "largest_batch": need.largest_batch(memory)} for memory in budgets]
        told[name] = need and {**need._asdict(), "total": need.total, "fits": fits}
    return told


def _csv(layers: Sequence[LayerCost]) -> str:
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
    return "?" if size is None else f"{size / 2**20:,.1f}"
