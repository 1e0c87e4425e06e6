"""Answers one Spark query: `spark_query.py FOLDER SQL` reads FOLDER as table `http` and prints a JSON object per row."""

import sys

from pyspark.sql import SparkSession

session = (
    SparkSession.builder.master("local[2]")
    .appName("hdrcap-tests")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .getOrCreate()
)
session.sparkContext.setLogLevel("ERROR")
session.read.parquet(sys.argv[1]).createOrReplaceTempView("http")
for row in session.sql(sys.argv[2]).toJSON().collect():
    print(row)
session.stop()
