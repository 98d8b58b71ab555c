"""What small commands load. `bench/startup.py` measures them; here nothing is timed: a module is loaded, or it is not."""

import os
import subprocess
import sys

import pytest

from netbuild.schema import schema

HEAVY = {"numpy", "caffe", "caffe._caffe", "h5py", "subprocess", "tempfile", "importlib.metadata", "email", "asyncio"}
"""What takes a tenth of a small command's time and more."""
UNUSED = {
    "check": {"netbuild.fusion", "netbuild.data", "netbuild.engine", "netbuild.layers.fork_table"},
    "summary": {"netbuild.fusion", "netbuild.data", "netbuild.engine", "netbuild.layers.fork_table"},
    "emit": {"netbuild.data", "netbuild.engine", "netbuild.layers.fork_table"},
    "fuse": {"netbuild.fusion", "netbuild.data", "netbuild.engine", "netbuild.branches.branch"},
}
SCRIPT = """
import sys
from netbuild_cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules, file=sys.stderr)
"""


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "odd/ip" type: "InnerProduct" bottom: "data" top: "odd/ip" inner_product_param { num_output: 3 } }
layer { name: "even/ip" type: "InnerProduct" bottom: "data" top: "even/ip" inner_product_param { num_output: 3 } }
"""
WEIGHTS = ["--weights", "odd=one.caffemodel", "--weights", "even=one.caffemodel"]
COMMANDS = {
    "check": ["net.prototxt"],
    "summary": ["net.prototxt"],
    "emit": ["lenet", "--classes", "10", "--data", "input", "-o", "out", "--force"],
    "fuse": ["net.prototxt", *WEIGHTS, "-o", "init.caffemodel"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("startup")
    (folder / "net.prototxt").write_text(NET)
    one = schema().NetParameter()
    blobs = one.layer.add(name="ip", type="InnerProduct").blobs
    blobs.add(data=[1] * 6).shape.dim.extend([3, 2])
    blobs.add(data=[1] * 3).shape.dim.append(3)
    (folder / "one.caffemodel").write_bytes(one.SerializeToString())
    return folder


def loaded(folder, *arguments):
    """Run a command and return the modules that it has loaded when it ends."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    # In its own cache folder: the first run, which makes the schema, may load more.
    environment = {**os.environ, "XDG_CACHE_HOME": os.fspath(folder / "cache")}
    for _ in range(2):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def loaded_by_others():
    """What a Python, click and protobuf load by themselves: old protobufs ask for packages' metadata."""
    script = "import sys, click, google.protobuf.text_format; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_small_command_loads_what_it_uses(folder, command):
    modules = loaded(folder, command, *COMMANDS[command])
    assert not modules & (HEAVY - loaded_by_others())
    assert not {name for name in modules for unused in UNUSED[command] if f"{name}.".startswith(f"{unused}.")}


def test_what_reads_a_list_is_loaded_for_a_list(folder):
    """The test above would find it."""
    (folder / "list.txt").write_text("a.png 0\n")
    data = (
        'layer { name: "d" type: "ImageData" top: "d" top: "l" image_data_param { source: "list.txt" batch_size: 1 } }'
    )
    (folder / "listed.prototxt").write_text(data)
    script = SCRIPT.replace("assert not end.code", "assert end.code")
    done = subprocess.run(
        [sys.executable, "-c", script, "check", "listed.prototxt"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "netbuild.data.listing" in done.stderr.split()
