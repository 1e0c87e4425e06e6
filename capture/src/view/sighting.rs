//! A row as a viewer sees it: a copy of fixed size, made on the collector without allocation.
//!
//! Texts longer than their share are cut, and the sighting says so. They are stored forms: redacted, and UTF-8 but for a
//! character that a cut went through.

use std::{borrow::Cow, net::IpAddr};

use storage::{
    batch::Glance,
    values::{PairState, RowValues},
};

/// Bytes for all texts of a sighting.
pub(super) const TEXT_BYTES_MAX: usize = 480;

/// Bytes of each text at the most, in the order of `Part`: what a line of a wide terminal shows of it.
const PART_BYTES_MAX: [usize; PART_COUNT] = [16, 96, 128, 160, 80];

const PART_COUNT: usize = 5;

const _: () = {
    let [method, host, template, path, query] = PART_BYTES_MAX;
    assert!(method + host + template + path + query == TEXT_BYTES_MAX);
};

/// A text of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Method as on the wire.
    Method,
    /// Host in lower case.
    Host,
    /// Path with digits, UUIDs and long hex replaced.
    Template,
    /// Path; the whole target where it has none (CONNECT, malformed).
    Path,
    /// Query.
    Query,
}

/// One row, seen.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// First byte of the request, else of the response: Unix time in nanoseconds.
    pub ts_ns: i64,
    /// The sender of requests.
    pub client: (IpAddr, u16),
    /// The sender of responses.
    pub server: (IpAddr, u16),
    /// N of 1/N sampling.
    pub sample_weight: i32,
    /// Final status code.
    pub status: Option<i32>,
    /// How the sides came together.
    pub pair_state: PairState,
    /// Last request byte to first response byte.
    pub ttfb_us: Option<i64>,
    /// First request byte to last response byte.
    pub total_us: Option<i64>,
    /// Request body bytes seen.
    pub req_body_bytes: Option<i64>,
    /// Response body bytes seen.
    pub resp_body_bytes: Option<i64>,
    /// A text was longer than there is room for.
    pub is_cut: bool,
    present: u8,
    ends: [u16; PART_COUNT],
    bytes: [u8; TEXT_BYTES_MAX],
}

impl Sighting {
    /// A copy of what a glance at a row shows.
    pub fn of(glance: &Glance<'_>, values: &RowValues) -> Sighting {
        let mut sighting = Sighting {
            ts_ns: values.ts_ns,
            client: glance.client,
            server: glance.server,
            sample_weight: glance.sample_weight,
            status: glance.status,
            pair_state: values.pair_state,
            ttfb_us: values.ttfb_us,
            total_us: values.total_us,
            req_body_bytes: values.req_body_bytes,
            resp_body_bytes: values.resp_body_bytes,
            is_cut: false,
            present: 0,
            ends: [0; PART_COUNT],
            bytes: [0; TEXT_BYTES_MAX],
        };
        let path = glance.path.or(glance.target);
        sighting.copy([glance.method, glance.host, glance.path_template, path, glance.query]);
        sighting
    }

    fn copy(&mut self, texts: [Option<&[u8]>; PART_COUNT]) {
        let mut end = 0;
        for (at, text) in texts.into_iter().enumerate() {
            if let Some(text) = text {
                let len = text.len().min(PART_BYTES_MAX[at]);
                self.bytes[end..end + len].copy_from_slice(&text[..len]);
                self.is_cut |= len < text.len();
                self.present |= 1 << at;
                end += len;
            }
            self.ends[at] = end as u16;
        }
    }

    /// A text, without what is left of a character a cut went through; `None` where the row does not have it.
    pub fn text(&self, part: Part) -> Option<&str> {
        let at = part as usize;
        if self.present & 1 << at == 0 {
            return None;
        }
        let start = if at == 0 { 0 } else { usize::from(self.ends[at - 1]) };
        let bytes = &self.bytes[start..usize::from(self.ends[at])];
        Some(match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        })
    }

    /// Path and query as they stood in the target.
    pub fn path_and_query(&self) -> Option<Cow<'_, str>> {
        let path = self.text(Part::Path)?;
        Some(match self.text(Part::Query) {
            Some(query) => Cow::Owned(format!("{path}?{query}")),
            None => Cow::Borrowed(path),
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use storage::values::TimeSource;

    /// A transaction of these values, one millisecond to its first byte for each of `millis`.
    pub(crate) fn sighting(request: (&str, &str, &str), status: i32, millis: i64) -> Sighting {
        let (method, host, path) = request;
        let glance = Glance {
            client: ("10.0.0.1".parse().unwrap(), 40000),
            server: ("10.0.0.2".parse().unwrap(), 80),
            sample_weight: 1,
            method: Some(method.as_bytes()),
            host: Some(host.as_bytes()),
            target: Some(path.as_bytes()),
            path: Some(path.as_bytes()),
            query: None,
            path_template: Some(path.as_bytes()),
            status: Some(status),
        };
        Sighting::of(&glance, &row(millis * 1000))
    }

    pub(crate) fn row(ttfb_us: i64) -> RowValues {
        RowValues {
            req_body_bytes: Some(0),
            resp_body_bytes: Some(512),
            ttfb_us: Some(ttfb_us),
            total_us: Some(ttfb_us + 100),
            ..RowValues::unmeasured(1_700_000_000_123_456_789, TimeSource::Xdp, PairState::AckVerified)
        }
    }

    #[test]
    fn texts_come_back_and_long_ones_are_cut_between_characters() {
        let seen = sighting(("GET", "shop.example", "/a"), 200, 3);
        assert_eq!(seen.text(Part::Method), Some("GET"));
        assert_eq!(seen.text(Part::Host), Some("shop.example"));
        assert_eq!(seen.text(Part::Template), Some("/a"));
        assert_eq!(seen.text(Part::Query), None);
        assert!(!seen.is_cut);
        let long = format!("/xy{}", "é".repeat(400));
        let seen = sighting(("GET", "h", &long), 200, 3);
        assert!(seen.is_cut);
        let path = seen.text(Part::Path).unwrap();
        assert!(path.len() < 160 && long.starts_with(path), "{path}");
        assert_eq!(seen.path_and_query().as_deref(), Some(path));
    }

    #[test]
    fn every_text_may_be_as_long_as_it_likes() {
        let long = "a".repeat(5000);
        let seen = sighting((&long, &long, &long), 200, 1);
        let lens =
            [Part::Method, Part::Host, Part::Template, Part::Path].map(|part| seen.text(part).unwrap().len());
        assert_eq!(lens, [16, 96, 128, 160]);
    }
}
