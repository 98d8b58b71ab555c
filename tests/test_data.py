import functools
import gzip
import http.server
import pickle
import struct
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from netbuild.data import download as download_module
from netbuild.data import mnist as mnist_module
from netbuild.data.digits import load_digits
from netbuild.data.download import download
from netbuild.data.lists import write_images
from netbuild.data.mnist import load_mnist
from netbuild.errors import NetbuildError


def read_list(path):
    return [line.rsplit(" ", 1) for line in path.read_text().splitlines()]


def test_lists_carry_the_recipes_labels(in_tmp, small_digits):
    written = write_images(small_digits, "some digits")
    rows = read_list(written.path("train_all"))
    assert rows[7] == ["some digits/train/000007_7.png", "7"]
    assert read_list(written.path("val_odd"))[:3] == [
        [f"some digits/val/00000{n}_{n}.png", str(n // 2)] for n in (1, 3, 5)
    ]
    assert [label for _, label in read_list(written.path("test_even"))] == ["0", "1", "2", "3", "4"] * 4
    with Image.open(rows[7][0]) as image:
        np.testing.assert_array_equal(np.asarray(image), small_digits["train"].pixels[7])


def test_caffe_reads_the_images_also_from_a_path_with_spaces(caffe, in_tmp, small_digits):
    write_images(small_digits, "some digits", image_format="jpg")
    (in_tmp / "n.prototxt").write_text(
        'layer { name: "d" type: "ImageData" top: "data" top: "label" image_data_param { source: '
        '"some digits/train_odd.txt" is_color: false batch_size: 5 } }'
    )
    net = caffe.Net("n.prototxt", caffe.TEST)
    net.forward()
    assert net.blobs["label"].data.tolist() == [0, 1, 2, 3, 4]
    difference = net.blobs["data"].data[0, 0] - small_digits["train"].pixels[1].astype(float)
    assert np.abs(difference).mean() < 6


def test_the_bundled_digits_are_split_once(small_digits):
    splits = load_digits()
    assert {name: len(digits.labels) for name, digits in splits.items()} == {"train": 1297, "val": 250, "test": 250}
    assert splits["train"].pixels.shape[1:] == (28, 28)
    assert splits["train"].pixels.dtype == np.uint8
    again = load_digits()
    np.testing.assert_array_equal(splits["val"].labels, again["val"].labels)
    everything = np.concatenate([digits.labels for digits in splits.values()])
    from sklearn import datasets

    np.testing.assert_array_equal(np.bincount(everything), np.bincount(datasets.load_digits().target))


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture()
def small_mnist(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_module, "TRAINING_IMAGES", 12)
    rng = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, count in (("train", 20), ("t10k", 6)):
        pixels, labels = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels.astype(np.uint8))))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels.astype(np.uint8))))
    return folder


def test_idx_files_packed_and_unpacked(small_mnist):
    packed = load_mnist(str(small_mnist))
    assert {name: len(digits.labels) for name, digits in packed.items()} == {"train": 12, "val": 8, "test": 6}
    for path in list(small_mnist.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    for name, digits in load_mnist(str(small_mnist)).items():
        np.testing.assert_array_equal(digits.pixels, packed[name].pixels)


def test_the_pickle_of_the_recipe(tmp_path, small_mnist):
    splits = load_mnist(str(small_mnist))
    content = tuple(
        ((digits.pixels.reshape(-1, 784) / 256).astype(np.float32), digits.labels) for digits in splits.values()
    )
    (tmp_path / "mnist.pkl.gz").write_bytes(gzip.compress(pickle.dumps(content, protocol=2)))
    for name, digits in load_mnist(str(tmp_path / "mnist.pkl.gz")).items():
        np.testing.assert_array_equal(digits.pixels, splits[name].pixels)
        np.testing.assert_array_equal(digits.labels, splits[name].labels)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (255.0, "values from 0 to 255; expected is grey / 256, from 0 to 0.9961"),
        (1.0, "values from 0 to 1; expected"),
        (-0.5, "values from -0.5 to 0; expected"),
        (np.nan, "values from nan to nan"),
        (np.inf, "values from 0 to inf"),
    ],
)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_values_of_the_pickle_that_are_no_grey_levels(tmp_path, value, said, kind):
    images = np.zeros((2, 784), kind)
    images[1, 3] = value
    whole, labels = np.full((2, 784), 255 / 256, kind), np.zeros(2, int)
    path = tmp_path / "mnist.pkl"
    path.write_bytes(pickle.dumps(((whole, labels), (images, labels), (whole, labels)), protocol=2))
    with pytest.raises(NetbuildError, match=f"is not mnist.pkl.gz .its images have {said}"):
        load_mnist(str(path))
    path.write_bytes(pickle.dumps(((whole, labels),) * 3, protocol=2))
    assert (load_mnist(str(path))["val"].pixels == 255).all()


