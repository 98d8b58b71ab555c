"""A net as callers hold it: path, message, NetSpec; and what is none of these."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from nets import net, small

from netbuild import (
    BranchSpec,
    DataSource,
    Features,
    Fusion,
    Join,
    Original,
    Preparation,
    Scorer,
    build,
    check_sources,
    compare_engines,
    differences,
    draw_net,
    emit_files,
    extract_branch,
    fuse_weights,
    lenet,
    make_features,
    problems,
    proto,
    read_net,
    read_solver,
    score_nets,
    summarize,
    train_solver,
    verify_branches,
)
from netbuild.errors import GraphError, NetbuildError
from netbuild.proto.unknown import carried
from netbuild.schema import netspec, schema


def test_a_message_that_is_current_is_itself():
    message = net(small())
    assert proto.net_of(message) is message


def test_the_three_forms_are_one_net(tmp_path, caffe):
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [1, 1, 28, 28]})
    lenet(spec, spec.data, "odd")
    path = tmp_path / "net.prototxt"
    path.write_text(str(spec.to_proto()))
    expected = text_format.Parse(path.read_text(), schema().NetParameter())
    for form in (path, str(path), spec.to_proto(), spec):
        assert proto.net_of(form) == expected


OLD = """
    input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
    layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
    layers { name: "r" type: RELU bottom: "c" top: "c" }
"""
LEARNS = 'layer { name: "n" type: "BatchNorm" param { } param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }'


@pytest.mark.parametrize("text", [OLD, LEARNS, LEARNS.replace("param { } ", "")])
def test_an_old_message_is_upgraded_as_its_file_is(tmp_path, text):
    path = tmp_path / "old.prototxt"
    path.write_text(text)
    message = text_format.Parse(text, schema().NetParameter())
    before = str(message)
    assert proto.net_of(message) == proto.read_net(path)
    assert str(message) == before


def other_schema(extra=""):
    """A NetParameter of a schema of the caller's own, as a fork's caffe_pb2 has it."""
    file = descriptor_pb2.FileDescriptorProto()
    schema().DESCRIPTOR.CopyToProto(file)
    if extra:
        layer = next(one for one in file.message_type if one.name == "LayerParameter")
        layer.field.add(name=extra, number=9999, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("caffe.NetParameter")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def test_a_message_of_another_schema_is_taken():
    theirs = text_format.Parse(small(), other_schema()())
    assert type(theirs) is not schema().NetParameter
    ours = proto.net_of(theirs)
    assert type(ours) is schema().NetParameter
    assert ours == net(small())


def test_what_only_the_other_schema_knows_is_carried():
    theirs = text_format.Parse('layer { name: "x" type: "ROI" roi: "y" }', other_schema("roi")())
    (layer,) = proto.net_of(theirs).layer
    assert (layer.name, list(carried(layer))) == ("x", [("LayerParameter", 'roi: "y"')])


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (3, "int"),
        (None, "NoneType"),
        (lenet, "function"),
        (netspec().layers.Input(), "Top"),
        (schema().SolverParameter(), "a SolverParameter"),
        (small(), "the text of a prototxt"),
        (small() * 50, "the text of a prototxt"),
    ],
)
def test_anything_else_is_refused_in_words(what, found):
    with pytest.raises(GraphError, match=f"a NetParameter or a NetSpec, found {found}"):
        proto.net_of(what)


def test_a_top_of_a_netspec_is_no_net(caffe):
    with pytest.raises(GraphError, match="a NetParameter or a NetSpec, found Top"):
        proto.net_of(caffe.layers.Input())


def test_a_netspec_with_a_wrong_argument_is_refused_in_words(caffe):
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shap={"dim": [1]})
    with pytest.raises(GraphError, match="an argument that it does not take"):
        proto.net_of(spec)


def test_a_file_whose_name_has_a_brace(in_tmp):
    (in_tmp / "{a}.prototxt").write_text(small())
    assert proto.net_of("{a}.prototxt") == net(small())


def test_what_is_no_path_is_refused_in_words():
    with pytest.raises(NetbuildError, match="prototxt: expected a path, found SolverParameter"):
        read_solver(schema().SolverParameter())


@pytest.fixture()
def forms(fused, caffe):
    """The fused LeNets' net by its path, as a message, and as what a NetSpec gives."""

    class Spec:
        def to_proto(self):
            return read_net(fused / "train_val.prototxt")

    return {"path": fused / "train_val.prototxt", "message": Spec().to_proto(), "NetSpec": Spec()}


def summary(net, _folder):
    return summarize(net, batch=2)


def drawing(net, folder):
    draw_net(net, folder / "net.dot")
    return (folder / "net.dot").read_text()


def weights(net, folder, trained):
    names = {name: trained / f"{name}.caffemodel" for name in "ab"}
    fuse_weights(net, names, folder / "made.caffemodel")
    assert all(not one.faults for one in check_sources(folder / "made.caffemodel"))
    return (folder / "made.caffemodel").read_bytes()


