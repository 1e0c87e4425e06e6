//! Shared by the tests: heads as on the wire, their values, and what a dataset holds.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use storage::{
    Batch, ConnectionId, RequestId, ResponseId,
    dataset::{Writer, WriterSettings},
    field::Field,
    flags::Flags,
    values::{ConnectionValues, FieldLine, PairState, RequestValues, ResponseValues, RowValues, TimeSource},
};

/// 2026-11-22T11:08:27Z.
pub(crate) const NOON_NS: i64 = 1_795_345_707_000_000_000;

/// One field line as a parser would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// What stands between name and line end where the line is not `name: value CRLF`.
    pub(crate) raw: Option<Vec<u8>>,
}

impl Line {
    pub(crate) fn new(name: &str, value: &str) -> Line {
        Line { name: name.into(), value: value.into(), raw: None }
    }

    pub(crate) fn raw(name: &str, value: &str, raw: &str) -> Line {
        Line { name: name.into(), value: value.into(), raw: Some(raw.into()) }
    }

    /// The line's bytes on the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let rest = self.raw.clone().unwrap_or_else(|| [b": ", &self.value[..]].concat());
        let end: &[u8] = if self.raw.is_some() && rest.ends_with(b"\n") { b"" } else { b"\r\n" };
        [&self.name[..], &rest, end].concat()
    }

    pub(crate) fn borrowed(&self) -> FieldLine<'_> {
        FieldLine {
            name: &self.name,
            field: Field::from_name(&self.name),
            value: &self.value,
            raw: self.raw.as_deref(),
            number: None,
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A head as on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Start line without its end.
    pub(crate) start: Start,
    pub(crate) lines: Vec<Line>,
    pub(crate) bare_lf_end: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Start {
    Request { method: Vec<u8>, target: Vec<u8>, version: Option<Vec<u8>> },
    Response { version: Vec<u8>, status: i32, reason: Option<Vec<u8>> },
}

impl Head {
    pub(crate) fn get(target: &str, lines: Vec<Line>) -> Head {
        let start =
            Start::Request { method: b"GET".to_vec(), target: target.into(), version: Some(b"1.1".to_vec()) };
        Head { start, lines, bare_lf_end: false }
    }

    pub(crate) fn answer(status: i32, reason: &str, lines: Vec<Line>) -> Head {
        let start = Start::Response { version: b"1.1".to_vec(), status, reason: Some(reason.into()) };
        Head { start, lines, bare_lf_end: false }
    }

    /// The head's bytes.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire = match &self.start {
            Start::Request { method, target, version } => {
                let mut start = [&method[..], b" ", target].concat();
                if let Some(version) = version {
                    start.extend(b" HTTP/");
                    start.extend(version);
                }
                start
            }
            Start::Response { version, status, reason } => {
                let mut start = [b"HTTP/", &version[..], format!(" {status}").as_bytes()].concat();
                if let Some(reason) = reason {
                    start.push(b' ');
                    start.extend(reason);
                }
                start
            }
        };
        wire.extend(b"\r\n");
        for line in &self.lines {
            wire.extend(line.wire());
        }
        let bare_start = matches!(&self.start, Start::Request { version: None, .. }) && self.lines.is_empty();
        if !bare_start {
            wire.extend(if self.bare_lf_end { &b"\n"[..] } else { b"\r\n" });
        }
        wire
    }

    fn values_of(&self, name: &str) -> Vec<&[u8]> {
        self.lines.iter().filter(|line| line.is(name)).map(|line| &line.value[..]).collect()
    }

    fn content_length(&self) -> Option<i64> {
        let values = self.values_of("content-length");
        std::str::from_utf8(values.first()?).ok()?.trim().parse().ok()
    }

    fn transfer_encoding(&self) -> Option<Vec<u8>> {
        let values = self.values_of("transfer-encoding");
        (!values.is_empty()).then(|| values.join(&b", "[..]))
    }

    fn flags(&self) -> Flags {
        if self.bare_lf_end { Flags::BARE_LF_END } else { Flags::NONE }
    }

    /// Appends the head as a request.
    pub(crate) fn append_request(&self, batch: &mut Batch) -> RequestId {
        let Start::Request { method, target, version } = &self.start else { panic!("no request") };
        let fields: Vec<FieldLine<'_>> = self.lines.iter().map(Line::borrowed).collect();
        let host = self.values_of("host").first().map(|host| host.to_ascii_lowercase());
        let encoding = self.transfer_encoding();
        let query = target.iter().position(|byte| *byte == b'?').map(|at| &target[at + 1..]);
        batch.request(&RequestValues {
            method: if method == b"GET" { "GET" } else { "_OTHER" },
            method_raw: method,
            target_raw: target,
            host: host.as_deref(),
            path: Some(target.split(|byte| *byte == b'?').next().expect("a path")),
            query,
            path_template: None,
            version: version.as_deref(),
            head_bytes: i32::try_from(self.wire().len()).expect("a small head"),
            header_count: i32::try_from(self.lines.len()).expect("few lines"),
            content_length: self.content_length(),
            transfer_encoding: encoding.as_deref(),
            authorization_scheme: None,
            trace_id: None,
            cookie_names: &[],
            is_connect: false,
            header_order_hash: 7,
            fields: &fields,
            flags: self.flags(),
        })
    }

    /// Appends the head as a response.
    pub(crate) fn append_response(&self, batch: &mut Batch) -> ResponseId {
        let Start::Response { version, status, reason } = &self.start else { panic!("no response") };
        let fields: Vec<FieldLine<'_>> = self.lines.iter().map(Line::borrowed).collect();
        let encoding = self.transfer_encoding();
        batch.response(&ResponseValues {
            version,
            status: Some(*status),
            reason: reason.as_deref(),
            info_status: &[],
            head_bytes: i32::try_from(self.wire().len()).expect("a small head"),
            header_count: i32::try_from(self.lines.len()).expect("few lines"),
            content_length: self.content_length(),
            transfer_encoding: encoding.as_deref(),
            upgrade_protocol: None,
            set_cookie_names: &[],
            fields: &fields,
            flags: self.flags(),
        })
    }
}