def test_training_and_test_images_are_of_one_size(small_mnist):
    path = small_mnist / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((20, 14, 14), np.uint8))))
    with pytest.raises(NetbuildError, match=r"training images are 14 x 14, test images 28 x 28; one size is expected"):
        load_mnist(str(small_mnist))


class Malice:
    def __reduce__(self):
        return (print, ("harm done",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(Malice()), "it holds builtins.print, not only arrays"),
        (pickle.dumps([1, 2, 3]), "is not mnist.pkl.gz"),
        (b"text", "is not mnist.pkl.gz"),
        (b"\x1f\x8bbroken", "broken gzip file"),
    ],
)
def test_other_files_in_place_of_the_pickle(tmp_path, capsys, content, reason):
    (tmp_path / "mnist.pkl.gz").write_bytes(content)
    with pytest.raises(NetbuildError, match=reason):
        load_mnist(str(tmp_path / "mnist.pkl.gz"))
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the file is empty"),
        (b"text instead", "no idx file of unsigned bytes"),
        (b"\0\0\x08\x03\0\0", r"shape \(\) needs -1 bytes"),
        (b"\0\0\x08\x01\0\0\0\x09123", r"shape \(9,\) needs 9 bytes, found 3"),
        (b"\x1f\x8b\x08\0", "broken gzip file"),
    ],
)
def test_broken_idx_files_are_told(small_mnist, raw, reason):
    (small_mnist / "train-labels-idx1-ubyte.gz").write_bytes(raw)
    with pytest.raises(NetbuildError, match=reason) as refused:
        load_mnist(str(small_mnist))
    assert "train-labels" in str(refused.value)


def test_labels_and_counts_that_disagree(small_mnist):
    (small_mnist / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(NetbuildError, match="are not labelled images"):
        load_mnist(str(small_mnist))
    (small_mnist / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.full(20, 77, np.uint8)))
    with pytest.raises(NetbuildError, match="labels reach from 77 to 77"):
        load_mnist(str(small_mnist))
    with pytest.raises(NetbuildError, match="no such file or folder"):
        load_mnist("nowhere")


def test_real_mnist_has_the_recipes_split(mnist):
    splits = load_mnist(str(mnist))
    assert [len(digits.labels) for digits in splits.values()] == [50_000, 10_000, 10_000]
    assert int((splits["val"].labels % 2).sum()) == 5060
    for name, sha256 in mnist_module.SHA256.items():
        import hashlib

        assert hashlib.sha256(gzip.decompress((mnist / f"{name}.gz").read_bytes())).hexdigest() == sha256


class RangeServer(http.server.SimpleHTTPRequestHandler):
    """Serves files as real servers do, ranges included; can break off after so many bytes."""

    break_after = None

    def do_GET(self):
        raw = Path(self.translate_path(self.path)).read_bytes()
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] else 0
        self.asked.append(start)
        if start >= len(raw):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(raw) - start))
        self.end_headers()
        self.wfile.write(raw[start : start + self.break_after] if self.break_after else raw[start:])

    def log_message(self, *_):
        pass


@pytest.fixture()
def server(small_mnist):
    class Handler(RangeServer):
        asked: ClassVar[list] = []

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(small_mnist))
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.handler = Handler
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield running
        running.shutdown()


def test_a_download_breaks_off_and_goes_on(server, small_mnist, tmp_path):
    name = "train-images-idx3-ubyte.gz"
    whole = (small_mnist / name).read_bytes()
    target = tmp_path / "cache" / name
    server.handler.break_after = 1000
    seen = []
    with pytest.raises(NetbuildError, match="run the command again to continue"):
        download(f"{server.url}/{name}", target, lambda done, size: seen.append((done, size)))
    assert not target.exists()
    assert seen[-1] == (1000, len(whole))
    server.handler.break_after = None
    download(f"{server.url}/{name}", target, lambda *_: None)
    assert target.read_bytes() == whole
    assert server.handler.asked == [0, 1000]
    download(f"{server.url}/{name}", target, lambda *_: None)
    assert server.handler.asked == [0, 1000]


def test_a_download_with_a_wrong_hash_does_not_count(server, tmp_path):
    name = "t10k-labels-idx1-ubyte.gz"
    with pytest.raises(NetbuildError, match="SHA-256 of its content is .*, expected 1234"):
        download(f"{server.url}/{name}", tmp_path / name, lambda *_: None, "1234")
    assert list(tmp_path.glob("t10k*")) == []


def test_mnist_from_a_server(server, small_mnist, tmp_path):
    found = load_mnist(server.url, tmp_path / "cache")
    np.testing.assert_array_equal(found["test"].pixels, load_mnist(str(small_mnist))["test"].pixels)


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "_TIMEOUT", 1)
    with pytest.raises(NetbuildError, match="download of http://127.0.0.1:9/x failed"):
        download("http://127.0.0.1:9/x", tmp_path / "x", lambda *_: None)
