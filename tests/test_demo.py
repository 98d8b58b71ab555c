import pytest

from netbuild import DataSource, Fusion, Scorer, emit_files, lenet, run_demo, score_nets
from netbuild.branches.lenet import MNIST
from netbuild.data.lists import write_images
from netbuild.data.mnist import load_mnist
from netbuild.demo_folder import emptied
from netbuild.errors import NetbuildError


def test_the_demo_on_the_bundled_digits(tmp_path):
    lines = []
    result = run_demo(tmp_path / "demo", branch_iterations=60, head_iterations=60, on_step=lines.append)
    assert [score.net for score in result.scores] == ["odd", "even", "fused"]
    # Far above chance (0.2, 0.1) after a fraction of the usual iterations.
    assert all(score.validation > 0.8 for score in result.scores), result.scores
    assert all(path.exists() for path in result.files)
    assert "12 blobs bit-equal to their sources" in lines
    assert sum("verified in Caffe" in line for line in lines) == 2
    with pytest.raises(NetbuildError, match="is not empty"):
        run_demo(tmp_path / "demo")
    inside = {"odd": tmp_path / "demo" / "odd" / "lenet_odd_iter_60.caffemodel"}
    with pytest.raises(NetbuildError, match="holds one of the inputs; it was not touched"):
        run_demo(tmp_path / "demo", weights=inside, force=True)
    assert inside["odd"].exists()
    # Of all that a demo wrote, with what killed ones leave, nothing is taken for another's.
    (tmp_path / "demo" / "fused" / ".init.caffemodel.0123abcd.tmp").write_text("half")
    assert emptied(tmp_path / "demo", True, []) == tmp_path / "demo"
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [".netbuild-demo"]


def test_weights_of_another_kind_are_refused_in_words(tmp_path):
    with pytest.raises(NetbuildError, match="^weights: expected {'odd': FILE, 'even': FILE}, found 'odd.caffemodel'"):
        run_demo(tmp_path / "demo", weights="odd.caffemodel")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "odd/notes.txt", "data/train/me.png", "fused/features/train/mine.h5", "fused/run/x", "data/mine/"],
)
def test_force_removes_nothing_that_no_demo_writes(tmp_path, name):
    root = emptied(tmp_path / "demo", False, [])
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).mkdir() if name.endswith("/") else (root / name).write_text("mine")
    (root / "data" / "train").mkdir(parents=True, exist_ok=True)
    (root / "data" / "train" / "000000_1.png").write_bytes(b"x")
    before = sorted(root.rglob("*"))
    with pytest.raises(NetbuildError, match="which no demo wrote; it was not touched: move that away, or name a new"):
        run_demo(root, force=True)
    assert sorted(root.rglob("*")) == before


def test_force_does_not_follow_links(tmp_path):
    (tmp_path / "elsewhere" / "train").mkdir(parents=True)
    (tmp_path / "elsewhere" / "train" / "000000_1.png").write_bytes(b"x")
    root = emptied(tmp_path / "demo", False, [])
    (root / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NetbuildError, match="holds 'data', which no demo wrote"):
        emptied(root, True, [])
    (root / "data").unlink()
    (root / ".netbuild-demo").unlink()
    (root / ".netbuild-demo").symlink_to(tmp_path / "elsewhere" / "train" / "000000_1.png")
    with pytest.raises(NetbuildError, match="was not made by a demo"):
        emptied(root, True, [])
    assert (tmp_path / "elsewhere" / "train" / "000000_1.png").read_bytes() == b"x"


def test_a_demo_killed_before_it_marked_its_folder_is_no_hindrance(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "..netbuild-demo.0123abcd.tmp").write_text("half")
    assert emptied(tmp_path / "demo", False, []) == tmp_path / "demo"


@pytest.mark.parametrize(
    ("made", "hint"), [(".netbuild-demo", "name a new one, or force=True empties"), ("x", "name a new one$")]
)
def test_a_folder_in_use_is_left_alone(tmp_path, made, hint):
    (tmp_path / made).write_text("")
    (tmp_path / "report.html").write_text("")
    with pytest.raises(NetbuildError, match=f"is not empty; {hint}"):
        run_demo(tmp_path)
    assert (tmp_path / "report.html").exists()


def test_weights_of_unknown_branches_are_refused(tmp_path):
    with pytest.raises(NetbuildError, match="weights for 'third': the demo's branches are odd and even"):
        run_demo(tmp_path / "demo", weights={"third": "x"})


def test_the_recipes_models_on_mnist(recipe, mnist, tmp_path):
    """Written images, lists, emitted nets and evaluation together give the accuracies known for these models."""
    test = {"test": load_mnist(str(mnist))["test"]}
    lists = write_images(test, tmp_path / "data")
    emit_files(Fusion({"": lenet}, 5, frozen=False), DataSource(MNIST), tmp_path / "net")
    found = {
        branch: score_nets(
            Scorer(tmp_path / "net" / "train_val.prototxt", recipe / f"mnist_lenet_{branch}_iter_30000.caffemodel"),
            lists.path(f"test_{branch}"),
        ).top1
        for branch in ("odd", "even")
    }
    assert {branch: round(accuracy, 4) for branch, accuracy in found.items()} == {"odd": 0.9935, "even": 0.9941}
