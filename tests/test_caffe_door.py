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


@pytest.mark.usefixtures("pycaffe")
@pytest.mark.parametrize(
    "code",
    [
        "from netbuild.schema import schema; m = schema(); import caffe",
        "from netbuild.engine.caffe import caffe as c; from netbuild.schema import schema; m = schema(); caffe = c()",
    ],
)
def test_there_is_one_class_for_each_message_of_a_caffe_that_comes_later(code):
    check = "; assert caffe.proto.caffe_pb2 is m; n = caffe.NetSpec(); assert type(n.to_proto()) is m.NetParameter"
    result = python(code + check)
    assert result.returncode == 0, result.stderr


def test_the_schema_does_not_load_the_engine():
    result = python("import sys; from netbuild.schema import schema; schema(); assert 'caffe' not in sys.modules")
    assert result.returncode == 0, result.stderr


def sentence(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = """
        from netbuild.engine.caffe import caffe
        from netbuild.errors import CaffeError
        try:
            caffe()
        except CaffeError as error:
            print(error)
    """
    result = python(code, [tmp_path])
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return result.stdout


def test_the_empty_placeholder_and_other_modules_called_caffe(tmp_path):
    said = sentence(tmp_path, {"caffe/__init__.py": "version = '0'"})
    assert "is not pycaffe" in said
    assert "empty placeholder" in said
    said = sentence(tmp_path, {"caffe.py": ""})
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


@pytest.mark.parametrize(("module", "package"), [("six.moves", "six"), ("skimage.io", "scikit-image")])
def test_a_caffe_that_lacks_a_module(tmp_path, module, package):
    """Upstream's pycaffe needs six, skimage and others: what is missing is named, not numpy."""
    fault = f"raise ModuleNotFoundError('No module', name={module!r})"
    files = {"caffe/__init__.py": fault, "caffe/proto/__init__.py": "", "caffe/proto/caffe_pb2.py": ""}
    said = sentence(tmp_path, files)
    assert (
        f"needs the Python module {module!r}, which is not installed: {sys.executable} -m pip install {package}" in said
    )
    assert "numpy" not in said
