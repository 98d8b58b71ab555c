"""A fact about nets is written once: layer types in their table, options as their readers spell them.

Each list of what is allowed tells why, and can only shrink: a row that nothing needs any more fails.
"""

import ast
import re

import pytest
from source_code import path_of, sources, strings

from netbuild.layers.fork_table import FORK_TYPES
from netbuild.layers.table import TYPES

BUILDERS = re.compile(
    r"netbuild/(layers/(fork_)?table|schema/layer_types|blocks|fusion/(heads|joins|preparation)|branches/(?!prototxt|part|declared|written|source)\w+)\.py"
)
"""The table, and what writes layers."""

TYPES_ALLOWED = {
    "netbuild/__init__.py": ({"Input"}, "the name of a public class"),
    "netbuild/branches/part.py": ({"Dropout"}, "a Dropout left out is the same net"),
    "netbuild/branches/prototxt.py": ({"Input"}, "the Top of an input"),
    "netbuild/doctor/layers.py": (
        {"Concat", "Convolution", "Dropout", "InnerProduct", "Pooling", "Scale", "SoftmaxWithLoss"},
        "self-tests are of types",
    ),
    "netbuild/doctor/facts.py": ({"Python"}, "the language"),
    "netbuild/doctor/training.py": ({"HDF5Data"}, "self-tests are of types"),
    "netbuild/schema/own_netspec.py": ({"Parameter"}, "the end of a message's name"),
    "netbuild/evaluation/scorer.py": ({"Eltwise"}, "what an ensemble mixes probabilities with"),
    "netbuild/features/split.py": ({"HDF5Data"}, "writes the layer that reads features"),
    "netbuild/fuse/contents.py": ({"Convolution", "Deconvolution", "InnerProduct"}, "numbers of old files' types"),
    "netbuild/fuse/head.py": ({"Concat", "Flatten", "InnerProduct"}, "the shape of a head that can be made of others"),
    "netbuild/fusion/assemble.py": ({"Input", "Softmax"}, "the Tops of a branch's input and answer"),
    "netbuild/graph/feed.py": ({"Input"}, "writes inputs"),
    "netbuild/proto/upgrade.py": (
        {
            *("AbsVal", "ArgMax", "BNLL", "BatchNorm", "HDF5Data", "HDF5Output", "Input", "LRN", "MVN", "ReLU"),
            *("SoftmaxWithLoss", "TanH", "DenseCRF", "ReLU6"),
        },
        "names of old prototxts",
    ),
    "netbuild/show/report.py": ({"Accuracy"}, "a heading"),
    "netbuild/verify/opencv.py": ({"Split"}, "the layer that makes OpenCV give another top"),
    "netbuild/verify/samples.py": ({"ImageData"}, "writes the layer that reads a sample"),
}
FLAGS_ALLOWED = {
    "netbuild/branches/part.py": (3, "a command to type"),
    "netbuild/evaluation/score.py": (1, "given to `either`"),
    "netbuild/doctor/install.py": (7, "options of venv, pip and uv"),
    "netbuild/engine/interpreter.py": (1, "given to `either`; a command to type"),
    "netbuild/fuse/sidecar.py": (1, "said where flags are spelled"),
    "netbuild/demo_folder.py": (1, "a file that a demo writes"),
    "netbuild/fusion/learning.py": (1, "a command to type"),
    "netbuild/show/findings.py": (1, "a command to type"),
}
"""How many strings name a flag and not by `netbuild.spelling`."""


def types_named(texts, known):
    """Return {path: layer types that stand there as a string}, of all but the table and the builders."""
    named = {}
    for path, text in texts.items():
        found = {string for string, _, _ in strings(text) if string in known}
        if found and not BUILDERS.fullmatch(path):
            named[path] = found
    return named


def parts_of_types(texts):
    """Return the paths where a type's name is asked for its beginning or end: `layer.type.endswith("Loss")`."""
    return [
        path
        for path, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr in ("startswith", "endswith")
        if isinstance(node.value, ast.Attribute) and node.value.attr == "type"
    ]


def flags_named(texts):
    """Return {path: number of strings that name a flag}, but for those that only the command line's reader sees."""
    named = {}
    for path, text in texts.items():
        found = [
            string
            for string, node, around in strings(text)
            if re.search(r"--[a-z]", string) and not _chosen(node, around)
        ]
        if found:
            named[path] = len(found)
    return named


