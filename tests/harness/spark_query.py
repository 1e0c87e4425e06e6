"""Answers Spark queries: `spark_query.py FOLDER SQL...` reads FOLDER as table `http` and prints a JSON array per query."""

import json
import os
import sys

os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
# A session of seconds is over before the optimising compiler would pay.
os.environ["PYSPARK_SUBMIT_ARGS"] = "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"
from pyspark.sql import SparkSession  # noqa: E402  (it reads the environment when imported)

session = (
    SparkSession.builder.master("local[2]")
    .appName("hdrcap-tests")
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
session.read.parquet(sys.argv[1]).createOrReplaceTempView("http")
for sql in sys.argv[2:]:
    answer = session.sql(f"SELECT to_json(struct(*)) AS row FROM ({sql})").collect()
    print(json.dumps([json.loads(entry.row) for entry in answer]))
session.stop()
