"""Branches, a join and heads as one net: the fused net as a program.

`join` is the word for graphs, as `fuse` is for weight files.
"""

from .assemble import Built, Fusion, build, require_fitting

__all__ = ["Built", "Fusion", "build", "require_fitting"]
