"""Options that mean the same in every command."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, TextIO, Tuple, TypeVar

import click

from netbuild.errors import GraphError, did_you_mean, printable, require_finite

from .builders import complete_file, complete_net, complete_pair
from .console import is_quiet

Function = TypeVar("Function", bound=Callable[..., Any])
Value = TypeVar("Value")


def pairs(kind: str, *, repeat: bool = False) -> Callable[..., Dict[str, Any]]:
    """Return a callback that parses repeated KEY=VALUE into a dict and refuses a key given twice.

    With `repeat` a key may be given several times, and the dict holds lists.
    """

    def parse(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Dict[str, Any]:
        parsed: Dict[str, Any] = {}
        for value in values:
            key, equals, rest = value.partition("=")
            if not equals or not rest:
                raise click.BadParameter(f"{value!r}: expected {param.metavar}")
            if key in parsed and not repeat:
                raise click.BadParameter(f"{kind} {key!r} is given twice; each needs its own")
            parsed[key] = [*parsed.get(key, []), rest] if repeat else rest
        return parsed

    return parse


def keyed(convert: Callable[[str], Value], *, repeat: bool = False) -> Callable[..., Any]:
    """Return a callback that parses repeated [KEY=]VALUE into a dict; the key of a bare VALUE is ''.

    `convert` makes a value of its text and raises ValueError for one it cannot take. With `repeat` a key may be given
    several times, and the dict holds lists.
    """

    def parse(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Dict[str, Any]:
        parsed: Dict[str, Any] = {}
        for value in values:
            key, equals, rest = value.partition("=")
            if not equals or Path(value).exists():
                key, rest = "", value
            if key in parsed and not repeat:
                raise click.BadParameter(f"{value!r}: {repr(key) if key else 'all'} has one already")
            try:
                made = convert(rest)
            except ValueError as error:
                raise click.BadParameter(f"{value!r}: expected {param.metavar} ({error})") from None
            parsed[key] = [*parsed.get(key, []), made] if repeat else made
        return parsed

    return parse


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


def require_weights(branches: Mapping[str, str], weights: Mapping[str, str]) -> None:
    """Raise UsageError where a branch has a net and no weights, or the reverse."""
    if set(branches) != set(weights):
        odd_ones = ", ".join(sorted(set(branches) ^ set(weights)))
        raise click.UsageError(f"each branch needs --branch and --weights; one of them is missing for {odd_ones}")


def unknown_prefix(option: str, key: str, branches: Iterable[str]) -> click.UsageError:
    """Return the error of an option that is given for a prefix which no branch has."""
    known = list(branches)
    hint = did_you_mean(key, known, f"the branches are {', '.join(known)}" if known else "there is no --branch")
    return click.UsageError(f"--{option.replace('_', '-')} {key}: no branch has this prefix; {hint}")


def lengths(text: str) -> Tuple[int, ...]:
    """Return comma-separated whole numbers, each at least 1."""
    parsed = tuple(int(part) for part in text.split(","))
    if min(parsed) < 1:
        raise ValueError("each at least 1")
    return parsed


def finite(text: str) -> float:
    """Return a number as a net can hold it, in 32 bits."""
    value = float(text)
    try:
        require_finite("it", [value])
    except GraphError:
        raise ValueError("a finite number") from None
    return value


def _factor(text: str) -> float:
    value = finite(text)
    if not value:
        raise ValueError("not 0, which makes all images alike")
    return value


def _labels(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def labels_option(help_text: str) -> Callable[[Function], Function]:
    """--labels [PREFIX=]L,L,..., repeated."""
    return click.option("--labels", metavar="[PREFIX=]L,L,...", multiple=True, callback=keyed(_labels), help=help_text)


def _mean(text: str) -> Tuple[float, ...]:
    return () if text == "none" else tuple(finite(part) for part in text.split(","))


def mean_option(default: str) -> Callable[[Function], Function]:
    """--mean [PREFIX=]V[,V,V], repeated."""
    return click.option(
        "--mean",
        metavar="[PREFIX=]V[,V,V]",
        multiple=True,
        callback=keyed(_mean),
        help=f"Mean value, or one per channel (B,G,R); 'none' for no mean.  [default: {default}]",
    )


def scale_option(default: str) -> Callable[[Function], Function]:
    """--scale [PREFIX=]FACTOR, repeated."""
    return click.option(
        "--scale",
        metavar="[PREFIX=]FACTOR",
        multiple=True,
        callback=keyed(_factor),
        help=f"Factor after the mean is subtracted.  [default: {default}]",
    )


def whose(prefix: str) -> str:
    """Return how reports call what has this prefix."""
    return prefix or "layers without a prefix"


def counted(number: int, what: str) -> str:
    """Return '1 layer', '2 layers'."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def aligned(rows: Sequence[Sequence[str]], left: Sequence[str]) -> List[str]:
    """Return the lines of a table whose first row is its heading; columns headed by one of `left` begin on the left."""
    cells = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    fit = [str.ljust if name in left else str.rjust for name in rows[0]]
    return ["  ".join(pad(cell, width) for pad, cell, width in zip(fit, row, widths)).rstrip() for row in cells]


def output_folder_option(function: Function) -> Function:
    """-o/--output DIR."""
    return click.option("-o", "--output", metavar="DIR", required=True, help="Folder to write to; made if need be.")(
        function
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
over_2gb_option = click.option(
    "--over-2gb", is_flag=True, help="Write a caffemodel although it is larger than Caffe reads."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, write nothing.")
gpu_option = click.option("--gpu", type=int, metavar="N", help="Run Caffe on this GPU; default: on the CPU.")


def workers_options(function: Function) -> Function:
    """--workers N and --scheduler ADDRESS."""
    workers = click.option(
        "--workers", type=click.IntRange(1), help="Processes that compute features.  [default: one for each core]"
    )
    scheduler = click.option(
        "--scheduler", metavar="tcp://HOST:PORT", help="Have the features computed by this Dask cluster."
    )
    return workers(scheduler(function))


def numbers(count: Sequence[int]) -> Callable[[click.Context, click.Parameter, Optional[str]], Any]:
    """Return a callback that parses comma-separated whole numbers, as many as one of `count`."""

    def parse(_ctx: click.Context, param: click.Parameter, value: Optional[str]) -> Optional[Tuple[int, ...]]:
        if value is None:
            return None
        try:
            parsed = tuple(int(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"{value!r}: expected {param.metavar}, whole numbers") from None
        if len(parsed) not in count or min(parsed) < 1:
            raise click.BadParameter(f"{value!r}: expected {param.metavar}, each at least 1")
        return parsed

    return parse


def progress(total: int, label: str) -> Any:
    """Return click's progress bar on stderr; it is silent where that is no terminal."""
    stderr = click.get_text_stream("stderr")
    return click.progressbar(length=total, label=label, file=stderr if _shows(stderr) else io.StringIO())


def _shows(stream: TextIO) -> bool:
    return stream.isatty() and not is_quiet()


def byte_progress(label: str) -> Callable[[int, int], None]:
    """Return a function that shows on stderr how many bytes of all are done (0: not known).

    It is silent where stderr is no terminal, and in the first second: what is done by then needs no progress.
    """
    stderr = click.get_text_stream("stderr")
    began = time.monotonic()
    shown = False

    def show(done: int, size: int) -> None:
        nonlocal shown
        shown = shown or (_shows(stderr) and time.monotonic() - began > 1)
        if shown:
            share = f" of {size / 2**20:.1f}" if size else ""
            click.echo(f"\r{label} {done / 2**20:.1f}{share} MiB", err=True, nl=done == size)

    return show
