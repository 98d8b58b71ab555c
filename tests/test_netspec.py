"""NetSpec: pycaffe's own without its engine, and ours, held to it on the same programs."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from netbuild.branches.table import BUILDERS
from netbuild.schema import netspec, own_netspec, schema
from netbuild.schema.programs import _NETSPEC


@pytest.fixture(scope="module")
def theirs():
    module = netspec()
    if module is own_netspec:
        pytest.skip("there is no pycaffe in this interpreter")
    return module


def run(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_both(theirs, program):
    """What a program makes with each of the two: a message, or the type of the error."""

    def made(module):
        try:
            return program(module).SerializeToString(deterministic=True)
        except Exception as error:
            return type(error)

    one, two = made(own_netspec), made(theirs)
    assert one == two
    return two


def lenet(n):
    net = n.NetSpec()
    net.data, net.label = n.layers.DummyData(
        shape=[{"dim": [2, 1, 28, 28]}, {"dim": [2]}], transform_param={"scale": 0.5}, ntop=2
    )
    net.conv = n.layers.Convolution(net.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"})
    net.pool = n.layers.Pooling(net.conv, kernel_size=2, stride=2, pool=n.params.Pooling.MAX)
    net.ip = n.layers.InnerProduct(net.pool, num_output=50, param=[{"lr_mult": 1}, {"lr_mult": 2, "name": "b"}])
    net.relu = n.layers.ReLU(net.ip, in_place=True)
    net.loss = n.layers.SoftmaxWithLoss(net.relu, net.label)
    return net


PROGRAMS = {
    "named": lambda n: lenet(n).to_proto(),
    "one top": lambda n: lenet(n).loss.to_proto(),
    "several tops": lambda n: n.to_proto(lenet(n).pool, lenet(n).loss),
    "unnamed": lambda n: n.to_proto(n.layers.ReLU(n.layers.ReLU(n.layers.Input(shape={"dim": [1]})), in_place=True)),
    "a layer without tops": lambda n: silent(n).to_proto(),
    "items": lambda n: items(n).to_proto(),
    "name and include": lambda n: n.layers.Dropout(n.layers.Input(), name="d", include={"phase": 1}).to_proto(),
    "a single value of a list": lambda n: n.layers.Convolution(n.layers.Input(), kernel_size=3, loss_weight=2).to_proto(),
    "options of a layer without any": lambda n: n.layers.AbsVal(n.layers.Input(), propagate_down=[False]).to_proto(),
    "what is no option": lambda n: n.layers.Convolution(n.layers.Input(), kernel=3).to_proto(),
    "a value of another kind": lambda n: n.layers.Convolution(n.layers.Input(), num_output="x").to_proto(),
    "params by their message": lambda n: n.layers.ReLU(n.layers.Input(), relu_param={"negative_slope": 0.5}).to_proto(),
    "what is no Top": lambda n: n.layers.ReLU("data").to_proto(),
    "a tuple of Tops as one": lambda n: n.layers.ReLU(n.layers.Split(n.layers.Input(), ntop=2)).to_proto(),
    "an unknown constant": lambda n: n.layers.Pooling(n.layers.Input(), pool=n.params.Pooling.MEDIAN).to_proto(),
    "a name that is not there": lambda n: n.NetSpec().nowhere.to_proto(),
    "an empty list": lambda n: n.layers.Convolution(n.layers.Input(), kernel_size=[]).to_proto(),
    "an Input without top": lambda n: n.layers.Input(ntop=0)._to_proto({}, {}, {}),
}  # fmt: skip


def silent(n):
    net = n.NetSpec()
    net.data = n.layers.Input()
    net.quiet = n.layers.Silence(net.data, ntop=0)
    net.other = n.layers.Silence(net.data, ntop=0)
    return net


def items(n):
    net = n.NetSpec()
    net["odd/data"] = n.layers.Input()
    net["odd/a"], unnamed = n.layers.Slice(net["odd/data"], ntop=2)
    net["sum"] = n.layers.Eltwise(net["odd/a"], unnamed, n.layers.ReLU(unnamed))
    return net


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program_is_the_same_net(theirs, name):
    of_both(theirs, PROGRAMS[name])


@pytest.mark.parametrize("builder", BUILDERS)
def test_builders_are_the_same_net(theirs, builder, monkeypatch):
    from netbuild.branches.table import find_builder

    def program(module):
        monkeypatch.setattr("netbuild.schema.programs.netspec", lambda: module)
        for name, loaded in list(sys.modules.items()):
            if name.startswith("netbuild.") and hasattr(loaded, "netspec") and callable(loaded.netspec):
                monkeypatch.setattr(loaded, "netspec", lambda: module)
        net = module.NetSpec()
        net.data = module.layers.Input()
        find_builder(builder)(net, net.data, "a", frozen=True)
        return net.to_proto()

    assert not isinstance(of_both(theirs, program), type)


LAYERS = st.sampled_from(["ReLU", "Convolution", "Concat", "Split", "Silence", "Pooling", "Foo"])
OPTIONS = st.dictionaries(
    st.sampled_from(["num_output", "kernel_size", "pool", "name", "in_place", "loss_weight", "param", "axis"]),
    st.sampled_from([1, [1, 2], "x", {"lr_mult": 0}, [{"lr_mult": 1}, {"decay_mult": 2}], True, 0.5]),
    max_size=3,
)
STEPS = st.lists(st.tuples(LAYERS, st.lists(st.integers(0, 6), max_size=3), OPTIONS, st.integers(0, 3)), max_size=6)


@given(STEPS, st.booleans())
def test_any_program_is_the_same_net(theirs, steps, named):
    def program(n):
        net = n.NetSpec()
        tops = [n.layers.Input()]
        for number, (kind, bottoms, options, ntop) in enumerate(steps):
            made = getattr(n.layers, kind)(*[tops[one % len(tops)] for one in bottoms], ntop=ntop, **options)
            new = list(made) if isinstance(made, tuple) else [made]
            if ntop:
                tops += new
            if named or number == len(steps) - 1:
                net[f"b{number}"] = new[-1]
        return net.to_proto()

    of_both(theirs, program)


EVERY_OPTION = """
    import json
    import caffe

    def value(field):
        return field.enum_type.values[-1].number if field.enum_type else "x" if field.type in (9, 12) else 1

    rows = []
    for kind, name in caffe.net_spec._param_names.items():
        for field in caffe.proto.caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[name + "_param"].message_type.fields:
            if field.message_type is None:
                options = {field.name: value(field)}
                rows.append((kind, options, str(getattr(caffe.layers, kind)(**options).to_proto())))
    print(json.dumps(rows))
