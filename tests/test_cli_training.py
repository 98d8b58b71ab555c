"""features and train as a user types them."""

import json
from pathlib import Path

import pytest
from commands import run


@pytest.fixture()
def here(fused, monkeypatch):
    monkeypatch.chdir(fused)
    return fused


def features(*more, **options):
    return run("features", "train_val.prototxt", "--weights", "init.caffemodel", "-o", "f", *more, **options)


def test_features_tells_what_it_needs_and_what_it_wrote(here):
    dry = features("--dry-run")
    assert "features of 80 images: 0.3 MiB on disk" in dry
    assert not Path("f").exists()
    first = features("--workers", 2)
    assert "train: 40 images, ip1_fused 1000, label number: 0.2 MiB in 1 files, 1 new" in first
    assert "wrote f/head_train.prototxt\nwrote f/head_test.prototxt" in first
    again = json.loads(features("--json"))
    assert {name: (one["images"], one["new"], one["blobs"]) for name, one in again.items()} == {
        "train": (40, 0, {"ip1_fused": [1000], "label": []}),
        "test": (40, 0, {"ip1_fused": [1000], "label": []}),
    }


def test_stale_features_end_with_one_sentence_and_force_replaces_them(here):
    features()
    text = Path("train_val.prototxt").read_text()
    Path("train_val.prototxt").write_text(text.replace("mean_value: 128", "mean_value: 100"))
    assert "Error: features in 'f': are stale, computed with other train net, test net" in features(code=1)
    assert "1 new" in features("--force")


def test_train_uses_features_and_says_so(here):
    output = run("train", "solver.prototxt", "--weights", "init.caffemodel", "-o", "run")
    assert (
        "note: only the head is trained, on features that are computed once (--features off: the whole net)" in output
    )
    assert "features of 80 images" in output
    assert Path("run/features/features.json").exists()
    whole = run(
        "train", "solver.prototxt", "--weights", "init.caffemodel", "-o", "w", "--features", "off", "--max-iter", 5
    )
    assert "features" not in whole
    options = ("--features", "run/features", "--shuffle", "--head-only", "--no-plot", "--max-iter", 20)
    run("train", "solver.prototxt", "--weights", "init.caffemodel", "-o", "run2", *options)
    assert Path("run2/s_iter_20.caffemodel").stat().st_size < 100_000
    assert "--features off forbids" in run(
        "train", "solver.prototxt", "-o", "x", "--features", "off", "--shuffle", code=2
    )


def test_a_grid_prints_its_table_and_the_best(here):
    arguments = ("train", "solver.prototxt", "--weights", "init.caffemodel", "--max-iter", 60, "-o", "g")
    output = run(*arguments, "--grid", "base_lr=0.01,0.0000001")
    table = output[output.index("base_lr    ") :].splitlines()
    assert table[0].split() == ["base_lr", "accuracy", "loss"]
    assert [row.split()[0] for row in table[1:3]] == ["0.01", "0.0000001"]
    assert table[3] == "best: base_lr=0.01"
    assert {path.name for path in Path("g").iterdir()} == {
        *("base_lr=0.01", "base_lr=0.0000001", "features", "grid.csv", "grid.png"),
    }
    assert Path("g/grid.png").read_bytes().startswith(b"\x89PNG")
    assert "--resume continues one" in run(*arguments, "--grid", "base_lr=1", "--resume", "x", code=2)
    assert "holds an earlier grid" in run(*arguments, "--grid", "base_lr=0.01", code=1)
