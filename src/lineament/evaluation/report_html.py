"""Reports as an image (PNG) or a self-contained HTML page.

Depends on matplotlib (extra `report`), imported when a figure is drawn.
"""

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_bytes
from ..errors import missing_extra
from ..opencv import cv2
from .metrics import ced
from .report import Report, format_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BLUE, RED, GREY = "#222222", "#2366a8", "#c0392b", "#9aa3ad"
PERTURBATIONS = {
    "shift_x": ("Box shift along x", "shift along x, % of side"),
    "shift_y": ("Box shift along y", "shift along y, % of side"),
    "scale": ("Box scale", "scale"),
    "roll": ("Face rolled", "roll, deg"),
}
"""Title and x label of the chart for each kind of perturbation."""
FACES_PER_ROW = 8
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222 }
body { max-width: 1080px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.1em; margin-top: 2em }
.figures { display: flex; gap: 2.2em; flex-wrap: wrap; margin: 1.2em 0 }
.figures b { display: block; font-size: 1.7em }
.note { background: #fff3cd; padding: .4em .8em; border-left: 4px solid #e0a800 }
pre { background: #f6f7f8; padding: 1em; overflow-x: auto }
pre { font-size: 13px; line-height: 1.35 }
img.chart { width: 100% } .faces { display: flex; flex-wrap: wrap; gap: 10px }
.faces figure { margin: 0; width: 168px; font-size: 12px; overflow-wrap: anywhere }
.faces img { width: 168px }
"""


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "report") from error
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _label(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e6e8ea", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_ced(axes: "Axes", reports: Sequence[Report], names: Sequence[str]) -> None:
    limit = max(reports[0].settings.thresholds)
    for name, report in zip(names, reports, strict=True):
        x, y = ced(report.errors(), limit)
        nme = "-" if report.nme is None else f"{100 * report.nme:.2f}"
        label = f"{name}: NME {nme}, FR {100 * report.failure_rate:.2f}, AUC {100 * report.auc:.1f}"
        axes.plot(100 * x, y, drawstyle="steps-post", linewidth=1.6, label=label)
    axes.axvline(100 * reports[0].threshold, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xlim(0, 100 * limit)
    axes.set_ylim(0, 1)
    axes.legend(fontsize=7.5, loc="lower right", frameon=False)
    norm = reports[0].settings.norm
    _label(axes, "Cumulative error", f"error, % of the {norm} norm", "share of faces")


def _draw_reliability(axes: "Axes", report: Report) -> None:
    found = report.reliability
    if found is None:
        axes.axis("off")
        return
    sigma = np.array([100 * bin.sigma for bin in found.bins])
    error = np.array([100 * bin.error for bin in found.bins])
    sizes = np.array([8 + 180 * bin.points / found.points for bin in found.bins])
    both = np.concatenate([sigma, error])
    positive = both[both > 0] if (both > 0).any() else np.array([0.1, 1.0])
    ends = [positive.min() / 1.5, positive.max() * 1.5]
    axes.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--")
    axes.plot(sigma, error, color=BLUE, linewidth=1, zorder=2)
    axes.scatter(sigma, error, s=sizes, color=BLUE, alpha=0.7, zorder=3)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_formatter(NullFormatter())
    two = ""
    if 2.0 in found.under:
        two = f", {100 * found.under[2.0]:.1f} % within 2 sigma"
    title = f"Reliability: off by {100 * found.ece_relative:.1f} %{two}"
    _label(axes, title, "predicted sigma, % of the norm", "mean error, % of the norm")


def _draw_parts(axes: "Axes", report: Report) -> None:
    parts = list(report.per_part)
    values = [100 * value for value in report.per_part.values()]
    axes.barh(parts, values, color=BLUE, height=0.6)
    axes.invert_yaxis()
    for row, value in enumerate(values):
        axes.text(value, row, f" {value:.2f}", va="center", fontsize=8)
    axes.margins(x=0.15)
    _label(axes, "Error by part", "% of the norm", "")


def _draw_landmarks(axes: "Axes", report: Report) -> None:
    values = [np.nan if v is None else 100 * v for v in report.per_landmark]
    names = [str(point) for point in report.settings.indices()]
    axes.bar(names, values, color=BLUE, width=0.8)
    axes.set_xticks(range(0, len(values), max(1, len(values) // 14)))
    axes.set_xlim(-1, len(values))
    _label(
        axes, "Error by landmark", f"point of {report.settings.scheme}", "% of the norm"
    )


def _draw_perturbation(axes: "Axes", report: Report, kind: str) -> None:
    unchanged = 1.0 if kind == "scale" else 0.0
    points = []
    for p in report.perturbation:
        if p.nme is None:
            continue
        if p.kind == kind:
            points.append((p.amount, p.nme))
        elif p.kind == "none":
            points.append((unchanged, p.nme))
            axes.axhline(100 * p.nme, color=GREY, linewidth=0.8, linestyle="--")
    scale = [100 if "shift" in kind else 1, 100]
    curve = np.array(sorted(points)).reshape(-1, 2) * scale
    axes.plot(curve[:, 0], curve[:, 1], "o-", color=RED, markersize=3.5)
    title, label = PERTURBATIONS[kind]
    _label(axes, title, label, "NME, %")
    # perturbed boxes share a y scale; rolled faces may be far worse and have their own
    heights = [0.0]
    for p in report.perturbation:
        if (p.kind == "roll") == (kind == "roll"):
            heights.append(p.nme or 0.0)
    axes.set_ylim(0, 110 * max(heights) or 1)


def draw_charts(report: Report) -> "Figure":
    """Draw CED, reliability, parts, landmarks, and perturbations if measured.

    Raises:
        ExtraError: If matplotlib is not installed.
    """
    measured = {p.kind for p in report.perturbation}
    kinds = [kind for kind in PERTURBATIONS if kind in measured]
    rows = 3 if kinds else 2
    figure = _figure(11, 3.4 * rows)
    parts = np.atleast_1d(np.asarray(figure.subfigures(rows, 1)))
    top = parts[0].subplots(1, 2)
    middle = parts[1].subplots(1, 2, width_ratios=(1, 1.6))
    _draw_ced(top[0], [report], [report.model or "predictions"])
    _draw_reliability(top[1], report)
    _draw_parts(middle[0], report)
    _draw_landmarks(middle[1], report)
    if kinds:
        bottom = parts[2].subplots(1, len(kinds), squeeze=False)[0]
        for axes, kind in zip(bottom, kinds, strict=True):
            _draw_perturbation(axes, report, kind)
    return figure


def draw_comparison(reports: Sequence[Report], names: Sequence[str]) -> "Figure":
    """Draw the CEDs of several reports under one protocol in one chart.

    Raises:
        ExtraError: If matplotlib is not installed.
    """
    figure = _figure(7, 4.5)
    _draw_ced(figure.subplots(), reports, names)
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decode a PNG or JPEG to BGR (H, W, 3)."""
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, dtype=np.uint8)


def _write(path: str | os.PathLike[str], content: bytes) -> Path:
    target = Path(path)
    write_bytes(target, content)
    return target


def _error_text(nme: float | None) -> str:
    return "missed" if nme is None else f"{100 * nme:.2f} %"


def _draw_worst(report: Report) -> "Figure":
    rows = -(-len(report.worst) // FACES_PER_ROW)
    figure = _figure(11, 1.75 * rows)
    grid: Any = figure.subplots(rows, FACES_PER_ROW, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, face in zip(grid, report.worst, strict=False):
        axes.imshow(_decode(base64.b64decode(face.jpeg))[..., ::-1])
        axes.set_title(_error_text(face.nme), fontsize=8)
    return figure


def write_png(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the charts and the worst faces as one image, and return its path.

    Raises:
        ExtraError: If matplotlib is not installed.
    """
    rows = [_decode(_png(draw_charts(report)))]
    if report.worst:
        rows.append(_decode(_png(_draw_worst(report))))
    return _write(path, cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write `report` as one self-contained HTML page, and return its path.

    Raises:
        ExtraError: If matplotlib is not installed.
    """
    charts = base64.b64encode(_png(draw_charts(report))).decode("ascii")
    title = escape(
        f"{report.model or 'Predictions'} on {report.protocol}, boxes: {report.boxes}"
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report.notes)
    page = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        f"<style>{STYLE}</style><h1>{title}</h1><p>{escape(report.settings.title)}</p>{notes}",
        f'<div class="figures">{_figures_html(report)}</div>',
        f'<img class="chart" alt="charts" src="data:image/png;base64,{charts}">',
        _worst_html(report),
        f"<h2>Protocol and tables</h2><pre>{escape(format_report(report))}</pre></html>\n",
    ]
    return _write(path, "".join(page).encode())


def _figures_html(report: Report) -> str:
    limit = f"{100 * report.threshold:g}"
    figures = {"NME": "-" if report.nme is None else _error_text(report.nme)}
    if report.nme_in_convention is not None:
        figures["NME, shift-corrected"] = _error_text(report.nme_in_convention)
    figures |= {
        f"failures above {limit} %": f"{100 * report.failure_rate:.2f} %",
        f"AUC to {limit} %": f"{100 * report.auc:.2f}",
        "faces": f"{report.images:,}",
        "misses": str(report.misses),
    }
    if report.ms_per_face is not None:
        figures["ms per face"] = f"{report.ms_per_face:.2f}"
    cells = []
    for name, value in figures.items():
        cells.append(f"<div><b>{escape(value)}</b>{escape(name)}</div>")
    return "".join(cells)


def _worst_html(report: Report) -> str:
    if not report.worst:
        return ""
    faces = []
    for face in report.worst:
        caption = f"{_error_text(face.nme)} {escape(face.image)}"
        faces.append(
            f'<figure><img alt="" src="data:image/jpeg;base64,{face.jpeg}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    heading = "<h2>Greatest errors (truth green, prediction red)</h2>"
    return f'{heading}<div class="faces">{"".join(faces)}</div>'
