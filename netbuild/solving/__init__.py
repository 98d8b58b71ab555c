"""What Caffe's solvers take, by which fields they name their nets, and what they call their snapshots."""

from .nets import NET_FIELDS, TRAINED_FIELDS, phases_of_nets, trained_net
from .sensible import POLICIES, TYPES, idle_policy, require_sensible, type_of
from .snapshots import SnapshotName, snapshot_name, snapshot_names, snapshot_stem

__all__ = [
    "NET_FIELDS",
    "POLICIES",
    "TRAINED_FIELDS",
    "TYPES",
    "SnapshotName",
    "idle_policy",
    "phases_of_nets",
    "require_sensible",
    "snapshot_name",
    "snapshot_names",
    "snapshot_stem",
    "trained_net",
    "type_of",
]
