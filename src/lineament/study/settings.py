"""Settings of a study: a recipe, rows of changes, seeds, needs and columns."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from ..errors import RecipeError, did_you_mean, short_reason
from ..recipe import NAME, Settings

Name = Annotated[str, Field(pattern=NAME)]


class Need(Settings):
    """A training run that rows depend on, such as their teacher."""

    name: Name = Field(description="name by which `needs` refer to it")
    recipe: str = Field(description="recipe, relative to the study")
    out: str = Field(description="run folder, relative to the folder of all runs")
    set: dict[str, Any] = Field(
        default_factory=dict, description="changes to the recipe, by key"
    )
    needs: tuple[str, ...] = Field((), description="needs that must be trained before")
    minutes: float | None = Field(
        None, gt=0, description="measured duration in minutes, for budgets"
    )


class Row(Settings):
    """A row of the table: one training run per seed, or the measurement of a need."""

    name: str = Field(min_length=1, description="name of the row, its first cell")
    set: dict[str, Any] = Field(
        default_factory=dict, description="changes to the recipe, by key"
    )
    recipe: str = Field(
        "", description="recipe, relative to the study; empty: that of the study"
    )
    needs: tuple[str, ...] = Field((), description="needs that must be trained before")
    run: str = Field(
        "", description="need whose checkpoint is measured instead of training"
    )
    series: str = Field("", description="line of the plot that the row belongs to")
    x: float | None = Field(
        None, description="position on the horizontal axis of the plot"
    )
    minutes: float | None = Field(
        None, gt=0, description="measured minutes of one seed"
    )
    facts: dict[str, str] = Field(
        default_factory=dict,
        description="additional cells, by the title of their column",
    )


class Plot(Settings):
    """A plot of one column against the rows' `x`, one line per series."""

    column: str = Field(description="column on the vertical axis")
    x_label: str = Field(description="label of the horizontal axis")
    log_x: bool = Field(False, description="logarithmic horizontal axis")


class Study(Settings):
    """A study: training runs whose results are listed in a table."""

    name: Name = Field(description="name of the result page and of the folder of runs")
    title: str = Field(min_length=1, description="heading of the result page")
    recipe: str = Field(description="recipe of the rows, relative to the study")
    rows: tuple[Row, ...] = Field(
        min_length=1, description="rows, in the order of the table"
    )
    needs: tuple[Need, ...] = Field((), description="training runs that rows depend on")
    seeds: tuple[int, ...] = Field((1,), min_length=1, description="seeds of each row")
    columns: tuple[str, ...] = Field(
        ("validation",), description="columns that are always measured"
    )
    final: tuple[str, ...] = Field(
        ("300w-common",),
        description="protocols and columns on test data, added by --final",
    )
    plot: Plot | None = Field(None, description="plot next to the table")
    curves: tuple[str, ...] = Field(
        (),
        description="values to plot by step: loss, or a logged result such as class_accuracy",
    )
    notes: str = Field("", description="text below the table")

    def measured_columns(self, final: bool) -> tuple[str, ...]:
        """Return the columns to measure; if `final`, also those on test data."""
        return self.columns + (self.final if final else ())

    @model_validator(mode="after")
    def _check_names(self) -> "Study":
        listed: list[str] = []
        for need in self.needs:
            _check_needs(need.needs, listed, f"need {need.name!r}")
            listed.append(need.name)
        for row in self.rows:
            _check_needs(
                (*row.needs, *([row.run] if row.run else [])),
                listed,
                f"row {row.name!r}",
            )
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f"two rows have the same name: {names}")
        return self


def _check_needs(needs: tuple[str, ...], listed: list[str], owner: str) -> None:
    for name in needs:
        if name not in listed:
            hint = did_you_mean(name, listed) if listed else "list it in [[needs]]"
            raise ValueError(
                f"{owner} needs {name!r}, which is not listed before it; {hint}"
            )


def read_study(path: Path) -> Study:
    """Read a study.

    Raises:
        RecipeError: If the file cannot be read, or a key or value is invalid.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(
            f"{path}: cannot be read as a study ({short_reason(error)}); expected a TOML file"
        ) from error
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "study"
        raise RecipeError(f"{path}: {key}: {first['msg']}; correct that key") from error
