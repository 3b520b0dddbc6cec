"""The page: what is known about a design, poured into one HTML file that needs neither network nor server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm import files
from edgellm._version import __version__
from edgellm.compiler.columns import TITLES
from edgellm.compiler.costs import RESOURCES
from edgellm.report import charts, resources, roofline, study, tables, timelines
from edgellm.report.study import Study

if TYPE_CHECKING:
    from jinja2 import Environment

FILE, TEMPLATE = "report.html", "page.html.jinja"


def write(folder: Path, path: Path | None = None) -> Path:
    """Write the page of a design folder to `path`, or into the folder; returns where it is.

    Raises CompileError and SimulationError for files of the design that are missing or damaged.
    """
    target = path or Path(folder) / FILE
    files.write_text(target, render(study.load(Path(folder))))
    return target


def render(known: Study) -> str:
    """The page as HTML; the same text for the same facts."""
    return _environment().get_template(TEMPLATE).render(_facts(known))


def _facts(known: Study) -> dict[str, Any]:
    roofs, one, full = roofline.of(known), known.recording.one_prompt, known.recording.full_pipeline
    order = [row["node"] for row in known.rows]
    return {
        "study": known,
        "version": __version__,
        "resources": [name for name in RESOURCES if known.board[name] or known.report["totals"][name]],
        "titles": TITLES,
        "paces": tables.paces(known),
        "nodes": tables.nodes(known, roofs),
        "verdict": tables.verdict(known),
        "roofline": roofs,
        "bars": resources.bars(known),
        "estimates": resources.totals(known, counted=False),
        "counts": resources.totals(known, counted=True) if known.counted else None,
        "uncounted": resources.uncounted(known) if known.counted else [],
        "token_chart": timelines.token(one) if one and one.spans else None,
        "pipeline_chart": timelines.pipeline(full, order) if full and full.spans else None,
        "roofline_chart": charts.roofline(roofs) if roofs else None,
        "resources_chart": charts.resources(resources.bars(known)),
    }


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("edgellm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = _number
    made.filters["percent"] = _percent
    return made


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
