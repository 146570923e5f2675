#!/usr/bin/env python3
"""What most people have today: the Python client into pandas, then to_parquet.

    bench_export.py --url URL --token TOKEN --org ORG --bucket BUCKET --from DAY --to DAY --out FILE
    bench_export.py --url URL --database DATABASE --from DAY --to DAY --out FILE

It asks for all readings of the days, --to excluded, day by day, writes one file for
each day beside FILE and prints one line of JSON: rows, seconds, rows a second, and
the process's peak memory. The second form, for InfluxDB 1.8 without Flux, asks in
InfluxQL by the CSV answer, as that client has none for 1.8.
"""

import argparse
import json
import resource
import time
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas


def by_client(args, start, stop):
    from influxdb_client import InfluxDBClient

    flux = (f'from(bucket: "{args.bucket}") |> range(start: {stamp(start)}, stop: {stamp(stop)})'
            ' |> filter(fn: (r) => r._measurement == "reading")'
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
            ' |> drop(columns: ["_start", "_stop", "_measurement"])')
    with InfluxDBClient(args.url, token=args.token, org=args.org, timeout=600_000) as client:
        frame = client.query_api().query_data_frame(flux)
    if isinstance(frame, list):
        frame = pandas.concat(frame, ignore_index=True)
    return frame


def by_influxql(args, start, stop):
    q = f"SELECT vin, descriptor, number, bool, text FROM reading WHERE time >= '{stamp(start)}' AND time < '{stamp(stop)}'"
    query = urllib.parse.urlencode({"db": args.database, "q": q, "epoch": "ns"})
    request = urllib.request.Request(f"{args.url}/query?{query}", headers={"Accept": "application/csv"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        try:
            frame = pandas.read_csv(answer, dtype={"bool": "string", "text": "string"}, low_memory=False)
        except pandas.errors.EmptyDataError:
            return pandas.DataFrame()
    frame["time"] = pandas.to_datetime(frame["time"], utc=True)
    return frame.drop(columns=["name", "tags"])


def stamp(t):
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


def day(text):
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--token")
    parser.add_argument("--org")
    parser.add_argument("--bucket")
    parser.add_argument("--database")
    parser.add_argument("--from", dest="start", type=day, required=True)
    parser.add_argument("--to", dest="stop", type=day, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if bool(args.bucket) == bool(args.database):
        parser.error("either --bucket, with --token and --org, or --database")
    if args.start >= args.stop:
        parser.error("--to must be a day after --from")

    ask = by_client if args.bucket else by_influxql
    rows, size, began = 0, 0, time.perf_counter()
    at = args.start
    while at < args.stop:
        frame = ask(args, at, at + timedelta(days=1))
        if len(frame):
            path = args.out.with_name(f"{args.out.stem}-{at:%Y-%m-%d}{args.out.suffix}")
            frame.to_parquet(path, compression="zstd", index=False)
            rows, size = rows + len(frame), size + path.stat().st_size
        at += timedelta(days=1)
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "reader": ask.__name__, "rows": rows, "bytes": size, "seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }))


if __name__ == "__main__":
    main()
