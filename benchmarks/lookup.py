"""How long it takes to find a picture's run among 10,000: by its id, by its pixels, by likeness; on SQLite and
PostgreSQL.

    python benchmarks/lookup.py                                    # SQLite
    python benchmarks/lookup.py postgresql+psycopg://USER@HOST/DB  # an empty database
    python benchmarks/lookup.py http://HOST:PORT --database postgresql+psycopg://…  # a server on that database

One run is made for real; its rows in MLflow's tables are then copied with other digests and hashes. Each look-up is
timed in five fresh processes, after the store is open: what is counted is what a person waits beyond start-up.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import uuid
from datetime import date
from pathlib import Path

RUNS = 10_000
ROUNDS = 5
LIMITS_S = {"by id": 0.3, "by pixels": 0.3, "by likeness": 2.0}
CHILD = """
import json, sys, time
from repro_track import lookup
lookup.open_store()
began = time.perf_counter()
found = lookup.find_picture(sys.argv[1])
print(json.dumps([time.perf_counter() - began, found[0].run.run_id, found[0].how]))
"""


def make_run(uri, folder):
    """Make one real run; gives its id and its picture."""
    words = [sys.executable, "-m", "repro_track", "run", "seed=3", "call.num_inference_steps=10"]
    done = subprocess.run(
        words, env={**os.environ, "MLFLOW_TRACKING_URI": uri}, capture_output=True, text=True, check=True
    )
    run_id = done.stdout.strip()
    listed = f"import mlflow; print(mlflow.MlflowClient().download_artifacts({run_id!r}, 'outputs', {str(folder)!r}))"
    subprocess.run(
        [sys.executable, "-c", listed],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return run_id, next(folder.glob("**/*.png"))


def copy_runs(database, run_id, number):
    """Copy a run's rows under new ids, with other digests and perceptual hashes."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(database)
    schema = sqlalchemy.MetaData()
    schema.reflect(engine)
    tables = {name: schema.tables[name] for name in ("runs", "tags", "params", "latest_metrics")}
    source = random.Random(0)

    def change(row, table):
        row = dict(row)
        if table == "runs":  # made in the course of a year, as a server's are
            ago_ms = source.randrange(365 * 24 * 3600 * 1000)
            return {**row, "start_time": row["start_time"] - ago_ms, "end_time": row["end_time"] - ago_ms}
        if table != "tags":
            return row
        if row["key"].startswith("repro_track.pixels."):
            row["key"] = f"repro_track.pixels.{source.getrandbits(256):064x}"
        elif row["key"] == "repro_track.likeness":
            row["value"] = f"images.0:{source.getrandbits(256):064x}"
        elif row["key"].endswith(("_sha256", "record_id", "manifest")):
            row["value"] = f"{source.getrandbits(4 * len(row['value'])):0{len(row['value'])}x}"
        return row

    with engine.begin() as connection:
        rows = {
            name: [dict(row) for row in connection.execute(table.select().where(table.c.run_uuid == run_id)).mappings()]
            for name, table in tables.items()
        }
        for first in range(0, number, 1000):
            ids = [uuid.UUID(int=source.getrandbits(128)).hex for _ in range(min(1000, number - first))]
            for name, table in tables.items():
                copies = [{**change(row, name), "run_uuid": copy} for copy in ids for row in rows[name]]
                connection.execute(table.insert(), copies)
    engine.dispose()


def measure(uri, picture):
    """Time one look-up in fresh processes; gives the median, the first, the run that was found and how."""
    seconds, run_id, how = [], "", ""
    for _ in range(ROUNDS):
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(picture)], env=environment, capture_output=True, text=True, check=True
        )
        took, run_id, how = json.loads(done.stdout)
        seconds.append(took)
    return statistics.median(seconds), seconds[0], run_id, how


def main():
    """Make the runs, time the look-ups, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uri", nargs="?")
    parser.add_argument("--database", help="the server's own database, for making the runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["REPRO_TRACK_HOME"] = str(folder / "home")
        uri = given.uri or f"sqlite:///{folder}/mlflow.db"
        run_id, exact = make_run(uri, folder)
        copy_runs(given.database or uri, run_id, RUNS)

        from PIL import Image

        stripped, similar = folder / "stripped.png", folder / "similar.jpg"
        with Image.open(exact) as image:
            plain = image.copy()
            plain.info.clear()
            plain.save(stripped)
            image.resize((96, 96), Image.Resampling.BICUBIC).convert("RGB").save(similar, quality=70)
        print(f"{RUNS} runs, {uri.partition(':')[0]}, {platform.machine()}, {os.cpu_count()} cores, {date.today()}")
        print("| look-up | median of 5 | first | limit |\n|---|---|---|---|")
        is_good = True
        for what, picture in (("by id", exact), ("by pixels", stripped), ("by likeness", similar)):
            middle, first, found, how = measure(uri, picture)
            is_good &= found == run_id and middle < LIMITS_S[what] and how.startswith(what)
            print(f"| {what} | {middle:.3f} s | {first:.3f} s | {LIMITS_S[what]} s |")
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
