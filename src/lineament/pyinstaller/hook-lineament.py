"""Collected by PyInstaller: the tables and weights, and the homes of names, loaded late."""

from PyInstaller.utils.hooks import collect_data_files, copy_metadata

import lineament

datas = collect_data_files("lineament") + copy_metadata("lineament")
# all else is imported by these, which PyInstaller sees
hiddenimports = sorted({f"lineament.{home}" for home in lineament._HOMES.values()})
excludedimports = ["torch", "matplotlib", "tensorboard"]
