"""The commands as a user types them: output, exit status, and never a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run
from netbuild_cli.main import _COMMANDS as COMMANDS


@pytest.fixture()
def fused(in_tmp, trained):
    run(
        *("emit", "fusion", "--branch", "odd=lenet", "--branch", "even=lenet", "--classes", 10),
        *("--train-source", "train_all.txt", "--test-source", "val_all.txt", "-o", "net"),
    )
    run("fuse", "net/train_val.prototxt", *weights(trained), "-o", "init.caffemodel")
    return in_tmp


def weights(trained):
    return ["--weights", f"odd={trained / 'a.caffemodel'}", "--weights", f"even={trained / 'b.caffemodel'}"]


def test_help_and_version():
    assert "0.1.0" in run("--version")
    listed = run("--help")
    for command in COMMANDS:
        assert f"\n  {command} " in listed
        said = run(command, "--help")
        assert said.split("\n\n")[1].strip().endswith(".")
        undescribed = re.findall(r"^  -.*?(?=\n  -|\n\n|\Z)", said.split("Options:")[1], re.MULTILINE | re.DOTALL)
        assert not [option for option in undescribed if not re.search(r"  [A-Za-z]", option.strip())], command
    assert "No such command 'fues'" in run("fues", code=2)


@pytest.mark.parametrize("command", [[], *([one] for one in COMMANDS), ["data", "mnist"], ["data", "digits"]])
def test_help_loads_neither_caffe_nor_numpy(command):
    code = (
        "import sys; from netbuild_cli.main import main\n"
        f"try: main([*{command}, '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*{'caffe', 'numpy', 'google.protobuf', 'h5py'} & set(sys.modules), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not said.stderr.strip()


def test_the_help_tells_the_tolerance_that_counts():
    from netbuild.verify.engines import TOLERANCE

    assert f"[default: {TOLERANCE}]" in run("verify", "--help").replace("\n" + 30 * " ", " ")


def test_emit_prints_what_it_wrote_and_says_what_it_assumed(in_tmp):
    output = run("emit", "lenet", "--classes", 5, "--train-batch", 25, "-o", "odd")
    assert "odd/train_val.prototxt\nodd/deploy.prototxt\nodd/solver.prototxt" in output
    assert "note: val.txt is not there to be counted; test_iter is set to 500" in output
    assert "batch_size: 25" in Path("odd/train_val.prototxt").read_text()


def test_emit_dry_run_checks_and_writes_nothing(in_tmp):
    output = run("emit", "lenet", "--classes", 5, "-o", "odd", "--dry-run")
    assert "would write odd/train_val.prototxt" in output
    assert list(in_tmp.iterdir()) == []


def test_solver_fields_win_over_their_options(in_tmp):
    run("emit", "lenet", "--classes", 5, "-o", "odd", "--solver", "solver_mode=GPU")
    assert "solver_mode: GPU" in Path("odd/solver.prototxt").read_text()


def test_a_users_builder_in_the_current_folder(in_tmp):
    Path("mynet.py").write_text(
        "from netbuild import Branch, blocks\n"
        "def net(net, bottom, prefix='', *, frozen=False):\n"
        "    return Branch(prefix, 'fc', blocks.fc(net, f'{prefix}_fc', bottom, 3, frozen=frozen), 3)\n"
        "def broken(net, bottom, prefix='', *, frozen=False):\n"
        "    raise ValueError('too deep')\n"
    )
    command = ["emit", "fusion", "--classes", 2, "--shape", "1,4,4", "-o", "x", "--branch"]
    assert "branch 'a': its builder failed: ValueError: too deep" in run(*command, "a=mynet:broken", code=1)
    assert "its seam 'a/fc' is no blob of the net" in run(*command, "a=mynet:net", code=1)
    assert "no function 'nett'" in run(*command, "a=mynet:nett", code=1)


def test_a_module_is_named_as_in_an_import(in_tmp):
    told = run("check", "lib/mynet.py:net", code=1)
    assert "builder 'lib/mynet.py:net': a module is named as in an import: lib.mynet:net" in told


def test_where_a_builder_fails_is_told_in_its_own_file(in_tmp):
    """Not where pycaffe's NetSpec does."""
    text = 'def net(net, bottom, prefix="", *, frozen=False):\n    return net.nothing\n'
    (in_tmp / "failing_net.py").write_text(text)
    told = run("check", "failing_net:net", code=1)
    assert re.search(r"the builder failed: .*nothing.* \(\S+failing_net.py:2\)", told)


