"""Answers one DuckDB query: `duckdb_query.py SQL` prints a JSON object per row."""

import sys

import duckdb

db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
for (row,) in db.execute(f"SELECT to_json(answer)::VARCHAR FROM ({sys.argv[1]}) AS answer").fetchall():
    print(row)
