#!/usr/bin/env python3
"""Reads a dataset as data scientists do, with pyarrow, pandas, Polars and DuckDB.

    check_dataset.py DATASET

Every table of the manifest is read by each of the four, its partitions united by
column name. Types, units, days and row counts must be what manifest and
catalogue say, two joins must find their rows, and all four must agree. It says each
fault in a line on stderr and then ends with exit code 1.
"""

import argparse
import json
import sys
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet

UTC = pyarrow.timestamp("us", tz="UTC")
TYPES = {
    "text": pyarrow.string(),
    "double": pyarrow.float64(),
    "int64": pyarrow.int64(),
    "bool": pyarrow.bool_(),
    "timestamp[us, UTC]": UTC,
    "timestamp[us]": pyarrow.timestamp("us"),
}

# What queries written today rely on: columns are only ever added.
COLUMNS = {
    "readings": {
        "vin": "text", "descriptor": "text", "time": "timestamp[us, UTC]",
        "number": "double", "bool": "bool", "text": "text", "unit": "text",
    },
    "wide": {"vin": "text", "time": "timestamp[us, UTC]"},
    "positions": {
        "vin": "text", "time": "timestamp[us, UTC]", "latitude": "double", "longitude": "double",
        "altitude": "double", "heading": "double", "apart_ms": "double", "outlier": "bool",
    },
    "charging_sessions": {"vin": "text", "start": "timestamp[us, UTC]", "end": "timestamp[us, UTC]", "grid_kwh": "double"},
    "charging_blocks": {"vin": "text", "start": "timestamp[us, UTC]", "session": "timestamp[us, UTC]", "average_grid_kw": "double"},
    "vehicles": {"vin": "text", "kind": "text", "time": "timestamp[us, UTC]", "fact": "text"},
    "gaps": {"vin": "text", "gcid": "text", "start": "timestamp[us, UTC]", "end": "timestamp[us, UTC]", "cause": "text"},
    "catalogue": {"descriptor": "text", "type": "text", "unit": "text"},
}
UNITS = {
    "positions": {"latitude": "deg", "longitude": "deg", "altitude": "m", "heading": "deg", "apart_ms": "ms"},
    "charging_sessions": {"grid_kwh": "kWh"},
    "charging_blocks": {"average_grid_kw": "kW"},
}
DAY = {"readings": "time", "wide": "time", "positions": "time", "vehicles": "time",
       "charging_sessions": "start", "charging_blocks": "start", "gaps": "start"}


