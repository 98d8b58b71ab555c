"""Names of what is added to the branches, layers and blobs alike: those that the branches have make way for none."""

from __future__ import annotations

import warnings
from typing import Collection

from .. import names
from ..errors import GraphError, NetbuildWarning


class Naming:
    """Gives names that no layer and no blob of the branches has, each of them once."""

    def __init__(self, taken: Collection[str], front: str = "") -> None:
        self._taken, self._front = set(taken), front

    def behind(self, front: str) -> Naming:
        """Return one that puts `front` before each name."""
        other = Naming((), front)
        other._taken = self._taken
        return other

    def full(self, name: str) -> str:
        """Return the name with what is put before it."""
        return self._front + name

    def free(self, name: str) -> str:
        """Return the full name, or where it is taken, one like it, with a NetbuildWarning; it is taken from now on."""
        found = self.near(name)
        self._taken.add(found)
        return found

    def near(self, name: str) -> str:
        """Return the name that `free` would give, which stays free."""
        wanted = self.full(name)
        found = names.free(wanted, self._taken)
        if found != wanted:
            warnings.warn(
                f"{wanted!r} is a name of the net's own; what is added under this name is called {found!r}",
                NetbuildWarning,
                stacklevel=3,
            )
        return found

    def require_free(self, name: str, option: str) -> str:
        """Return a name that the user chose; GraphError where it is taken."""
        if name in self._taken:
            raise GraphError(f"{option} {name!r}: a layer or blob of the net is called so already; choose another name")
        return name
