"""The one-direction rule: a module imports only modules that stand above its own, in its room and in the house.

Imports within functions count as well: a circle that is hidden in a function is a circle.
"""

import ast
import subprocess
import sys

import pytest
from source_code import path_of, sources

REST = "*"
"""Stands for all modules of a room that are not named: they import nothing of each other."""

ENTRY = "__main__"
"""What `python -m netbuild` runs: it starts the command line, and is no part of the library."""

ROOMS = [
    *("errors", "extras", "spelling", "names", "files", "what_is", "pictures"),
    *("schema", "weights"),
    *("engine", "solving", "proto"),
    "layers",
    "graph",
    *("blocks", "branches", "fusion"),
    *("data", "soundness", "costs"),
    *("emit", "fuse"),
    *("verify", "evaluation", "doctor", "features", "train"),
    *("show", "demo_folder", "demo"),
    ENTRY,
]
INNER = {
    "schema": [
        *("layer_types", "definitions", "kept", "forks", "loaded", "pycaffe", "messages", "dialects", "own_netspec"),
        "programs",
    ],
    "solving": ["sensible", "nets", "snapshots"],
    "engine": ["caffe", "plain", "ending", "interpreter", "child", "start"],
    "proto": ["decoding", "lines", "unknown", "braces", "needs", "text", "binary", "state", "upgrade", "net", "forms"],
    "weights": [
        *("wire", "model", "values", "entry", "places", "caffemodel", "layout", "tree", "hdf5", "formats", "index"),
        *("copier", "write", "digest", "compare", "figures"),
    ],
    "layers": [
        *("lengths", "row", "answers", "sources", "windows", "pooling", "pointwise", "arrange", "learned", "norms"),
        *("detection", "segmentation", "mixing", "motion", "footage"),
        *("recurrent", "losses", "fork_table", "table", "fields", "arity", "in_place", "fillers", "costs", "roles"),
        *("inference", "training", "reading"),
    ],
    "graph": [
        *(
            "flow",
            "backward",
            "phases",
            "view",
            "dominators",
            "overwriting",
            "weighted",
            "definition",
            "apart",
            "check",
            "stored",
            "feed",
            "judges",
        ),
        *("cut", "rename", "freeze", "share", "frozen", "branches", "makers", "filled", "differences"),
    ],
    # Builders are the rest: a new one needs no row here.
    "branches": ["branch", "calling", "given", REST, "table", "declared", "written", "part", "prototxt", "source"],
    "fusion": ["naming", "preparation", "agreement", "wiring", "learning", "joins", "heads", "assemble"],
    "data": ["images", "listing", "means", "lists", "outside", "download", "mnist", "digits"],
    "soundness": [
        *(
            "data_fault",
            "headers",
            "child",
            "images",
            "labels",
            "hdf5",
            "databases",
            "means",
            "one_size",
            "together",
            "sources",
            "check",
        ),
    ],
    "emit": ["stamp", "source", "lookup", "accord", "batches", "doubts", "labels", "layers", "files", "named"],
    "fuse": [
        *("fit", "problem", "declared", "options", "decision", "plan", "entries", "writer", "definitions"),
        *("mismatch", "sharing"),
        *("head", "planned", "sidecar", "origin", "provenance", "fuse", "convert", "inputs", "extract", "live"),
        "contents",
    ],
    "costs": ["memory", "sizes", "summary"],
    # The engine is named, not imported, by what starts its process.
    "verify": ["samples", "images", "beginnings", "branches", "blobs", "child", "stored", "engines", "opencv"],
    "evaluation": ["figures", "ensembles", "scorer", "score", "results", "child"],
    "doctor": ["selftest", "runs", "layers", "training", "table", "facts", "child", "gate", "report", "install"],
    "features": ["split", "listing", "part", "child", "cluster", "store", "record", "make"],
    "show": ["words", "modules", "picture", "drawing", "findings", "report"],
    "train": [
        *("events", "log", "job", "solverstate", "prepare", "reach", "head", "watch", "snapshots", "child"),
        *("follow", "run", "grid"),
    ],
}
# Commands are the rest: they import nothing of each other.
CLI = ["words", "console", "complete", "values", "options", "progress", "builders", "heads", "fusing", REST, "main"]


class NoPlaceError(Exception):
    """A module that the lists above do not know."""


def place(module, rooms, inner):
    """Return (room, place in the room) of a module such as 'weights.wire'.

    A package's own `__init__`, its table of contents, stands after its modules.
    """
    room, _, name = module.partition(".")
    if room not in rooms and REST not in rooms:
        raise NoPlaceError(
            f"{module} has no place: put {room!r} into ROOMS in tests/test_layering.py, below all rooms that it imports"
        )
    number = rooms.index(room if room in rooms else REST)
    if not name:
        return number, len(inner.get(room, []))
    order = inner.get(room, [])
    if name not in order and REST not in order:
        raise NoPlaceError(
            f"{module} has no place: put {name!r} into INNER[{room!r}] in tests/test_layering.py, below all modules of "
            "its room that it imports"
        )
    return number, order.index(name if name in order else REST)


def package_of(module, known):
    is_package = any(other.startswith(f"{module}.") for other in known) or not module
    return module.split(".") if is_package else module.split(".")[:-1]


