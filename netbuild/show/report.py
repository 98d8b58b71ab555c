"""One page that tells all there is to tell of a fusion, in one file that needs no other and no network."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List, Optional, Sequence

from .. import __version__
from ..costs.summary import Summary
from ..errors import printable
from ..evaluation.score import Evaluation
from ..extras import optional
from ..files import PathLike, write_text
from ..layers import any_batch_text
from ..verify.branches import Comparison
from .findings import FusionReport, Missing

_TEMPLATE = Path(__file__).with_name("report.html")
_SECTIONS = ("Picture", "Summary", "Weights", "Verification", "Training", "Accuracy")


def write_report(
    report: FusionReport,
    path: PathLike,
    *,
    comparisons: Sequence[Comparison] = (),
    evaluation: Optional[Evaluation] = None,
) -> None:
    """Write one page for a fusion, in one file that needs no other and no network.

    It has a drawing, the summary, where the weights come from and whether they still are those, and curves. What is not
    there the page says, and how to get it.

    Args:
        report: What `gather_report` gathered.
        path: The page to write, .html.
        comparisons: What `verify_branches` returned.
        evaluation: What `score_nets` returned.

    Raises:
        NetbuildError: Jinja2 is missing, or the file cannot be written.

    Examples:
        >>> from pathlib import Path
        >>> from netbuild import gather_report, write_report
        >>> write_report(gather_report("fused"), "report.html")
        >>> "bit-equal" in Path("report.html").read_text()
        True
    """
    write_text(path, _page(report, comparisons, evaluation))


def _page(found: FusionReport, comparisons: Sequence[Comparison], evaluation: Optional[Evaluation]) -> str:
    newest = max(file.stat().st_mtime for file in _sources(found))
    page = _environment().from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return str(
        page.render(
            title=_title(found),
            found=found,
            comparisons=comparisons,
            evaluation=evaluation,
            head=_head(found.summary),
            matrix=[] if evaluation is None else evaluation.confusion().tolist(),
            sections=[(heading.lower(), heading) for heading in _SECTIONS],
            date=datetime.fromtimestamp(newest, timezone.utc).strftime("%Y-%m-%d"),
            version=__version__,
            any_batch_text=any_batch_text,
            is_missing=lambda one: isinstance(one, Missing),
            base64=lambda content: base64.b64encode(content).decode(),
        )
    )


def _title(found: FusionReport) -> str:
    if not found.summary.branches:
        return found.net.name or str(found.net_file)
    return f"{found.net.name or 'The net'}: {' and '.join(found.summary.branches)}"


def _head(summary: Summary) -> List[str]:
    """Return the layers with parameters that belong to no branch, of a net that has branches."""
    return [one.name for one in summary.layers if summary.branches and not one.branch and one.parameters]


def _sources(found: FusionReport) -> List[Path]:
    """Return the files that date the page; it may lie beside them itself."""
    weights = [] if isinstance(found.weights, Missing) else [found.weights[0]]
    return [found.net_file, *weights, *([found.trained] if found.trained else [])]


def _environment() -> Any:
    jinja2 = optional("jinja2", "reports need")
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown)
    # Jinja's own join escapes markup, and what is markup is shown as it stands.
    made.filters["join"] = lambda parts, between: between.join(map(str, parts))
    return made


def _shown(value: Any) -> Any:
    """Return a value as the page shows it: what others wrote, names and paths, without control characters."""
    return value if hasattr(value, "__html__") else printable(str(value))