"""


def test_every_option_goes_where_pycaffe_alone_puts_it(pycaffe, theirs):
    """Our schema has more messages than pycaffe's, some in two fields: an option must not end in a fork's."""
    rows = json.loads(run(EVERY_OPTION))
    assert len(rows) > 150
    for kind, options, text in rows:
        expected = text_format.Parse(text, schema().NetParameter())
        for module in (theirs, own_netspec):
            assert getattr(module.layers, kind)(**options).to_proto() == expected


def test_pycaffes_own_comes_without_its_engine(theirs):
    assert theirs.__name__ == _NETSPEC
    assert run("""
        import sys
        from netbuild.schema import netspec
        netspec().NetSpec()
        print([name for name in sys.modules if name.split(".")[0] == "caffe"])
    """) == "[]\n"  # fmt: skip


def test_commands_that_write_and_read_nets_load_no_caffe(tmp_path):
    run(f"""
        import os, sys
        from netbuild_cli.main import main
        os.chdir({os.fspath(tmp_path)!r})
        two = "--branch odd=lenet --branch even=lenet"
        for line in (
            "emit lenet --classes 10 --data input -o one",
            f"emit fusion {{two}} --classes 10 --data input -o two",
            "check two/train_val.prototxt",
            "summary two/train_val.prototxt",
            "diff one/deploy.prototxt two/deploy.prototxt",
        ):
            try:
                main(line.split())
            except SystemExit as end:
                assert end.code in (0, None) or line.startswith("diff"), line
            loaded = [name for name in sys.modules if name.split(".")[0] == "caffe"]
            assert not loaded, (line, loaded)
    """)
    assert (tmp_path / "two" / "train_val.prototxt").exists()


@pytest.mark.parametrize("before", ["", "from netbuild.schema import schema; schema()"])
def test_a_later_import_gets_the_same_classes(pycaffe, before):
    run(f"""
        {before}
        from netbuild.schema import netspec, schema
        ours = netspec()
        import caffe
        assert caffe.net_spec is ours and caffe.NetSpec is ours.NetSpec and caffe.layers is ours.layers
        assert caffe.proto.caffe_pb2 is schema()
        from caffe import layers as L
        net = caffe.NetSpec()
        net.data = L.Input()
        assert type(net.to_proto()) is schema().NetParameter
    """)


def test_a_caffe_that_was_imported_before_keeps_its_classes(pycaffe, tmp_path):
    """Its own classes lack forks' fields: netbuild's functions write them all the same, its own to_proto says so."""
    path = tmp_path / "net.prototxt"
    path.write_text("""layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
        layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 3 OPTION } }""")
    fork = tmp_path / "fork.prototxt"
    fork.write_text(path.read_text().replace("OPTION", "ceil_mode: false"))
    path.write_text(path.read_text().replace("OPTION", ""))
    said = run(f"""
        import caffe
        from caffe import layers as L
        from netbuild import prototxt, proto
        from netbuild.errors import GraphError
        from netbuild.schema import netspec, schema

        assert caffe.net_spec is netspec()

        def written(path):
            net = caffe.NetSpec()
            net.data = L.Input(shape=dict(dim=[1, 3, 9, 9]))
            branch = prototxt(path, "p")(net, net.data, "a")
            net.relu = L.ReLU(branch.top)
            return net

        plain = written({os.fspath(path)!r})
        theirs = plain.to_proto()
        assert type(theirs) is caffe.proto.caffe_pb2.NetParameter
        assert type(theirs) is not schema().NetParameter
        assert proto.to_text(proto.net_of(plain)) == proto.to_text(theirs)
        forks = written({os.fspath(fork)!r})
        assert not proto.net_of(forks).layer[1].pooling_param.ceil_mode
        try:
            forks.to_proto()
        except GraphError as error:
            print(error)
    """)
    assert "layer 'a/p': the Caffe that was imported does not know all of it" in said
    assert "import netbuild before caffe" in said


FORKS = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } mine: 7 }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 3 stride: 2 ceil_mode: false } }"""


