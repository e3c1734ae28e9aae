"""Collected by PyInstaller: the tables and weights, and the homes of names, loaded late."""

import re
from importlib import metadata

from PyInstaller.utils.hooks import collect_data_files, copy_metadata

import lineament
from lineament.inference.device import DEVICES
from lineament.opencv import PACKAGES

datas = collect_data_files("lineament") + copy_metadata("lineament")
# all else is imported by these, which PyInstaller sees
hiddenimports = sorted({f"lineament.{home}" for home in lineament._HOMES.values()})
excludedimports = ["torch", "matplotlib", "tensorboard"]

# `doctor` reports the versions of required packages, or of those that replace them
packages = {*PACKAGES, *(device.package for device in DEVICES.values())}
for line in metadata.requires("lineament") or []:
    if "extra ==" not in line:
        packages.add(re.split(r"[^\w.-]", line, maxsplit=1)[0])
for package in sorted(packages):
    try:
        datas += copy_metadata(package)
    except metadata.PackageNotFoundError:
        continue
