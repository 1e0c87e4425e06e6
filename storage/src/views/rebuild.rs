//! A head's bytes, from the row that holds it: the Rust twin of the view `heads`.
//!
//! A field line is taken from the other headers where they name a line of its field, else from the field's column.

use arrow_array::{
    Array, ListArray, RecordBatch, StringArray, StructArray,
    cast::AsArray,
    types::{Int32Type, Int64Type},
};

use crate::escape::unescape;

/// The fields with a column of their own in a request, and the column.
pub const REQUEST_FIELDS: &[(&str, &str)] = &[
    ("host", "host"),
    ("user-agent", "user_agent"),
    ("referer", "referer"),
    ("origin", "origin"),
    ("accept", "accept"),
    ("accept-language", "accept_language"),
    ("accept-encoding", "accept_encoding"),
    ("content-type", "req_content_type"),
    ("content-length", "req_content_length"),
    ("transfer-encoding", "req_transfer_encoding"),
    ("authorization", "authorization"),
    ("cookie", "cookie"),
    ("x-forwarded-for", "x_forwarded_for"),
    ("forwarded", "forwarded"),
    ("via", "via"),
    ("x-real-ip", "x_real_ip"),
    ("x-request-id", "x_request_id"),
    ("traceparent", "traceparent"),
    ("range", "range"),
    ("if-none-match", "if_none_match"),
    ("if-modified-since", "if_modified_since"),
    ("cache-control", "req_cache_control"),
    ("connection", "req_connection"),
    ("expect", "expect"),
];

/// The fields with a column of their own in a response, and the column.
pub const RESPONSE_FIELDS: &[(&str, &str)] = &[
    ("server", "server"),
    ("date", "resp_date"),
    ("content-type", "resp_content_type"),
    ("content-length", "resp_content_length"),
    ("content-encoding", "content_encoding"),
    ("transfer-encoding", "resp_transfer_encoding"),
    ("location", "location"),
    ("cache-control", "resp_cache_control"),
    ("connection", "resp_connection"),
    ("etag", "etag"),
    ("last-modified", "last_modified"),
    ("vary", "vary"),
    ("age", "age"),
    ("expires", "expires"),
    ("x-cache", "x_cache"),
    ("retry-after", "retry_after"),
    ("www-authenticate", "www_authenticate"),
    ("strict-transport-security", "strict_transport_security"),
    ("content-security-policy", "content_security_policy"),
    ("access-control-allow-origin", "access_control_allow_origin"),
    ("set-cookie", "set_cookies"),
];

const CRLF: &str = "\r\n";

/// The bytes of the request head in row `row` of a batch read from a file; `None` where the row has no request.
pub fn request_head(batch: &RecordBatch, row: usize) -> Option<Vec<u8>> {
    let row = Row { batch, row };
    let names = row.text("req_header_names")?;
    let lines = row.lines(names, "req_headers_other", REQUEST_FIELDS);
    let mut head = format!("{} {}", row.text("method_raw")?, row.text("target_raw")?);
    let version = row.text("req_version");
    if let Some(version) = version {
        head.push_str(&format!(" HTTP/{version}"));
    }
    head.push_str(CRLF);
    // HTTP/0.9 has a request line and nothing else.
    if version.is_some() || !lines.is_empty() {
        head.push_str(&lines);
        head.push_str(row.empty_line("resp_header_names", &lines));
    }
    Some(unescape(&head))
}

/// The bytes of the response head in row `row` of a batch read from a file; `None` where the row has no response.
pub fn response_head(batch: &RecordBatch, row: usize) -> Option<Vec<u8>> {
    let row = Row { batch, row };
    let names = row.text("resp_header_names")?;
    let lines = row.lines(names, "resp_headers_other", RESPONSE_FIELDS);
    let mut head = format!("HTTP/{}", row.text("resp_version")?);
    let status = row.status().map(|status| status.to_string());
    // Where there is no status code, the reason is all that stood behind the version.
    for word in [status.as_deref(), row.text("reason")].into_iter().flatten() {
        head.push(' ');
        head.push_str(word);
    }
    head.push_str(CRLF);
    head.push_str(&lines);
    head.push_str(row.empty_line("req_header_names", &lines));
    Some(unescape(&head))
}

