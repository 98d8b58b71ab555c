"""What a net's data layers would stumble over: found in their lists and files before Caffe opens them.

Caffe takes any label, and aborts at an image that it cannot read when it comes to it, in the middle of a run. The lists
of ImageData and HDF5Data layers that are there are looked at, alone and together, and mean files; databases are not
opened, but it is seen whether they are such.
"""

from __future__ import annotations

import warnings
from typing import List, Optional, Sequence

from ..errors import NetbuildError, NetbuildWarning
from ..graph.view import Views, views
from ..layers.roles import reads
from ..layers.row import Reads
from ..schema import Message
from .data_fault import DataFault, Severity

_FILES = (Reads.LIST, Reads.DATABASE, Reads.HDF5)
"""What has files that are looked at: lists with their images, mean files."""


def data_faults(net: Message, in_phases: Optional[Sequence[int]] = None) -> List[DataFault]:
    """Return what is wrong with the lists that a net reads, those that are there; each fault once.

    `in_phases` are the phases the net will run in; by default those that something feeds.
    """
    return data_faults_of(views(net, in_phases))


def data_faults_of(of_phases: Views) -> List[DataFault]:
    """Return what `data_faults` does, of a net of which there are views already."""
    if not any(reads(layer) in _FILES for view in of_phases.values() for _, layer in view.layers):
        return []
    # Not all nets read files, and it takes a tenth of a small command's time to load what looks into them.
    from .sources import source_faults

    return source_faults(of_phases)


def require_readable(of_phases: Views, what: str) -> None:
    """Raise NetbuildError with all that is wrong with the lists that a net reads in these phases, else note what is in
    doubt; `what` names the net."""
    _settle(data_faults_of(of_phases), Severity.ELSEWHERE, what)


def require_fit_lists(of_phases: Views, what: str) -> None:
    """Raise NetbuildError for what is wrong with the lists of a net that will be run elsewhere, or later.

    That their images or a mean file are not there is only noted.
    """
    _settle(data_faults_of(of_phases), Severity.WRONG, what)


def _settle(faults: Sequence[DataFault], refused: Severity, what: str) -> None:
    """Raise NetbuildError with the faults of a severity and above; note the others."""
    sentences = [fault.sentence for fault in faults if fault.severity >= refused]
    if sentences:
        text = f"{what}: {sentences[0]}" if len(sentences) == 1 else "\n  ".join([f"{what}:", *sentences])
        raise NetbuildError(text)
    for fault in faults:
        warnings.warn(fault.sentence, NetbuildWarning, stacklevel=4)
