"""Bulk jobs: one plan, written once; Parquet parts named by it; any number of reruns."""
