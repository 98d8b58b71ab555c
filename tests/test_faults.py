"""What remains of `netbuild fuse` when the machine, the disk or the user lets it down: each fault for real."""

import errno
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

from netbuild import fuse_weights
from netbuild.errors import NetbuildError, WeightsError
from netbuild.fuse import fuse
from netbuild.weights.digest import Digests
from netbuild.weights.wire import encode_bytes, encode_varint

MEBIBYTE = 1 << 20
OLD = b"the old output"
MAIN = [sys.executable, "-c", "from netbuild_cli.main import main; main()", "fuse"]


def big(path, seed, mebibytes=12):
    """A weight file of one layer, made without Caffe."""
    values = np.random.default_rng(seed).normal(size=mebibytes * MEBIBYTE // 4).astype("<f4")
    blob = encode_bytes(7, encode_bytes(1, encode_varint(values.size))) + encode_bytes(5, values.tobytes())
    path.write_bytes(encode_bytes(100, encode_bytes(1, b"p") + encode_bytes(7, blob)))
    return values.size


@pytest.fixture()
def job(tmp_path):
    """A folder with two branches' weights, the net they go into, and an old output."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    layers = ""
    for seed, prefix in enumerate("ab"):
        size = big(tmp_path / "in" / prefix, seed)
        shape = f"parameter_param {{ shape {{ dim: {size} }} }}"
        layers += f'layer {{ name: "{prefix}/p" type: "Parameter" top: "{prefix}" {shape} }}\n'
    (tmp_path / "in" / "t.prototxt").write_text(layers)
    (tmp_path / "out" / "init").write_bytes(OLD)
    return tmp_path


def command(job, output=None, a=None):
    inputs = job / "in"
    weights = ["--weights", f"a={a or inputs / 'a'}", "--weights", f"b={inputs / 'b'}"]
    return [*MAIN, str(inputs / "t.prototxt"), *weights, "-o", str(output or job / "out" / "init")]


def ended(arguments, **more):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, **more)


def require_one_sentence(result, sentence):
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("Error: ") == 1
    assert sentence in result.stderr


def require_untouched(job, folder="out"):
    assert (job / folder / "init").read_bytes() == OLD
    assert sorted(path.name for path in (job / folder).iterdir()) == ["init"]


def require_whole(pb, job):
    """The output holds the values of both sources, as protobuf's own parser reads it."""
    net = pb.NetParameter.FromString((job / "out" / "init").read_bytes())
    assert [layer.name for layer in net.layer] == ["a/p", "b/p"]
    for layer in net.layer:
        source = pb.NetParameter.FromString((job / "in" / layer.name[0]).read_bytes())
        assert layer.blobs[0].SerializeToString() == source.layer[0].blobs[0].SerializeToString()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_for_temporary(child, folder, before):
    deadline = time.monotonic() + 30
    while set(folder.glob(".init.*")) <= before and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)


