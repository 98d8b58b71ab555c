"""netbuild doctor."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Iterator, Optional

import click

from netbuild.errors import CaffeError, printable

from .console import BAD, GOOD, ODD, say_json
from .options import caffe_option, gpu_option, json_option
from .words import counted

if TYPE_CHECKING:
    from netbuild.doctor.facts import Facts
    from netbuild.doctor.report import Diagnosis
    from netbuild.doctor.selftest import Outcome


@click.command("doctor")
@gpu_option
@json_option
@caffe_option
def command(gpu: Optional[int], as_json: bool) -> None:
    """Show which Caffe is installed, and test that it computes what netbuild relies on.

    Each self-test runs a tiny net in Caffe and compares the results with numpy's. The exit status is 1 if a test fails,
    or if there is no usable Caffe.
    """
    from netbuild.doctor.report import diagnose

    found = diagnose(gpu)
    if as_json:
        say_json(dataclasses.asdict(found))
    else:
        for line in _lines(found):
            click.echo(line)
    if found.missing:
        raise CaffeError(found.missing)
    if found.failed:
        raise CaffeError(f"{len(found.failed)} of {counted(len(found.outcomes), 'self-test')} failed")


def _lines(found: Diagnosis) -> Iterator[str]:
    versions = dict(found.versions)
    if found.caffe is not None:
        package = f"from the package {found.caffe.package}" if found.caffe.package else "from no Python package"
        yield f"Caffe {found.caffe.version}, {package}, in {found.caffe.folder}"
    yield ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
    if found.caffe is not None:
        yield f"CPU only: {found.gpu_refusal}" if found.gpu_refusal else "GPU: can be used"
        yield _blas(found.caffe)
        types = found.caffe.layer_types
        yield click.wrap_text(f"{counted(len(types), 'layer type')}: {', '.join(types)}", 100, "", "  ")
    for outcome in found.outcomes:
        yield from _outcome(outcome)


def _outcome(outcome: Outcome) -> Iterator[str]:
    from netbuild.doctor.selftest import FAILED, PASSED
    from netbuild.doctor.table import SELF_TESTS

    status = click.style(f"{outcome.status:8}", fg={PASSED: GOOD, FAILED: BAD}.get(outcome.status, ODD))
    yield f"{status} {outcome.name}" + printable(f": {outcome.detail}" if outcome.detail else "")
    if outcome.status == FAILED:
        test = SELF_TESTS[outcome.name]
        yield f"         concerns {test.whom}"
        yield f"         remedy: {test.remedy()}"


def _blas(caffe: Facts) -> str:
    name = ", ".join(caffe.blas) or "built into Caffe"
    threads = "number of threads unknown" if caffe.blas_threads is None else counted(caffe.blas_threads, "thread")
    limits = "".join(f", {name}={value}" for name, value in caffe.thread_limits.items())
    return f"BLAS: {name}; {threads} on {counted(caffe.cpus, 'CPU')}{limits}"
