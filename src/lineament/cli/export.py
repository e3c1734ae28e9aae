"""Command `export`: write a trained model as a deployable file with a model card."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app, note, require_torch, show
from .options import Cache, Data


class Target(StrEnum):
    """Formats for exporting a model."""

    onnx = "onnx"
    web = "web"
    triton = "triton"


Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="The checkpoint of a run; with --check-data, also a recipe; with --to "
        "web, also an int8 .onnx file or the name of a packaged model; with --to "
        "triton, only an .onnx file or the name of a packaged model.",
    ),
]
To = Annotated[
    Target,
    typer.Option(
        help="onnx: an ONNX file with a model card; web: the same for browsers, with "
        "int8 weights and float activations; triton: a model repository for "
        "Triton Inference Server."
    ),
]
CheckData = Annotated[
    bool,
    typer.Option(
        "--check-data",
        help=(
            "Only check that there are enough validation faces to calibrate on; write "
            "nothing."
        ),
    ),
]


CheckWith = Annotated[
    list[str] | None,
    typer.Option(
        metavar="openvino|opencv",
        help="Also run the file in this runtime, if installed, and print how much its "
        "landmarks differ; repeatable.",
    ),
]

FileOut = Annotated[Path, typer.Option(help="Folder for the file and its card.")]
NewName = Annotated[
    str | None, typer.Option(help="Name of the model; default: the recipe's name.")
]
Int8 = Annotated[
    bool,
    typer.Option("--int8", help="Quantize to 8 bits, calibrated on training faces."),
]


@app.command()
def export(
    checkpoint: Checkpoint,
    out: FileOut = Path(),
    name: NewName = None,
    int8: Int8 = False,
    scheme: Annotated[
        str,
        typer.Option(help="Scheme to export, for a model that predicts two schemes."),
    ] = "",
    check_data: CheckData = False,
    check_with: CheckWith = None,
    to: To = Target.onnx,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Export a trained model as an ONNX file with a model card.

    A model without a network becomes a .safetensors file. Nothing is written if the
    exported landmarks differ from the trained model's by more than a fixed bound.
    """
    if check_with and (check_data or to is not Target.onnx):
        raise typer.BadParameter("--check-with needs --to onnx, without --check-data")
    if to is Target.triton:
        _check_unchanged(bool(int8 or scheme or name or check_data))
        _write_triton(str(checkpoint), out)
        return
    if to is Target.web and not check_data:
        _export_web(checkpoint, out, name, data, cache, scheme)
        return
    require_torch()
    from ..classic.numpy_model import is_numpy_model
    from ..data.sample import cache_root, data_root
    from ..export.other_runtimes import check_runtime, compare_runtime
    from ..export.registry import export_trained
    from ..training.run_files import recipe_of

    if check_data:
        _show_data(checkpoint, data_root(data), cache_root(cache))
        return
    for runtime in check_with or ():
        check_runtime(runtime)
    called = name or recipe_of(checkpoint).name
    card = export_trained(
        checkpoint,
        out,
        called,
        int8,
        data_root(data),
        cache_root(cache),
        scheme_name=scheme,
    )
    suffix = ".safetensors" if is_numpy_model(checkpoint) else ".onnx"
    _show_written(out / f"{called}{suffix}", card)
    for runtime in check_with or ():
        arguments = data_root(data), cache_root(cache)
        recipe = recipe_of(checkpoint)
        moves = compare_runtime(out / f"{called}.onnx", runtime, recipe, *arguments)
        show(moves.sentence())


def _check_unchanged(has_options: bool) -> None:
    if has_options:
        raise typer.BadParameter(
            "--to triton copies a file unchanged; omit --int8, --scheme, --name and "
            "--check-data"
        )


def _export_web(
    given: Path,
    out: Path,
    name: str | None,
    data: Path | None,
    cache: Path | None,
    scheme: str,
) -> None:
    """Export a checkpoint or an int8 file for browsers."""
    if given.suffix in ("", ".onnx"):
        from ..export.web import export_web_file
        from ..inference.model_files import find_model

        source = find_model(str(given))
        called = name or source.stem
        card = export_web_file(source, out, called)
    else:
        require_torch()
        from ..data.sample import cache_root, data_root
        from ..export.web_gate import export_web
        from ..training.run_files import recipe_of

        called = name or recipe_of(given).name
        folders = (data_root(data), cache_root(cache))
        card = export_web(given, out, called, *folders, scheme_name=scheme)
    _show_written(out / f"{called}.onnx", card)


def _show_written(path: Path, card: dict[str, Any]) -> None:
    """Print the size of the exported file and its deviation from the trained model."""
    gate = [f"{key} {value}" for key, value in card.get("gate", {}).items()]
    cells = [str(path), f"{card['bytes'] / 1e6:.1f} MB", card["precision"], *gate]
    show("  ".join(cells))


def _show_data(given: Path, data: Path, cache: Path) -> None:
    """Print the number of validation faces for a checkpoint or recipe."""
    from ..export.check_data import check_data
    from ..recipe.file import read_recipe
    from ..training.run_files import recipe_of

    recipe = read_recipe(given) if given.suffix == ".toml" else recipe_of(given)
    for name, count in check_data(recipe, data, cache, note).items():
        show(f"{name}: {count} validation faces, enough to export")


def _write_triton(model: str, out: Path) -> None:
    from ..export.triton import write_triton

    folder = write_triton(model, out)
    show(f"{folder}  start Triton with --model-repository={out}")