def branch(net, folder):
    extract_branch("a", net, folder / "init.caffemodel", folder / "a")
    return [path.read_bytes() for path in sorted((folder / "a").iterdir())]


def scores(net, trained, small_lists):
    scorer = Scorer(net, trained / "a.caffemodel", preparation=Preparation(mean=(128,), scale=1 / 256))
    return score_nets(scorer, small_lists.path("val_odd")).answers[0].probabilities.tolist()


@pytest.mark.parametrize("function", [lambda net, _: problems(net, {"a": "nope"}), summary, drawing, branch])
def test_functions_take_each_form(forms, fused, function):
    made = {name: function(form, fused) for name, form in forms.items()}
    assert made["path"]
    assert made["message"] == made["NetSpec"] == made["path"]


def test_differences_takes_each_form(forms, trained):
    made = [differences(trained / "lenet.prototxt", one) for one in forms.values()]
    assert made[0].any
    assert made[1] == made[2] == made[0]


def test_weights_are_fused_for_each_form(forms, fused, trained):
    made = {name: weights(form, fused, trained) for name, form in forms.items()}
    assert made["message"] == made["NetSpec"] == made["path"]


def test_branches_are_verified_of_each_form(forms, fused, trained):
    lenet_net = read_net(trained / "lenet.prototxt")
    for form in forms.values():
        originals = {
            "a": Original(lenet_net, trained / "a.caffemodel"),
            "b": Original(trained / "lenet.prototxt", trained / "b.caffemodel"),
        }
        found = verify_branches(form, fused / "init.caffemodel", originals)
        assert [(one.prefix, one.equal, one.layers) for one in found] == [("a", True, 6), ("b", True, 6)]


def test_engines_are_compared_on_each_form(trained):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    path = trained / "lenet.prototxt"
    made = [compare_engines(one, trained / "a.caffemodel") for one in (path, read_net(path))]
    assert made[0] == made[1]


def test_features_are_made_of_each_form(forms, fused):
    made = [
        make_features(form, fused / "init.caffemodel", fused / f"features_{name}", dry_run=True)["train"].blobs
        for name, form in forms.items()
    ]
    assert made[0]
    assert made[1] == made[2] == made[0]


def test_scores_are_those_of_each_form(trained, small_lists):
    deploy = trained / "deploy.prototxt"
    made = [scores(one, trained, small_lists) for one in (deploy, read_net(deploy))]
    assert made[0] == made[1]


def test_names_of_builders_are_branches(in_tmp, trained):
    seams = {"odd": "odd/ip1", "even": "even/pool2"}
    assert (
        build(Fusion({"odd": "lenet", "even": f"{trained / 'lenet.prototxt'}@pool2"}, join=Join(bridge="fc=5"))).seams
        == seams
    )
    assert {prefix: spec.frozen for prefix, spec in Fusion({"odd": "lenet"}, frozen=False).specs.items()} == {
        "odd": False
    }
    with pytest.raises(GraphError, match="a builder is a function, found 'lenet'; find_branch"):
        BranchSpec("lenet")


def test_a_file_that_is_named_as_a_branch_is_read_once(trained, monkeypatch):
    read = []
    monkeypatch.setattr(
        "netbuild.proto.forms.read_net", lambda path, known=proto.read_net: read.append(path) or known(path)
    )
    emit_files(Fusion({"odd": f"{trained / 'lenet.prototxt'}@ip1"}, 10), DataSource(kind="input"), trained / "named")
    assert len(read) == 1


@pytest.mark.parametrize(
    ("named", "kind", "sentence"),
    [
        ("lente", GraphError, r"no builder called 'lente': did you mean 'lenet'\?"),
        ("lenet@ip9", GraphError, "no blob 'ip9' in the net; did you mean 'ip1'"),
        ("gone.prototxt@ip1", NetbuildError, "prototxt 'gone.prototxt': no such file"),
        ("gone:net", GraphError, "builder 'gone:net': cannot import 'gone'"),
        *(
            (other, GraphError, f"a builder is a function, found {type(other).__name__}; find_branch makes one of a")
            for other in (3, None, b"lenet", ["lenet"], Path("lenet.prototxt"))
        ),
        (lambda *_, **__: 3, GraphError, "its builder returned int, not a netbuild.Branch"),
        (dict, GraphError, "its builder failed: TypeError"),
    ],
)
def test_what_is_no_branch_is_refused_with_its_prefix(named, kind, sentence, in_tmp):
    with pytest.raises(kind, match=f"^branch 'odd': {sentence}"):
        build(Fusion({"even": "lenet", "odd": named}, 10))


def test_one_weight_file_is_named_without_a_list(fused):
    options = {"max_iter": 1, "features": Features("off")}
    alone = train_solver(fused / "solver.prototxt", fused / "one", weights=fused / "init.caffemodel", **options)
    several = train_solver(fused / "solver.prototxt", fused / "two", weights=[fused / "init.caffemodel"], **options)
    assert alone.caffemodel.read_bytes() == several.caffemodel.read_bytes()
