"""What the command line prints: lines, JSON, notes, colours, and how much of it.

Results go to stdout; notes and progress to stderr. Colours only repeat what words say: green what is proved, yellow
what deserves a look, red what is wrong. They are left out where the output is no terminal, and where NO_COLOR is set.
"""

from __future__ import annotations

import os
from typing import Any, Callable, List, Optional

import click

from netbuild.errors import printable
from netbuild.extras import getting, have

GOOD, ODD, BAD = "green", "yellow", "red"
COMPLETING = "_NETBUILD_COMPLETE"
"""The variable that a shell sets when it wants a command line completed."""
_LOG_LEVEL = "GLOG_minloglevel"
"""The variable that Caffe's log library reads, and netbuild where it runs Caffe: 0 shows all of the log."""
_QUIET = "netbuild.quiet"


def verbosity_options() -> List[click.Parameter]:
    """Return -v and -q, which every command takes, before its name and after."""
    quiet = click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_when_given(_be_quiet),
        help="Print results and errors only: no notes, no progress.",
    )
    verbose = click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_when_given(_be_verbose),
        help="Show Caffe's own log too.",
    )
    return [quiet, verbose]


def _when_given(act: Callable[[click.Context], None]) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
        if given:
            act(ctx)

    return callback


def _be_quiet(ctx: click.Context) -> None:
    ctx.find_root().meta[_QUIET] = True


def _be_verbose(ctx: click.Context) -> None:
    before = os.environ.get(_LOG_LEVEL)
    os.environ[_LOG_LEVEL] = "0"

    def restore() -> None:
        os.environ.pop(_LOG_LEVEL)
        os.environ.update({} if before is None else {_LOG_LEVEL: before})

    ctx.find_root().call_on_close(restore)


def is_quiet() -> bool:
    """Tell whether only results and errors are to be printed."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.find_root().meta.get(_QUIET))


def say(line: Any, *, colour: Optional[str] = None, err: bool = False) -> None:
    """Print one line. Control characters in names and paths are escaped: they could command the terminal."""
    click.secho(printable(str(line)), fg=colour, err=err)


def say_json(report: Any) -> None:
    """Print a report as JSON."""
    import json

    click.echo(json.dumps(report, indent=2))


def note(text: Any) -> None:
    """Say on stderr what deserves a look."""
    if not is_quiet():
        say(f"note: {text}", colour=ODD, err=True)


def can_draw(what: str) -> bool:
    """Tell whether pictures can be drawn; where not, a note says why, before the work whose result they would show."""
    if not have("matplotlib"):
        note(f"no {what}: they need matplotlib: {getting('matplotlib')}")
    return have("matplotlib")


def wrote(path: Any) -> None:
    """Say that a file was written."""
    if not is_quiet():
        say(f"wrote {path}")


def no_colours() -> bool:
    """Tell whether the environment asks for no colours (no-color.org), or the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
