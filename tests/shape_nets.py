"""What the tests of shapes share: nets as text, and the shapes that real Caffe gives them."""

import faulthandler
import os
import pickle
import re
import tempfile

import pytest
from nets import net
from next_door import Caffe

from netbuild import proto
from netbuild.layers import infer
from netbuild.schema import TEST


def source(name, *lengths):
    """An Input layer of one shape."""
    dims = " ".join(f"dim: {length}" for length in lengths)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'


NOT_IN_EVERY_CAFFE = ("Clip", "Permute", "Reverse")
"""Upstream alone has the first, the fork on PyPI alone the others."""
INPUT, LABEL, SCALAR = source("data", 2, 6, 9, 11), source("label", 2), source("scalar")


def layer(kind, options="", bottoms="data", tops="x", name=""):
    named = "".join(f' bottom: "{blob}"' for blob in bottoms.split()) + "".join(f' top: "{n}"' for n in tops.split())
    return f'layer {{ name: "{name or kind}" type: "{kind}"{named} {options} }}'


def engine(caffe, text, phase=TEST):
    """(blobs, parameters) by name as Caffe builds them, or its fatal line: in a fork, which an abort may end."""
    for kind in NOT_IN_EVERY_CAFFE:
        if f'type: "{kind}"' in text and kind not in caffe.layer_type_list():
            pytest.skip(f"this Caffe has no {kind}")
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file, tempfile.TemporaryFile() as log:
        file.write(text)
        file.flush()
        if isinstance(caffe, Caffe):
            return caffe.shapes_or_words(file.name, phase)
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            try:
                # An abort is an answer here, and needs no traceback.
                faulthandler.disable()
                os.dup2(log.fileno(), 2)
                loaded = caffe.Net(file.name, phase)
                shapes = {name: blob.data.shape for name, blob in loaded.blobs.items()}
                params = {name: [blob.data.shape for blob in blobs] for name, blobs in loaded.params.items()}
                os.write(theirs, pickle.dumps((shapes, params)))
            finally:
                # Whatever happens, the fork must not run the other tests.
                os._exit(0)
        os.close(theirs)
        with os.fdopen(ours, "rb") as answer:
            found = answer.read()
        os.waitpid(child, 0)
        if found:
            return pickle.loads(found)
        log.seek(0)
        fatal = re.findall(r"^F\d+ \S+\s+\d+ (.*)$", log.read().decode(), re.MULTILINE)
        return fatal[-1] if fatal else "ended without a fatal line"


def require_same(text, built, phase=TEST):
    """Compare what is inferred with (blobs, parameters) of Caffe, blob for blob."""
    message = net(text)
    found = infer(message, phase)
    shapes, params = built
    for name, shape in shapes.items():
        if "split" not in name:
            assert found.blobs[name] == shape, name
    for index, item in proto.of_phase(message, phase):
        assert found.params[index] == params.get(item.name, []), item.name


def require_as_caffe(caffe, path, phase=TEST):
    """Compare a net that is known to load, in this process."""
    loaded = caffe.Net(os.fspath(path), phase)
    params = {layer: [blob.data.shape for blob in blobs] for layer, blobs in loaded.params.items()}
    shapes = {blob: found.data.shape for blob, found in loaded.blobs.items()}
    require_same(proto.to_text(proto.read_net(path)), (shapes, params), phase)
