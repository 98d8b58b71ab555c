"""Data from outside that claims, repeats or unpacks to more than a machine holds: told, and never built."""

import functools
import gzip
import http.server
import pickle
import pickletools
import resource
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from netbuild.data import outside
from netbuild.data.download import download
from netbuild.data.images import load_images
from netbuild.data.mnist import load_mnist
from netbuild.errors import NetbuildError
from netbuild.schema import schema

GIBIBYTE = 1 << 30
LONG = 300 << 20
ARRAY = pickle.dumps(np.zeros(4, np.float32), protocol=2)


@pytest.fixture(autouse=True)
def little_memory():
    """What would take more than two GiB besides what is taken ends in MemoryError, not in the death of the machine."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2 * GIBIBYTE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


class Called:
    """Pickles as a call of a function with these arguments, and what is set afterwards."""

    def __init__(self, *reduced):
        self._reduced = reduced

    def __reduce__(self):
        return self._reduced


def doubled(times):
    """10 ** times items by reference to one another."""
    items = [0] * 10
    for _ in range(times - 1):
        items = [items] * 10
    return items


def splits(images, labels=None):
    return pickle.dumps(((images, np.zeros(3, int) if labels is None else labels),) * 3, protocol=4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (splits(doubled(12)), "it has list for an array of numbers"),
        (splits(np.zeros((3, 784), np.float32), doubled(12)), "it has list for an array of whole numbers"),
        (splits(Called(np.ndarray, ((10**12,),))), "it makes arrays without values"),
        (splits(np.zeros((1, 5), object)), "it holds values of type 'O8', not only numbers"),
        (splits(np.zeros((3, 784), np.float32), np.zeros(3)), "it has ndarray for an array of whole numbers"),
        (b"\x80\x04" + b"}" * 10_000_000, "it holds more than 6 arrays"),
        (b"\x80\x04(" + b"K\0" * 2000 + b"t.", "it holds more than 6 arrays"),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "it holds more than 6 arrays"),  # LONG_BINPUT: a memo of 4 billion places
        (b"\x80\x05\x96" + struct.pack("<Q", 10**12) + b"abc.", "is not mnist.pkl.gz"),  # BYTEARRAY8
        (b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"abc.", "is not mnist.pkl.gz"),  # BINBYTES8
        (
            pickle.dumps([np.zeros(3)] * 3 + [np.ones(i + 1) for i in range(7)], protocol=2),
            "it holds more than 6 arrays",
        ),
        (ARRAY.replace(b"K\x04\x85", b"\x8a\x06\0\0\0\0\0\x10\x85"), "is not mnist.pkl.gz"),  # another shape
        (ARRAY.replace(b"K\x04\x85", b"\x8a\x0a" + b"\x7f" * 10 + b"\x85"), "is not mnist.pkl.gz"),  # beyond any
    ],
    ids=range(13),
)
def test_pickles_that_build_more_than_they_hold(tmp_path, content, reason):
    (tmp_path / "mnist.pkl.gz").write_bytes(gzip.compress(content, 1))
    with pytest.raises(NetbuildError, match=reason):
        load_mnist(str(tmp_path / "mnist.pkl.gz"))


ARRAY_HEAD = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01"
"""What begins an array, as Python 2 writes it; its shape comes next."""


@pytest.mark.parametrize(
    "kind",
    [
        b"U\x02O8K\0K\x01\x87R",  # objects, whose values are a list of any length
        b"U\x02f8K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb",  # floats, flagged as objects
    ],
    ids=["objects", "flags"],
)
def test_an_array_of_objects_that_are_not_there(tmp_path, kind):
    """numpy makes room for all that the shape says, and reads a list of so many beyond its end."""
    content = b"\x80\x02" + ARRAY_HEAD + b"J" + struct.pack("<i", 10**7) + b"\x85cnumpy\ndtype\n" + kind + b"\x89]tb."
    (tmp_path / "mnist.pkl").write_bytes(content)
    code = f"from netbuild.data.mnist import load_mnist; load_mnist({str(tmp_path / 'mnist.pkl')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "NetbuildError: MNIST" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<i8", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_a_pickle_are_those_of_numpy(tmp_path, protocol, kind, order):
    values = np.asarray(np.arange(12).reshape(3, 4), kind, order)
    (tmp_path / "arrays.pkl").write_bytes(pickle.dumps((values, values[:1]), protocol))
    full, part = (one.values for one in outside.load_arrays(tmp_path / "arrays.pkl", "arrays"))
    assert full.tobytes() == values.tobytes()
    assert (full.shape, part.shape, full.dtype) == ((3, 4), (1, 4), values.dtype)


def test_an_array_as_python_2_writes_it(tmp_path):
    values = np.array([1.5, -2, 300], "<f4")
    kind = b"cnumpy\ndtype\nU\x02f4K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    content = b"\x80\x02" + ARRAY_HEAD + b"K\x03\x85" + kind + b"\x89U\x0c" + values.tobytes() + b"tb."
    assert (pickle.loads(content, encoding="latin1") == values).all()
    (tmp_path / "array.pkl").write_bytes(content)
    assert (outside.load_arrays(tmp_path / "array.pkl", "array").values == values).all()


def test_a_pickle_that_repeats_a_text(tmp_path, monkeypatch):
    """Python 2 knows no bytes: Python 3 writes them for it as text, which is encoded anew each time."""
    monkeypatch.setattr(outside, "MAX_BYTES", 10_000)
    text = "x" * 4000
    import _codecs

    content = pickle.dumps([Called(_codecs.encode, (text, "latin1")) for _ in range(3)], protocol=2)
    assert len(content) < 10_000
    (tmp_path / "mnist.pkl.gz").write_bytes(content)
    with pytest.raises(NetbuildError, match="it repeats its values"):
        load_mnist(str(tmp_path / "mnist.pkl.gz"))


def test_six_arrays_take_few_steps():
    content = tuple((np.zeros((5, 784), np.float32), np.zeros(5, np.int64)) for _ in range(3))
    counts = [sum(1 for _ in pickletools.genops(pickle.dumps(content, protocol))) for protocol in range(6)]
    assert max(counts) * 3 < outside._MAX_STEPS


@pytest.fixture()
def folder(tmp_path):
    return tmp_path


def put(folder, raw, name="train-images-idx3-ubyte.gz"):
    (folder / name).write_bytes(raw)


def zeros(count):
    """So many zeros, gzipped; a mebibyte a thousandfold smaller."""
    import zlib

    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join(parts) + packer.flush()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x", "has 255 axes; images have 3, and labels 1"),
        (b"\0\0\x08\x03" + b"\xff" * 12, r"has more than 256 MiB"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 4), r"has more than 256 MiB"),
        (b"\0\0\x08\x01\0\0\0\x02" + b"x" * 1000, r"shape \(2,\) needs 2 bytes, found more"),
    ],
)
def test_idx_files_that_claim_too_much(folder, raw, reason):
    put(folder, raw)
    with pytest.raises(NetbuildError, match=reason):
        load_mnist(str(folder))


def test_gzip_files_that_unpack_to_no_end(folder):
    put(folder, zeros(LONG))
    with pytest.raises(NetbuildError, match="no idx file of unsigned bytes"):
        load_mnist(str(folder))
    put(folder, gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 10, 28, 28)) + zeros(LONG))
    with pytest.raises(NetbuildError, match=r"shape \(10, 28, 28\) needs 7840 bytes, found more"):
        load_mnist(str(folder))
    put(folder, gzip.compress(b"\x80\x02") + zeros(LONG), "x.pkl.gz")
    with pytest.raises(NetbuildError, match="has more than 256 MiB .unpacked, where it is packed."):
        load_mnist(str(folder / "x.pkl.gz"))


def test_a_command_line_with_little_memory(folder):
    put(folder, pickle.dumps(((doubled(12), doubled(12)),) * 3), "mnist.pkl")
    command = [sys.executable, "-c", "from netbuild_cli.main import main; main()", "data", "mnist", "out", "-q"]
    ended = subprocess.run(
        [*command, "--from", "mnist.pkl"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr == ("Error: MNIST 'mnist.pkl': is not mnist.pkl.gz (it has list for an array of numbers)\n")


@pytest.fixture()
def server(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path != "/endless":
                return super().do_GET()
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_a_download_that_has_no_end(folder, server, monkeypatch):
    monkeypatch.setattr("netbuild.data.download.MAX_BYTES", 1 << 20)
    with pytest.raises(NetbuildError, match="has more than"):
        download(f"{server}/endless", folder / "cache" / "x", lambda *_: None)
    assert list((folder / "cache").iterdir()) == []


def test_a_download_that_unpacks_to_no_end(folder, server, monkeypatch):
    monkeypatch.setattr("netbuild.data.download.MAX_BYTES", 1 << 20)
    put(folder, zeros(100 << 20), "x.gz")
    with pytest.raises(NetbuildError, match="SHA-256 of its content is that of more than 1 MiB, expected 1234; it was"):
        download(f"{server}/x.gz", folder / "cache" / "x.gz", lambda *_: None, "1234")
    assert list((folder / "cache").iterdir()) == []


def test_a_file_of_the_users_that_is_not_the_download_is_not_removed(folder):
    put(folder, b"mine", "x.gz")
    with pytest.raises(NetbuildError, match="expected 1234; remove it, or give a local copy"):
        download("http://127.0.0.1:9/x.gz", folder / "x.gz", lambda *_: None, "1234")
    assert (folder / "x.gz").read_bytes() == b"mine"


def test_an_image_that_claims_too_many_pixels(folder):
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">2I5B", 100_000, 100_000, 8, 0, 0, 0, 0))
    (folder / "x.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    with pytest.raises(NetbuildError, match="image '.*x.png': cannot be read"):
        load_images([folder / "x.png"], {"data": (1, 1, 28, 28)}, schema().NetParameter())
