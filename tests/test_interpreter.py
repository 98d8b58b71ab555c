"""Caffe in another Python: which one is taken, what it gets of the caller, and the sentence where it will not do."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from netbuild_cli.main import main

from netbuild import Execution, make_features, using_caffe
from netbuild.engine import child, interpreter
from netbuild.engine.child import run, share
from netbuild.errors import CaffeError
from netbuild.soundness import images

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "NETBUILD_CAFFE"


def script(path, text):
    """Write a program that a shell runs."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture()
def elsewhere(engine, tmp_path):
    """The Python of the Caffe by another name: netbuild cannot know it for the one that it runs in."""
    return script(tmp_path / "another python", f'exec {engine.line} "$@"')


@pytest.fixture()
def nobody(monkeypatch, tmp_path):
    """Nobody names a Python, this one has no Caffe, and none was installed."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(interpreter.importlib.util, "find_spec", lambda _name, _package=None: None)
    return tmp_path / "data" / "netbuild" / "caffe"


def found(job="jobs:echo", **arguments):
    return list(run(job, **arguments))


def test_this_python_is_taken_where_nobody_names_another(monkeypatch, pycaffe):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert interpreter.chosen() == interpreter.this()
    assert interpreter.chosen().reason == "this Python has a Caffe"


def test_the_order_is_argument_then_variable_then_this_one_then_the_installed(monkeypatch, nobody):
    with pytest.raises(CaffeError) as told:
        interpreter.chosen()
    sentence = str(told.value)
    assert sentence.startswith(f"no Caffe found: this Python ({sys.executable}) has no module called caffe; ")
    assert sentence.index(repr(str(nobody))) < sentence.index("netbuild doctor --install brings one")
    assert "using_caffe or NETBUILD_CAFFE" in sentence
    (nobody / "bin").mkdir(parents=True)
    (nobody / "bin" / "python").touch()
    assert interpreter.chosen().command == (str(nobody / "bin" / "python"),)
    assert interpreter.chosen().reason == "this Python has none, and netbuild doctor --install made one"
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, "/by/variable -x")
    assert interpreter.chosen().command == ("/by/variable", "-x")
    assert interpreter.chosen().reason == "NETBUILD_CAFFE names it"
    with using_caffe("/by/argument"):
        assert interpreter.chosen().command == ("/by/argument",)
        with using_caffe(None):
            assert interpreter.chosen().command[0] == "/by/variable"
    assert interpreter.chosen().command[0] == "/by/variable"
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(interpreter, "lack_here", lambda: "")
    assert interpreter.chosen() == interpreter.this()


def test_the_python_that_runs_is_known_for_itself():
    with using_caffe(sys.executable):
        assert interpreter.chosen().is_this
        assert found("jobs:echo", values=1) == [1]


@pytest.mark.parametrize(
    ("files", "lack"),
    [
        ({"caffe.py": ""}, "has a module called caffe"),
        ({"caffe/__init__.py": ""}, "without an engine for it (_caffe)"),
        ({"caffe/__init__.py": "", "caffe/_caffe.cpython-27m-x86_64-linux-gnu.so": ""}, "without an engine"),
        ({"caffe/__init__.py": "", "caffe/_caffe.so": ""}, ""),
    ],
)
def test_whether_this_python_has_caffe_is_seen_without_loading_it(tmp_path, files, lack):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; from netbuild.engine.interpreter import lack_here; "
        "print(lack_here()); assert 'caffe' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(ROOT)], capture_output=True, text=True, check=True
    )
    assert lack in done.stdout
    assert bool(done.stdout.strip()) == bool(lack)


def test_another_python_gets_netbuilds_code_and_no_other_module_of_the_caller(elsewhere, tmp_path, monkeypatch):
    """Neither by PYTHONPATH, nor from the current folder, nor from where the caller's own modules are."""
    (tmp_path / "here").mkdir()
    for folder in (tmp_path, tmp_path / "here"):
        (folder / "six.py").write_text("raise RuntimeError('the caller\\'s')")
        (folder / "caffe.py").write_text("raise RuntimeError('the caller\\'s')")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with using_caffe(elsewhere):
        facts = next(run("netbuild.doctor.child:diagnose", gpu=None))
        assert Path(facts.folder).parent.name in ("site-packages", "dist-packages")
        with pytest.raises(CaffeError, match="No module named 'jobs'"):
            found("jobs:echo", values=1)


def test_a_command_line_may_set_what_the_other_python_needs(engine, tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "more.py").write_text("import os\ndef where():\n    yield os.getcwd()\n")
    with using_caffe(f"env PYTHONPATH='{tmp_path / 'extra'}' {engine.line}"):
        assert found("more:where") == [str(Path.cwd())]