def test_killed_at_fifty_moments(pb, job):
    out = job / "out"
    times = []
    for _ in range(3):  # the first run is slower: it warms caches
        began = time.perf_counter()
        assert ended(command(job)).returncode == 0
        times.append(time.perf_counter() - began)
    whole = min(times)
    require_whole(pb, job)
    new, new_sidecar = digest(out / "init"), digest(out / "init.json")
    dice = random.Random(0)
    remained = {"old": 0, "new": 0, "temporary": 0}
    for turn in range(50):
        (out / "init").write_bytes(OLD)
        (out / "init.json").write_bytes(b"old")
        before = set(out.iterdir())
        child = subprocess.Popen(command(job), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if turn % 2:  # at any time
            time.sleep(whole * dice.uniform(0, 1.05))
        else:  # from when files are written
            wait_for_temporary(child, out, before)
            time.sleep(whole * dice.uniform(0, 0.25))
        child.kill()
        child.wait()
        found = digest(out / "init")
        assert found in (hashlib.sha256(OLD).hexdigest(), new)
        remained["new" if found == new else "old"] += 1
        assert digest(out / "init.json") in (hashlib.sha256(b"old").hexdigest(), new_sidecar)
        others = [path.name for path in out.iterdir() if path.name not in ("init", "init.json")]
        assert all(name.startswith(".init.") and name.endswith(".tmp") for name in others)
        remained["temporary"] += len(set(out.iterdir()) - before)
        for name in others[: turn % 2]:  # the next run succeeds with and without what is left
            (out / name).unlink()
    assert remained["old"] > 0
    assert remained["temporary"] > 0
    assert ended(command(job)).returncode == 0
    assert digest(out / "init") == new
    print(remained)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end(job, number):
    for share in (0.4, 0.6, 0.8):
        (job / "out" / "init").write_bytes(OLD)
        child = subprocess.Popen(command(job), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for_temporary(child, job / "out", set())
        time.sleep(share / 100)
        child.send_signal(number)
        _, told = child.communicate(timeout=30)
        assert "Traceback" not in told
        assert not list((job / "out").glob(".*"))
        if child.returncode:
            assert (job / "out" / "init").read_bytes() == OLD
        else:  # it was done before the signal came
            assert (job / "out" / "init").read_bytes() != OLD
            (job / "out" / "init.json").unlink()


@pytest.mark.parametrize("limit", [0, 1000, 5 * MEBIBYTE, 24 * MEBIBYTE])
def test_a_file_size_limit(job, limit):
    result = ended(command(job), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    require_one_sentence(result, "init': cannot be written (File too large); an old one is as it was")
    require_untouched(job)


@pytest.mark.parametrize("name", ["init", "init.h5"])
def test_a_full_disk(job, mounted, name):
    folder = mounted("small", "8m", [("init", OLD)])
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
        text = (job / "in" / "t.prototxt").read_text()
        (job / "in" / "t.prototxt").write_text(text.replace("a/p", "a_p").replace("b/p", "b_p"))
        arguments = [argument.replace("a=", "a_=").replace("b=", "b_=") for argument in command(job, folder / name)]
        result = ended(arguments)
    else:
        result = ended(command(job, folder / name))
    require_one_sentence(result, "No space left on device")
    require_untouched(job, "small")


def test_a_folder_that_cannot_be_written(job, mounted):
    folder = mounted("fixed", "1m", [("init", OLD)])
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    require_one_sentence(ended(command(job, folder / "init")), "cannot be written (Read-only file system)")
    require_untouched(job, "fixed")


@contextmanager
def forbidden(path, mode):
    before = path.stat().st_mode
    path.chmod(mode)
    yield
    path.chmod(before)


def bound(arguments):
    """The command as one whom permissions bind: of root the powers to pass them over are taken."""
    if os.geteuid() != 0:
        return arguments
    if not shutil.which("setpriv"):
        pytest.skip("root may read and write anything, and there is no setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *arguments]


def test_a_folder_without_permission(job):
    with forbidden(job / "out", 0o555):
        require_one_sentence(ended(bound(command(job))), "cannot be written (Permission denied)")
    with forbidden(job / "out", 0o000):
        require_one_sentence(ended(bound(command(job))), "init': cannot be reached (Permission denied)")
    require_untouched(job)


def test_a_folder_that_may_be_written_but_not_read(job):
    """Where names can be changed, success is success, though the folder itself cannot be opened to be synced."""
    with forbidden(job / "out", 0o333):
        assert ended(bound(command(job))).returncode == 0
    assert (job / "out" / "init").stat().st_size > 24 * MEBIBYTE


def test_a_source_without_permission(job):
    with forbidden(job / "in" / "b", 0o000):
        require_one_sentence(ended(bound(command(job))), "b': not readable (permission denied)")
    (job / "closed").mkdir()
    (job / "in" / "a").rename(job / "closed" / "a")
    with forbidden(job / "closed", 0o000):
        require_one_sentence(ended(bound(command(job, a=job / "closed" / "a"))), "a': cannot be reached (Permission")
    require_untouched(job)


@pytest.mark.parametrize("left", [0, 100, 5 * MEBIBYTE])
def test_a_source_that_shrinks_while_it_is_read(job, monkeypatch, left):
    honest = fuse.write_into

    def shrinking(*arguments, **more):
        os.truncate(job / "in" / "b", left)
        return honest(*arguments, **more)

    monkeypatch.setattr(fuse, "write_into", shrinking)
    weights = {prefix: job / "in" / prefix for prefix in "ab"}
    with pytest.raises(NetbuildError, match=f"ends at byte {left} while being read" if left else "the file is empty"):
        fuse_weights(job / "in" / "t.prototxt", weights, job / "out" / "init")
    require_untouched(job)


def test_a_source_that_is_replaced_while_it_is_read(job, monkeypatch):
    honest = fuse.write_into

    def replaced(*arguments, **more):
        big(job / "in" / "other", 7)
        (job / "in" / "other").replace(job / "in" / "b")
        return honest(*arguments, **more)

    monkeypatch.setattr(fuse, "write_into", replaced)
    weights = {prefix: job / "in" / prefix for prefix in "ab"}
    with pytest.raises(WeightsError, match="b': changed while it was read"):
        fuse_weights(job / "in" / "t.prototxt", weights, job / "out" / "init")
    require_untouched(job)


def test_a_source_is_replaced_before_its_turn_to_be_digested(job):
    """Two are digested at a time: the last of many may be read, and replaced, before."""
    paths = [os.fspath(job / "in" / name) for name in ("a", "b", "t.prototxt")]
    big(job / "in" / "other", 7)
    with Digests(paths) as digests:
        (job / "in" / "other").replace(paths[-1])
        with pytest.raises(WeightsError, match="t.prototxt': changed while it was read"):
            digests.of(paths[-1])


@pytest.mark.parametrize("number", [0, 20, 60])
def test_a_source_whose_disk_fails(job, monkeypatch, number):
    """The one fault that is only played: reads of a source end with an error from some moment on."""
    reads = []

    def failing(honest):
        def read(fd, *rest):
            if os.readlink(f"/proc/self/fd/{fd}") == os.fspath(job / "in" / "b"):
                reads.append(fd)
                if len(reads) > number:
                    raise OSError(errno.EIO, "Input/output error")
            return honest(fd, *rest)

        return read

    for name in ("pread", "preadv"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    weights = {prefix: job / "in" / prefix for prefix in "ab"}
    with pytest.raises(WeightsError, match=r"b': cannot be read at byte \d+ \(Input/output error\)"):
        fuse_weights(job / "in" / "t.prototxt", weights, job / "out" / "init")
    require_untouched(job)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "is a folder, and a file is expected"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.touch(), "the file is empty"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
        (lambda path: path.symlink_to(path), "cannot be reached (Too many levels of symbolic links)"),
        (lambda path: path.write_bytes(b"\0" * 100), "is empty but for zeros"),
    ],
)
def test_a_source_that_is_none(job, make, sentence):
    make(job / "in" / "x")
    require_one_sentence(ended(command(job, a=job / "in" / "x")), sentence)
    require_untouched(job)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "is a folder, and a file is expected"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.write_bytes(b"\xff\xfe" * 100), "is text in UTF-16"),
    ],
)
def test_a_target_that_is_none(job, make, sentence):
    (job / "in" / "t.prototxt").unlink()
    make(job / "in" / "t.prototxt")
    require_one_sentence(ended(command(job)), sentence)
    require_untouched(job)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_the_output_is_never_an_input(job, link):
    before = (job / "in" / "a").read_bytes()
    link(job / "in" / "a", job / "out" / "linked")
    require_one_sentence(ended(command(job, job / "out" / "linked")), "is one of the inputs")
    assert (job / "in" / "a").read_bytes() == before


