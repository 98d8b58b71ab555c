"""The door to Caffe: one schema whatever comes first, and one sentence where there is no fit Caffe."""

import os
import subprocess
import sys
import textwrap

import pytest


def python(code, path=()):
    """Run code in a fresh Python; `path` comes first on its search path."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, path)), GLOG_minloglevel="2")
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.usefixtures("caffe")
@pytest.mark.parametrize(
    "code",
    [
        "from netbuild.schema import schema; m = schema(); import caffe",
        "import caffe; from netbuild.schema import schema; m = schema()",
        "from netbuild.engine.caffe import caffe as c; from netbuild.schema import schema; m = schema(); caffe = c()",
    ],
)
def test_there_is_one_class_for_each_message_in_any_order(code):
    check = "; assert caffe.proto.caffe_pb2 is m; n = caffe.NetSpec(); assert type(n.to_proto()) is m.NetParameter"
    result = python(code + check)
    assert result.returncode == 0, result.stderr


def test_the_schema_does_not_load_the_engine():
    result = python("import sys; from netbuild.schema import schema; schema(); assert 'caffe' not in sys.modules")
    assert result.returncode == 0, result.stderr


def sentence(tmp_path, files, call="caffe"):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = f"""
        from netbuild.{"schema" if call == "schema" else "engine.caffe"} import {call}
        from netbuild.errors import CaffeError
        try:
            {call}()
        except CaffeError as error:
            print(error)
    """
    result = python(code, [tmp_path])
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return result.stdout


@pytest.mark.parametrize("call", ["caffe", "schema"])
def test_the_empty_placeholder_and_other_modules_called_caffe(tmp_path, call):
    said = sentence(tmp_path, {"caffe/__init__.py": "version = '0'"}, call)
    assert "is not pycaffe" in said
    assert "empty placeholder" in said
    said = sentence(tmp_path, {"caffe.py": ""}, call)
    assert "is not pycaffe" in said


def test_a_caffe_without_test_phase(tmp_path):
    files = {"caffe/__init__.py": "Net = 1", "caffe/proto/__init__.py": "", "caffe/proto/caffe_pb2.py": "TRAIN = 0"}
    assert "lacks caffe.proto, caffe.Net or caffe.TEST" in sentence(tmp_path, files)


def test_no_caffe_at_all(tmp_path):
    # A finder that knows no caffe stands for a machine without one.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'caffe' else find(name, package)"
    )
    said = sentence(tmp_path, {})
    assert "no Caffe found" in said
    assert "pip install kendryte-caffe 'numpy<2' 'protobuf<3.21'" in said


@pytest.mark.parametrize(
    "fault",
    [
        "raise ImportError('numpy.core.multiarray failed to import')",
        "raise SystemError('initialization of _caffe raised unreported exception')",
        "raise AttributeError('_ARRAY_API not found')",
    ],
)
def test_a_wheel_with_numpy_2(tmp_path, fault):
    files = {"caffe/__init__.py": fault, "caffe/proto/__init__.py": "", "caffe/proto/caffe_pb2.py": ""}
    said = sentence(tmp_path, files)
    assert "cannot be loaded with numpy" in said
    assert "pip install 'numpy<2' 'protobuf<3.21'" in said


def test_a_schema_that_is_older_than_protobuf(tmp_path):
    fault = "raise TypeError('Descriptors cannot be created directly.')"
    files = {"caffe/__init__.py": "", "caffe/proto/__init__.py": "", "caffe/proto/caffe_pb2.py": fault}
    assert "pip install 'numpy<2' 'protobuf<3.21'" in sentence(tmp_path, files, "schema")