def imports(module, text, known):
    """Yield the modules of its own package that a module imports, wherever in it; `known` are all modules.

    A name that is no module stands for the module that it comes from, and nothing for the package's own `__init__`.
    """
    package = package_of(module, known)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            source = ".".join([*base, *([node.module] if node.module else [])])
            named = [f"{source}.{alias.name}".lstrip(".") for alias in node.names]
            yield from filter(None, (name if name in known else source for name in named))


def absolute_imports(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def upward(texts, rooms, inner):
    """Return a sentence for each import that does not go upward in the lists, and for each module without a place."""
    sentences = []
    for module, text in texts.items():
        if not module:
            continue
        try:
            own = place(module, rooms, inner)
            sentences += [
                f"{module} imports {target}, which does not stand above it in tests/test_layering.py"
                for target in imports(module, text, texts)
                if place(target, rooms, inner) >= own
            ]
        except NoPlaceError as error:
            sentences.append(str(error))
    return list(dict.fromkeys(sentences))


def unused(texts, rooms, inner):
    """Return the places that no module has."""
    named = [*rooms, *(f"{room}.{name}" for room, names in inner.items() for name in names)]
    return [name for name in named if not name.endswith(REST) and name not in texts]


def test_imports_go_one_way():
    texts = sources("netbuild")
    assert not upward(texts, ROOMS, INNER)
    assert not unused(texts, ROOMS, INNER)
    assert sum(len(list(imports(module, text, texts))) for module, text in texts.items()) > 500


def test_imports_of_the_command_line_go_one_way():
    texts = sources("netbuild_cli")
    assert not upward(texts, CLI, {})
    assert not unused(texts, CLI, {})


def test_a_builder_needs_no_row():
    """A file more among the builders is in order, unless it reads another builder."""
    builder = "from .branch import Branch\nfrom ..blocks import conv\n"
    texts = {**sources("netbuild"), "branches.mine": builder}
    assert not upward(texts, ROOMS, INNER)
    texts["branches.mine"] = "def mine():\n    from .lenet import lenet\n"
    assert upward(texts, ROOMS, INNER) == [
        "branches.mine imports branches.lenet, which does not stand above it in tests/test_layering.py"
    ]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({"a": "from .b import x", "b": ""}, "a imports b, which"),
        ({"a": "def f():\n    from . import b", "b": ""}, "a imports b, which"),
        ({"a": "if TYPE_CHECKING:\n    from .b.two import X", "b": "", "b.one": "", "b.two": ""}, "a imports b.two"),
        ({"b": "", "b.one": "from .two import x", "b.two": "from .one import y"}, "b.one imports b.two"),
        ({"b": "", "b.one": "from . import x", "b.two": ""}, "b.one imports b, which"),
        ({"b": "", "b.one": "from ..c import x", "b.two": "", "c": ""}, "b.one imports c, which"),
        ({"b": "", "b.three": ""}, "b.three has no place: put 'three' into INNER['b']"),
        ({"d": ""}, "d has no place: put 'd' into ROOMS"),
    ],
)
def test_what_goes_the_other_way_is_told(texts, sentence):
    rooms, inner = ["a", "b", "c"], {"b": ["one", "two"]}
    assert [found for found in upward(texts, rooms, inner) if found.startswith(sentence)]
    assert not upward({"b": "", "b.one": "from ..a import x", "b.two": "from .one import x", "a": ""}, rooms, inner)


def test_the_library_imports_itself_relatively():
    """So that no import escapes these tests."""
    for package in ("netbuild", "netbuild_cli"):
        for module, text in sources(package).items():
            assert package not in {name.split(".")[0] for name in absolute_imports(text)}, path_of(package, module)


def test_the_library_does_not_know_the_command_line():
    for module, text in sources("netbuild").items():
        if module == ENTRY:
            assert text.splitlines()[2:] == [
                "from netbuild_cli.main import main",
                "",
                'if __name__ == "__main__":',
                "    main()",
            ]
            continue
        assert "netbuild_cli" not in text, module
        assert "click" not in text, module


def test_weights_are_bytes_only():
    """No net, no Caffe, no target: what reads and writes weight files knows nothing but files and errors."""
    texts = sources("netbuild")
    for module in filter(lambda name: name.split(".")[0] == "weights", texts):
        rooms = {target.split(".")[0] for target in imports(module, texts[module], texts)}
        assert rooms <= {"weights", "errors", "extras", "spelling", "names", "files", "what_is"}, module


def test_only_the_door_imports_caffe():
    for module, text in sources("netbuild").items():
        assert "caffe" not in {name.split(".")[0] for name in absolute_imports(text)}, module


def test_only_the_other_engine_imports_opencv():
    found = {module for module, text in sources("netbuild").items() if "cv2" in set(absolute_imports(text))}
    assert found == {"verify.opencv"}


def test_importing_netbuild_loads_nothing_heavy():
    code = "import sys, netbuild; assert not {'numpy', 'caffe', 'google.protobuf', 'click'} & set(sys.modules); netbuild.Fusion"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_of_the_table_of_contents_are_there():
    import netbuild

    for name in netbuild.__all__:
        assert getattr(netbuild, name) is not None