#[derive(Clone, Copy)]
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn column(self, name: &str) -> &'a dyn Array {
        self.batch.column_by_name(name).expect("a column of the schema")
    }

    fn text(self, name: &str) -> Option<&'a str> {
        let strings: &StringArray = self.column(name).as_string();
        strings.is_valid(self.row).then(|| strings.value(self.row))
    }

    fn status(self) -> Option<i32> {
        let status = self.column("status").as_primitive::<Int32Type>();
        status.is_valid(self.row).then(|| status.value(self.row))
    }

    fn list(self, name: &str) -> Option<std::sync::Arc<dyn Array>> {
        let list: &ListArray = self.column(name).as_list();
        list.is_valid(self.row).then(|| list.value(self.row))
    }

    /// The value of a field's column as text.
    fn own(self, column: &str) -> String {
        if column.ends_with("content_length") {
            self.column(column).as_primitive::<Int64Type>().value(self.row).to_string()
        } else {
            self.text(column).unwrap_or_default().to_owned()
        }
    }

    fn has_flag(self, flag: &str) -> bool {
        self.list("flags")
            .is_some_and(|flags| flags.as_string::<i32>().iter().flatten().any(|name| name == flag))
    }

    /// All field lines in wire order, in stored form.
    fn lines(self, names: &str, others: &str, fields: &[(&str, &str)]) -> String {
        let others = self.list(others).map(|entries| entries.as_struct().clone());
        let others = others.as_ref().map_or_else(Vec::new, entries);
        if names.is_empty() && others.is_empty() {
            return String::new();
        }
        let bases: Vec<&str> = others.iter().map(|(name, _)| base(name)).collect();
        let (mut next_other, mut next_cookie) = (0, 0);
        let mut lines = String::new();
        for name in names.split(',') {
            if bases.contains(&trim_end(name)) {
                let (name, value) = others.get(next_other).copied().unwrap_or_default();
                next_other += 1;
                lines.push_str(&other_line(name, value));
                continue;
            }
            let lower = name.to_ascii_lowercase();
            let column = fields.iter().find(|(field, _)| *field == lower).map_or("", |(_, column)| *column);
            let value = match column {
                "" => String::new(),
                "set_cookies" => {
                    let cookies = self.list(column).expect("a response has a list of set cookies");
                    next_cookie += 1;
                    cookies.as_string::<i32>().value(next_cookie - 1).to_owned()
                }
                column => self.own(column),
            };
            lines.push_str(&format!("{name}: {value}{CRLF}"));
        }
        lines
    }

    /// The line that ends the head. The flag for a bare LF is the row's: where the other side is there too, it is
    /// this side's if the line before ends so.
    fn empty_line(self, other_names: &str, lines: &str) -> &'static str {
        let bare = self.has_flag("bare_lf_end")
            && (self.text(other_names).is_none() || (lines.ends_with('\n') && !lines.ends_with(CRLF)));
        if bare { "\n" } else { CRLF }
    }
}

fn entries(lines: &StructArray) -> Vec<(&str, &str)> {
    let names: &StringArray = lines.column(0).as_string();
    let values: &StringArray = lines.column(1).as_string();
    (0..lines.len()).map(|at| (names.value(at), values.value(at))).collect()
}

/// The name of an entry's line, without what stands between it and the value.
fn base(name: &str) -> &str {
    trim_end(name.strip_suffix(':').unwrap_or(name))
}

fn trim_end(name: &str) -> &str {
    name.trim_end_matches([' ', '\t', '\r', '\n', '\x0b', '\x0c'])
}

fn other_line(name: &str, value: &str) -> String {
    if !name.is_empty() && !name.ends_with(':') {
        return format!("{name}: {value}{CRLF}");
    }
    let end = if value.ends_with('\n') { "" } else { CRLF };
    format!("{name}{value}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::columns::{Home, REQUEST_HOMES, RESPONSE_HOMES},
        field::Field,
        schema::COLUMNS,
    };

    #[test]
    fn every_field_with_a_home_is_rebuilt_from_it() {
        for field in Field::ALL.iter().copied() {
            for (home, fields) in [
                (REQUEST_HOMES[field as usize], REQUEST_FIELDS),
                (RESPONSE_HOMES[field as usize], RESPONSE_FIELDS),
            ] {
                let listed = fields.iter().any(|(name, _)| *name == field.name());
                assert_eq!(home != Home::Other, listed, "{}", field.name());
            }
        }
        for (_, column) in REQUEST_FIELDS.iter().chain(RESPONSE_FIELDS) {
            assert!(COLUMNS.iter().any(|known| known.name == *column), "{column}");
        }
    }
}