class Checker:
    def __init__(self, root):
        self.root = root
        self.faults = []
        self.sql = duckdb.connect()
        self.sql.execute("SET TimeZone = 'UTC'")

    def fault(self, *words):
        self.faults.append(" ".join(str(w) for w in words))

    def run(self):
        try:
            manifest = json.loads((self.root / "_manifest.json").read_text())
            tables = {t["name"]: t for t in manifest["tables"]}
        except (OSError, ValueError, KeyError, TypeError) as e:
            self.fault("manifest: cannot be read:", e)
            return
        if not any(t["files"] for t in tables.values()):
            self.fault("the manifest lists no file: nothing is checked")
            return
        self.only_listed_files(tables)
        for name in ("readings", "catalogue"):
            if not tables.get(name, {}).get("files"):
                self.fault(f"{name}: no file, and every dataset has one")
        readable = {}
        for name, table in tables.items():
            if not table["files"]:
                continue
            before = len(self.faults)
            try:
                readable[name] = self.table(name, table)
            except Exception as e:  # each library has its own kind
                self.fault(f"{name}: cannot be read: {type(e).__name__}: {e}")
            print(f"{name}: {sum(f['rows'] for f in table['files'])} rows in {len(table['files'])} files"
                  + ("" if len(self.faults) == before else ", with faults"))
        try:
            self.joins(tables, readable)
        except Exception as e:
            self.fault(f"joins: {type(e).__name__}: {e}")

    def only_listed_files(self, tables):
        """A reader with a glob must see what the manifest lists, no more."""
        listed = {f["path"] for t in tables.values() for f in t["files"]}
        found = {p.relative_to(self.root).as_posix() for p in self.root.rglob("*.parquet")}
        for path in sorted(listed - found):
            self.fault(f"{path}: in the manifest, but not there")
        for path in sorted(found - listed):
            self.fault(f"{path}: there, but not in the manifest")

    def table(self, name, table):
        files = [f for f in table["files"] if (self.root / f["path"]).exists()]
        columns = {c["name"]: c for c in table["columns"]}
        for column, kind in COLUMNS.get(name, {}).items():
            if columns.get(column, {}).get("type") != kind:
                self.fault(f"{name}.{column}: manifest says {columns.get(column, {}).get('type')}, want {kind}")
        for column, unit in UNITS.get(name, {}).items():
            if column in columns and columns[column].get("unit") != unit:
                self.fault(f"{name}.{column}: manifest says unit {columns[column].get('unit')}, want {unit}")
        for f in files:
            self.file(name, f, columns)

        want = sum(f["rows"] for f in files)
        united, glob = self.arrow(name, files), self.glob(name)
        counts = {
            "pyarrow": united.num_rows,
            "pandas": self.pandas(name, united),
            "Polars": self.polars(name, glob, columns),
            "DuckDB": self.duckdb(name, glob, columns),
        }
        for reader, rows in counts.items():
            if rows != want:
                self.fault(f"{name}: {reader} reads {rows} rows, the manifest says {want}")
        return united

    def file(self, name, listed, columns):
        path = listed["path"]
        f = pyarrow.parquet.ParquetFile(self.root / path)
        if f.metadata.num_rows != listed["rows"]:
            self.fault(f"{path}: {f.metadata.num_rows} rows, the manifest says {listed['rows']}")
        for field in f.schema_arrow:
            known = columns.get(field.name)
            if known is None:
                self.fault(f"{path}: column {field.name} is not in the manifest")
                continue
            kind = field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type
            if kind == pyarrow.large_string():
                kind = pyarrow.string()
            if kind != TYPES.get(known["type"]):
                self.fault(f"{path}: column {field.name} is {field.type}, want {known['type']}")
            unit = (field.metadata or {}).get(b"unit", b"").decode()
            if unit != known.get("unit", ""):
                self.fault(f"{path}: column {field.name} has unit {unit!r}, the manifest says {known.get('unit', '')!r}")
        for group in range(f.metadata.num_row_groups):
            for i in range(f.metadata.num_columns):
                column = f.metadata.row_group(group).column(i)
                if column.compression != "ZSTD":
                    self.fault(f"{path}: column {column.path_in_schema} is compressed by {column.compression}, want ZSTD")
        self.day(name, path, f)

    def day(self, name, path, f):
        """The folder's date is the UTC day of every row."""
        day, parts = DAY.get(name), dict(p.split("=", 1) for p in path.split("/") if "=" in p)
        if day is None:
            if "date" in parts:
                self.fault(f"{path}: in a folder by date, and the table has no day")
            return
        if "date" not in parts:
            self.fault(f"{path}: not in a folder date=YYYY-MM-DD")
            return
        days = pyarrow.compute.unique(pyarrow.compute.strftime(f.read([day])[day], format="%Y-%m-%d")).to_pylist()
        if days != [parts["date"]]:
            self.fault(f"{path}: {day} lies on {', '.join(map(str, days)) or 'no day'}")

    def glob(self, name):
        return str(self.root / name / "**" / "*.parquet")

    def arrow(self, name, files):
        """All files of a table, united by name: later columns are null in earlier files."""
        paths = [str(self.root / f["path"]) for f in files]
        schemas = [plain(pyarrow.parquet.read_schema(p)) for p in paths]
        schema = pyarrow.unify_schemas(schemas)
        partitioning = pyarrow.dataset.partitioning(pyarrow.schema([("date", pyarrow.date32())]), flavor="hive")
        if name in DAY:
            schema = schema.append(pyarrow.field("date", pyarrow.date32()))
        dataset = pyarrow.dataset.dataset(paths, format="parquet", schema=schema, partitioning=partitioning,
                                          partition_base_dir=str(self.root / name))
        table = dataset.to_table()
        if name in DAY and table["date"].null_count:
            self.fault(f"{name}: pyarrow finds no date in the path of {table['date'].null_count} rows")
        return table

    def pandas(self, name, united):
        """pandas reads the files, and keeps zone and types."""
        frame = united.to_pandas()
        read = pandas.concat(pandas.read_parquet(p) for p in sorted((self.root / name).rglob("*.parquet")))
        for column, kind in COLUMNS.get(name, {}).items():
            got = str(read[column].dtype) if column in read else "missing"
            if kind.startswith("timestamp") and got != "datetime64[us, UTC]":
                self.fault(f"{name}.{column}: pandas reads {got}, want datetime64[us, UTC]")
            if kind == "double" and got != "float64" and not read[column].isna().all():
                self.fault(f"{name}.{column}: pandas reads {got}, want float64")
        if len(frame) != len(read):
            self.fault(f"{name}: pandas reads {len(read)} rows, pyarrow {len(frame)}")
        return len(read)

    def polars(self, name, glob, columns):
        frame = polars.scan_parquet(glob, hive_partitioning=True, try_parse_hive_dates=True, missing_columns="insert",
                                    extra_columns="ignore") if name not in ("wide",) else polars.concat(
            [polars.read_parquet(p) for p in sorted((self.root / name).rglob("*.parquet"))], how="diagonal").lazy()
        schema = frame.collect_schema()
        kinds = {"double": polars.Float64, "bool": polars.Boolean, "int64": polars.Int64,
                 "timestamp[us, UTC]": polars.Datetime("us", "UTC"), "timestamp[us]": polars.Datetime("us")}
        for column, c in columns.items():
            if column not in schema:
                self.fault(f"{name}.{column}: Polars does not see it")
            elif c["type"] in kinds and schema[column] != kinds[c["type"]]:
                self.fault(f"{name}.{column}: Polars reads {schema[column]}, want {c['type']}")
            elif c["type"] == "text" and not isinstance(schema[column], (type(polars.String()), type(polars.Categorical()))):
                self.fault(f"{name}.{column}: Polars reads {schema[column]}, want text")
        if name in DAY and name != "wide" and schema.get("date") != polars.Date:
            self.fault(f"{name}: Polars reads date as {schema.get('date')}, want Date")
        return frame.select(polars.len()).collect().item()

    def duckdb(self, name, glob, columns):
        self.sql.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = true)"
                         .replace("?", "'" + glob.replace("'", "''") + "'"))
        kinds = {"text": "VARCHAR", "double": "DOUBLE", "int64": "BIGINT", "bool": "BOOLEAN",
                 "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE", "timestamp[us]": "TIMESTAMP"}
        seen = {row[0]: row[1] for row in self.sql.execute(f"DESCRIBE {name}").fetchall()}
        for column, c in columns.items():
            if seen.get(column) != kinds[c["type"]]:
                self.fault(f"{name}.{column}: DuckDB reads {seen.get(column)}, want {kinds[c['type']]}")
        day = DAY.get(name)
        if day:
            if seen.get("date") != "DATE":
                self.fault(f"{name}: DuckDB reads date as {seen.get('date')}, want DATE")
            wrong, = self.sql.execute(f"SELECT count(*) FROM {name} WHERE date IS DISTINCT FROM CAST({day} AS DATE)").fetchone()
            if wrong:
                self.fault(f"{name}: {wrong} rows outside the day of their folder, by DuckDB")
        return self.sql.execute(f"SELECT count(*) FROM {name}").fetchone()[0]

    def joins(self, tables, readable):
        """Joins that people write first; each must find every row it starts from."""
        if "readings" in readable and "catalogue" in readable:
            readings, catalogue = readable["readings"], readable["catalogue"]
            known = polars.from_arrow(readings.select(["descriptor", "unit", "number", "bool", "text"])).join(
                polars.from_arrow(catalogue.select(["descriptor", "unit"])), on="descriptor", how="inner")
            if known.height == 0 and readings.num_rows:
                self.fault("readings joined with catalogue: Polars finds nothing")
            wrong = known.filter(polars.col("unit").ne_missing(polars.col("unit_right"))).height
            if wrong:
                self.fault(f"readings joined with catalogue: {wrong} rows have another unit than the catalogue")
            n, = self.sql.execute("SELECT count(*) FROM readings JOIN catalogue USING (descriptor)").fetchone()
            if n != known.height:
                self.fault(f"readings joined with catalogue: DuckDB finds {n} rows, Polars {known.height}")
            several, = self.sql.execute("SELECT count(*) FROM readings WHERE (number IS NOT NULL)::INT + (bool IS NOT NULL)::INT"
                                        " + (text IS NOT NULL)::INT > 1").fetchone()
            if several:
                self.fault(f"readings: {several} rows with more than one of number, bool and text")
            doubled, = self.sql.execute("SELECT count(*) - count(DISTINCT (vin, descriptor, time)) FROM readings").fetchone()
            if doubled:
                self.fault(f"readings: {doubled} rows repeat a (vin, descriptor, time)")
        if "charging_sessions" in readable and "charging_blocks" in readable:
            sessions, blocks = (readable[t].to_pandas() for t in ("charging_sessions", "charging_blocks"))
            sessions, blocks = ({"vin": f["vin"].astype(str), "at": f[c]} for f, c in ((sessions, "start"), (blocks, "session")))
            found = pandas.DataFrame(blocks).merge(pandas.DataFrame(sessions), on=["vin", "at"])
            with_session = int(blocks["at"].notna().sum())
            if len(found) != with_session:
                self.fault(f"charging_blocks joined with charging_sessions: pandas finds {len(found)} of {with_session} blocks")
            n, = self.sql.execute("SELECT count(*) FROM charging_blocks b JOIN charging_sessions s"
                                  " ON b.vin = s.vin AND b.session = s.start").fetchone()
            if n != len(found):
                self.fault(f"charging_blocks joined with charging_sessions: DuckDB finds {n}, pandas {len(found)}")


def plain(schema):
    """Dictionaries as their values, so that files unite whatever they encode."""
    return pyarrow.schema([
        pyarrow.field(f.name, f.type.value_type if pyarrow.types.is_dictionary(f.type) else f.type, metadata=f.metadata) for f in schema])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    root = parser.parse_args().dataset
    checker = Checker(root)
    checker.run()
    for fault in checker.faults:
        print("fault:", fault, file=sys.stderr)
    if checker.faults:
        sys.exit(1)
    print(f"no faults: pyarrow {pyarrow.__version__}, pandas {pandas.__version__}, "
          f"Polars {polars.__version__}, DuckDB {duckdb.__version__}")


if __name__ == "__main__":
    main()
