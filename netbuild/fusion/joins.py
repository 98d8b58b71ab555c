"""How the seams of several branches become one blob."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from .. import blocks
from ..branches.branch import Branch
from ..errors import GraphError, require_finite
from ..graph.rename import names_in
from ..layers import Shape, any_batch_text
from ..layers.lengths import Known, Length
from ..schema import netspec
from ..schema.programs import net_written
from ..spelling import either, option
from .naming import Naming

KINDS = ("concat", "sum", "mean", "product", "max")
_ELTWISE = {"sum": "SUM", "mean": "SUM", "product": "PROD", "max": "MAX"}


@dataclass(frozen=True)
class Join:
    """How the seams of the branches become one blob.

    Examples:
        >>> from netbuild import Fusion, Join, build, lenet
        >>> fusion = Fusion({"odd": lenet, "even": lenet}, classes=10, join=Join("mean", weights={"odd": 3}))
        >>> [list(layer.eltwise_param.coeff) for layer in build(fusion).message.layer if layer.type == "Eltwise"]
        [[0.75, 0.25]]
    """

    kind: str = "concat"
    """'concat', 'sum', 'mean', 'product' or 'max'."""
    axis: Optional[int] = None
    """The axis that a concat joins along; by default 1, the channels."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Coefficients of sum and mean by prefix, 1 where none is given; those of a mean are divided by their sum."""
    bridge: Optional[str] = None
    """What comes between each seam and the join: 'flatten' makes (N, K) of any shape, 'fc=K' is an InnerProduct that
    learns."""
    blob: Optional[str] = None
    """Name of the joined blob; by default the seam's with `_fused`."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GraphError(f"no join {self.kind!r}; known are {', '.join(KINDS)}")
        if self.axis is not None and self.kind != "concat":
            raise GraphError(f"a {self.kind} join has no axis; it is for concat")
        if self.weights:
            self._require_coefficients()
        if self.bridge not in (None, "flatten") and self.bridge_outputs() < 1:
            raise GraphError(f"no bridge {self.bridge!r}; known are flatten and fc=K, K being the number of outputs")

    def _require_coefficients(self) -> None:
        if self.kind not in ("sum", "mean"):
            raise GraphError(f"a {self.kind} join has no coefficients; they are for sum and mean")
        require_finite("a coefficient", self.weights.values())
        if self.kind == "mean" and sum(self.weights.values()) <= 0:
            raise GraphError("the coefficients of a mean need a sum above 0")

    @property
    def along(self) -> int:
        """The axis that a concat joins along."""
        return 1 if self.axis is None else self.axis

    def bridge_outputs(self) -> int:
        """Return the K of a bridge fc=K, 0 for any other."""
        kind, _, count = (self.bridge or "").partition("=")
        return int(count) if kind == "fc" and count.isdigit() else 0


CONCAT: Join = Join()


def join(net: Any, branches: Sequence[Branch], how: Join = CONCAT, naming: Optional[Naming] = None) -> blocks.Top:
    """Join the seams of branches that are in a NetSpec, in the order given. A branch alone is its own join.

    Args:
        net: The pycaffe NetSpec that the branches were written into.
        branches: What their builders returned.
        how: The kind of join. A concat puts the channels one after the other, (N, C1 + C2 + ..., ...); the other kinds
            need seams of one shape.
        naming: What keeps new names clear of the branches' own; by default of all names in the NetSpec.

    Returns:
        The joined Top.

    Raises:
        GraphError: An option of the join has no effect, or names no branch.

    Examples:
        >>> from netbuild import join, lenet, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 1, 28, 28]})
        >>> branches = [lenet(net, net.data, prefix, frozen=True) for prefix in ("odd", "even")]
        >>> top = join(net, branches)
        >>> list(net.tops)[-1]
        'ip1_fused'
    """
    naming = naming or Naming(names_in(net_written(net)))
    unknown = sorted(set(how.weights) - {branch.prefix for branch in branches})
    if unknown:
        raise GraphError(f"a coefficient is given for {unknown[0]!r}, which is no branch that is joined")
    tops = [_bridged(net, branch, how, naming) for branch in branches]
    if len(tops) == 1:
        _require_idle(how)
        return tops[0]
    blob = naming.require_free(how.blob, "blob") if how.blob else naming.free(_usual_blob(branches))
    # A layer may be called as its own top is.
    name = how.kind if blob == how.kind else naming.free(how.kind)
    if how.kind == "concat":
        net[blob] = netspec().layers.Concat(*tops, axis=how.along, name=name)
    else:
        options: Dict[str, Any] = {"operation": getattr(netspec().params.Eltwise, _ELTWISE[how.kind])}
        coefficients = _coefficients(branches, how)
        if coefficients:
            options["coeff"] = coefficients
        net[blob] = netspec().layers.Eltwise(*tops, name=name, **options)
    return net[blob]


def _require_idle(how: Join) -> None:
    """Raise GraphError for options of a join where nothing is joined."""
    given = {
        "kind": how.kind != CONCAT.kind,
        "axis": how.axis is not None,
        "coefficients": how.weights,
        "blob": how.blob,
    }
    idle = [name for name, said in given.items() if said]
    if idle:
        raise GraphError(
            f"there is one branch to join, and the join's {' and '.join(idle)} would have no effect "
            f"({either('--join, --axis, --coeff and --blob are', 'a Join is')} for several branches)"
        )


def _usual_blob(branches: Sequence[Branch]) -> str:
    seams = {branch.seam for branch in branches}
    return f"{seams.pop()}_fused" if len(seams) == 1 else "fused"


def _bridged(net: Any, branch: Branch, how: Join, naming: Naming) -> blocks.Top:
    if not how.bridge:
        return branch.top
    # Not called after the branch: it is not in the branch's weight file, and nothing to compare with its net.
    name = naming.free(f"bridge_{branch.prefix}")
    if how.bridge == "flatten":
        net[name] = netspec().layers.Flatten(branch.top)
        return net[name]
    return blocks.fc(net, name, branch.top, how.bridge_outputs())


def _coefficients(branches: Sequence[Branch], how: Join) -> List[float]:
    if how.kind not in ("sum", "mean") or (how.kind == "sum" and not how.weights):
        return []
    given = [how.weights.get(branch.prefix, 1.0) for branch in branches]
    return [value / sum(given) for value in given] if how.kind == "mean" else given


def require_joinable(how: Join, seams: Mapping[str, Shape]) -> None:
    """Raise GraphError where seams of these shapes, by prefix, cannot be joined; what is not known may be right."""
    known = {prefix: shape for prefix, shape in seams.items() if shape is not None}
    if how.bridge or len(known) < 2:
        return
    if _fit(how, list(known.values())):
        return
    listed = ", ".join(f"{prefix}: {any_batch_text(shape)}" for prefix, shape in known.items())
    need = f"agree on every axis but {how.along}" if how.kind == "concat" else "be of one shape"
    flat, full = option("bridge", "flatten"), option("bridge", "fc=K")
    remedy = f"{flat} makes each (N, K)" if how.kind == "concat" else f"{full} gives each K outputs"
    raise GraphError(f"the seams cannot be joined by {how.kind}, for which they must {need}: {listed}; {remedy}")


def _fit(how: Join, shapes: Sequence[Known]) -> bool:
    """Tell whether shapes have as many axes, and agree on all but the one that a concat joins along."""
    axes = {len(shape) for shape in shapes}
    if len(axes) > 1:
        return False
    if how.kind != "concat":
        return not any(map(_disagree, zip(*shapes)))
    if not -min(axes) <= how.along < min(axes):
        return False
    along = how.along % min(axes)
    return not any(_disagree(lengths) for axis, lengths in enumerate(zip(*shapes)) if axis != along)


def _disagree(lengths: Iterable[Length]) -> bool:
    return len(set(lengths) - {None}) > 1
