#!/usr/bin/env python3
"""Reads files of two versions of a dataset together.

    check_union.py DATASET

Columns are only ever added. This makes of the first file of each table what a version
before its last column was added would have written, puts it beside the others and
reads all of them by name with pyarrow, DuckDB and Polars: every row must be there, the
column null in the older file and as it was in the newer ones. Exit code 1 on a fault.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

PARTITIONED = ["readings", "wide", "positions", "charging_sessions", "charging_blocks", "vehicles", "gaps"]


def older(path):
    """Takes the last column out of a file and gives its name."""
    table = pyarrow.parquet.ParquetFile(path).read()
    name = table.schema.names[-1]
    pyarrow.parquet.write_table(table.drop_columns([name]), path, compression="zstd")
    return name, table.num_rows


def check(root, name, faults):
    files = sorted((root / name).rglob("*.parquet"))
    if len(files) < 2:
        return False
    total = sum(pyarrow.parquet.ParquetFile(f).metadata.num_rows for f in files)
    kept = {f: pyarrow.parquet.ParquetFile(f).read() for f in files[1:]}
    column, _ = older(files[0])
    filled = sum(len(t) - t[column].null_count for t in kept.values() if column in t.schema.names)

    schemas = [pyarrow.parquet.ParquetFile(f).schema_arrow for f in files]
    schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
    arrow = pyarrow.dataset.dataset([str(f) for f in files], schema=schema).to_table()
    frame = polars.concat([polars.read_parquet(f, hive_partitioning=False) for f in files], how="diagonal_relaxed")
    quoted = '"' + column.replace('"', '""') + '"'
    glob = str(root / name / "**" / "*.parquet")
    rows, full = duckdb.sql(f"select count(*), count({quoted}) from read_parquet('{glob}', union_by_name=true)").fetchall()[0]
    for reader, got in {
        "pyarrow": (len(arrow), len(arrow) - arrow[column].null_count),
        "Polars": (len(frame), len(frame) - frame[column].null_count()),
        "DuckDB": (rows, full),
    }.items():
        if got != (total, filled):
            faults.append(f"{name}: {reader} reads {got[0]} rows, {got[1]} with {column}; want {total} and {filled}")
    return True


def main():
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp) / "dataset"
        shutil.copytree(sys.argv[1], root)
        faults = []
        checked = [t for t in PARTITIONED if (root / t).is_dir() and check(root, t, faults)]
    for fault in faults:
        print(fault)
    if faults or not checked:
        sys.exit("no table with two files" if not checked else f"{len(faults)} faults")
    print("no faults:", ", ".join(checked))


if __name__ == "__main__":
    main()
