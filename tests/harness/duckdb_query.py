"""Answers one DuckDB query: `duckdb_query.py SQL [DATASET]` prints a JSON object per row; with the shipped views of DATASET."""

import sys
from pathlib import Path

import duckdb

db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
if len(sys.argv) > 2:
    shipped = Path(__file__).parents[2] / "storage/sql"
    for views in ["views.sql", "losses.sql"]:
        db.execute((shipped / views).read_text().replace("HDRCAP_DATASET", sys.argv[2]))
for (row,) in db.execute(f"SELECT to_json(answer)::VARCHAR FROM ({sys.argv[1]}) AS answer").fetchall():
    print(row)
