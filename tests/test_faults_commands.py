"""What remains of data, emit, features, report and others when the machine or the user lets them down: faults for real.

docs/faults.md tells what was measured; NETBUILD_KILLS=50 measures it again.
"""

import hashlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from nets import fused_lenets

from netbuild.files import is_temporary

KILLS = int(os.environ.get("NETBUILD_KILLS", "2"))
# So small that a run of little has several files of features.
MAIN = "import netbuild.features.store as s; s._FILE_IMAGES = 10; from netbuild_cli.main import main; main()"
COMMANDS = ("data", "emit", "features", "report")


class Job:
    """A command that writes to `out`, and what it writes: its files' digests, of the run before and of this one."""

    def __init__(self, folder, arguments):
        self.folder, self.arguments = folder, [str(one) for one in arguments]
        self.out = folder / "out"
        self.old, self.new = {}, {}

    def start(self, **more):
        more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **more}
        return subprocess.Popen([sys.executable, "-c", MAIN, *self.arguments], cwd=self.folder, **more)

    def end(self, **more):
        child = self.start(**more)
        _, told = child.communicate(timeout=120)
        return child.returncode, told

    def complete(self):
        """Run to the end; return how long it took, and note what it wrote."""
        began = time.perf_counter()
        code, told = self.end()
        assert code == 0, told
        self.new = self.there()
        return time.perf_counter() - began

    def put_back(self):
        """Make everything as it was before the command ran."""
        self.out.unlink() if self.out.is_symlink() else shutil.rmtree(self.out, ignore_errors=True)
        if self.old:
            shutil.copytree(self.folder / "old", self.out)

    def there(self):
        files = [path for path in self.out.rglob("*") if path.is_file() and not is_temporary(path)]
        return {str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def temporary(self):
        return [path for path in self.out.rglob("*") if is_temporary(path)]

    def require_whole(self):
        """Every file under a final name is one that a whole run writes, of this run or the one before."""
        for name, digest in self.there().items():
            if name.endswith(".sha256") and name not in self.old:
                # It grows, a line for each file before that has its name.
                lines = (self.out / name).read_text().splitlines()
                assert all(re.fullmatch(r"[0-9a-f]{64}  \w+/\d{6}\.h5", line) for line in lines)
            else:
                assert digest in (self.old.get(name), self.new.get(name)), name


@pytest.fixture(params=COMMANDS, scope="module")
def job(request, tmp_path_factory, small_lists, trained):
    """One of the commands, in a folder with what it needs; emit and report have an older result to replace."""
    folder = fused_lenets(tmp_path_factory.mktemp("job") / "fused", small_lists, trained)
    arguments = {
        "data": ["data", "digits", "out"],
        "emit": ["emit", "lenet", "--classes", 5, "--data", "input", "-o", "out"],
        "features": ["features", "train_val.prototxt", "--weights", "init.caffemodel", "-o", "out", "--workers", 2],
        "report": ["report", ".", "-o", "out/r.html"],
    }[request.param]
    job = Job(folder, arguments)
    if request.param in ("emit", "report"):
        job.out.mkdir()
    if request.param == "emit":
        Job(folder, [str(one).replace("5", "7") for one in arguments]).complete()
    if request.param == "report":
        (job.out / "r.html").write_text("old")
    job.old = job.there()
    shutil.copytree(job.out, folder / "old") if job.old else None
    job.complete()
    return job


@pytest.fixture(autouse=True)
def _as_before(request):
    if "job" in request.fixturenames:
        request.getfixturevalue("job").put_back()


def changed(job, before):
    return set(job.out.rglob("*")) - before


def wait_for_a_change(job, child, before):
    deadline = time.monotonic() + 60
    while not changed(job, before) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)


def test_killed_at_random_moments(job):
    """Each run goes on with what the killed ones left; when one came to its end, all begins anew."""
    whole = job.complete()
    assert job.new != job.old
    job.put_back()
    dice, remained = random.Random(os.environ.get("NETBUILD_SEED", 0)), Counter()
    for turn in range(KILLS):
        before = set(job.out.rglob("*"))
        child = job.start()
        if turn % 2:  # at any time
            time.sleep(whole * dice.uniform(0, 1.05))
        else:  # from when files are written
            wait_for_a_change(job, child, before)
            time.sleep(whole * dice.uniform(0, 0.4))
        child.kill()
        child.communicate()
        job.require_whole()
        there = job.there()
        of_two_runs = job.old and there not in (job.old, job.new)
        remained["of two runs" if of_two_runs else "all" if there == job.new else "the old or part"] += 1
        remained["with a temporary file"] += bool({path for path in changed(job, before) if is_temporary(path)})
        if there == job.new:
            job.put_back()
    print(job.arguments[0], dict(remained), f"{whole:.1f} s")
    code, told = job.end()
    assert code == 0, told
    assert job.there() == job.new


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end(job, number):
    child = job.start()
    wait_for_a_change(job, child, set(job.out.rglob("*")))
    child.send_signal(number)
    _, told = child.communicate(timeout=60)
    assert "Traceback" not in told
    assert "unexpected" not in told
    assert not job.temporary()
    job.require_whole()


