"""The command line: parse, call, print. One file a group of commands; heavy imports happen inside the commands."""

from . import about, faces, making, pictures, scoring, steadiness, study, video
from .app import app, main

__all__ = [
    "about",
    "app",
    "faces",
    "main",
    "making",
    "pictures",
    "scoring",
    "steadiness",
    "study",
    "video",
]
