"""netbuild weights."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import click

from netbuild.errors import NetbuildError, WeightsError, did_you_mean, some
from netbuild.files import is_there
from netbuild.fuse.sidecar import recorded, sidecar

from .console import ODD, say, say_json
from .options import json_option
from .words import aligned, counted, whose

if TYPE_CHECKING:
    from netbuild.fuse.contents import WeightReport
    from netbuild.weights.figures import BlobFigures


@click.command("weights")
@click.argument("file", metavar="FILE")
@click.option("--layer", "pattern", metavar="PATTERN", default="*", help="List only layers with such names: 'odd/*'.")
@json_option
def command(file: str, pattern: str, as_json: bool) -> None:
    """List what a .caffemodel or HDF5 file holds: layers, blobs, shapes, and statistics of their values.

    Oddities stand below the table, such as values that are not finite or a BatchNorm that was never trained. No Caffe
    is needed, and memory does not grow with the file.
    """
    from netbuild.fuse.contents import weight_report

    report = weight_report(file)
    blobs = _matching(report, pattern)
    made_of, doubts = _made_of(file)
    remarks = [*report.remarks, *doubts]
    if as_json:
        say_json(_as_dict(report, blobs=blobs, made_of=made_of, remarks=remarks))
    else:
        _print(report, blobs=blobs, made_of=made_of, remarks=remarks)


def _matching(report: WeightReport, pattern: str) -> List[BlobFigures]:
    """Return the blobs of the layers whose names fit the pattern."""
    blobs = [blob for blob in report.blobs if fnmatchcase(blob.layer, pattern)]
    if report.blobs and not blobs:
        names = list(dict.fromkeys(blob.layer for blob in report.blobs))
        hint = did_you_mean(pattern, names, f"there are {some(names)}")
        raise WeightsError(f"--layer {pattern!r}: no layer with blobs in {report.path} has such a name; {hint}")
    return blobs


def _made_of(file: str) -> Tuple[Optional[Dict[str, Any]], List[str]]:
    """Return the record in a weight file's sidecar, if it has one, and why the record may be wrong."""
    from netbuild.fuse.provenance import unexplained
    from netbuild.weights.index import index

    if not is_there(sidecar(file), "sidecar"):
        return None, []
    try:
        record = recorded(file)
    except NetbuildError as error:
        return None, [str(error)]
    return record, [f"{sidecar(file)}: {fault}" for fault in unexplained(record, index(file))]


def _as_dict(
    report: WeightReport, *, blobs: Sequence[BlobFigures], made_of: Optional[Dict[str, Any]], remarks: Sequence[str]
) -> Dict[str, object]:
    return {
        **dataclasses.asdict(report),
        "blobs": [dataclasses.asdict(blob) for blob in blobs],
        "values": report.values,
        "made_of": made_of,
        "remarks": list(remarks),
    }


def _print(
    report: WeightReport, *, blobs: Sequence[BlobFigures], made_of: Optional[Dict[str, Any]], remarks: Sequence[str]
) -> None:
    for line in [*(_table(blobs) if blobs else ()), _total(report)]:
        say(line)
    for prefix, source in _sources(made_of or {}):
        say(f"{whose(prefix)}: from {source['path']} (SHA-256 {source['sha256'][:12]}...)")
    for remark in remarks:
        say(remark, colour=ODD)


def _sources(record: Mapping[str, Any]) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    """Return each file that values were copied from, with the prefix of its branch or the name of the head's layer."""
    for prefix, branch in record.get("branches", {}).items():
        for source in branch["files"]:
            yield prefix, source
    head = record.get("head") or {"layer": "", "from": []}
    for source in head["from"]:
        yield head["layer"], source


def _table(blobs: Sequence[BlobFigures]) -> List[str]:
    from netbuild.fuse.fit import blob_text

    bad = any(blob.nan or blob.infinite for blob in blobs)
    rows = [
        ["LAYER", "TYPE", "BLOB", "SHAPE", "VALUES", "BYTES", "MIN", "MAX", "MEAN", *(["NAN", "INF"] if bad else [])]
    ]
    for blob in blobs:
        named = ["", ""] if blob.number else [blob.layer, blob.type]
        figures = [_number(blob.min), _number(blob.max), _number(blob.mean)]
        counts = [str(blob.nan), str(blob.infinite)] if bad else []
        size = [f"{blob.values:,}", f"{blob.bytes:,}"]
        rows.append([*named, str(blob.number), blob_text(blob.shape), *size, *figures, *counts])
    return aligned(rows, ("LAYER", "TYPE", "SHAPE"))


def _number(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.4g}"


def _total(report: WeightReport) -> str:
    return (
        f"{report.path}: {report.format}, {report.bytes:,} bytes, {counted(report.layers, 'layer')} with "
        f"{counted(len(report.blobs), 'blob')} of {counted(report.values, 'value')}"
    )
