//! The files' schema is frozen, their footers hold what queries prune by, and DuckDB gives the columns their types.

use std::fs::File;

use crate::support::{NOON_NS, duckdb, plain_batch, published, writer};
use parquet::{
    basic::{Compression, Encoding},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
        properties::ReaderProperties,
        reader::{FileReader, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
    schema::printer::print_schema,
};
use storage::{
    dataset::{Writer, WriterSettings},
    schema::{StatsRow, StatsSchema},
};

const HTTP_GOLDEN: &str = "tests/integration/golden/http.schema";

fn metadata(path: &std::path::Path) -> ParquetMetaData {
    let file = File::open(path).expect("a readable file");
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .expect("a Parquet file")
}

fn one_file(rows: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    writer.write(plain_batch(rows, NOON_NS), NOON_NS).expect("written");
    assert_eq!(writer.close().files_published, 1);
    let path = published(dir.path()).remove(0);
    (dir, path)
}

#[test]
fn the_message_type_is_the_golden_one() {
    let (_dir, path) = one_file(1);
    let mut printed = Vec::new();
    print_schema(&mut printed, metadata(&path).file_metadata().schema());
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(HTTP_GOLDEN);
    if std::env::var_os("HDRCAP_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &printed).expect("a writable folder");
    }
    let expected = std::fs::read_to_string(golden).expect("the golden file");
    let printed = String::from_utf8(printed).expect("UTF-8");
    assert_eq!(printed, expected, "schema v1 is frozen: a changed column is a new major version");
}

#[test]
fn footers_hold_statistics_indexes_and_filters() {
    let (_dir, path) = one_file(30_000);
    let metadata = metadata(&path);
    assert_eq!(metadata.num_row_groups(), 1);
    let row_group = metadata.row_group(0);
    assert_eq!(row_group.num_rows(), 30_000);
    for (at, column) in row_group.columns().iter().enumerate() {
        let name = column.column_path().string();
        assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name}");
        assert!(column.statistics().is_some(), "{name}");
        let indexes = metadata.page_index_for_row_group(0);
        assert!(indexes.column_index(at).is_some(), "{name} has a column index");
        assert!(indexes.offset_index(at).is_some_and(|index| !index.page_locations().is_empty()), "{name}");
        let filtered = ["flow_id", "client_ip", "x_request_id", "trace_id"].contains(&name.as_str());
        assert_eq!(column.bloom_filter_offset().is_some(), filtered, "{name}");
        let dictionary = column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY);
        if ["path", "host", "server", "client_ip", "flags.list.element"].contains(&name.as_str()) {
            assert!(dictionary, "{name} repeats");
        } else if ["x_request_id", "trace_id", "traceparent", "flow_id", "ts", "ts_ns"]
            .contains(&name.as_str())
        {
            assert!(!dictionary, "{name} does not repeat");
        }
        if name == "trace_id" {
            assert_eq!(column.statistics().and_then(|stats| stats.null_count_opt()), Some(30_000));
        }
    }
    assert!(metadata.page_index_for_row_group(0).num_data_pages(1).is_some_and(|pages| pages > 1));
}

#[test]
fn bloom_filters_say_yes_to_what_is_there_and_mostly_no_to_what_is_not() {
    let (_dir, path) = one_file(5_000);
    let options = ReadOptionsBuilder::new()
        .with_reader_properties(ReaderProperties::builder().set_read_bloom_filter(true).build())
        .build();
    let reader =
        SerializedFileReader::new_with_options(File::open(&path).expect("readable"), options).expect("whole");
    let column = reader
        .metadata()
        .row_group(0)
        .columns()
        .iter()
        .position(|column| column.column_path().string() == "x_request_id")
        .expect("a column");
    let row_group = reader.get_row_group(0).expect("a row group");
    let filter = row_group.get_column_bloom_filter(column).expect("a bloom filter");
    assert!((0..5_000).all(|number| filter.check(&format!("id-{number:08}").as_str())));
    let wrong = (0..5_000).filter(|number| filter.check(&format!("no-{number:08}").as_str())).count();
    assert!(wrong < 250, "{wrong} of 5000 absent ids pass the filter");
    assert!(filter.num_blocks() * 32 < 16 << 10, "the filter is folded to what the row group holds");
}

