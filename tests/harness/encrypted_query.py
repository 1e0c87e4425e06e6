"""Reads an encrypted dataset as the README shows: `encrypted_query.py duckdb|pyarrow|spark FOLDER KEYS SQL...`.

`http` is the table; prints a JSON array of rows per query. For spark, CLASSPATH names the folder of the compiled HdrcapKeys.
"""

import base64
import json
import os
import sys
import tomllib
from pathlib import Path

import duckdb

engine, folder, key_file, *queries = sys.argv[1:]


def answer(db):
    db.execute("SET TimeZone = 'UTC'")
    for sql in queries:
        rows = db.execute(f"SELECT to_json(answer)::VARCHAR FROM ({sql}) AS answer").fetchall()
        print(json.dumps([json.loads(row) for (row,) in rows]))


def with_duckdb():
    keys = tomllib.loads(Path(key_file).read_text())
    db = duckdb.connect()
    db.execute(f"PRAGMA add_parquet_key('hdrcap', '{keys['keys'][keys['footer']]}')")
    shipped = Path(__file__).parents[2] / "storage/sql"
    for views in ["views.sql", "losses.sql"]:
        sql = (shipped / views).read_text().replace("HDRCAP_DATASET", folder)
        db.execute(sql.replace("true)", "true, encryption_config = {footer_key: 'hdrcap'})"))
    answer(db)


def with_pyarrow():
    import pyarrow.dataset as ds
    import pyarrow.parquet.encryption as pe

    class Keys(pe.KmsClient):
        def __init__(self, config):
            super().__init__()
            self.keys = tomllib.loads(Path(config.custom_kms_conf["file"]).read_text())["keys"]

        def unwrap_key(self, key_id, _):
            return base64.b64decode(self.keys[key_id.decode() if isinstance(key_id, bytes) else key_id])

        def wrap_key(self, key, _):
            raise NotImplementedError

    kms = pe.KmsConnectionConfig(custom_kms_conf={"file": key_file})
    keys = ds.ParquetDecryptionConfig(pe.CryptoFactory(Keys), kms, pe.DecryptionConfiguration())
    form = ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(decryption_config=keys))
    db = duckdb.connect()
    db.register("http", ds.dataset(f"{folder}/http", format=form))
    answer(db)


def with_spark():
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    options = f"-XX:TieredStopAtLevel=1 --driver-class-path {os.environ['CLASSPATH']}"
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-java-options {options} pyspark-shell"
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config(
            "spark.hadoop.parquet.crypto.factory.class", "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory"
        )
        .config("spark.hadoop.parquet.encryption.kms.client.class", "HdrcapKeys")
        .config("spark.hadoop.hdrcap.encryption.keys", key_file)
        .getOrCreate()
    )
    session.read.parquet(f"{folder}/http").createOrReplaceTempView("http")
    for sql in queries:
        rows = session.sql(f"SELECT to_json(struct(*)) AS row FROM ({sql})").collect()
        print(json.dumps([json.loads(entry.row) for entry in rows]))
    session.stop()


{"duckdb": with_duckdb, "pyarrow": with_pyarrow, "spark": with_spark}[engine]()