def test_an_output_that_is_a_link_stays_one(job):
    (job / "store").mkdir()
    (job / "out" / "init").unlink()
    (job / "out" / "init").symlink_to(job / "store" / "real")
    assert ended(command(job)).returncode == 0
    assert (job / "out" / "init").is_symlink()
    assert (job / "store" / "real").stat().st_size > 24 * MEBIBYTE
    assert sorted(path.name for path in (job / "store").iterdir()) == ["real"]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("out", "is a folder; name a file"),
        ("nowhere/init", "its folder does not exist"),
        ("pipe", "is not a regular file"),
        ("in/a/init", "its folder does not exist"),
        ("astray", "its folder does not exist"),
        ("loop", "cannot be reached (Too many levels of symbolic links)"),
        ("x" * 300, "cannot be reached (File name too long)"),
        ("x" * 245, "cannot be written (File name too long)"),
    ],
)
def test_an_output_that_can_be_none(job, output, sentence):
    os.mkfifo(job / "pipe")
    (job / "astray").symlink_to("nowhere/init")
    (job / "loop").symlink_to("loop")
    before = sorted(path.name for path in job.iterdir())
    require_one_sentence(ended(command(job, job / output)), sentence)
    require_untouched(job)
    assert sorted(path.name for path in job.iterdir()) == before
    assert (job / "pipe").is_fifo()
    assert (job / "loop").is_symlink()


def test_a_folder_in_place_of_the_sidecar(job):
    (job / "out" / "init.json").mkdir()
    require_one_sentence(ended(command(job)), "init.json': is a folder")
    assert (job / "out" / "init").read_bytes() == OLD


@contextmanager
def umask(mask):
    before = os.umask(mask)
    yield
    os.umask(before)


@pytest.mark.parametrize(("old", "new"), [(None, 0o640), (0o600, 0o600), (0o664, 0o664), (0o444, 0o644)])
def test_the_output_has_the_permissions_of_a_new_file_or_those_of_the_old_one(job, old, new):
    output = job / "out" / "init"
    output.unlink() if old is None else output.chmod(old)
    with umask(0o027):
        assert ended(command(job)).returncode == 0
    assert output.stat().st_mode & 0o777 == new
