"""Write a weight file, in the format that its name says.

Whatever goes wrong, an old file stays as it was, and the new one takes its name only when it is whole, compared with
its sources and on the disk.
"""

from __future__ import annotations

import os
import warnings
from typing import IO, Optional, Sequence

from ..errors import NetbuildWarning, WeightsError
from ..files import PathLike, Progress, replacing
from .copier import copy
from .entry import Entry
from .formats import format_for, without_limit


def require_writable(
    entries: Sequence[Entry],
    output: PathLike,
    *,
    net: bytes = b"",
    over_limit: bool = False,
    remedies: Sequence[str] = (),
) -> None:
    """Raise WeightsError where Caffe would not read the file `output` of these entries.

    `net` as for `write_model`. A file larger than Caffe reads is accepted with `over_limit` only, and then with a
    NetbuildWarning. `remedies` are what else the caller can do about such a file, for the message.
    """
    what, row = f"output {os.fspath(output)!r}", format_for(output)
    misfit = row.misfit(entries)
    if misfit:
        raise WeightsError(f"{what}: {misfit}")
    size = row.limit.size(entries, net) if row.limit else 0
    if row.limit is None or size <= row.limit.largest:
        return
    fact = f"{what}: has {size:,} bytes; Caffe reads at most {row.limit.largest:,} of a {row.name}"
    if not over_limit:
        others = [f"write {row.name.upper()} (a name that ends in {row.suffixes[0]})" for row in without_limit()]
        raise WeightsError(f"{fact}; {', or '.join([*others, *remedies])}")
    warnings.warn(fact, NetbuildWarning, stacklevel=2)


def write_model(entries: Sequence[Entry], output: PathLike, *, net: bytes = b"") -> int:
    """Write the entries to `output` and return the file's size in bytes.

    `net` holds serialised fields of the NetParameter itself, its name above all.
    """
    require_writable(entries, output, net=net)
    with replacing(output) as file:
        return write_into(file, entries, output, net=net)


def write_into(
    file: IO[bytes],
    entries: Sequence[Entry],
    output: PathLike,
    *,
    net: bytes = b"",
    progress: Optional[Progress] = None,
) -> int:
    """Write entries for which `require_writable` holds into an empty file, in the format that the name `output` says.

    Returns the file's size.
    """
    copy(format_for(output).lay_out(file.name, entries, net), file.fileno(), progress)
    return os.fstat(file.fileno()).st_size
