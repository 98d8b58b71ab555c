"""What Caffe's solvers take, by which fields they name their nets, and what they call their snapshots."""

from .nets import NET_FIELDS, TRAINED_FIELDS, SolverNet, labels, nets_of
from .sensible import POLICIES, TYPES, idle_policy, require_sensible, type_of
from .snapshots import SnapshotName, snapshot_name, snapshot_names, snapshot_stem

__all__ = [
    "NET_FIELDS",
    "POLICIES",
    "TRAINED_FIELDS",
    "TYPES",
    "SnapshotName",
    "SolverNet",
    "idle_policy",
    "labels",
    "nets_of",
    "require_sensible",
    "snapshot_name",
    "snapshot_names",
    "snapshot_stem",
    "type_of",
]
