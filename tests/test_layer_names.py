"""Nets whose layers have no name, one name or one parameter between them, through everything that reads a net."""

from nets import conv, data, fc, layer

from netbuild import DataSource, Fusion, emit_files, prototxt

INPUTS = DataSource(kind="input")


def test_what_two_layers_share_by_count_alone_is_shared_in_deploy(caffe, written):
    """A convolution of 1 x 1 and an inner product hold as many values, in other shapes: Caffe asks for PERMISSIVE."""
    text = data(shape=(2, 3, 1, 1))
    kernels = "convolution_param { num_output: 4 kernel_size: 1 bias_term: false }"
    text += layer("c", "Convolution", "data", more=f'param {{ name: "w" }} {kernels}')
    by_count = 'param { name: "w" share_mode: PERMISSIVE } inner_product_param { num_output: 4 bias_term: false }'
    text += layer("i", "InnerProduct", "data", more=by_count)
    text += layer("f", "Flatten", "c") + layer("cat", "Concat", "f i") + fc("ip", "cat")
    path = written("permissive", text)
    emit_files(Fusion({"a": prototxt(path), "b": prototxt(path)}, 3), INPUTS, path.parent / "o")
    params = caffe.Net(str(path.parent / "o" / "deploy.prototxt"), caffe.TEST).params
    shapes = {name: [blob.data.shape for blob in blobs] for name, blobs in params.items()}
    assert shapes["a/c"] == [(4, 3, 1, 1)]
    assert shapes["a/i"] == [(4, 3)]


def test_a_file_may_call_its_layers_as_pycaffe_does(caffe, written):
    """NetSpec calls a layer Convolution1 where its author gave no name: so do MTCNN, DenseNet and others."""
    text = data() + conv("Convolution1", "data") + layer("ReLU1", "ReLU", "Convolution1", "Convolution1")
    path = written("automatic", text + fc("fc", "Convolution1"))
    emit_files(Fusion({"": prototxt(path)}, 5, frozen=False), INPUTS, path.parent / "o")
    deploy = caffe.Net(str(path.parent / "o" / "deploy.prototxt"), caffe.TEST)
    assert list(deploy.params) == ["Convolution1", "fc"]