def test_nobody_reads_what_it_says(job):
    reading, writing = os.pipe()
    os.close(reading)
    code, told = job.end(stdout=writing)
    os.close(writing)
    assert "Traceback" not in told
    assert "unexpected" not in told
    assert code == 1
    assert job.there() == job.new


def require_one_sentence(code, told, sentence):
    assert code == 1, told
    errors = told[told.index("Error: ") :]
    assert errors.count("\n") == 1, told
    assert sentence in errors


def test_a_file_size_limit(job):
    limit = 30_000 if job.arguments[0] == "features" else 200
    code, told = job.end(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    require_one_sentence(code, told, "cannot be written (File too large); an old one is as it was")
    assert not job.temporary()
    job.require_whole()


def fill(folder, left):
    """Take all room of a small file system but so many bytes."""
    block = bytes(1 << 12)
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(block):
                pass
        except OSError:
            file.truncate(file.tell() - left)


def test_a_full_disk(job, mounted):
    disk = mounted("disk", "1m")
    shutil.copytree(job.out, disk / "out") if job.old else (disk / "out").mkdir()
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.symlink_to(disk / "out", target_is_directory=True)
    # The size of features is reckoned first: what it does not reckon with is what fills the disk.
    needed = 80 * 1001 * 4 if job.arguments[0] == "features" else 0
    fill(disk, needed + (2 << 12))
    code, told = job.end()
    require_one_sentence(code, told, "No space left on device")
    assert not job.temporary()
    job.require_whole()


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_disk_with_no_room_even_for_the_structure_of_hdf5(mounted, trained, left):
    pytest.importorskip("h5py")
    job = Job(mounted("disk", "1m"), ["convert", trained / "a.caffemodel", "out.h5"])
    (job.folder / "out.h5").write_text("old")
    fill(job.folder, left << 12)
    code, told = job.end()
    require_one_sentence(code, told, "out.h5': cannot be written (No space left on device); an old one is as it was")
    assert sorted(path.name for path in job.folder.iterdir()) == ["filler", "out.h5"]
    assert (job.folder / "out.h5").read_text() == "old"


def test_an_evaluation_of_which_nobody_reads_the_report_writes_its_tables(tmp_path, trained, small_lists):
    job = Job(tmp_path, ["eval", trained / "lenet.prototxt", trained / "a.caffemodel", "--mean", "none"])
    job.arguments += ["--source", str(small_lists.path("val_odd")), "-o", "out"]
    reader, writer = os.pipe()
    os.close(reader)
    code, told = job.end(stdout=writer)
    os.close(writer)
    assert (code, "Traceback" in told) == (1, False)
    assert {"confusion.csv", "per_class.csv", "predictions.csv"} <= set(job.there())


def test_a_full_disk_leaves_no_tables_of_half_an_evaluation(mounted, trained, small_lists):
    job = Job(mounted("disk", "1m"), ["eval", trained / "lenet.prototxt", trained / "a.caffemodel", "--mean", "none"])
    job.arguments += ["--source", str(small_lists.path("val_odd")), "-o", "out"]
    job.out.mkdir()
    fill(job.folder, 2 << 12)
    code, told = job.end()
    require_one_sentence(code, told, "out/predictions.csv': cannot be written (No space left on device)")
    assert list(job.out.iterdir()) == []


def test_a_full_disk_ends_the_demo_with_a_sentence(mounted):
    job = Job(mounted("disk", "1m"), ["demo", "-o", "out"])
    code, told = job.end()
    require_one_sentence(code, told, "No space left on device")
    assert not job.temporary()
    for path in job.out.rglob("*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path


def test_extract_leaves_no_half_of_a_branch(tmp_path, small_lists, trained):
    job = Job(fused_lenets(tmp_path / "fused", small_lists, trained), ["extract", "a", "train_val.prototxt"])
    job.arguments += ["init.caffemodel", "-o", "out"]
    job.out.mkdir()
    (job.out / "a.prototxt").write_text("old")
    code, told = job.end(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    require_one_sentence(code, told, "out/a.caffemodel': cannot be written (File too large)")
    assert [path.name for path in job.out.iterdir()] == ["a.prototxt"]
    assert (job.out / "a.prototxt").read_text() == "old"