def test_what_the_caller_sets_for_caffe_arrives_where_nothing_else_does(engine, tmp_path, monkeypatch):
    """As in a container: no variable passes, and the current folder is another."""
    bare = script(tmp_path / "bare", f'cd /; exec env -i {engine.line} "$@"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with using_caffe(bare):
        facts = next(run("netbuild.doctor.child:diagnose", gpu=None))
        assert facts.thread_limits == {"OMP_NUM_THREADS": "1"}
        (seen,) = share_one(engine, blas_threads=1)
        assert seen["OPENBLAS_NUM_THREADS"] == "1"
        assert seen["CUDA_VISIBLE_DEVICES"] == "5"
        assert seen["folder"] == str(tmp_path)


def share_one(engine, **options):
    """What a process of several sees of its caller; the job lies where a bare Python finds it."""
    sight = Path.cwd() / "sight.py"
    sight.write_text(
        "import os\ndef see(tasks):\n    for _ in tasks:\n        yield dict(os.environ, folder=os.getcwd())\n"
    )
    code = Path.cwd() / "with_sight"
    text = f'cd /; exec env -i PYTHONPATH="{sight.parent}" {engine.line} "$@"'
    with using_caffe(script(code, text)):
        return list(share("sight:see", [1], 1, **options))


def test_signals_and_ends_are_as_in_a_process_of_this_python(engine, tmp_path):
    env = f"env PYTHONPATH='{Path(__file__).parent}' {engine.line}"
    with using_caffe(env):
        with pytest.raises(CaffeError, match=r"ended early: signal 11 \(SIGSEGV\), and nothing in its log"):
            found("jobs:die", signal_number=11)
        events = run("jobs:until_interrupted")
        next(events)
        assert events.send(child.END) == "ended cleanly"
        found_twice = list(share("jobs:double", range(6), 2, blas_threads=1, marker=str(tmp_path / "died")))
        assert sorted(event[0] for event in found_twice) == [0, 2, 4, 6, 8, 10]


def told(command, monkeypatch, *, code=1):
    """What the command line says of a Python that is named."""
    monkeypatch.delenv(VARIABLE, raising=False)
    by_option = CliRunner().invoke(main, ["doctor", "--caffe", command])
    monkeypatch.setenv(VARIABLE, command)
    by_variable = CliRunner().invoke(main, ["doctor"])
    for result, name in ((by_option, "--caffe"), (by_variable, VARIABLE)):
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        (sentence,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
        assert name in sentence
    return sentence


def test_a_named_python_that_cannot_be_run_is_told(tmp_path, monkeypatch):
    assert "'/no/such/python' is not there" in told("/no/such/python", monkeypatch)
    assert "'no-such-command' is no command on PATH" in told("no-such-command run python3", monkeypatch)
    assert f"is a folder; name the Python in it ('{tmp_path}/bin/python')" in told(str(tmp_path), monkeypatch)
    (tmp_path / "plain").write_text("x")
    if os.getuid():
        assert "may not be executed" in told(str(tmp_path / "plain"), monkeypatch)
    arm = tmp_path / "arm"
    # The head of an ELF program for AArch64 (machine 183).
    arm.write_bytes(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xb7\0\1\0\0\0" + bytes(40))
    arm.chmod(0o755)
    assert "is it for another architecture?" in told(str(arm), monkeypatch)
    assert "is no command line (No closing quotation)" in told("python '", monkeypatch)
    assert "is empty" in told(" ", monkeypatch)


def test_a_named_python_that_lacks_something_is_told(tmp_path, monkeypatch):
    bare = script(tmp_path / "bare", f'exec "{sys.executable}" -S "$@"')
    assert f"it has no numpy: install it there ({bare} -m pip install numpy)" in told(bare, monkeypatch)
    for module, sentence in (
        ("caffe", "it has no Caffe: there is no Python module"),
        ("google.protobuf", "no protobuf"),
    ):
        hidden = tmp_path / module
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(
            f"import importlib.util as u\nfind = u.find_spec\n"
            f"u.find_spec = lambda name, package=None: None if name == {module!r} else find(name, package)"
        )
        assert sentence in told(f"env PYTHONPATH='{hidden}' {sys.executable}", monkeypatch)


def test_an_old_python_says_that_it_is_one(monkeypatch):
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    old = [path for name in ("2.7", "3.6", "3.7") for path in versions.glob(f"{name}*/bin/python")]
    if not old:
        pytest.skip("pyenv has no old Python on this machine")
    for path in old:
        version = ".".join(path.parent.parent.name.split(".")[:2])
        assert f"it is a Python {version}; 3.8 or newer is needed" in told(str(path), monkeypatch)


def test_folders_that_the_other_python_does_not_see_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "CODE", Path("/not/mounted/netbuild"))
    monkeypatch.setattr(interpreter, "CODE", Path("/not/mounted/netbuild"))
    unseen = pytest.raises(CaffeError, match=r"not see netbuild's code: mount '/not/mounted' .*-v /not/mounted:")
    with using_caffe(script(tmp_path / "p", f'exec "{sys.executable}" "$@"')), unseen:
        found("jobs:echo", values=1)
    monkeypatch.undo()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    command = script(tmp_path / "q", f'cd /; rmdir "{gone}"; exec "{sys.executable}" "$@"')
    events = run("jobs:echo", values=1)
    with using_caffe(command), pytest.raises(CaffeError, match="does not see the current folder: mount "):
        monkeypatch.setattr(interpreter.Path, "cwd", lambda: gone)
        next(events)


def test_what_prints_before_or_is_of_another_version_is_told(tmp_path, monkeypatch):
    noisy = script(tmp_path / "noisy", f'echo "Welcome to the\x1b[2J cluster"; exec "{sys.executable}" "$@"')
    assert r"it printed 'Welcome to the\x1b[2J cluster' where nothing but" in told(noisy, monkeypatch)
    other = script(tmp_path / "other", "echo netbuild 0.0.1 plain 1")
    assert "runs another version of netbuild (netbuild 0.0.1 plain 1)" in told(other, monkeypatch)
    dead = script(tmp_path / "dead", "echo 'docker: cannot connect' >&2; echo 'See docker --help.' >&2; exit 125")
    sentence = "it ended before it began, with exit status 125: docker: cannot connect / See docker --help."
    assert sentence in told(dead, monkeypatch)
    quiet = script(tmp_path / "quiet", "exit 0")
    assert "it ended before it began" in told(quiet, monkeypatch)


def test_a_command_that_passes_no_input_on_is_told(engine, tmp_path):
    """As `docker run` without -i."""
    deaf = script(tmp_path / "deaf", f'exec {engine.line} "$@" </dev/null')
    with using_caffe(deaf), pytest.raises(
        CaffeError, match=r"no arguments came on standard input \(docker run needs -i"
    ):
        found("netbuild.doctor.child:diagnose", gpu=None)


def test_processes_that_share_tasks_tell_it_too(tmp_path):
    for text, sentence in (("exit 3", "ended before it began"), ("echo hello", "it printed 'hello'")):
        with using_caffe(script(tmp_path / "p", text)), pytest.raises(CaffeError, match=sentence):
            list(share("jobs:double", [1, 2], 2, marker=""))


def test_images_are_not_taken_for_readable_where_the_named_caffe_is_not_there(monkeypatch, nobody):
    assert images._unread(["a.webp"]) == set()
    with using_caffe("/no/such/python"), pytest.raises(CaffeError, match="is not there"):
        images._unread(["a.webp"])


def test_features_are_the_same_to_the_bit(fused, tmp_path, elsewhere):
    def sums(folder):
        return {path.name: path.read_text() for path in folder.glob("*.sha256")}

    arguments = (fused / "train_val.prototxt", fused / "init.caffemodel")
    make_features(*arguments, tmp_path / "here", Execution(workers=1))
    with using_caffe(elsewhere):
        make_features(*arguments, tmp_path / "there", Execution(workers=2))
    assert sums(tmp_path / "here") == sums(tmp_path / "there") != {}


PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
EXAMINE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from netbuild.engine import plain
from netbuild.engine.child import run
from netbuild.engine.interpreter import using_caffe
with using_caffe(sys.argv[2]):
    facts, gpu, *outcomes = run("netbuild.doctor.child:diagnose", gpu=None)
print(json.dumps([sys.version_info[:2], facts.versions, facts.folder, [[one.name, one.status] for one in outcomes]]))
"""
REPACK = """
import sys
sys.path.insert(0, sys.argv[1])
from netbuild.engine import plain
sys.stdout.buffer.write(plain.packed(plain.unpacked(sys.stdin.buffer.read())))
"""


@pytest.fixture(params=["3.8", "3.10", "3.11", "3.12", "3.13", "3.14"])
def newer(request):
    """Another Python as the caller, and its version: bare, as pyenv made it."""
    python = next(iter(sorted(PYENV.glob(f"{request.param}.*/bin/python"))), None)
    if python is None:
        pytest.skip(f"pyenv has no Python {request.param} on this machine")
    return str(python), request.param


def test_a_caller_of_another_python_gets_the_same(newer, engine):
    python, asked = newer
    done = subprocess.run([python, "-c", EXAMINE, str(ROOT), engine.line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, versions, folder, outcomes = json.loads(done.stdout)
    assert version == [int(number) for number in asked.split(".")]
    own, _, *expected = run("netbuild.doctor.child:diagnose", gpu=None)
    assert (versions, folder) == (own.versions, own.folder)
    assert outcomes == [[one.name, one.status] for one in expected]


def test_values_are_the_same_bytes_in_another_python(newer):
    python, _ = newer
    has_numpy = subprocess.run([python, "-c", "import numpy"], capture_output=True, check=False).returncode == 0
    values = [None, True, -(1 << 70), 0.1, float("nan"), "é\udcff", b"\0", (1, [2.5]), {"a": {1, 2}}, Path("/x")]
    if has_numpy:
        values += [np.arange(6, dtype=">f4").reshape(2, 3), np.float32(0.1), np.array(7)]
    content = child.plain.packed(values)
    done = subprocess.run([python, "-c", REPACK, str(ROOT)], input=content, capture_output=True, check=False)
    assert done.stdout == content, done.stderr