def test_a_builder_of_another_form_is_told_the_form(in_tmp):
    Path("forms.py").write_text("def old(net, bottom, prefix=''):\n    pass\ndef none(*_, **__):\n    pass\n")
    for command in (["check", "forms:old"], ["emit", "forms:old", "--classes", 2, "-o", "x"]):
        told = run(*command, code=1)
        assert "the builder failed: TypeError" in told
        assert "unexpected keyword argument 'frozen' (" in told
        assert "forms.py:1); a builder is a function of the form def NAME(" in told
    assert "the builder returned NoneType, not a netbuild.Branch" in run("check", "forms:none", code=1)


def test_a_type_that_is_not_known_has_one_that_is_near(in_tmp):
    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } }'
    for kind, told in (("relu", "are unknown; did you mean 'ReLU'?"), ("Frob", "shapes after it are unknown\n")):
        Path("n.prototxt").write_text(f'{text} layer {{ name: "r" type: "{kind}" bottom: "d" top: "r" }}')
        assert f"layer 'r': the type {kind!r} is not known here; " in run("check", "n.prototxt")
        assert told in run("check", "n.prototxt")


def test_a_folder_is_no_net(in_tmp):
    Path("nets").mkdir()
    told = run("check", "nets", code=1)
    assert "net 'nets': is a folder, and a prototxt or the name of a builder is expected here; there is no" in told
    Path("nets/deploy.prototxt").write_text("")
    assert "name one of the prototxts in it: nets/deploy.prototxt" in run("summary", "nets", code=1)
    Path("lenet").mkdir()  # a builder's name all the same
    run("check", "lenet")


def test_an_interrupted_training_ends_with_130(fused, small_lists, monkeypatch):
    for name, subset in (("train_all.txt", "train_all"), ("val_all.txt", "val_all")):
        Path(name).write_bytes(small_lists.path(subset).read_bytes())
    from netbuild_cli import train

    from netbuild.train.events import Stepped

    honest = train.Reporter.show

    def interrupting(self, event):
        honest(self, event)
        if isinstance(event, Stepped):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train.Reporter, "show", interrupting)
    output = run("train", "net/solver.prototxt", "--weights", "init.caffemodel", "-o", "run", "--no-plot", code=130)
    assert "interrupted at iteration" in output