def _chosen(node, around):
    """Tell whether a string is said on the command line only: by `either`, or where `spells_flags()`."""
    for outer, inner in zip(around, (*around[1:], node)):
        if isinstance(outer, ast.IfExp) and inner is outer.body and _calls(outer.test, "spells_flags"):
            return True
        if _calls(outer, "either") and inner is outer.args[0]:
            return True
    return False


def _calls(node, name):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


CODE_IN_A_TEXT = re.compile(r"\{\w+(\(|\.|!r\})")


def unformatted(texts):
    """Return the texts that would show their own code, for want of an `f`; those of `format` have no names."""
    return [string for text in texts.values() for string, _, _ in strings(text) if CODE_IN_A_TEXT.search(string)]


def all_sources(*packages):
    return {path_of(package, module): text for package in packages for module, text in sources(package).items()}


def test_layer_types_are_named_in_their_table(caffe):
    known = set(caffe.layer_type_list()) | set(TYPES) | set(FORK_TYPES)
    named = types_named(all_sources("netbuild", "netbuild_cli"), known)
    allowed = {path: types for path, (types, _) in TYPES_ALLOWED.items()}
    new = {path: sorted(types - allowed.get(path, set())) for path, types in named.items()}
    assert not {path: types for path, types in new.items() if types}, (
        "ask the row of the layer (netbuild.layers.of) instead, or allow it in TYPES_ALLOWED with a reason"
    )
    gone = {path: sorted(types - named.get(path, set())) for path, types in allowed.items()}
    assert not {path: types for path, types in gone.items() if types}, "remove these from TYPES_ALLOWED"


def test_what_a_type_is_does_not_stand_in_its_name():
    """But for a type that the table does not know."""
    assert parts_of_types(all_sources("netbuild", "netbuild_cli")) == ["netbuild/layers/roles.py"]


def test_options_are_spelled_for_their_reader():
    texts = all_sources("netbuild")
    del texts["netbuild/spelling.py"]
    allowed = {path: number for path, (number, _) in FLAGS_ALLOWED.items()}
    named = flags_named(texts)
    more = {path: number for path, number in named.items() if number > allowed.get(path, 0)}
    assert not more, "spell them by netbuild.spelling: who calls from Python has no flags"
    fewer = {path: number for path, number in allowed.items() if named.get(path, 0) < number}
    assert not fewer, f"lower these in FLAGS_ALLOWED; there are {[named.get(path, 0) for path in fewer]}"


@pytest.mark.parametrize(
    ("code", "types"),
    [
        ('layer.type == "Dropout"', {"Dropout"}),
        ('KINDS = ("ReLU", "None")', {"ReLU"}),
        ('"""Of Dropout."""\nx = "a Dropout"', set()),
        ('x = 1\n"""Dropout"""', set()),
    ],
)
def test_a_type_in_a_string_is_seen(code, types):
    known = {"Dropout", "ReLU"}
    assert types_named({"netbuild/graph/x.py": code}, known) == ({"netbuild/graph/x.py": types} if types else {})
    assert not types_named({"netbuild/branches/lenet.py": code, "netbuild/layers/table.py": code}, known)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ('raise E(f"give it: --shape {x}")', 1),
        ('x = "--shape" if spells_flags() else "shape"', 0),
        ('x = "shape" if spells_flags() else "--shape"', 1),
        ('x = either(f"--shape {x}", "shape")', 0),
        ('x = either("shape", f"--shape {x}")', 1),
        ('x = option("shape", 1)', 0),
        ('"""With --shape."""', 0),
    ],
)
def test_a_flag_in_a_string_is_seen(code, number):
    assert flags_named({"x.py": code}) == ({"x.py": number} if number else {})


def test_no_text_shows_its_own_code():
    assert not unformatted(all_sources("netbuild", "netbuild_cli"))
    halves = """x = f'{a} is {b}, ' 'by {name_of("c")}'"""
    assert unformatted({"a.py": halves}) == [""", by {name_of("c")}"""]
    assert not unformatted({"a.py": halves.replace("'by", "f'by")})
