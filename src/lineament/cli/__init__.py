"""The command line: parse, call, print. Heavy modules are imported when a command runs."""

# ruff: noqa: F401, importing a file registers its commands
from . import (
    align,
    annotations,
    anonymize,
    audit,
    bulk,
    cache,
    compare,
    detect,
    doctor,
    draw,
    evaluate,
    export,
    label,
    mine_negatives,
    models,
    page,
    review,
    scheme,
    score,
    serve,
    stability,
    study,
    track,
    train,
)
from .app import app, main

__all__ = ["app", "main"]
