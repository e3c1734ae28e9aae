"""The command line: parse, call, print. Files are named for their commands and import heavy modules when called."""

from . import detect, draw, evaluate, models, stability, track, train
from .app import app, main

__all__ = ["app", "detect", "draw", "evaluate", "main", "models", "stability", "track", "train"]
