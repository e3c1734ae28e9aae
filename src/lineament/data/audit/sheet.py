"""The HTML sheet of an audit: a summary, every finding in a table, and pictures of the worst with their points."""

import base64
import os
from html import escape

import cv2
import numpy as np

from ...atomic import atomic_path
from ...errors import LineamentError
from ..sample import Sample
from .audit import AuditReport
from .checks import SEVERITIES, Finding

PICTURES = 48
PICTURES_OF_A_KIND = 12
SIDE = 240  # pixels of a thumbnail's longer side
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .6rem; vertical-align: top; }
tr { border-bottom: 1px solid #ddd; } td.file { font-family: ui-monospace, monospace; font-size: 13px; }
.error { color: #a40000; font-weight: 600; } .warning { color: #8a5a00; font-weight: 600; } .note { color: #555; }
.sheet { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: 250px; }
figure.two { width: 500px; } figcaption { font-size: 13px; overflow-wrap: anywhere; } img { max-width: 240px; }
"""


def write_audit_html(report: AuditReport, path: str | os.PathLike[str]) -> None:
    """Write the sheet of `report` as one file that needs no other; it appears when complete."""
    with atomic_path(path) as beside:
        beside.write_text(audit_html(report), encoding="utf-8")


def audit_html(report: AuditReport) -> str:
    """The text of the sheet."""
    rows = "\n".join(
        f'<tr><td class="{f.severity}">{f.severity}</td><td>{escape(f.kind)}</td><td class="file">{_shown(f.file)}</td>'
        f"<td>{_shown(f.message)}</td></tr>"
        for f in report.findings
    )
    splits = "\n".join(
        f"<tr><td>{_shown(name or '.')}</td><td>{n}</td></tr>" for name, n in report.splits.items()
    )
    worst = "\n".join(_figure(finding) for finding in choose_worst(report.findings))
    table = (
        f"<table><tr><th></th><th>kind</th><th>where</th><th>what</th></tr>\n{rows}\n</table>"
        if rows
        else ""
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>Audit of {_shown(report.root)}</title>\n<style>{STYLE}</style></head><body>\n"
        f"<h1>Audit of {_shown(report.root)}</h1>\n<p>{_shown(report.summary())}.</p>\n"
        f"<table>\n{splits}\n</table>\n"
        f'<h2>The worst</h2>\n<div class="sheet">\n{worst or "<p>Nothing to show.</p>"}\n</div>\n'
        f"<h2>All findings</h2>\n{table or '<p>None.</p>'}\n</body></html>\n"
    )


def choose_worst(findings: tuple[Finding, ...]) -> list[Finding]:
    """The findings with a picture, the gravest first, at most 12 of a kind and 48 in all."""
    chosen: list[Finding] = []
    taken: dict[tuple[str, str], int] = {}
    for severity in SEVERITIES:
        for finding in findings:
            key = (severity, finding.kind)
            if (
                finding.severity == severity
                and finding.samples
                and taken.get(key, 0) < PICTURES_OF_A_KIND
            ):
                taken[key] = taken.get(key, 0) + 1
                chosen.append(finding)
    return chosen[:PICTURES]


def _figure(finding: Finding) -> str:
    images = "".join(filter(None, (_thumbnail(sample) for sample in finding.samples[:2])))
    two = ' class="two"' if len(finding.samples) > 1 else ""
    return (
        f'<figure{two}>{images or "<p>no picture</p>"}<figcaption><span class="{finding.severity}">{finding.severity}'
        f"</span> {escape(finding.kind)}: {_shown(finding.file)}<br>{_shown(finding.message)}</figcaption></figure>"
    )


def _thumbnail(sample: Sample) -> str:
    """An <img> of the picture and its points, with a margin for those outside; empty where it cannot be read."""
    try:
        picture = sample.read()
    except LineamentError:
        return ""
    height, width = picture.shape[:2]
    points = sample.landmarks[np.isfinite(sample.landmarks).all(1)]
    # points far outside would shrink the picture to nothing: show at most half a side around it
    margin = np.array([width, height]) / 2
    low = np.maximum(np.minimum(points.min(0, initial=0), 0), -margin)
    high = np.minimum(np.maximum(points.max(0, initial=0), [width - 1, height - 1]), 3 * margin)
    scale = SIDE / float((high - low).max() + 1)
    size = tuple(int(v) for v in np.ceil((high - low + 1) * scale))
    affine = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale]])
    canvas = cv2.warpAffine(
        picture,
        affine,
        size,
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(225, 225, 225),
    )
    for x, y in (points - low) * scale:
        if -1e4 < x < 1e4 and -1e4 < y < 1e4:
            cv2.circle(canvas, (round(x), round(y)), 2, (0, 200, 60), -1, cv2.LINE_AA)
    encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(canvas[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80]
    )[1]
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    return f'<img alt="{_shown(sample.name)}" src="data:image/jpeg;base64,{data}">'


def _shown(text: str) -> str:
    """Text safe in HTML, also where a file name holds bytes that are no text."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"))