/// A connection between documentation addresses.
pub(crate) fn connection(batch: &mut Batch, client_port: u16) -> ConnectionId {
    batch.connection(&ConnectionValues {
        iface: "eth1",
        queue: Some(3),
        sample_weight: 1,
        flow_id: 0x1234_5678_9abc_0000 + i64::from(client_port),
        community_id: Some("1:abcdefghijklmnopqrstuvwxyz0="),
        client: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), client_port),
        server: (IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 80),
        vlan_ids: &[],
        tunnel: None,
        syn_seen: true,
        tcp_rtt_us: None,
    })
}

/// Row values with nothing measured.
pub(crate) fn row_values(ts_ns: i64) -> RowValues {
    RowValues::unmeasured(ts_ns, TimeSource::Pcap, PairState::AckVerified)
}

/// A batch of `rows` plain transactions, one every millisecond from `start_ns`.
pub(crate) fn plain_batch(rows: usize, start_ns: i64) -> Batch {
    let mut batch = Batch::new();
    let connections: Vec<ConnectionId> = (0..20).map(|port| connection(&mut batch, 40_000 + port)).collect();
    for number in 0..rows {
        let head = Head::get(
            &format!("/item/{number}"),
            vec![Line::new("Host", "shop.example"), Line::new("X-Request-Id", &format!("id-{number:08}"))],
        );
        let request = head.append_request(&mut batch);
        let answer = Head::answer(200, "OK", vec![Line::new("Server", "nginx")]).append_response(&mut batch);
        let values = row_values(start_ns + i64::try_from(number).expect("few rows") * 1_000_000);
        batch.row(connections[number % connections.len()], Some(request), Some(answer), &values);
    }
    batch
}

/// A writer with small settings for tests.
pub(crate) fn writer(dir: &Path) -> Writer {
    Writer::open(WriterSettings::new(dir, "sensor-a")).expect("a writable folder")
}

/// Every file below `dir` whose name ends with `suffix`, sorted.
pub(crate) fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The published files.
pub(crate) fn published(dir: &Path) -> Vec<PathBuf> {
    files(dir, ".parquet")
}

/// All rows of one file.
pub(crate) fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("a readable file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    reader
        .with_batch_size(1 << 20)
        .build()
        .expect("a reader")
        .map(|batch| batch.expect("a row group"))
        .collect()
}

/// Rows in the published files.
pub(crate) fn row_count(dir: &Path) -> usize {
    published(dir).iter().flat_map(|path| read(path)).map(|batch| batch.num_rows()).sum()
}

/// The text of a column in a row, or `None`.
pub(crate) fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let strings = batch.column_by_name(column).expect("a column").as_string::<i32>();
    strings.iter().nth(row).expect("a row").map(str::to_owned)
}

/// The Python that `scripts/setup` made, where it did.
pub(crate) fn python() -> std::ffi::OsString {
    std::env::var_os("HDRCAP_PYTHON").unwrap_or_else(|| "python3".into())
}

/// Runs Python with the `duckdb` package and returns what it prints: the one that `scripts/setup` made, where it did.
///
/// A query that takes seconds would print a bar of its progress beside its answer.
pub(crate) fn duckdb(script: &str) -> String {
    let script = format!("import duckdb\nduckdb.sql('SET enable_progress_bar = false')\n{script}");
    let output =
        std::process::Command::new(python()).arg("-c").arg(&script).output().expect("Python is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "DuckDB did not do as told; if it is missing: scripts/setup test, then . target/setup.env\n{error}\n{script}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Python that opens DuckDB as `db` with the views over `dir`.
pub(crate) fn duckdb_with_views(dir: &Path) -> String {
    let sql = storage::views::VIEWS_SQL.replace(storage::views::VIEWS_DATASET, &dir.to_string_lossy());
    let path = dir.join("views.sql");
    fs::write(&path, sql).expect("a writable folder");
    format!("import duckdb\ndb = duckdb.connect()\ndb.execute(open({:?}).read())\n", path)
}
