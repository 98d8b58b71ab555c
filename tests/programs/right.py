"""A user's program without a mistake: what `netbuild` promises to type checkers."""

from pathlib import Path
from typing import Any, List

import netbuild
from netbuild import (
    BranchSpec,
    CopyOptions,
    DataSource,
    Execution,
    Features,
    Fusion,
    Head,
    HeadStart,
    Input,
    Join,
    Original,
    Preparation,
    Scorer,
    blocks,
)


def tiny(net: Any, bottom: Any, prefix: str = "", *, frozen: bool = False) -> netbuild.Branch:
    """A builder of the user's."""
    top = blocks.fc(net, netbuild.qualify(prefix, "fc1"), bottom, 16, frozen=frozen)
    return netbuild.Branch(prefix, seam="fc1", top=top, channels=16, input=Input(shape=(1, 12, 12), mean=(128,)))


def fused(folder: Path) -> List[Path]:
    """Write a net of branches of all kinds."""
    fusion = Fusion(
        {
            "a": tiny,
            "b": netbuild.resnet50,
            "c": "lenet",
            "d": netbuild.prototxt("net.prototxt", "fc7"),
            "e": BranchSpec(netbuild.vgg16, frozen=False, lr=0.1),
        },
        heads=[Head(10, "digit", hidden=64)],
        join=Join(bridge="fc=100"),
    )
    message = netbuild.build(fusion).message
    for sentence in netbuild.problems(message, {"a": "a/fc1"}):
        print(sentence)
    sources = {"data": DataSource(netbuild.MNIST, train_batch=64, resize=(28, 28))}
    return netbuild.emit_files(fusion, sources, folder, solver_options={"base_lr": "0.001"})


def weights(folder: Path) -> int:
    """Copy weights, and prove them."""
    options = CopyOptions(head={"odd": HeadStart((1, 3, 5, 7, 9))}, reshape=["odd/fc6"])
    odd = folder / "odd.caffemodel"
    made = netbuild.fuse_weights(folder / "net.prototxt", {"odd": odd, "even": ["one.h5", odd]}, "init.h5", options)
    originals = {"odd": Original(folder / "odd.prototxt", odd)}
    equal = all(one.equal for one in netbuild.verify_branches("net.prototxt", "init.caffemodel", originals))
    return made.plan.blob_count() if equal else 0


def trained(solver: str) -> float:
    """Train and evaluate."""
    try:
        features = Features(execution=Execution(workers=2))
        done = netbuild.train_solver(solver, "run", weights="init.caffemodel", features=features)
    except netbuild.DivergedError as error:
        return float(error.iteration)
    scorer = Scorer("net.prototxt", done.caffemodel, preparation=Preparation(mean=(128,)))
    found = netbuild.score_nets(scorer, "list.txt", {"odd": scorer})
    report = netbuild.gather_report("fused")
    netbuild.write_report(report, "report.html", evaluation=found)
    return found.top1


def looked_at(net: Any) -> None:
    """A NetSpec, a message or a path."""
    for one in (net, netbuild.read_net("net.prototxt"), "net.prototxt", Path("net.prototxt")):
        print(netbuild.summarize(one, batch=4).totals[-1].parameters)
        netbuild.draw_net(one, "net.svg", phase=0)
    print(netbuild.differences(net, "net.prototxt").changed, netbuild.__version__)
