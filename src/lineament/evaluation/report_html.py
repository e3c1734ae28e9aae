"""A Report as a picture (PNG) and as one page (HTML, self-contained): curves, calibration, parts, worst faces.

Needs matplotlib, which comes with the extra `report`; it is imported when a figure is drawn.
"""

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_path
from ..errors import missing_extra
from .metrics import ced
from .report import Report, format_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BLUE, RED, GREY = "#222222", "#2366a8", "#c0392b", "#9aa3ad"
KINDS = {
    "shift_x": "shift along x, % of side",
    "shift_y": "shift along y, % of side",
    "scale": "scale",
    "roll": "roll, deg",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.1em; margin-top: 2em }
.figures { display: flex; gap: 2.2em; flex-wrap: wrap; margin: 1.2em 0 } .figures b { display: block; font-size: 1.7em }
.note { background: #fff3cd; padding: .4em .8em; border-left: 4px solid #e0a800 }
pre { background: #f6f7f8; padding: 1em; overflow-x: auto; font-size: 13px; line-height: 1.35 }
img.chart { width: 100% } .faces { display: flex; flex-wrap: wrap; gap: 10px }
.faces figure { margin: 0; width: 168px; font-size: 12px; overflow-wrap: anywhere } .faces img { width: 168px }
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


def _dress(axes: "Axes", title: str, x: str, y: str) -> None:
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
    _dress(axes, "Cumulative error", f"error, % of the {norm} norm", "share of faces")


def _draw_reliability(axes: "Axes", report: Report) -> None:
    found = report.reliability
    if found is None:
        return
    sigma, error = (
        [100 * v for v in values]
        for values in ([b.sigma for b in found.bins], [b.error for b in found.bins])
    )
    size = [8 + 180 * b.points / found.points for b in found.bins]
    positive = [v for v in (*sigma, *error) if v > 0] or [0.1, 1.0]
    ends = [min(positive) / 1.5, max(positive) * 1.5]
    axes.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--")
    axes.plot(sigma, error, color=BLUE, linewidth=1, zorder=2)
    axes.scatter(sigma, error, s=size, color=BLUE, alpha=0.7, zorder=3)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_formatter(NullFormatter())
    two = f", {100 * found.under[2.0]:.1f} % under 2 sigma" if 2.0 in found.under else ""
    title = f"Reliability: off by {100 * found.ece_relative:.1f} %{two}"
    _dress(axes, title, "stated sigma, % of the norm", "mean error, % of the norm")


def _draw_parts(axes: "Axes", report: Report) -> None:
    parts = list(report.per_part)
    values = [100 * report.per_part[part] for part in parts]
    axes.barh(parts, values, color=BLUE, height=0.6)
    axes.invert_yaxis()
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:.2f}", va="center", fontsize=8)
    axes.margins(x=0.15)
    _dress(axes, "Error by part", "% of the norm", "")


def _draw_landmarks(axes: "Axes", report: Report) -> None:
    values = [np.nan if v is None else 100 * v for v in report.per_landmark]
    axes.bar([str(point) for point in report.settings.indices()], values, color=BLUE, width=0.8)
    every = max(1, len(values) // 14)
    axes.set_xticks(range(0, len(values), every))
    axes.set_xlim(-1, len(values))
    _dress(axes, "Error by landmark", f"point of {report.settings.scheme}", "% of the norm")


def _draw_perturbation(axes: "Axes", report: Report, kind: str) -> None:
    factor, still = (100, 0.0) if kind.startswith("shift") else (1, 1.0 if kind == "scale" else 0.0)
    base = next((p for p in report.perturbation if p.kind == "none"), None)
    found = [(p.amount, p.nme) for p in report.perturbation if p.kind == kind and p.nme is not None]
    if base is not None and base.nme is not None:
        found.append((still, base.nme))
        axes.axhline(100 * base.nme, color=GREY, linewidth=0.8, linestyle="--")
    found.sort()
    axes.plot(
        [factor * amount for amount, _ in found],
        [100 * nme for _, nme in found],
        "o-",
        color=RED,
        markersize=3.5,
    )
    _dress(
        axes,
        "Box " + kind.replace("_", " along ") if kind != "roll" else "Face rolled",
        KINDS[kind],
        "NME, %",
    )


def draw_charts(report: Report) -> "Figure":
    """The charts of `report`: CED, reliability, parts, landmarks, and the perturbation curve where it has one.

    Raises: ExtraError where matplotlib is not installed.
    """
    kinds = [kind for kind in KINDS if any(p.kind == kind for p in report.perturbation)]
    rows = 3 if kinds else 2
    figure = _figure(11, 3.4 * rows)
    parts = np.atleast_1d(np.asarray(figure.subfigures(rows, 1)))
    above, below = parts[0].subplots(1, 2), parts[1].subplots(1, 2, width_ratios=(1, 1.6))
    _draw_ced(above[0], [report], [report.model or "predictions"])
    if report.reliability:
        _draw_reliability(above[1], report)
    else:
        above[1].axis("off")
    _draw_parts(below[0], report)
    _draw_landmarks(below[1], report)
    if kinds:
        row = parts[2].subplots(1, len(kinds), squeeze=False)[0]
        for axes, kind in zip(row, kinds, strict=True):
            _draw_perturbation(axes, report, kind)
            # Box changes share one height; a roll, which may be far worse, has its own.
            of = [
                p.nme or 0.0 for p in report.perturbation if (p.kind == "roll") == (kind == "roll")
            ]
            axes.set_ylim(0, 110 * max(of) or 1)
    return figure


def draw_comparison(reports: Sequence[Report], names: Sequence[str]) -> "Figure":
    """The CEDs of `reports` of one protocol in one chart.    Raises: ExtraError where matplotlib is not installed."""
    figure = _figure(7, 4.5)
    _draw_ced(figure.subplots(), reports, names)
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _write(path: str | os.PathLike[str], content: bytes) -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as beside:
        beside.write_bytes(content)
    return target


def _picture(encoded: str) -> NDArray[np.uint8]:
    array = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(array, dtype=np.uint8)[..., ::-1]


def _said(nme: float | None) -> str:
    return "missed" if nme is None else f"{100 * nme:.2f} %"


def write_png(report: Report, path: str | os.PathLike[str]) -> Path:
    """Where the charts and the worst faces were written as one picture.    Raises: ExtraError without matplotlib."""
    figure: Any = draw_charts(report)
    charts = cv2.imdecode(np.frombuffer(_png(figure), np.uint8), cv2.IMREAD_COLOR)
    rows: list[NDArray[np.uint8]] = [np.asarray(charts, dtype=np.uint8)]
    if report.worst:
        strip = _figure(11, 1.75 * -(-len(report.worst) // 8))
        grid = strip.subplots(-(-len(report.worst) // 8), 8, squeeze=False).ravel()
        for axes in grid:
            axes.axis("off")
        for axes, face in zip(grid, report.worst, strict=False):
            axes.imshow(_picture(face.picture))
            axes.set_title(_said(face.nme), fontsize=8)
        rows.append(
            np.asarray(
                cv2.imdecode(np.frombuffer(_png(strip), np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8
            )
        )
    return _write(path, cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Where `report` was written as one page that needs nothing beside it.    Raises: ExtraError without matplotlib."""
    charts = base64.b64encode(_png(draw_charts(report))).decode("ascii")
    limit = f"{100 * report.threshold:g}"
    figures = {
        "NME": _said(report.nme) if report.nme is not None else "-",
        f"failures above {limit} %": f"{100 * report.failure_rate:.2f} %",
        f"AUC to {limit} %": f"{100 * report.auc:.2f}",
        "faces": f"{report.images:,}",
        "missed": str(report.missed),
    }
    if report.ms_per_face is not None:
        figures["ms a face"] = f"{report.ms_per_face:.2f}"
    shown = "".join(
        f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in figures.items()
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report.notes)
    worst = "".join(
        f'<figure><img alt="" src="data:image/jpeg;base64,{face.picture}">'
        f"<figcaption>{_said(face.nme)} {escape(face.image)}</figcaption></figure>"
        for face in report.worst
    )
    title = f"{report.model or 'Predictions'} on {report.protocol}, boxes: {report.boxes}"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f'<h1>{escape(title)}</h1><p>{escape(report.settings.title)}</p>{notes}<div class="figures">{shown}</div>'
        f'<img class="chart" alt="charts" src="data:image/png;base64,{charts}">'
        + (
            f'<h2>Greatest errors (truth green, prediction red)</h2><div class="faces">{worst}</div>'
            if worst
            else ""
        )
        + f"<h2>Protocol and tables</h2><pre>{escape(format_report(report))}</pre></html>\n"
    )
    return _write(path, page.encode())