def test_emit_options_reach_the_files(in_tmp):
    run(
        *("emit", "resnet50", "--classes", 7, "--data", "lmdb", "--train-source", "a", "--test-source", "b"),
        *("--crop", 200, "--mean", "1,2,3", "--scale", 0.5, "--mirror", "--solver-mode", "GPU", "--test-iter", 3),
        *("--solver", "base_lr=0.5", "-o", "net", "--head", "score", "--split-phases"),
    )
    train = Path("net/train.prototxt").read_text()
    for line in ("crop_size: 200", "mean_value: 2.0", "scale: 0.5", "mirror: true", "backend: LMDB", 'name: "score"'):
        assert line in train, line
    solver = Path("net/solver.prototxt").read_text()
    for line in ("base_lr: 0.5", "solver_mode: GPU", "test_iter: 3"):
        assert line in solver


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["emit", "lenett", "--classes", 5, "-o", "x"], "no builder called 'lenett': did you mean 'lenet'?", 1),
        (["emit", "lenet", "-o", "x"], "say what the net is to end in: --classes N, --head NAME=N", 2),
        (["emit", "fusion", "--classes", 5, "-o", "x"], "'fusion' needs at least one --branch", 2),
        (["emit", "lenet", "--branch", "a=lenet", "--classes", 5, "-o", "x"], "--branch goes with the net 'fusion'", 2),
        (
            ["emit", "fusion", "--branch", "a=lenet", "--branch", "a=lenet", "--classes", 5, "-o", "x"],
            "prefix 'a' is given twice",
            2,
        ),
        (["emit", "fusion", "--branch", "lenet", "--classes", 5, "-o", "x"], "'lenet': expected PREFIX=NET", 2),
        (
            ["emit", "fusion", "--branch", "a=n.prototxt@ip1", "--classes", 5, "-o", "x"],
            "prototxt 'n.prototxt': no such file",
            1,
        ),
        (
            ["emit", "lenet", "--classes", 5, "--shape", "1,28", "-o", "x"],
            "images of a list or a database have a shape C,H,W, and the net reads (N, 1, 28)",
            1,
        ),
        (["emit", "lenet", "--classes", 5, "--mean", "1,2", "-o", "x"], "2 mean values for 1 channel;", 1),
        (["emit", "lenet", "--classes", 0, "-o", "x"], "0 classes", 1),
        (
            ["emit", "fusion", "--branch", "a=lenet", "--branch", "b=resnet50", "--classes", 5, "-o", "x"],
            "read the input 'data' in different sizes",
            1,
        ),
        (["fuse", "no.prototxt", "--weights", "a=b", "-o", "x"], "prototxt 'no.prototxt': no such file", 1),
        (["fuse", "no.prototxt", "-o", "x"], "Missing option '--weights'", 2),
        (["train", "no.prototxt", "-o", "x"], "no such file", 1),
        (["train", "s", "--snapshot", "x"], "No such option: --snapshot; what Caffe calls so is --resume", 2),
        (["emit", "lenet", "--base-lr", "1"], "a field of the solver is given as --solver base_lr=VALUE", 2),
        (["emit", "fusion", "--classes", "1", "-o", "x", "odd=lenet"], "it goes with an option: --branch odd=lenet", 2),
        (["emit", "fusion", "--branch", "odd =lenet", "-o", "x"], "the prefix 'odd ' has a blank at its end", 2),
        (["emit", "lenet", "--class", "1"], "No such option", 2),
        (
            ["verify", "a", "b", "--branch", "odd=x", "--weights", "even=y"],
            "missing: --weights odd=FILE, --branch even=NET",
            2,
        ),
        (["verify", "nowhere.caffemodel"], "weights 'nowhere.caffemodel': no such file", 1),
        (["emit", "fusoin", "--branch", "a=lenet", "--classes", 5, "-o", "x"], "did you mean 'fusion'?", 2),
        (["fuse", "a.caffemodel", "b.prototxt", "--weights", "a=b", "-o", "x"], "expected one TARGET.prototxt", 2),
        (["data", "mnist", "x", "--from", "nowhere"], "MNIST 'nowhere': no such file or folder", 1),
        (["demo", "-o", "x", "--weights", "odd=nowhere", "--weights", "third=x"], "weights for 'third'", 1),
        (["demo", "-o", "x", "--weights", "odd=nowhere"], "weights 'nowhere': no such file", 1),
        (["demo", "-o", "x", "--data", "nowhere"], "MNIST 'nowhere': no such file", 1),
    ],
)
def test_mistakes_are_told_in_a_sentence_and_write_nothing(in_tmp, arguments, sentence, code):
    assert sentence in run(*arguments, code=code)
    assert not [path for path in in_tmp.rglob("*") if path.is_file()]


def test_fuse_reports_and_ends_with_the_proof(fused, trained):
    output = run("fuse", "net/train_val.prototxt", *weights(trained), "-o", "init.caffemodel")
    lines = output.splitlines()
    assert lines[-2:] == [
        f"6 of 6 blobs of odd bit-equal to {trained / 'a.caffemodel'}",
        f"6 of 6 blobs of even bit-equal to {trained / 'b.caffemodel'}",
    ]
    assert "left to their fillers: ip2" in lines
    assert f"not wanted from {trained / 'a.caffemodel'}: ip2" in lines


def test_fuse_dry_run_and_json(fused, trained):
    output = run("fuse", "net/deploy.prototxt", *weights(trained), "-o", "none", "--dry-run")
    assert "odd/ip1  <-  " in output
    assert "dry run: 12 blobs fit; none was not written" in output
    assert not Path("none").exists()
    report = json.loads(run("fuse", "net/deploy.prototxt", *weights(trained), "-o", "x", "--json"))
    assert report["branches"]["odd"] == {
        "file": str(trained / "a.caffemodel"),
        "files": [str(trained / "a.caffemodel")],
        "blobs": 6,
        "bit_equal": True,
        "not_wanted": ["ip2"],
    }
    assert report["bytes_written"] == Path("x").stat().st_size


def test_verify_says_equal_or_where_it_differs(fused, trained):
    nets = ["--branch", "odd=lenet", "--branch", f"even={trained / 'lenet.prototxt'}"]
    output = run("verify", "net/train_val.prototxt", "init.caffemodel", *nets, *weights(trained))
    assert "odd: 6 layers up to odd/ip1 (1 x 500) bit-equal to lenet" in output
    swapped = ["--weights", f"even={trained / 'a.caffemodel'}", "--weights", f"odd={trained / 'a.caffemodel'}"]
    output = run("verify", "net/train_val.prototxt", "init.caffemodel", *nets, *swapped, code=1)
    assert "even: DIFFERS" in output
    assert "first in layer 'conv1'" in output
    assert output.count("largest difference ") == 1 + 6
    report = json.loads(run("verify", "net/deploy.prototxt", "init.caffemodel", *nets, *weights(trained), "--json"))
    assert [one["equal"] for one in report] == [True, True]
    run("verify", "net/deploy.prototxt", "init.caffemodel", *nets, *weights(trained), "--shape", "data=x", code=2)


