"""The `netbuild` command: a subcommand's module is imported when it is called, so that help is quick."""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import threading
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Callable, Iterator, List, Optional, Set

import click

from netbuild import __version__
from netbuild.errors import NetbuildError, NetbuildWarning, did_you_mean, printable
from netbuild.spelling import flags

from .console import BAD, COMPLETING, no_colours, note, verbosity_options

_COMMANDS = {
    "check": "List everything in a net that Caffe would refuse, and the blobs where it can be cut.",
    "completion": "Print the script that lets your shell complete commands and options.",
    "convert": "Bring a weight file up to date, or convert it between caffemodel and HDF5.",
    "data": "Write images and list files of MNIST or of scikit-learn's digits.",
    "demo": "Fuse two LeNets, from data to accuracy, in one command.",
    "diff": "Show what differs between two nets, compared as nets and not as text.",
    "doctor": "Show which Caffe is used, and test that it computes what netbuild relies on.",
    "draw": "Draw a net: branches, frozen and trainable layers, shapes.",
    "emit": "Write a net, or branches fused into one net, as prototxt files.",
    "eval": "Report how often nets are right on a list of images: fused, branches alone, ensembles.",
    "extract": "Take a branch out of a fused net, graph and weights, with its own names.",
    "features": "Compute once, and keep, the features that the head of a net reads.",
    "fuse": "Copy the trained weights of several branches into one caffemodel.",
    "report": "Write one HTML page with everything known about a fusion.",
    "summary": "Show what a net consists of and costs: layers, parameters, multiply-adds, memory.",
    "train": "Train with Caffe's own solver: log, curves, snapshots, resume.",
    "verify": "Prove that each branch computes the same in the fused net as it did alone.",
    "view": "Open a net or a weight file in Netron.",
    "weights": "List a weight file: layers, blobs, shapes, statistics of the values.",
}


_OF_CAFFE = {
    "--snapshot": "what Caffe calls so is --resume FILE.solverstate, of netbuild train",
    "--model": "the net is an argument, without an option before it",
    "--iterations": "how long is --max-iter N, of netbuild train",
}
"""What options of Caffe's own command are here."""

# To look for circles in what is loaded, all of which stays, takes a fifth of a small command's time. Python does so for
# each seven hundred new objects, and once more at the end, when all goes with the process.
gc.set_threshold(100_000)
atexit.register(gc.freeze)


class _Failure(click.ClickException):
    """An error that the user caused, in one message."""

    def show(self, file: Any = None) -> None:
        color = False if no_colours() else None
        click.echo(f"{click.style('Error:', fg=BAD)} {self.format_message()}", file=file, err=True, color=color)


def _shown(message: str) -> str:
    """Return a message as it can be printed. Its own line breaks stay; those of names in it are escaped."""
    return "\n".join(map(printable, message.split("\n")))


class _Netbuild(click.Group):
    """A group whose commands are a table; an error that a user can cause becomes one message and exit status 1."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        _take_verbosity(command)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if COMPLETING in os.environ:
            # Before click completes: its own way with bash does not see through PREFIX=VALUE.
            import_module(".completion", __package__)
        return super().main(*args, **kwargs)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[Any]:
        from click.shell_completion import CompletionItem

        # A group's own way would import each command, to see whether it is hidden.
        fitting = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=_COMMANDS[name]) for name in fitting), *options]

    def resolve_command(self, ctx: click.Context, args: List[str]) -> Any:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], _COMMANDS, "netbuild --help lists them all")
            raise click.UsageError(f"No such command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        if no_colours():
            ctx.color = False
        try:
            with _ending_cleanly(), warnings.catch_warnings(), flags():
                warnings.simplefilter("always", NetbuildWarning)
                warnings.showwarning = _noting_once()
                return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise _with_hint(error) from None
        except click.UsageError as error:
            vars(error)["message"] = _shown(error.message) + _pair_without_option(error)
            raise
        except click.ClickException as error:
            # Newer releases declare it final; there is no other way to the text of an error that click made.
            vars(error)["message"] = _shown(error.message)
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends in silence if its reader (head, less) has gone
        except Exception as error:
            sentence = _sentence(error)
            if sentence is None and os.environ.get("NETBUILD_DEBUG"):
                raise
            raise _Failure(sentence or _asking_for_a_report(error)) from error


def _pair_without_option(error: click.UsageError) -> str:
    """Return what to say of odd=lenet that stands alone among the arguments; '' where that is not what is wrong."""
    alone = re.match(r"Got unexpected extra arguments? \(.*?([^\s(=]+=[^\s)]+)", error.message)
    if alone is None or error.ctx is None:
        return ""
    known = [option for param in error.ctx.command.params for option in param.opts]
    options = [f"{option} {alone[1]}" for option in ("--branch", "--weights") if option in known]
    return f"; it goes with an option: {' or '.join(options)}" if options else ""


def _with_hint(error: click.NoSuchOption) -> click.UsageError:
    """Return the error of an option that a command does not have; with what is meant, where that can be known."""
    hint = _OF_CAFFE.get(error.option_name, "")
    known = {option for param in error.ctx.command.params for option in param.opts} if error.ctx is not None else set()
    if "--solver" in known and not hint:
        from netbuild.schema import schema

        field = error.option_name.strip("-").replace("-", "_")
        if field in schema().SolverParameter.DESCRIPTOR.fields_by_name:
            hint = f"a field of the solver is given as --solver {field}=VALUE"
    if hint:
        return click.UsageError(f"No such option: {_shown(error.option_name)}; {hint}", error.ctx)
    vars(error)["message"] = _shown(error.message)
    return error


def _sentence(error: Exception) -> Optional[str]:
    """Return what the user reads of an error; None for a fault of netbuild's own."""
    if isinstance(error, NetbuildError):
        return _shown(str(error))
    if isinstance(error, OSError):
        # The machine's fault, not ours: a full disk, a folder that was removed.
        where = f"{error.filename!r}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, UnicodeEncodeError):
        around = error.object[max(0, error.start - 60) : error.end + 20]
        return f"{around!r}: a name that is not UTF-8 does not go into these files; rename it"
    return None


def _asking_for_a_report(error: Exception) -> str:
    sentence = f"unexpected {type(error).__name__}: {printable(str(error))}"
    return f"{sentence}\nNETBUILD_DEBUG=1 shows where; please report it."


def _take_verbosity(command: click.Command) -> None:
    """Add -q and -v to a command and to its subcommands."""
    known = {option for param in command.params for option in param.opts}
    command.params += [param for param in verbosity_options() if not known & set(param.opts)]
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _take_verbosity(below)


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that no half-written file is left behind.

    Signals that are ignored (nohup) stay ignored. A program that runs a command in a thread keeps its signals.
    """

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    taken = [n for n in (signal.SIGTERM, signal.SIGHUP) if in_main and signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _noting_once() -> Callable[..., None]:
    """Return a function that shows a warning as a note, once in a command: several steps may build the same net."""
    said: Set[str] = set()

    def show(message: Any, *_where: Any, **_more: Any) -> None:
        if str(message) not in said:
            said.add(str(message))
            note(message)

    return show


@click.group(cls=_Netbuild, context_settings={"help_option_names": ["-h", "--help"]}, params=verbosity_options())
@click.version_option(__version__, prog_name="netbuild")
def main() -> None:
    """Write Caffe networks as programs, fuse trained branches into one net, prove it equal, train its head."""


if __name__ == "__main__":
    main()