@pytest.mark.parametrize("before", ["import caffe", "from netbuild.schema import schema; schema(); import caffe"])
def test_a_fusion_is_the_same_whenever_caffe_is_imported(pycaffe, tmp_path, before):
    """Also of branches whose fields pycaffe's own classes lack, cut and joined and emitted."""
    (tmp_path / "net.prototxt").write_text(FORKS)

    (tmp_path / "mine.py").write_text("import netbuild\nwhole = netbuild.prototxt('net.prototxt', 'p')\n")

    def emitted(first):
        run(f"""
            {first}
            import os, warnings
            warnings.simplefilter("ignore")
            from netbuild import DataSource, Fusion, emit_files
            os.chdir({os.fspath(tmp_path)!r})
            emit_files(Fusion({{"a": "net.prototxt@p", "b": "mine:whole@p"}}, 4), DataSource(kind="input"), "made")
        """)
        return {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}

    made = emitted("")
    assert b"ceil_mode: false" in made["train_val.prototxt"]
    assert b"mine: 7" in made["train_val.prototxt"]
    assert emitted(before) == made


@pytest.mark.parametrize(
    "line", ["import a_module_that_is_not_there", "print 'for Python 2'", "raise TypeError('old')"]
)
def test_ours_where_pycaffes_cannot_be_loaded(tmp_path, line):
    for name in ("caffe/__init__.py", "caffe/proto/__init__.py", "caffe/proto/caffe_pb2.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "caffe/net_spec.py").write_text(line)
    assert run(f"""
        import sys
        sys.path.insert(0, {os.fspath(tmp_path)!r})
        from netbuild.schema import netspec
        print(netspec().__name__)
    """) == "netbuild.schema.own_netspec\n"  # fmt: skip


def test_ours_makes_our_messages():
    net = own_netspec.NetSpec()
    net.data = own_netspec.layers.Input()
    assert type(net.to_proto()) is schema().NetParameter
