"""Write the result tables of README.md from the cards of shipped models and bench/results.

Usage: python scripts/write_results.py [--check]
"""

import re
from pathlib import Path

from pages import keep

from lineament.inference.model_files import read_card, weights_folder

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DETECTION = ROOT / "bench" / "results" / "detection.md"
MODELS = ("tiny", "fast", "accurate", "best")
HEAD = (
    "| model | boxes | NME % | shift-corrected % | FR@8 % | AUC@8 % | missed | "
    "within 2 sigma % |\n|---|---|---|---|---|---|---|---|"
)
RATES = ("nme", "nme_in_convention", "failure_rate", "auc")


def table(which: str) -> str:
    """Return the rows of protocol `which` from the figures in the cards."""
    rows = [HEAD]
    for name in MODELS:
        figures = read_card(weights_folder() / f"{name}.onnx").get("figures", {})
        for how in ("truth boxes", "detected boxes", "truth boxes, flip"):
            row_figures = figures[f"{which}, {how}"]
            rates = []
            for key in RATES:
                rates.append(
                    f"{100 * row_figures[key]:.2f}" if key in row_figures else "-"
                )
            under = f"{100 * row_figures['under_2_sigma']:.1f}"
            model = f"{name} --flip" if how.endswith("flip") else name
            cells = [model, how.split()[0], *rates, str(row_figures["missed"]), under]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def made(name: str) -> str:
    """Return the table `name`: "detection", or the table of a protocol."""
    if name == "detection":
        return DETECTION.read_text(encoding="utf-8").strip()
    return table(name)


def main() -> None:
    old = README.read_text(encoding="utf-8")
    new = re.sub(
        r"(<!-- results (\S+) -->\n).*?(\n<!-- end -->)",
        lambda match: match[1] + made(match[2]) + match[3],
        old,
        flags=re.DOTALL,
    )
    keep(README, new, "README.md is stale; run: python scripts/write_results.py")


if __name__ == "__main__":
    main()
