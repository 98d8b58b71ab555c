"""netbuild weights."""

from __future__ import annotations

import dataclasses
import json
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import click

from netbuild.errors import NetbuildError, WeightsError, did_you_mean, some
from netbuild.files import is_there
from netbuild.fuse.contents import WeightReport, weight_report
from netbuild.fuse.fit import blob_text
from netbuild.fuse.provenance import unexplained
from netbuild.fuse.sidecar import recorded, sidecar
from netbuild.weights.figures import BlobFigures
from netbuild.weights.index import index

from .console import ODD, say
from .options import aligned, counted, json_option, whose


@click.command("weights")
@click.argument("file", metavar="FILE")
@click.option("--layer", "pattern", metavar="PATTERN", default="*", help="Only layers of such names: 'odd/*'.")
@json_option
def command(file: str, pattern: str, as_json: bool) -> None:
    """List what a .caffemodel or HDF5 file holds: layers, blobs, shapes, and their values in figures.

    Values that are not finite, a BatchNorm that was never trained and other oddities are told below the table. No Caffe
    is needed, and memory does not grow with the file.
    """
    report = weight_report(file)
    shown = [blob for blob in report.blobs if fnmatchcase(blob.layer, pattern)]
    if report.blobs and not shown:
        names = list(dict.fromkeys(blob.layer for blob in report.blobs))
        hint = did_you_mean(pattern, names, f"there are {some(names)}")
        raise WeightsError(f"--layer {pattern!r}: no layer with blobs in {file} is called so; {hint}")
    made_of, doubts = _made_of(file)
    if as_json:
        remarks = [*report.remarks, *doubts]
        told = {**dataclasses.asdict(report), "values": report.values, "made_of": made_of, "remarks": remarks}
        click.echo(json.dumps({**told, "blobs": [dataclasses.asdict(blob) for blob in shown]}, indent=2))
        return
    for line in [*(_table(shown) if shown else ()), _total(report)]:
        say(line)
    for prefix, source in _sources(made_of or {}):
        say(f"{whose(prefix)}: from {source['path']} (SHA-256 {source['sha256'][:12]}...)")
    for remark in [*report.remarks, *doubts]:
        say(remark, colour=ODD)


def _made_of(file: str) -> Tuple[Optional[Dict[str, Any]], List[str]]:
    """Return what the sidecar of a weight file tells, if it has one, and why that may not be so."""
    if not is_there(sidecar(file), "sidecar"):
        return None, []
    try:
        told = recorded(file)
    except NetbuildError as error:
        return None, [str(error)]
    return told, [f"{sidecar(file)}: {fault}" for fault in unexplained(told, index(file))]


def _sources(told: Mapping[str, Any]) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    for prefix, branch in told.get("branches", {}).items():
        for source in branch["files"]:
            yield prefix, source
    head = told.get("head") or {"layer": "", "from": []}
    for source in head["from"]:
        yield head["layer"], source


def _table(blobs: List[BlobFigures]) -> List[str]:
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
