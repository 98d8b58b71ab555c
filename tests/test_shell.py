"""What makes the command line pleasant: completion, colours, how much it says, the list of builders."""

import os
import pty
import shutil
import subprocess
import sys

import pytest
from commands import invoke

from netbuild.engine.child import LOG_LEVEL

COMMAND = [sys.executable, "-m", "netbuild_cli.main"]


@pytest.fixture()
def on_path(tmp_path, in_tmp, monkeypatch):
    """A folder whose `netbuild` is the command, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "netbuild").write_text(
        f"#!{sys.executable}\nfrom netbuild_cli.main import main\nmain(prog_name='netbuild')\n"
    )
    (folder / "netbuild").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    (in_tmp / "weights").mkdir()
    (in_tmp / "weights" / "odd.caffemodel").touch()
    return in_tmp


def in_bash(*words):
    """Complete the last of the words, which are as bash breaks them, at = too."""
    listed = " ".join(f"'{word}'" for word in words)
    script = f"""
        source <(netbuild completion bash)
        COMP_WORDS=(netbuild {listed}); COMP_CWORD={len(words)}
        _netbuild_completion netbuild
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_bash(on_path):
    assert in_bash("ex") == ["extract"]
    assert in_bash("emit", "squeeze") == ["squeezenet1_0", "squeezenet1_1"]
    assert in_bash("emit", "fusion", "--branch", "odd", "=", "lene") == ["lenet"]
    assert in_bash("fuse", "t.prototxt", "--weights", "odd", "=", "weights/") == ["weights/odd.caffemodel"]
    assert "--weights" in in_bash("fuse", "--we")
    assert in_bash("emit", "lenet", "--solver-mode", "") == ["CPU", "GPU"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish on this machine")
def test_fish(on_path):
    script = "source (netbuild completion fish | psub); complete -C 'netbuild ex'"
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "extract"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_zsh(on_path):
    script = 'autoload -Uz compinit && compinit -u -d zcompdump && eval "$(netbuild completion zsh)" && echo $_comps[netbuild]'
    done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["_netbuild_completion"]


def test_completing_loads_nothing_heavy(on_path):
    code = (
        "import os, sys; os.environ.update(_NETBUILD_COMPLETE='bash_complete', COMP_WORDS='netbuild em', COMP_CWORD='1')\n"
        "from netbuild_cli.main import main\n"
        "try: main(prog_name='netbuild')\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'caffe', 'google.protobuf'} & set(sys.modules), sorted(sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "plain,emit\n"
    )


def at_a_terminal(*words, **variables):
    """Return what the command prints when stdout and stderr are a terminal."""
    try:
        ours, theirs = pty.openpty()
    except OSError:
        pytest.skip("this machine gives no pseudo-terminals")
    environment = {**os.environ, "TERM": "xterm", **variables}
    with subprocess.Popen([*COMMAND, *words], stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        printed = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            printed += part
        running.wait()
    os.close(ours)
    return printed.decode()


def test_colours_where_they_are_wanted(in_tmp):
    red = "\x1b[31mError:\x1b[0m"
    assert red in at_a_terminal("check", "gone.prototxt")
    assert "\x1b[" not in at_a_terminal("check", "gone.prototxt", NO_COLOR="1")
    assert "\x1b[" not in at_a_terminal("check", "gone.prototxt", TERM="dumb")
    assert red in at_a_terminal("check", "gone.prototxt", NO_COLOR="")
    done = subprocess.run([*COMMAND, "check", "gone.prototxt"], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("Error: ")


def in_a_process(*words, code=0):
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_quiet_leaves_results_and_errors(in_tmp):
    words = ["emit", "lenet", "--classes", "5", "-o", "net"]
    assert in_a_process(*words).stderr == "note: val.txt is not there to be counted; test_iter is set to 500\n"
    for quiet in (["-q", *words], [*words, "--quiet"]):
        result = in_a_process(*quiet)
        assert result.stderr == ""
        assert "net/solver.prototxt" in result.stdout
    assert in_a_process("check", "gone.prototxt", "-q", code=1).stderr.startswith("Error: ")


def test_verbose_shows_caffes_log(in_tmp, trained):
    code = (
        "from netbuild.engine.child import run\n"
        f"list(run('netbuild.verify.child:outputs', text=open({str(trained / 'lenet.prototxt')!r}).read(), "
        f"weights={str(trained / 'a.caffemodel')!r}, feed={{}}, blobs=[]))"
    )
    for level, shown in (("0", True), ("2", False)):
        environment = {**os.environ, LOG_LEVEL: level}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert ("Creating Layer conv1" in done.stderr) is shown
    before = os.environ.get(LOG_LEVEL)
    invoke("-v", "completion", "bash")
    assert os.environ.get(LOG_LEVEL) == before


def test_the_list_of_builders():
    lines = invoke("emit", "--list").stdout.splitlines()
    told = {line.split()[0]: line for line in lines if "(N, " in line}
    # Published: ResNet-50 without its classifier, statistics included; VGG-16 without fc8.
    assert "pool5" in told["resnet50"]
    assert f"{138_357_544 - 4_097_000:,}" in told["vgg16"]
    assert len(told) == 15
    assert max(map(len, lines)) <= 100
