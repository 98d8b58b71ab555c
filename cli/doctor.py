"""netbuild doctor."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Iterator, Mapping, Optional, Sequence

import click

from netbuild.errors import CaffeError, printable, some

from .console import BAD, GOOD, ODD, say, say_json
from .options import caffe_option, gpu_option, json_option
from .words import counted

if TYPE_CHECKING:
    from netbuild.doctor.facts import Facts
    from netbuild.doctor.report import Diagnosis
    from netbuild.doctor.selftest import Outcome


@click.command("doctor")
@gpu_option
@click.option(
    "--install", "installs", is_flag=True, help="First make a private environment with Caffe, if there is none yet."
)
@json_option
@caffe_option
def command(gpu: Optional[int], installs: bool, as_json: bool) -> None:
    """Show which Caffe is used, and test that it computes what netbuild relies on.

    Each self-test runs a tiny net in Caffe and compares the results with numpy's. The exit status is 1 if a test fails
    that this package of Caffe is not known to fail, or if there is no usable Caffe.

    --install brings Caffe where this Python cannot have it: an environment of its own, with the wheel from PyPI.
    """
    from netbuild.doctor.report import diagnose

    if installs:
        _install()
    found = diagnose(gpu)
    if as_json:
        say_json(dataclasses.asdict(found))
    else:
        for line in _lines(found):
            click.echo(line)
    if found.missing:
        raise CaffeError(found.missing)
    if found.unexpected:
        number = len(found.unexpected)
        raise CaffeError(
            f"{number} of {counted(len(found.outcomes), 'self-test')} failed, which this Caffe is not known to fail"
        )


def _install() -> None:
    from netbuild.doctor.install import install

    made = install(lambda line: say(line, err=True))
    say(f"{'made' if made.new else 'kept, for it works'}: {made.python}", err=True)


def _lines(found: Diagnosis) -> Iterator[str]:
    if found.caffe is None:
        yield _versions(found.versions)
        return
    package = f"from the package {found.caffe.package}" if found.caffe.package else "from no Python package"
    yield f"Caffe {found.caffe.version}, {package}, in {found.caffe.folder}"
    yield f"used because {found.chosen}: {found.caffe.python}"
    yield _versions(found.caffe.versions)
    if found.caffe.versions != found.versions:
        yield f"netbuild itself: {_versions(found.versions)}"
    yield f"CPU only: {found.gpu_refusal}" if found.gpu_refusal else "GPU: can be used"
    yield _schema(found.caffe.unknown_fields)
    yield _blas(found.caffe)
    types = found.caffe.layer_types
    yield click.wrap_text(f"{counted(len(types), 'layer type')}: {', '.join(types)}", 100, "", "  ")
    yield from _verdict(found)
    for outcome in found.outcomes:
        yield from _outcome(outcome)


def _versions(versions: Mapping[str, Optional[str]]) -> str:
    return ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())


def _verdict(found: Diagnosis) -> Iterator[str]:
    """Say what the self-tests mean for whoever reads them."""
    from netbuild.doctor.table import SELF_TESTS

    if not found.failed:
        yield click.style("All that netbuild relies on is computed right.", fg=GOOD)
    elif found.unexpected:
        yield click.style(
            f"Something is wrong with this Caffe: {counted(len(found.failed), 'self-test')} failed.", fg=BAD
        )
    else:
        whom = "; ".join(SELF_TESTS[one.name].whom for one in found.known)
        yield click.style(
            f"The install is sound. This Caffe has a fault that is known of its package, in {whom}; all other nets are "
            "computed right. netbuild train refuses a net that the fault concerns.",
            fg=ODD,
        )


def _outcome(outcome: Outcome) -> Iterator[str]:
    from netbuild.doctor.selftest import FAILED, PASSED
    from netbuild.doctor.table import SELF_TESTS

    status = click.style(f"{outcome.status:8}", fg={PASSED: GOOD, FAILED: BAD}.get(outcome.status, ODD))
    yield f"{status} {outcome.name}" + printable(f": {outcome.detail}" if outcome.detail else "")
    if outcome.status == FAILED:
        test = SELF_TESTS[outcome.name]
        yield f"         concerns {test.whom}"
        yield f"         remedy: {test.remedy()}"


def _schema(unknown: Sequence[str]) -> str:
    if not unknown:
        return "its nets are read by netbuild's own schema, which has all that its caffe.proto has"
    return (
        f"its caffe.proto has what netbuild does not know: {some(unknown)}; a netbuild in the same Python reads it by "
        "that, another one keeps it as it is written"
    )


def _blas(caffe: Facts) -> str:
    name = ", ".join(caffe.blas) or "built into Caffe"
    threads = "number of threads unknown" if caffe.blas_threads is None else counted(caffe.blas_threads, "thread")
    limits = "".join(f", {name}={value}" for name, value in caffe.thread_limits.items())
    return f"BLAS: {name}; {threads} on {counted(caffe.cpus, 'CPU')}{limits}"
