"""Names that other installed packages add to those of this one."""
