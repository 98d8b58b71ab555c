"""What is trained on top of the joined branches: classifiers, their losses, their answers in deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

from .. import blocks
from ..errors import GraphError, require_finite
from ..schema import TEST, netspec
from ..spelling import either
from .naming import Naming

LOSSES: Dict[str, Optional[str]] = {
    "SoftmaxWithLoss": "Softmax",
    "HingeLoss": None,
    "SigmoidCrossEntropyLoss": "Sigmoid",
    "EuclideanLoss": None,
}
"""Each loss and the layer that makes a deployed net's answer of the scores, None where the scores are the answer."""
_USUAL_DROPOUT = 0.5
_ONE_LABEL = ("SoftmaxWithLoss", "HingeLoss")


@dataclass(frozen=True)
class Head:
    """One classifier on the joined blob.

    Examples:
        Two tasks on the same features, one of them with a hidden layer:

        >>> from netbuild import Fusion, Head, build, lenet
        >>> heads = [Head(10, "digit", hidden=64), Head(2, "parity", loss_weight=0.5)]
        >>> build(Fusion({"odd": lenet, "even": lenet}, heads=heads)).labels
        {'digit_label': 1, 'parity_label': 1}
    """

    classes: int
    """Number of its outputs."""
    name: Optional[str] = None
    """Its layer's name; by default as the branches' own classifier is called."""
    hidden: int = 0
    """Outputs of an InnerProduct with ReLU and Dropout before it; 0: there is none."""
    dropout: Optional[float] = None
    """Share of the hidden outputs that each training step leaves out; by default half of them."""
    loss: str = "SoftmaxWithLoss"
    """The type of its loss layer: SoftmaxWithLoss, HingeLoss, SigmoidCrossEntropyLoss or EuclideanLoss."""
    loss_weight: float = 1.0
    """The weight of its loss in the sum of all."""

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise GraphError(f"{self.classes} classes: a classifier needs at least 1")
        if self.loss not in LOSSES:
            raise GraphError(f"no loss {self.loss!r}; known are {', '.join(LOSSES)}")
        if self.hidden < 0:
            raise GraphError(f"{self.hidden} hidden outputs: a hidden layer needs at least 1; 0 is for none")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise GraphError(f"a dropout of {self.dropout:g}: expected a share from 0 up to, not including, 1")
        if self.dropout is not None and not self.hidden:
            raise GraphError(
                f"a dropout of {self.dropout:g} has no effect without a hidden layer, whose outputs it leaves out; "
                f"give {either('--hidden K', 'hidden=K')} too"
            )
        require_finite("the weight of a loss", [self.loss_weight])

    @property
    def label_length(self) -> int:
        """Numbers in the label of one image: the class, or a value for each output."""
        return 1 if self.loss in _ONE_LABEL else self.classes


def add_scores(net: Any, top: blocks.Top, head: Head, usual: str, naming: Naming) -> blocks.Top:
    """Add the layers of a head up to its scores, (N, classes); its last layer has the head's name, or the `usual`."""
    name = naming.require_free(head.name, "head") if head.name else naming.free(usual)
    if head.hidden:
        top = blocks.fc(net, naming.free(f"{name}_hidden"), top, head.hidden)
        top = blocks.relu(net, naming.free(f"{name}_relu"), top)
        share = _USUAL_DROPOUT if head.dropout is None else head.dropout
        if share:
            drop = naming.free(f"{name}_drop")
            net[drop] = netspec().layers.Dropout(top, in_place=True, dropout_ratio=share)
            top = net[drop]
    return blocks.fc(net, name, top, head.classes)


def add_loss(net: Any, scores: blocks.Top, label: blocks.Top, head: Head, naming: Naming) -> None:
    """Add the loss, and in TEST phase the accuracy where a label is a class."""
    layers = netspec().layers
    if head.loss in _ONE_LABEL:
        net[naming.free("accuracy")] = layers.Accuracy(scores, label, include={"phase": TEST})
    weight = {} if head.loss_weight == 1 else {"loss_weight": head.loss_weight}
    net[naming.free("loss")] = getattr(layers, head.loss)(scores, label, **weight)


def add_answer(net: Any, scores: blocks.Top, head: Head, naming: Naming) -> None:
    """Add what a deployed net answers, under the name `prob`; scores that are the answer keep their own name."""
    kind = LOSSES[head.loss]
    if kind is not None:
        net[naming.free("prob")] = getattr(netspec().layers, kind)(scores)
