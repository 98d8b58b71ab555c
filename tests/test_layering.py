"""The one-direction rule: a module imports only rooms that stand above its own."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [
    "errors",
    "spelling",
    "names",
    "files",
    "pictures",
    "weights",
    "engine",
    "solving",
    "proto",
    "layers",
    "graph",
    "blocks",
    "branches",
    "fusion",
    "data",
    "soundness",
    "costs",
    "emit",
    "fuse",
    "verify",
    "evaluation",
    "doctor",
    "features",
    "train",
    "show",
    "demo_folder",
    "demo",
]
INNER = {
    "solving": ["sensible", "nets", "snapshots"],
    "engine": ["caffe", "ending", "child"],
    "proto": ["lines", "state", "upgrade", "net", "forms"],
    "weights": [
        *("wire", "model", "values", "entry", "places", "caffemodel", "layout", "tree", "hdf5", "formats", "index"),
        *("copier", "write", "digest", "compare", "figures"),
    ],
    "layers": [
        *(
            "lengths",
            "row",
            "answers",
            "sources",
            "windows",
            "pooling",
            "pointwise",
            "arrange",
            "learned",
            "recurrent",
            "losses",
        ),
        *("table", "arity", "in_place", "fillers", "costs", "roles", "inference", "training"),
    ],
    "graph": [
        "flow",
        "backward",
        "view",
        "dominators",
        "overwriting",
        "definition",
        "apart",
        "check",
        "feed",
        "judges",
        "cut",
        "rename",
        "freeze",
        "share",
        "frozen",
        "branches",
        "makers",
        "filled",
        "differences",
    ],
    "branches": [
        *("branch", "lenet", "alexnet", "vgg", "googlenet", "squeezenet", "mobilenet", "resnet", "table"),
        *("told", "written", "prototxt", "source"),
    ],
    "fusion": ["naming", "preparation", "agreement", "wiring", "learning", "joins", "heads", "assemble"],
    "data": [
        *("images", "listing", "means", "lists"),
        *("outside", "download", "mnist", "digits"),
    ],
    "soundness": [
        *("data_fault", "headers", "child", "images", "labels", "hdf5", "means", "one_size", "together", "check"),
    ],
    "emit": ["stamp", "source", "accord", "doubts", "layers", "files", "named"],
    "fuse": [
        *("fit", "problem", "declared", "options", "decision", "plan", "entries", "definitions", "mismatch"),
        *("sharing", "head", "planned", "sidecar", "origin", "provenance", "fuse"),
        *("convert", "inputs", "extract", "live", "contents"),
    ],
    "costs": ["memory", "sizes", "summary"],
    # The engine is named, not imported, by what starts its process.
    "verify": ["samples", "images", "branches", "child", "engines", "opencv"],
    "evaluation": ["figures", "ensembles", "scorer", "score", "results", "child"],
    "doctor": ["selftest", "runs", "layers", "training", "table", "facts", "child", "gate", "report"],
    "features": ["split", "listing", "part", "child", "cluster", "store", "record", "make"],
    "show": ["words", "modules", "picture", "drawing", "findings", "report"],
    "train": [
        *(
            "events",
            "log",
            "job",
            "solverstate",
            "prepare",
            "reach",
            "head",
            "watch",
            "snapshots",
            "child",
            "follow",
            "run",
            "grid",
        ),
    ],
}


def place(module):
    """(room, place within the room) of a module such as 'weights.wire'; ValueError for one without a room.

    A package's own `__init__`, its table of contents, stands after its modules.
    """
    room, _, inner = module.partition(".")
    return ROOMS.index(room), INNER[room].index(inner) if inner else len(INNER.get(room, []))


def imports(path, module):
    package = module.split(".")[:-1] if path.name != "__init__.py" else module.split(".")
    for node in ast.walk(ast.parse(path.read_text())):
        absolute = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        absolute += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        # Within the library imports are relative, so that none escapes this test.
        assert not any(name.split(".")[0] == "netbuild" for name in absolute), path
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            names = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                full = ".".join([*names, alias.name])
                is_module = (ROOT / "netbuild" / full.replace(".", "/")).with_suffix(".py").exists()
                yield full if is_module or not names else ".".join(names)


def modules():
    for path in sorted((ROOT / "netbuild").rglob("*.py")):
        parts = path.relative_to(ROOT / "netbuild").with_suffix("").parts
        yield path, ".".join(part for part in parts if part != "__init__")


def test_every_module_has_a_room():
    for path, module in modules():
        if module:
            room, inner = place(module)
            assert inner >= 0 or path.name == "__init__.py" or module.split(".")[0] == ROOMS[room], path


def test_imports_go_one_way():
    checked = 0
    for path, module in modules():
        for target in imports(path, module) if module else ():
            if target.split(".")[0] in ROOMS:
                assert place(target) < place(module), f"{module} imports {target}"
                checked += 1
    assert checked > 80


def test_the_library_does_not_know_the_command_line():
    for path, _ in modules():
        assert "netbuild_cli" not in path.read_text()
        assert "click" not in path.read_text()


def test_only_the_door_imports_caffe():
    for path, module in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(name.split(".")[0] == "caffe" for name in names), module


def test_only_the_other_engine_imports_opencv():
    found = {module for path, module in modules() if "import cv2" in path.read_text()}
    assert found == {"verify.opencv"}


def test_importing_netbuild_loads_nothing_heavy():
    import subprocess
    import sys

    code = "import sys, netbuild; assert not {'numpy', 'caffe', 'google.protobuf', 'click'} & set(sys.modules); netbuild.Fusion"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_of_the_table_of_contents_are_there():
    import netbuild

    for name in netbuild.__all__:
        assert getattr(netbuild, name) is not None