#[test]
fn key_value_metadata_tells_what_the_file_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "edge-7");
    settings.redaction_policy = "default-1".to_owned();
    settings.metadata.insert("site".to_owned(), "north".to_owned());
    let mut writer = Writer::open(settings).expect("a writable folder");
    writer.set_ledger([("shed".to_owned(), "12".to_owned())].into());
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    writer.write(plain_batch(5, NOON_NS + 1_000_000_000), NOON_NS).expect("written");
    writer.close();
    let metadata = metadata(&published(dir.path())[0]);
    let pairs = metadata.file_metadata().key_value_metadata().expect("metadata").clone();
    let value = |key: &str| {
        pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()).unwrap_or_default()
    };
    assert_eq!(value("schema_version"), "1");
    assert_eq!(value("redaction_policy"), "default-1");
    assert_eq!(value("sensor"), "edge-7");
    assert_eq!(value("hdrcap_version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(value("site"), "north");
    assert_eq!(value("ARROW:schema"), "", "readers see plain Parquet types");
    let ledger: serde_json::Value = serde_json::from_str(&value("ledger")).expect("JSON");
    assert_eq!(ledger["rows"], 15);
    assert_eq!(ledger["row_groups"], 2);
    assert_eq!(ledger["ts_min_ns"], NOON_NS);
    assert_eq!(ledger["ts_max_ns"], NOON_NS + 1_004_000_000);
    assert_eq!(ledger["flush_interval_ms"], 5_000);
    assert_eq!(ledger["counters"]["shed"], "12");
}

#[test]
fn duckdb_gives_the_columns_their_types() {
    let (_dir, path) = one_file(3);
    let script = format!(
        "import duckdb\nfor row in duckdb.sql(\"DESCRIBE SELECT * FROM read_parquet('{}', hive_partitioning=false)\")\
         .fetchall():\n    print(row[0], row[1])",
        path.display()
    );
    let described = duckdb(&script);
    let type_of = |column: &str| {
        let line = described.lines().find(|line| line.starts_with(&format!("{column} "))).expect("a column");
        line[column.len() + 1..].to_owned()
    };
    assert_eq!(described.lines().count(), 105, "{described}");
    assert_eq!(type_of("ts"), "TIMESTAMP WITH TIME ZONE");
    assert_eq!(type_of("ts_ns"), "BIGINT");
    assert_eq!(type_of("status"), "INTEGER");
    assert_eq!(type_of("flow_id"), "BIGINT");
    assert_eq!(type_of("syn_seen"), "BOOLEAN");
    assert_eq!(type_of("user_agent"), "VARCHAR");
    assert_eq!(type_of("vlan_ids"), "INTEGER[]");
    assert_eq!(type_of("flags"), "VARCHAR[]");
    let lines = type_of("req_headers_other").replace('"', "");
    assert_eq!(lines, "STRUCT(name VARCHAR, value VARCHAR)[]");
}

#[test]
fn capture_stats_holds_counters_and_gauges() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "edge-7");
    settings.stats = Some(StatsSchema::new(&["frames", "verdict_pass"], &["ring_fill", "idle_share"]));
    let mut writer = Writer::open(settings).expect("a writable folder");
    let hour_ns = 3_600_000_000_000;
    let values = [
        (NOON_NS, Some(0), [10, 5], [None, Some(0.5)]),
        (NOON_NS, None, [4, 2], [None, None]),
        (NOON_NS + hour_ns, Some(1), [6, 3], [None, None]),
    ];
    let rows = values.each_ref().map(|(ts_ns, core, counters, gauges)| StatsRow {
        ts_ns: *ts_ns,
        sensor: "edge-7",
        iface: "eth1",
        core: *core,
        counters,
        gauges,
    });
    assert_eq!(writer.write_stats(&rows, NOON_NS).expect("written").rows, 3);
    assert_eq!(writer.close().files_published, 2);
    let glob = format!("{}/capture_stats/**/*.parquet", dir.path().display());
    let script = format!(
        "import duckdb\nprint(duckdb.sql(\"SELECT sum(frames), sum(verdict_pass), count(core), max(idle_share), \
         count(ring_fill), min(hour), max(hour), typeof(any_value(frames)) FROM read_parquet('{glob}')\").fetchall())"
    );
    assert_eq!(duckdb(&script).trim(), "[(20, 10, 2, 0.5, 0, 11, 12, 'BIGINT')]");
}
