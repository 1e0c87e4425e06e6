#!/usr/bin/env python3
"""Shows what a capture holds: `show.py OUT` prints a few queries over OUT/http and their answers."""

import sys
from pathlib import Path

import duckdb

VIEWS = Path(__file__).parents[1] / "storage/sql/views.sql"

QUERIES = {
    "Top paths, with latency in microseconds": """
        SELECT method, path_template, count(*) AS transactions,
               quantile_cont(ttfb_us, 0.5)::BIGINT AS p50, quantile_cont(ttfb_us, 0.9)::BIGINT AS p90,
               quantile_cont(ttfb_us, 0.99)::BIGINT AS p99
        FROM http GROUP BY ALL ORDER BY transactions DESC, method LIMIT 10""",
    "Outcomes": """
        SELECT status, reason, count(*) AS transactions, sum(resp_body_bytes)::BIGINT AS body_bytes
        FROM http GROUP BY ALL ORDER BY transactions DESC""",
    "How sure the pairs are": """
        SELECT pair_state, count(*) AS transactions, count(DISTINCT flow_id) AS connections
        FROM http GROUP BY ALL ORDER BY transactions DESC""",
}

# The transaction that quickstart sends last, where there is one.
ONE = "SELECT * FROM http ORDER BY x_request_id = 'quickstart' DESC NULLS LAST, ts_ns LIMIT 1"

HEADS = f"""
    SELECT decode(request_head), decode(response_head)
    FROM heads JOIN ({ONE}) AS one USING (ts_ns, sensor, flow_id, transaction_index)"""


def main():
    out = Path(sys.argv[1])
    files = sorted(out.glob("http/**/*.parquet"))
    if not files:
        sys.exit(f"show.py: no Parquet file under {out}/http: nothing was captured")
    db = duckdb.connect()
    db.execute(VIEWS.read_text().replace("HDRCAP_DATASET", str(out))).fetchall()
    total = sum(file.stat().st_size for file in files)
    [(rows,)] = db.execute("SELECT count(*) FROM http").fetchall()
    print(f"{rows} transactions in {len(files)} file(s), {total} bytes: {total / max(rows, 1):.0f} bytes each\n")
    for title, query in QUERIES.items():
        print(title)
        db.sql(query).show(max_width=120)
    print("One transaction, its heads rebuilt from the columns (secrets are tokens)")
    [heads] = db.execute(HEADS).fetchall()
    for head in heads:
        print("".join(f"    {line}\n" for line in (head or "not seen").splitlines()))
    print("The same transaction, as columns (those that are null are left out)")
    transaction(db)


def transaction(db):
    """Prints one row, a column a line."""
    columns = [column[0] for column in db.execute(f"DESCRIBE ({ONE})").fetchall()]
    cast = ", ".join(f'"{column}"::VARCHAR AS "{column}"' for column in columns)
    [row] = db.execute(f"SELECT {cast} FROM ({ONE})").fetchall()
    for column, value in zip(columns, row):
        if value is not None:
            print(f"    {column:26} {value}")


if __name__ == "__main__":
    main()
