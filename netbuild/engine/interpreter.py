"""Which Caffe computes: the interpreter that child processes run in.

It is the one that the caller names (`--caffe`, or `using_caffe`), else the one in the variable NETBUILD_CAFFE. Where
nobody names one it is the first that there is: this interpreter, if it has pycaffe, or that of the private environment
that `netbuild doctor --install` makes. A named one is taken or refused, and never replaced by another.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Tuple

from ..errors import CaffeError, printable
from ..extras import getting, package_of
from ..files import user_folder
from ..spelling import either, name_of

VARIABLE = "NETBUILD_CAFFE"
INSTALL = "netbuild doctor --install"
CODE = Path(__file__).parent.parent
"""The folder of netbuild's own code, which a child process reads it from."""
OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
"""Variables that would let another Python look for the modules of this one."""
_HERE = "this process"
_NAMED: ContextVar[Optional[str]] = ContextVar("caffe", default=None)


class Interpreter(NamedTuple):
    """A command that runs Python with Caffe."""

    command: Tuple[str, ...]
    """The interpreter, or what runs one elsewhere: its arguments follow."""
    source: str
    """Who chose it, in words: 'NETBUILD_CAFFE'."""
    is_this: bool = False
    """Whether it is the interpreter that runs now."""

    @property
    def reason(self) -> str:
        """Why it is this one."""
        if self.is_this and self.source == _HERE:
            return "this Python has a Caffe"
        if self.source == INSTALL:
            return f"this Python has none, and {INSTALL} made one"
        return f"{self.source} names it"

    @property
    def line(self) -> str:
        """The command as one types it."""
        return " ".join(map(shlex.quote, self.command))

    @property
    def title(self) -> str:
        """What messages call it."""
        return printable(f"the Python of {self.source} ({self.line})")


@contextmanager
def using_caffe(command: Optional[str]) -> Iterator[None]:
    """Let the Caffe of another Python compute for as long as this lasts.

    Args:
        command: The path of a Python that has Caffe, numpy and protobuf, as in a virtual environment; or a command line
            that runs one, as `docker run --rm -i -v /work:/work IMAGE python3`. None leaves the choice to netbuild.

    Returns:
        A context, for `with`.

    Raises:
        CaffeError: When something is computed: there is no such Python, or it has no Caffe.

    Examples:
        >>> from netbuild import Scorer, score_nets, using_caffe
        >>> odd = Scorer("odd/train_val.prototxt", "odd.caffemodel")
        >>> with using_caffe("caffe-env/bin/python"):
        ...     found = score_nets(odd, "digits/test_odd.txt")
    """
    token = _NAMED.set(command)
    try:
        yield
    finally:
        _NAMED.reset(token)


def named() -> Optional[str]:
    """Return the command that the caller named; None where it named none."""
    return _NAMED.get()


def is_named() -> bool:
    """Tell whether anybody named one, be it in the environment."""
    return bool(_NAMED.get() is not None or os.environ.get(VARIABLE))


def chosen() -> Interpreter:
    """Return the interpreter whose Caffe is to compute; raises CaffeError where there is none."""
    command, by_variable = _NAMED.get(), os.environ.get(VARIABLE)
    if command is not None:
        return _of(command, name_of("caffe"))
    if by_variable:
        return _of(by_variable, VARIABLE)
    lack = lack_here()
    if not lack:
        return this()
    if installed_python().exists():
        return Interpreter((str(installed_python()),), INSTALL)
    raise CaffeError(
        f"no Caffe found: this Python ({sys.executable}) {lack}; there is none of {INSTALL} in "
        f"{str(installed_folder())!r}. {INSTALL} brings one, or name the Python that has yours with "
        f"{either('--caffe', 'using_caffe')} or {VARIABLE}"
    )


def this() -> Interpreter:
    """Return the interpreter that runs now."""
    return Interpreter((sys.executable,), _HERE, is_this=True)


def lack_here() -> str:
    """Return why this interpreter has no Caffe, '' where it has one for all that can be seen without loading it."""
    try:
        spec = importlib.util.find_spec("caffe")
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "has no module called caffe"
    folders = list(spec.submodule_search_locations or ())
    if any(Path(folder, f"_caffe{suffix}").exists() for folder in folders for suffix in EXTENSION_SUFFIXES):
        return ""
    return f"has a module called caffe ({spec.origin or folders[0]}) without an engine for it (_caffe)"


def installed_folder() -> Path:
    """Return the folder of the private environment that `netbuild doctor --install` makes."""
    return user_folder("XDG_DATA_HOME", "~/.local/share", "~/Library/Application Support") / "caffe"


def installed_python() -> Path:
    """Return the interpreter in it."""
    return installed_folder() / "bin" / "python"


def _of(command: str, source: str) -> Interpreter:
    """Return the interpreter that a command line names; raises CaffeError for one that cannot be read."""
    file = Path(command).expanduser()
    try:
        # A path may have blanks.
        words = [str(file)] if file.exists() else shlex.split(command)
    except ValueError as error:
        raise CaffeError(f"{source}: {command!r} is no command line ({error})") from None
    if not words:
        raise CaffeError(f"{source}: is empty; name a Python that has Caffe")
    words[0] = str(Path(words[0]).expanduser()) if words[0].startswith("~") else words[0]
    here = words == [sys.executable] or (len(words) == 1 and Path(words[0]).absolute() == Path(sys.executable))
    return Interpreter(tuple(words), source, is_this=here)


def not_run(interpreter: Interpreter, error: OSError) -> CaffeError:
    """Return the sentence for a command that the system does not run."""
    first = interpreter.command[0]
    if Path(first).is_dir():
        why = f"is a folder; name the Python in it ({str(Path(first) / 'bin' / 'python')!r})"
    elif isinstance(error, FileNotFoundError):
        why = "is not there" if "/" in first else "is no command on PATH"
    elif isinstance(error, PermissionError):
        why = "may not be executed"
    else:
        why = f"cannot be run on this machine ({error.strerror}): is it for another architecture?"
    return _sentence(interpreter, f"{first!r} {why}")


def refusal(interpreter: Interpreter, answer: str) -> CaffeError:
    """Return the sentence for a child that answers with another line than the one that is expected (see `start`)."""
    word, _, what = answer.partition(" ")
    kind, _, detail = what.partition(" ")
    if word == "netbuild":
        return _sentence(interpreter, f"it runs another version of netbuild ({answer}): let both have the same code")
    if word != "no":
        return _sentence(interpreter, f"it printed {answer!r} where nothing but netbuild may print")
    if kind == "python":
        return _sentence(interpreter, f"it is a Python {detail}; 3.8 or newer is needed, with a Caffe built for it")
    if kind == "code":
        return _sentence(interpreter, f"it does not see netbuild's code: {_mount(str(CODE.parent))}")
    if kind == "folder":
        return _sentence(interpreter, f"it does not see the current folder: {_mount(str(Path.cwd()))}")
    if detail == "caffe":
        return _sentence(interpreter, "it has no Caffe: there is no Python module called caffe")
    return _sentence(
        interpreter, f"it has no {package_of(detail)}: install it there ({interpreter.line} -m {getting(detail)})"
    )


def _mount(folder: str) -> str:
    return f"mount {folder!r} under the same path (docker run -v {shlex.quote(folder)}:{shlex.quote(folder)} ...)"


def _sentence(interpreter: Interpreter, what: str) -> CaffeError:
    otherwise = "" if interpreter.is_this or interpreter.source == INSTALL else "; nothing else was tried"
    return CaffeError(f"{interpreter.title}: {what}{otherwise}")
