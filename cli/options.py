"""Options that mean the same in every command."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Sequence, TypeVar

import click

from netbuild.errors import did_you_mean

from .complete import complete_file, complete_net, complete_pair
from .values import channel_values, factor, keyed, labels, lengths, pairs, whole

Function = TypeVar("Function", bound=Callable[..., Any])

_FLAGS = {"wires": "input", "heads": "head", "stages": "stage", "levels": "level"}
"""Options whose flag is called otherwise than the parameter."""


def branch_option(help_text: str, metavar: str = "PREFIX=NET[@SEAM]") -> Callable[[Function], Function]:
    """--branch PREFIX=NET[@SEAM], repeated."""
    return click.option(
        "--branch",
        "branches",
        metavar=metavar,
        multiple=True,
        callback=pairs("prefix"),
        shell_complete=complete_pair(complete_net),
        help=help_text,
    )


def weights_option(help_text: str, *, required: bool = False, repeat: bool = False) -> Callable[[Function], Function]:
    """--weights PREFIX=FILE, repeated; with `repeat` several for one prefix."""
    return click.option(
        "--weights",
        metavar="PREFIX=FILE",
        multiple=True,
        required=required,
        callback=pairs("prefix", repeat=repeat),
        shell_complete=complete_pair(complete_file),
        help=help_text,
    )


def prefixes_option(otherwise: str) -> Callable[[Function], Function]:
    """--prefix PREFIX, repeated."""
    return click.option(
        "--prefix", "prefixes", metavar="PREFIX", multiple=True, help=f"{otherwise}; repeat for several."
    )


def require_weights(branches: Mapping[str, str], weights: Mapping[str, str]) -> None:
    """Raise UsageError where a branch has a net and no weights, or the reverse."""
    missing = [f"--weights {prefix}=FILE" for prefix in branches if prefix not in weights]
    missing += [f"--branch {prefix}=NET" for prefix in weights if prefix not in branches]
    if missing:
        raise click.UsageError(f"each branch needs --branch and --weights; missing: {', '.join(missing)}")


def flag(option: str) -> str:
    """Return the flag of an option: --frozen-to for frozen_to."""
    return f"--{_FLAGS.get(option) or option.replace('_', '-')}"


def unknown_prefix(option: str, key: str, branches: Iterable[str]) -> click.UsageError:
    """Return the error of an option that is given for a prefix which no branch has."""
    known = list(branches)
    hint = did_you_mean(key, known, f"the branches are {', '.join(known)}" if known else "there is no --branch")
    return click.UsageError(f"{flag(option)} {key}: no branch has this prefix; {hint}")


def shapes_option(help_text: str) -> Callable[[Function], Function]:
    """--shape BLOB=N,C,H,W, repeated."""
    return click.option(
        "--shape",
        "shapes",
        metavar="BLOB=N,C,H,W",
        multiple=True,
        callback=pairs("input", lengths),
        help=help_text,
    )


def labels_option(help_text: str) -> Callable[[Function], Function]:
    """--labels [PREFIX=]L,L,..., repeated."""
    return click.option("--labels", metavar="[PREFIX=]L,L,...", multiple=True, callback=keyed(labels), help=help_text)


def mean_option(default: str) -> Callable[[Function], Function]:
    """--mean [PREFIX=]V[,V,V], repeated."""
    return click.option(
        "--mean",
        metavar="[PREFIX=]V[,V,V]",
        multiple=True,
        callback=keyed(channel_values),
        help=f"Mean value, or one per channel (B,G,R); 'none' for no mean.  [default: {default}]",
    )


def scale_option(default: str) -> Callable[[Function], Function]:
    """--scale [PREFIX=]FACTOR, repeated."""
    return click.option(
        "--scale",
        metavar="[PREFIX=]FACTOR",
        multiple=True,
        callback=keyed(factor),
        help=f"Factor by which images are multiplied after the mean is subtracted.  [default: {default}]",
    )


def output_folder_option(function: Function) -> Function:
    """-o/--output DIR."""
    return click.option(
        "-o", "--output", metavar="DIR", required=True, help="Folder to write to; made if it is not there."
    )(function)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
over_2gb_option = click.option(
    "--over-2gb", is_flag=True, help="Write a caffemodel even if it is too large for Caffe to read."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
classes_option = click.option(
    "--classes",
    type=click.IntRange(1),
    metavar="N",
    help="For a builder: the net that trains, with N classes.",
)


def state_options(function: Function) -> Function:
    """--stage NAME, repeated, and --level N, of the one net that a command reads."""
    stage = click.option(
        "--stage",
        "stages",
        metavar="NAME",
        multiple=True,
        callback=_divided,
        help="Build the net with this stage, by which rules of its layers choose; repeat for several.",
    )
    level = click.option("--level", type=int, metavar="N", help="Build the net at this level.  [default: its own]")
    return stage(level(function))


def branch_state_options(bare: str) -> Callable[[Function], Function]:
    """--stage [PREFIX=]NAME, repeated, and --level [PREFIX=]N, of several nets: `state_of` has those of one.

    `bare` says whose a NAME without a PREFIX is.
    """
    stage = click.option(
        "--stage",
        "stages",
        metavar="[PREFIX=]NAME",
        multiple=True,
        callback=keyed(_stages, repeat=True),
        help=f"Build the net of the branch PREFIX, or {bare}, with this stage, by which rules of its layers choose; "
        "repeat for several.",
    )
    level = click.option(
        "--level",
        "levels",
        metavar="[PREFIX=]N",
        multiple=True,
        callback=keyed(whole),
        help="Build it at this level.  [default: its own]",
    )
    return lambda function: stage(level(function))


def state_of(prefix: str, options: Mapping[str, Any], *, otherwise: Optional[str] = None) -> Dict[str, Any]:
    """Return the stages and the level that `branch_state_options` have for a branch; else those of `otherwise`."""
    stages = options["stages"].get(prefix, options["stages"].get(otherwise, []))
    return {
        "stages": [stage for several in stages for stage in several],
        "level": options["levels"].get(prefix, options["levels"].get(otherwise)),
    }


def require_known_states(options: Mapping[str, Mapping[str, Any]], branches: Iterable[str]) -> None:
    """Raise UsageError where stages or a level are given for a prefix that no branch has."""
    known = list(branches)
    for option in ("stages", "levels"):
        for prefix in options[option]:
            if prefix and prefix not in known:
                raise unknown_prefix(option, prefix, known)


def in_state(net: Any, stages: Sequence[str] = (), level: Optional[int] = None) -> Any:
    """Return a net in this state, for the library; the net as it is, where none is given."""
    if not stages and level is None:
        return net
    from netbuild.proto import Staged

    return Staged(net, stages, level)


def _stages(text: str) -> Sequence[str]:
    """Return stages, between which Caffe's own tools have commas."""
    return text.split(",")


def _divided(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> Sequence[str]:
    return [stage for value in values for stage in _stages(value)]


gpu_option = click.option("--gpu", type=int, metavar="N", help="Run Caffe on this GPU.  [default: on the CPU]")


def caffe_option(function: Function) -> Function:
    """--caffe COMMAND: which Python computes, for as long as the command runs."""

    def name(ctx: click.Context, _param: click.Parameter, command: Optional[str]) -> None:
        if command is not None:
            from netbuild.engine.interpreter import using_caffe

            ctx.with_resource(using_caffe(command))

    return click.option(
        "--caffe",
        metavar="COMMAND",
        expose_value=False,
        callback=name,
        help="Python whose Caffe computes: its path, or a command line that runs it.  [default: NETBUILD_CAFFE, or the "
        "first that is found]",
    )(function)


def workers_options(function: Function) -> Function:
    """--workers N and --scheduler ADDRESS."""
    workers = click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Number of processes.  [default: one for each core]",
    )
    scheduler = click.option(
        "--scheduler", metavar="tcp://HOST:PORT", help="Compute the features on this Dask cluster."
    )
    return workers(scheduler(function))
