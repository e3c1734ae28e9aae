"""HTML report of an audit: a summary, images of the worst findings, and all findings."""

import base64
import os
from html import escape

import numpy as np

from ...atomic import write_text
from ...errors import LineamentError
from ...opencv import cv2
from ..mean_face import known_rows
from ..sample import Image, Sample
from .audit import AuditReport
from .checks import SEVERITIES, Finding

MAX_SHOWN = 48
"""Maximum number of findings shown with images."""
MAX_SHOWN_OF_KIND = 12
THUMBNAIL = 240
"""Longer side of a thumbnail, pixels."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; }
body { padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .6rem; vertical-align: top; }
tr { border-bottom: 1px solid #ddd; }
td.file { font-family: ui-monospace, monospace; font-size: 13px; }
.error, .warning { color: #a40000; font-weight: 600; }
.warning { color: #8a5a00; } .note { color: #555; }
.sheet { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: 250px; }
figure.two { width: 500px; } img { max-width: 240px; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
"""


def write_audit_html(report: AuditReport, path: str | os.PathLike[str]) -> None:
    """Write the report as a self-contained HTML file, atomically."""
    write_text(path, audit_html(report))


def audit_html(report: AuditReport) -> str:
    """Return the report as HTML text."""
    splits = [
        _table_row(name or ".", str(faces)) for name, faces in report.splits.items()
    ]
    rows = [_finding_row(finding) for finding in report.findings]
    worst = [_figure(finding) for finding in choose_worst(report.findings)]
    table = "<p>None.</p>"
    if rows:
        header = "<tr><th></th><th>kind</th><th>where</th><th>what</th></tr>"
        table = "\n".join(["<table>" + header, *rows, "</table>"])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>Audit of {_escape(report.root)}</title>\n<style>{STYLE}</style></head><body>\n"
        f"<h1>Audit of {_escape(report.root)}</h1>\n<p>{_escape(report.summary())}.</p>\n"
        "<table>\n" + "\n".join(splits) + "\n</table>\n"
        '<h2>The worst</h2>\n<div class="sheet">\n'
        + ("\n".join(worst) or "<p>Nothing to show.</p>")
        + f"\n</div>\n<h2>All findings</h2>\n{table}\n</body></html>\n"
    )


def _table_row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{_escape(cell)}</td>" for cell in cells) + "</tr>"


def _finding_row(finding: Finding) -> str:
    return (
        f'<tr><td class="{finding.severity}">{finding.severity}</td><td>{escape(finding.kind)}</td>'
        f'<td class="file">{_escape(finding.file)}</td><td>{_escape(finding.message)}</td></tr>'
    )


def choose_worst(findings: tuple[Finding, ...]) -> list[Finding]:
    """Return findings with images, most severe first, at most 12 per kind and 48 in total."""
    chosen: list[Finding] = []
    taken: dict[tuple[str, str], int] = {}
    with_images = [finding for finding in findings if finding.samples]
    for finding in sorted(with_images, key=lambda f: SEVERITIES.index(f.severity)):
        key = finding.severity, finding.kind
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= MAX_SHOWN_OF_KIND:
            chosen.append(finding)
    return chosen[:MAX_SHOWN]


def _figure(finding: Finding) -> str:
    images = "".join(_thumbnail(sample) for sample in finding.samples[:2])
    two = ' class="two"' if len(finding.samples) > 1 else ""
    return (
        f"<figure{two}>{images or '<p>no image</p>'}"
        f'<figcaption><span class="{finding.severity}">{finding.severity}</span> '
        f"{escape(finding.kind)}: {_escape(finding.file)}<br>{_escape(finding.message)}"
        "</figcaption></figure>"
    )


def _thumbnail(sample: Sample) -> str:
    """Return an <img> tag showing the image and its points; empty if it cannot be read."""
    try:
        image = sample.read()
    except LineamentError:
        return ""
    canvas = _draw(image, sample)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 80]
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(canvas[:, :, ::-1]), quality)[1]
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    return f'<img alt="{_escape(sample.name)}" src="data:image/jpeg;base64,{data}">'


def _draw(image: Image, sample: Sample) -> Image:
    """Return the downscaled image with its points, and a margin for points outside."""
    height, width = image.shape[:2]
    points = sample.landmarks[known_rows(sample.landmarks)]
    # without this limit, points far outside would make the image vanishingly small
    margin = np.array([width, height]) / 2
    low = np.maximum(np.minimum(points.min(0, initial=0), 0), -margin)
    high = np.minimum(
        np.maximum(points.max(0, initial=0), [width - 1, height - 1]), 3 * margin
    )
    scale = THUMBNAIL / float((high - low).max() + 1)
    size = tuple(int(v) for v in np.ceil((high - low + 1) * scale))
    affine = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale]])
    gray = (225, 225, 225)
    canvas = cv2.warpAffine(image, affine, size, flags=cv2.INTER_AREA, borderValue=gray)
    for x, y in (points - low) * scale:
        if -1e4 < x < 1e4 and -1e4 < y < 1e4:
            cv2.circle(canvas, (round(x), round(y)), 2, (0, 200, 60), -1, cv2.LINE_AA)
    return np.asarray(canvas, dtype=np.uint8)


def _escape(text: str) -> str:
    """Return HTML-safe text, even if a file name contains undecodable bytes."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"))
