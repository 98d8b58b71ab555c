"""Copy the trained blobs of several branches into one caffemodel for a fused net, on the level of files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Dict, Iterable, List, Mapping, Optional, Sequence

from ..files import PathLike, Progress, replacing_together, require_output
from ..proto.forms import Net, path_of
from ..spelling import option
from ..weights.caffemodel import net_fields
from ..weights.digest import Digests
from ..weights.entry import Entry
from ..weights.formats import format_for
from ..weights.write import require_writable, write_into
from .options import AS_THEY_ARE, CopyOptions
from .origin import Origin
from .plan import Plan
from .planned import Planned, Weights, listed_files, plan_weights
from .provenance import require_one_set
from .sidecar import sidecar


@dataclass(frozen=True)
class Fused:
    """What was copied."""

    planned: Planned
    files: Mapping[str, Optional[int]]
    """What was written, with its size in bytes (None for a dry run); of a split fusion one file for each branch."""

    @property
    def plan(self) -> Plan:
        """What was copied where."""
        return self.planned.plan


def fuse_weights(
    target: Net,
    weights: Weights,
    output: PathLike,
    options: CopyOptions = AS_THEY_ARE,
    *,
    split: bool = False,
    dry_run: bool = False,
    on_progress: Optional[Progress] = None,
) -> Fused:
    """Copy the trained blobs of several branches into one weight file for a fused net.

    A plan comes first: names, numbers, shapes and what the files say of their layers are compared, and nothing is
    written where something does not fit. Each value is compared with its source before the output takes its name. No
    data is opened, and Caffe's engine is not loaded. Beside the output, `OUTPUT.json` says where everything in it comes
    from.

    Args:
        target: The fused net, train_val or deploy: a path, a NetParameter or a NetSpec.
        weights: For each prefix the weight file of its branch, .caffemodel or HDF5. Or several, of which the last that
            has a layer counts.
        output: The file to write; `.h5` makes it HDF5.
        options: What may be done beyond copying blobs of equal names and shapes.
        split: Write a file for each branch: `init.odd.caffemodel` for the prefix odd and the output init.caffemodel.
        dry_run: Plan, and write nothing.
        on_progress: Called with the bytes written so far and in all.

    Returns:
        What was copied: `plan` says what where, `files` what was written.

    Raises:
        WeightsError: A blob is missing, ambiguous or of another shape, or a frozen layer would get no weights. All of
            these are listed.
        GraphError: The net is not sound.

    Examples:
        >>> from netbuild import fuse_weights
        >>> weights = {"odd": "odd.caffemodel", "even": "even.caffemodel"}
        >>> fused = fuse_weights("fused/train_val.prototxt", weights, "init.caffemodel")
        >>> fused.plan.blob_count("odd"), fused.plan.unused["odd"], fused.plan.left_to_fillers
        (6, ('ip2',), ('ip2',))
    """
    paths = listed_files(weights)
    sources = [path for listed in paths.values() for path in listed]
    target_path = path_of(target)
    with Digests([] if dry_run else sources) as digests:
        planned = plan_weights(target, paths, options)
        require_one_set(sources)
        parts = _parts(planned, os.fspath(output)) if split else {os.fspath(output): planned.entries}
        _require_writable(
            parts, planned, [*([] if target_path is None else [target_path]), *sources], over_2gb=options.over_2gb
        )
        sizes = {} if dry_run else _write(parts, planned, target_path, digests, on_progress)
    return Fused(planned, {path: sizes.get(path) for path in parts})


def _parts(planned: Planned, output: str) -> Dict[str, Sequence[Entry]]:
    """Return the files of a split fusion: the layers with blobs, by branch; a head that is made is one of its own."""
    owners = {copy.target: copy.prefix for copy in planned.plan.copies}
    path = Path(output)
    suffix = path.suffix or format_for(output).suffixes[0]
    parts: Dict[str, List[Entry]] = {}
    for entry in planned.entries:
        if entry.blobs:
            owner = owners.get(entry.name, entry.name).strip("/").replace("/", "_")
            name = f"{path.stem}.{owner}{suffix}" if owner else path.name
            parts.setdefault(str(path.with_name(name)), []).append(entry)
    return dict(parts)


def _require_writable(
    parts: Mapping[str, Sequence[Entry]], planned: Planned, inputs: Sequence[PathLike], *, over_2gb: bool
) -> None:
    """Raise NetbuildError where a file, or the sidecar of one, cannot be written, or Caffe would not read it."""
    for path in (*parts, *map(sidecar, parts)):
        require_output(path, inputs)
    remedies = [f"one file for each branch ({option('split', True)})"]
    remedies.append(f"for other readers {option('over_2gb', True)}")
    for path, entries in parts.items():
        fields = net_fields(planned.net.name)
        require_writable(entries, path, net=fields, over_limit=over_2gb, remedies=remedies)


def _write(
    parts: Mapping[str, Sequence[Entry]],
    planned: Planned,
    target: Optional[PathLike],
    sources: Digests,
    progress: Optional[Progress],
) -> Mapping[str, int]:
    """Write the files and their sidecars, and return the files' sizes in bytes."""
    fields = net_fields(planned.net.name)
    # All are written before any takes its name: they are to be of one run.
    with replacing_together([*parts, *map(sidecar, parts)]) as files:
        sizes = {
            path: write_into(file, entries, path, net=fields, progress=progress)
            for (path, entries), file in zip(parts.items(), files)
        }
        of_set = _digests(parts, files) if len(parts) > 1 else {}
        origin = Origin(target, planned, sources, sizes, of_set)
        for (path, entries), file in zip(parts.items(), files[len(parts) :]):
            file.write(origin.record(path, {entry.name for entry in entries}).encode())
    return sizes


def _digests(paths: Iterable[str], files: Iterable[IO[bytes]]) -> Dict[str, str]:
    """Return the SHA-256 of files that do not have their names yet, by these."""
    temporaries = {Path(path).name: str(file.name) for path, file in zip(paths, files)}
    with Digests(list(temporaries.values())) as digests:
        return {name: digests.of(temporary).sha256 for name, temporary in temporaries.items()}