def test_verify_says_where_a_branch_begins(fused, trained):
    halves = ["--branch", "odd=lenet@pool1", "--branch", "even=lenet", "--input", "even=pool1:odd"]
    run("emit", "fusion", *halves, "--no-head", "--data", "input", "-o", "halves")
    run("fuse", "halves/deploy.prototxt", *weights(trained), "-o", "halves.caffemodel")
    wanted = ["--branch", "odd=lenet", "--branch", "even=lenet", *weights(trained)]
    output = run("verify", "halves/deploy.prototxt", "halves.caffemodel", *wanted)
    assert "even: 4 layers from 'pool1' on, up to even/ip1 (1 x 500) bit-equal to lenet" in output


def test_train_from_the_command_line(fused, small_lists):
    for name, subset in (("train_all.txt", "train_all"), ("val_all.txt", "val_all")):
        Path(name).write_bytes(small_lists.path(subset).read_bytes())
    output = run("train", "net/solver.prototxt", "--weights", "init.caffemodel", "--max-iter", 3, "-o", "run")
    assert "finished at iteration 3: accuracy 0." in output
    for name in ("lenet_fused_iter_3.caffemodel", "lenet_fused_iter_3.solverstate", "train_log.csv", "curves.png"):
        assert f"wrote run/{name}" in output
        assert Path("run", name).exists()
    assert "is a solverstate" in run(
        *("train", "net/solver.prototxt", "--weights", "run/lenet_fused_iter_3.solverstate", "-o", "x"), code=1
    )


def test_data_writes_lists_and_counts_them(in_tmp):
    output = run("data", "digits", "some digits", "--format", "jpg")
    assert "some digits/train_all.txt  1,297 images" in output
    assert Path("some digits/val_odd.txt").read_text().startswith("some digits/val/")


@pytest.mark.parametrize(
    "arguments", [("-q", "data", "digits", "d"), ("data", "-q", "digits", "d"), ("data", "digits", "d", "-q")]
)
def test_every_command_takes_quiet_also_those_of_data(in_tmp, arguments):
    assert run(*arguments).splitlines()[0] == "d/train_odd.txt  669 images"


def test_a_machine_that_lets_us_down_is_no_fault_of_ours(in_tmp, monkeypatch):
    """A full disk is told by its name, without a call to report it; and so are names that no prototxt can hold."""
    import errno

    from netbuild_cli import fusing

    def full(_name, **_state):
        raise OSError(errno.ENOSPC, "No space left on device", "some/file")

    monkeypatch.setattr(fusing, "find_branch", full)
    assert run("emit", "lenet", "--classes", 5, "-o", "x", code=1) == "Error: 'some/file': No space left on device\n"

    def odd(_name, **_state):
        "a/b\udcff/c".encode()

    monkeypatch.setattr(fusing, "find_branch", odd)
    told = run("emit", "lenet", "--classes", 5, "-o", "x", code=1)
    assert told == "Error: 'a/b\\udcff/c': a name that is not UTF-8 does not go into these files; rename it\n"


def test_demo_force_removes_only_a_demos_files(in_tmp):
    Path("home").mkdir()
    Path("home/thesis.tex").write_text("years of work")
    Path("home/data").mkdir()
    assert "was not made by a demo; it was not touched" in run("demo", "-o", "home", "--force", code=1)
    assert Path("home/thesis.tex").exists()


def test_a_fault_of_ours_is_one_line_too(in_tmp, monkeypatch):
    monkeypatch.delenv("NETBUILD_DEBUG", raising=False)
    from netbuild_cli import fusing

    def broken(_name, **_state):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(fusing, "find_branch", broken)
    assert "unexpected ZeroDivisionError: oops" in run("emit", "lenet", "--classes", 5, "-o", "x", code=1)


def test_the_installed_command_runs(tmp_path):
    command = Path(sys.executable).with_name("netbuild")
    if not command.exists():
        pytest.skip("netbuild is not installed beside this Python")
    result = subprocess.run([os.fspath(command), "--version"], capture_output=True, text=True, check=True)
    assert "netbuild" in result.stdout
