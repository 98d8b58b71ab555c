"""netbuild weights."""

from __future__ import annotations

import dataclasses
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import List, Optional

import click

from netbuild.errors import WeightsError, did_you_mean, some
from netbuild.provenance import recorded, sidecar
from netbuild.weights.fit import shape_text
from netbuild.weights.stats import BlobFigures, WeightReport, weight_report

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
    made_of = recorded(file) if Path(sidecar(file)).exists() else None
    if as_json:
        told = {**dataclasses.asdict(report), "values": report.values, "made_of": made_of}
        click.echo(json.dumps({**told, "blobs": [dataclasses.asdict(blob) for blob in shown]}, indent=2))
        return
    for line in [*(_table(shown) if shown else ()), _total(report)]:
        say(line)
    for prefix, branch in (made_of or {"branches": {}})["branches"].items():
        for source in branch["files"]:
            say(f"{whose(prefix)}: from {source['path']} (SHA-256 {source['sha256'][:12]}...)")
    for remark in report.remarks:
        say(remark, colour=ODD)


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
        rows.append([*named, str(blob.number), shape_text(blob.shape), *size, *figures, *counts])
    return aligned(rows, ("LAYER", "TYPE", "SHAPE"))


def _number(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.4g}"


def _total(report: WeightReport) -> str:
    return (
        f"{report.path}: {report.format}, {report.bytes:,} bytes, {counted(report.layers, 'layer')} with "
        f"{counted(len(report.blobs), 'blob')} of {counted(report.values, 'value')}"
    )
