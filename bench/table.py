"""The report of `beside` as a Markdown table: fractions become percentages only here."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    ("NME, exact points", "nme_exact", 100, "{:.2f} %"),
    ("FR@8", "failure_rate_exact_8", 100, "{:.1f} %"),
    ("FR@10", "failure_rate_exact_10", 100, "{:.1f} %"),
    ("NME, all shared", "nme_shared", 100, "{:.2f} %"),
    ("less offsets", "nme_shared_no_offset", 100, "{:.2f} %"),
    ("missed", "missed", 1, "{:.0f}"),
    ("ms a face", "ms_per_face", 1, "{:.2f}"),
    ("CPU ms", "ms_cpu", 1, "{:.2f}"),
    ("ms, model", "ms_model", 1, "{:.2f}"),
    ("faces/s, 64 on 2 threads", "faces_per_second", 1, "{:.0f}"),
    ("peak MB", "peak_mb", 1, "{:.0f}"),
    ("install MB", "install_mb", 1, "{:.0f}"),
)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a peer; a dash where a figure is missing."""
    heads = ["system", *(title for title, *_ in COLUMNS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for row in rows:
        cells = [str(row["name"])]
        for _, key, factor, shape in COLUMNS:
            value = row.get(key)
            cells.append("-" if value is None or value != value else shape.format(factor * value))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spans(indices: Sequence[int]) -> str:
    """Indices in short: [0, 1, 2, 5] -> "0-2, 5"; nothing: "none"."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "none"


def markdown(report: Mapping[str, Any]) -> str:
    """The whole page: what was measured, on what, the table, what each row is, who is missing."""
    machine, settings, points = report["machine"], report["settings"], report["points"]
    lines = [
        f"# Beside the others: {report['protocol']}, {report['images']} faces, truth boxes",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:.0f} GB, {machine['system']}, "
        f"Python {machine['python']}; {report['date']}; load {machine['load_before']:.2f} before, "
        f"{machine['load_after']:.2f} after.",
    ]
    if machine["busy"]:
        lines.append(
            "**Another program was using the processor: these times are not for the record.**"
        )
    lines += [
        "",
        markdown_table(report["peers"]),
        "",
        f"- Points of ibug68 that are exact for every system: {spans(points['exact'])}. All shared, the nearest "
        f"vertex of a mesh included: {spans(points['shared'])}. Errors are divided by the distance of the outer eye "
        "corners. `less offsets`: each point moved by its median offset from the annotation, learnt on the other half "
        "of the faces; what a system loses before and not after is a matter of definition.",
        f"- `ms a face`: from image and box to points in the image, its own crop included, one face a call; "
        "`CPU ms`: the processor time of that, all threads together; `ms, model`: the model alone. "
        f"Median of {settings['rounds']} rounds over {settings['timed_faces']} faces, "
        f"the systems taking turns, every thread of a process kept on one core (number {settings['one_cpu']}) and "
        "every library set to one thread. FR is on the exact points; a missed face fails.",
        f"- `faces/s`: {settings['batch']} faces at once, crops included, the process kept on two cores. "
        "`peak MB`: resident memory of a process that took the faces one at a time, Python and NumPy included "
        f"(a bare Python with NumPy: {machine['bare_mb']:.0f} MB). `install MB`: beyond an empty environment, "
        "model files included.",
        "",
        "| system | version | how it batches | licence | note |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {p['name']} | {p['version']} | {p['batching']} | {p['license']} | {p['note']} |"
        for p in report["peers"]
    ]
    if report["skipped"]:
        lines += ["", "Not measured:", *(f"- {why}" for why in report["skipped"])]
    return "\n".join(lines) + "\n"
