"""What the benchmark of `netbuild fuse` sets beside it, each way a process of its own in the folder of the files.

python bench/ways.py make NET CLASSES C H W PREFIX...    the files: single/, fused/, PREFIX.caffemodel
python bench/ways.py recipe PREFIX...      the fusion recipe's way: nets in pycaffe, blobs copied by name, saved
python bench/ways.py protobuf PREFIX...    messages parsed, copied under new names and serialised by protobuf
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

OUTPUTS = {way: f"{way}.caffemodel" for way in ("cat", "netbuild", "recipe", "protobuf")}


def make(builder: str, classes: str, channels: str, height: str, width: str, *prefixes: str) -> None:
    """Write the prototxts of the net alone and fused, and a weight file for each prefix.

    The values are random bits of ordinary size, fresh for each file: Caffe's fillers take minutes for four VGG-16,
    and to copy it makes no difference what a value is.
    """
    import numpy as np

    from netbuild import DataSource, Fusion, emit_files, proto
    from netbuild.branches.branch import Input
    from netbuild.branches.table import find_builder
    from netbuild.fuse.declared import declare
    from netbuild.weights.entry import Entry, NewBlob
    from netbuild.weights.write import write_model

    net = find_builder(builder)
    source = DataSource(Input((int(channels), int(height), int(width))), kind="input", train_batch=1, test_batch=1)
    emit_files(Fusion({"": net}, int(classes), frozen=False), source, "single")
    emit_files(Fusion(dict.fromkeys(prefixes, net), 20), source, "fused")
    declared = declare(proto.read_net("single/deploy.prototxt"))
    for seed, prefix in enumerate(prefixes):
        draw = np.random.default_rng(seed).random
        entries = [
            Entry(
                layer.name,
                layer.definition,
                [NewBlob(shape, draw(math.prod(shape), "f4").tobytes()) for shape in layer.shapes or ()],
            )
            for layer in declared
        ]
        write_model(entries, f"{prefix}.caffemodel")


def recipe(*prefixes: str) -> None:
    """Build every net in Caffe, copy blob by blob, save."""
    from netbuild.engine.caffe import caffe as open_caffe

    caffe = open_caffe()  # as `import caffe`, with its log silenced

    fused = caffe.Net("fused/deploy.prototxt", caffe.TEST)
    for prefix in prefixes:
        net = caffe.Net("single/deploy.prototxt", f"{prefix}.caffemodel", caffe.TEST)
        for name, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                if f"{prefix}/{name}" in fused.params:
                    fused.params[f"{prefix}/{name}"][index].data[...] = blob.data[...]
    fused.save(OUTPUTS["recipe"])


def protobuf(*prefixes: str) -> None:
    """Parse, rename, copy, serialise, with the schema alone: `import caffe` would cost a second more."""
    from netbuild.schema import schema

    fused = schema().NetParameter()
    for prefix in prefixes:
        for layer in schema().NetParameter.FromString(Path(f"{prefix}.caffemodel").read_bytes()).layer:
            copied = fused.layer.add()
            copied.CopyFrom(layer)
            copied.name = f"{prefix}/{layer.name}"
    with Path(OUTPUTS["protobuf"]).open("wb") as file:
        file.write(fused.SerializeToString())
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    {"make": make, "recipe": recipe, "protobuf": protobuf}[sys.argv[1]](*sys.argv[2:])
