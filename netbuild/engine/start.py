"""The first that a child process runs, in an interpreter that may be another than the caller's.

The caller hands it over as text (`python -c`), with a job as JSON. One line on standard output answers: who we are, or
why nothing can be done here (`interpreter.refusal` puts it in words). Also an old Python has to understand this
text, so that it can say that it is one: no annotations, no f-strings.
"""

import json
import os
import sys


def answer(line):
    # type: (str) -> None
    """Write one line to the caller."""
    os.write(1, (line + "\n").encode("ascii", "replace"))


def refuse(why):
    # type: (str) -> None
    """Say why, and end."""
    answer("no " + why)
    sys.exit(1)


def require(module):
    # type: (str) -> None
    """Refuse where there is no such module; none is loaded."""
    from importlib.util import find_spec

    try:
        found = find_spec(module)
    except ImportError:
        found = None
    if found is None:
        refuse("module " + module)


def start(job):
    # type: (dict[str, object]) -> None
    """Run the job's function with netbuild's code from the caller's folder; of the caller's other modules, what the
    Python layers of its nets are looked for in."""
    if sys.version_info < (3, 8):  # noqa: UP036 - any Python may be named
        refuse("python " + ".".join(map(str, sys.version_info[:2])))
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    # Where `-c` looks first: the current folder, which is no place for modules.
    if sys.path[:1] == [""]:
        del sys.path[0]
    os.environ.update(job["environment"])  # type: ignore[call-overload]
    try:
        if job["folder"]:
            os.chdir(str(job["folder"]))
    except OSError:
        refuse("folder")
    code = str(job["code"])
    first = os.path.join(code, "__init__.py")  # noqa: PTH118 - quicker than pathlib
    if not os.path.isfile(first):  # noqa: PTH113
        refuse("code")
    for module in job["modules"]:  # type: ignore[attr-defined]
        require(module)
    spec = spec_from_file_location("netbuild", first, submodule_search_locations=[code])
    package = module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules["netbuild"] = package
    spec.loader.exec_module(package)  # type: ignore[union-attr]
    child = import_module("netbuild.engine.child")
    # Where Python layers lie, as their authors run them. Last: nothing there stands for a module of ours.
    sys.path.extend(job["path"])  # type: ignore[arg-type]
    answer(child.WORD)
    child.main(job["function"], spells_flags=job["flags"])


if __name__ == "__main__":
    start(json.loads(sys.argv[1]))
