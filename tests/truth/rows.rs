//! Rows as the tests look at them, read from the columns that a file would hold.

use std::net::IpAddr;

use arrow_array::{Array as _, ArrayRef, RecordBatch, cast::AsArray as _, types};

/// A request's or response's part of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSide {
    pub(crate) seq: u32,
    /// Method and target, or status.
    pub(crate) start: Vec<String>,
    pub(crate) head_bytes: u64,
    pub(crate) header_count: u64,
    pub(crate) header_names: String,
    pub(crate) body_bytes: Option<u64>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
    pub(crate) transaction_index: i64,
    pub(crate) pair_state: String,
    pub(crate) host: Option<String>,
    pub(crate) request: Option<RowSide>,
    pub(crate) response: Option<RowSide>,
    pub(crate) info_status: Vec<i64>,
    /// Microseconds, by `TIMES`.
    pub(crate) times: [Option<i64>; 4],
    /// The response's field `X-Id`.
    pub(crate) x_id: Option<String>,
    pub(crate) flags: Vec<String>,
    /// Kind, id and outer ends of the tunnel.
    pub(crate) tunnel: Option<String>,
    pub(crate) vlan_ids: Vec<u16>,
}

/// Columns that tell how long something took.
pub(crate) const TIMES: [&str; 4] = ["req_duration_us", "ttfb_us", "resp_head_duration_us", "total_us"];

impl Row {
    pub(crate) fn has_flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    /// Bytes of one of its heads are missing, and it says so.
    pub(crate) fn is_partial(&self) -> bool {
        self.has_flag("gap_in_head") || self.has_flag("head_truncated")
    }
}

/// The rows of a table.
pub(crate) fn rows_of(table: &RecordBatch) -> Vec<Row> {
    (0..table.num_rows()).map(|at| Cells { table, at }.row()).collect()
}

/// The cells of one row.
struct Cells<'a> {
    table: &'a RecordBatch,
    at: usize,
}

impl Cells<'_> {
    fn row(&self) -> Row {
        let end = |side: &str| {
            let ip = self.text(&format!("{side}_ip")).unwrap().parse().unwrap();
            (ip, self.number(&format!("{side}_port")).unwrap() as u16)
        };
        let infos = self.list("info_status");
        let infos = infos.map(|list| (0..list.len()).filter_map(|at| number(&list, at)).collect());
        let flags = self.list("flags").unwrap();
        let vlan_ids =
            self.list("vlan_ids").map(|list| (0..list.len()).filter_map(|at| number(&list, at)).collect());
        let vlan_ids: Vec<i64> = vlan_ids.unwrap_or_default();
        Row {
            client: end("client"),
            server: end("server"),
            transaction_index: self.number("transaction_index").unwrap(),
            pair_state: self.text("pair_state").unwrap(),
            host: self.text("host"),
            request: self.side("req", &["method_raw", "target_raw"]),
            response: self.side("resp", &["status"]),
            info_status: infos.unwrap_or_default(),
            times: TIMES.map(|column| self.number(column)),
            x_id: self.x_id(),
            flags: (0..flags.len()).filter_map(|at| text(&flags, at)).collect(),
            tunnel: self.tunnel(),
            vlan_ids: vlan_ids.into_iter().map(|id| id as u16).collect(),
        }
    }

    fn side(&self, side: &str, start: &[&str]) -> Option<RowSide> {
        let number = |column: &str| self.number(&format!("{side}_{column}")).map(|number| number as u64);
        let word = |column: &&str| self.text(column).or(self.number(column).map(|n| n.to_string()));
        Some(RowSide {
            seq: number("seq")? as u32,
            start: start.iter().filter_map(word).collect(),
            head_bytes: number("head_bytes").unwrap(),
            header_count: number("header_count").unwrap(),
            header_names: self.text(&format!("{side}_header_names")).unwrap_or_default(),
            body_bytes: number("body_bytes"),
        })
    }

    fn tunnel(&self) -> Option<String> {
        let id = self.number("tunnel_id").map_or("-".to_owned(), |id| id.to_string());
        let end = |column| self.text(column).unwrap_or_default();
        Some(format!("{} {id} {} {}", self.text("tunnel_type")?, end("outer_src_ip"), end("outer_dst_ip")))
    }

    fn x_id(&self) -> Option<String> {
        let lines = self.list("resp_headers_other")?;
        let lines = lines.as_struct();
        let (names, values) = (lines.column(0), lines.column(1));
        let at = (0..lines.len()).find(|at| text(names, *at).as_deref() == Some("X-Id"))?;
        text(values, at)
    }

    fn text(&self, column: &str) -> Option<String> {
        text(self.column(column), self.at)
    }

    fn number(&self, column: &str) -> Option<i64> {
        number(self.column(column), self.at)
    }

    fn list(&self, column: &str) -> Option<ArrayRef> {
        let lists = self.column(column).as_list::<i32>();
        lists.is_valid(self.at).then(|| lists.value(self.at))
    }

    fn column(&self, name: &str) -> &ArrayRef {
        self.table.column_by_name(name).unwrap_or_else(|| panic!("the schema has no column {name}"))
    }
}

fn text(column: &ArrayRef, at: usize) -> Option<String> {
    if column.is_null(at) {
        return None;
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Some(texts.value(at).to_owned());
    }
    let coded = column.as_dictionary_opt::<types::Int32Type>()?;
    Some(coded.values().as_string::<i32>().value(coded.key(at)?).to_owned())
}

fn number(column: &ArrayRef, at: usize) -> Option<i64> {
    if column.is_null(at) {
        return None;
    }
    let narrow = column.as_primitive_opt::<types::Int32Type>().map(|numbers| i64::from(numbers.value(at)));
    narrow.or_else(|| Some(column.as_primitive_opt::<types::Int64Type>()?.value(at)))
}
