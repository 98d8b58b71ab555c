"""Nets as text, and generated ones."""

from google.protobuf import text_format
from hypothesis import strategies as st

from netbuild.schema import schema


def net(text):
    return text_format.Parse(text, schema().NetParameter())


def layer(name, kind, bottoms="", tops=None, more=""):
    """`tops` is the layer's name where it is not given."""
    tops = name if tops is None else tops
    blobs = "".join(f' bottom: "{blob}"' for blob in bottoms.split()) + "".join(f' top: "{b}"' for b in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {more} }}\n'


def data(name="data", shape=(2, 4, 6, 6)):
    dims = " ".join(f"dim: {length}" for length in shape)
    return layer(name, "Input", more=f"input_param {{ shape {{ {dims} }} }}")


def conv(name, bottom, outputs=4, more=""):
    options = f"num_output: {outputs} kernel_size: 3 pad: 1 weight_filler {{ type: 'gaussian' std: 0.3 }}"
    return layer(name, "Convolution", bottom, more=f"convolution_param {{ {options} }} {more}")


def fc(name, bottom, outputs=3, more=""):
    options = f"num_output: {outputs} weight_filler {{ type: 'gaussian' std: 0.3 }}"
    return layer(name, "InnerProduct", bottom, more=f"inner_product_param {{ {options} }} {more}")


def relu(name, blob):
    return layer(name, "ReLU", blob, blob)


def small(classes=3):
    """A deploy net: two convolutions with in-place layers, a fully connected layer, a classifier."""
    return "".join(
        [
            'name: "Small"\n',
            data(),
            conv("conv1", "data"),
            layer("bn1", "BatchNorm", "conv1", "conv1"),
            layer("scale1", "Scale", "conv1", "conv1", "scale_param { bias_term: true }"),
            relu("relu1", "conv1"),
            layer("pool1", "Pooling", "conv1", more="pooling_param { kernel_size: 2 stride: 2 }"),
            fc("fc1", "pool1", 5),
            relu("relu2", "fc1"),
            layer("drop", "Dropout", "fc1", "fc1"),
            fc("fc3", "fc1", classes),
            layer("prob", "Softmax", "fc3"),
        ]
    )


@st.composite
def nets(draw, inputs=1):
    """A net of a few layers with in-place layers, several tops, several readers of a blob, shared parameters."""
    text, blobs = "", []
    for number in range(inputs):
        name = "data" if number == 0 else f"data{number}"
        text += data(name)
        blobs.append(name)
    for number in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(["conv", "in place", "sum", "slice", "shared"]))
        bottom = draw(st.sampled_from(blobs[-3:]))
        name = f"l{number}"
        if kind == "in place" and bottom == blobs[-1] and not bottom.startswith("data"):
            text += relu(name, bottom)
            continue
        if kind == "sum":
            text += layer(name, "Eltwise", f"{bottom} {blobs[-1]}")
        elif kind == "slice":
            halves = f"{name}x {name}y"
            text += layer(f"{name}s", "Slice", bottom, halves, "slice_param { axis: 2 slice_point: 3 }")
            text += layer(name, "Concat", halves, more="concat_param { axis: 2 }")
        else:
            text += conv(name, bottom, more='param { name: "w" } param { name: "b" }' if kind == "shared" else "")
        blobs.append(name)
    return net(text)


def fused_lenets(folder, written, trained):
    """Fuse two LeNets, 40 images in batches of 10 and 20: solver.prototxt, train_val.prototxt, init.caffemodel."""
    from netbuild import DataSource, Fusion, emit_files, fuse_weights, lenet
    from netbuild.branches.lenet import MNIST

    lists = {"train_source": str(written.path("train_all")), "test_source": str(written.path("val_all"))}
    source = DataSource(MNIST, train_batch=10, test_batch=20, **lists)
    options = {"max_iter": "200", "test_interval": "50", "snapshot": "100", "snapshot_prefix": "s", "random_seed": "5"}
    emit_files(Fusion({"a": lenet, "b": lenet}, 10), source, folder, solver_options=options)
    weights = {name: trained / f"{name}.caffemodel" for name in "ab"}
    fuse_weights(folder / "train_val.prototxt", weights, folder / "init.caffemodel")
    return folder


def limited(largest):
    """The table of weight formats with another size where Caffe's reader ends."""
    from netbuild.weights.formats import FORMATS

    return tuple(row._replace(limit=row.limit and row.limit._replace(largest=largest)) for row in FORMATS)
