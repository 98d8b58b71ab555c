"""A net fused with a copy of itself: what real Caffe computes before and after.

The seams of both copies are bit-equal to the net alone, frozen parameters do not move in training, and a copy that is
taken out again computes what the net did, under its own names.
"""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from netbuild import DataSource, Fusion, emit_files, fuse_weights, prototxt
from netbuild.branches.branch import Input
from netbuild.engine.child import apart
from netbuild.fuse.extract import extract_branch
from netbuild.schema import TEST

BATCH, CLASSES, STEPS = 2, 3, 3
PREFIXES = ("a", "b")


def faults(caffe: Any, net: Path, shape: Sequence[int], seam: str, folder: Path) -> List[str]:
    """Return what is wrong where a net is fused with a copy of itself that has other weights.

    Args:
        caffe: pycaffe.
        net: A prototxt with one input.
        shape: The input's shape without N.
        seam: The blob where both copies are cut.
        folder: Where all is written.
    """
    weights = {prefix: folder / f"{prefix}.caffemodel" for prefix in PREFIXES}
    list(apart(lambda: _save(caffe, net, weights)))
    source = DataSource(Input(tuple(shape)), kind="input", train_batch=BATCH, test_batch=BATCH)
    branch = prototxt(net, seam)
    emit_files(Fusion(dict.fromkeys(PREFIXES, branch), CLASSES), source, folder, deploy_batch=BATCH)
    target, init = folder / "train_val.prototxt", folder / "init.caffemodel"
    fuse_weights(target, {prefix: str(path) for prefix, path in weights.items()}, init)
    extracted = extract_branch("a", folder / "deploy.prototxt", init, folder / "extracted")
    return [
        *apart(lambda: _at_the_seams(caffe, net, weights, folder, seam)),
        *apart(lambda: _after_training(caffe, folder)),
        *apart(lambda: _taken_out(caffe, net, weights["a"], extracted, seam)),
    ]


def _save(caffe: Any, net: Path, weights: Mapping[str, Path]) -> Iterator[Any]:
    for seed, path in enumerate(weights.values()):
        random = np.random.default_rng(seed)
        made = caffe.Net(str(net), TEST)
        for blob in (blob for blobs in made.params.values() for blob in blobs):
            # Statistics (a variance, a factor) are not to be negative.
            blob.data[...] = random.uniform(0.05, 0.6, blob.data.shape)
        made.save(str(path))
    yield "saved"


def _run(net: Any, values: np.ndarray) -> Any:
    (name,) = net.inputs
    net.blobs[name].reshape(*values.shape)
    net.blobs[name].data[...] = values
    net.forward()
    return net


def _values(net: Any) -> np.ndarray:
    (name,) = net.inputs
    return np.random.default_rng(7).normal(size=(BATCH, *net.blobs[name].data.shape[1:]))


def _at_the_seams(caffe: Any, net: Path, weights: Mapping[str, Path], folder: Path, seam: str) -> Iterator[str]:
    fused = caffe.Net(str(folder / "deploy.prototxt"), str(folder / "init.caffemodel"), TEST)
    values = _values(fused)
    _run(fused, values)
    for prefix, path in weights.items():
        alone = _run(caffe.Net(str(net), str(path), TEST), values)
        if alone.blobs[seam].data.tobytes() != fused.blobs[f"{prefix}/{seam}"].data.tobytes():
            yield f"the blob {prefix}/{seam} is not that of the net alone"


def _after_training(caffe: Any, folder: Path) -> Iterator[str]:
    caffe.set_random_seed(1)
    solver = caffe.get_solver(_solver(folder))
    solver.net.copy_from(str(folder / "init.caffemodel"))
    before = _parameters(solver.net)
    for _ in range(STEPS):
        solver.net.blobs["data"].data[...] = np.random.default_rng(3).normal(size=solver.net.blobs["data"].data.shape)
        solver.net.blobs["label"].data[...] = 1
        solver.step(1)
    after = _parameters(solver.net)
    moved = [name for name in before if before[name] != after[name]]
    for name, _ in moved:
        if name.startswith(tuple(f"{prefix}/" for prefix in PREFIXES)):
            yield f"layer {name} is frozen, and moved in training"
    if not moved:
        yield "nothing moved in training"


def _solver(folder: Path) -> str:
    path = folder / "judged_solver.prototxt"
    path.write_text(
        f'train_net: "{folder}/train_val.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 '
        "max_iter: 100 snapshot: 0 solver_mode: CPU snapshot_after_train: false"
    )
    return str(path)


def _parameters(net: Any) -> Dict[Tuple[str, int], bytes]:
    return {
        (name, number): blob.data.tobytes() for name, blobs in net.params.items() for number, blob in enumerate(blobs)
    }


def _taken_out(caffe: Any, net: Path, weights: Path, extracted: Any, seam: str) -> Iterator[str]:
    alone = caffe.Net(str(net), str(weights), TEST)
    values = _values(alone)
    again = _run(caffe.Net(extracted.net, extracted.weights, TEST), values)
    if _run(alone, values).blobs[seam].data.tobytes() != again.blobs[seam].data.tobytes():
        yield f"the blob {seam} of the branch that was taken out is not that of the net alone"
