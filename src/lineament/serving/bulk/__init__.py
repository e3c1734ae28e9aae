"""Bulk jobs: a plan that is written once, Parquet files for its parts, and any number of reruns."""
