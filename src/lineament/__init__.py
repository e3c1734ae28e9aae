"""Facial landmarks in photos and video, and the workshop that makes the models."""

__version__ = "0.1.0"
