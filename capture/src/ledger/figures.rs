//! What HTTP itself did: transactions by method and class of status, in bounded labels.
//!
//! Counted where rows are appended, in plain integers, like every other counter of a collector.

use crate::http::Method;

/// Methods with a label of their own; `_OTHER` stands for all others, `none` for a request nobody saw.
const METHODS: [(Method, &str); 9] = [
    (Method::Get, "GET"),
    (Method::Post, "POST"),
    (Method::Put, "PUT"),
    (Method::Head, "HEAD"),
    (Method::Delete, "DELETE"),
    (Method::Options, "OPTIONS"),
    (Method::Patch, "PATCH"),
    (Method::Connect, "CONNECT"),
    (Method::Trace, "TRACE"),
];

/// Labels of the method, by place.
const METHOD_LABELS: [&str; METHODS.len() + 2] =
    ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "_OTHER", "none"];

/// Labels of the class of a status, by place: one that RFC 9110 section 15 does not know is `other`, no response `none`.
const CLASS_LABELS: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other", "none"];

/// Pairs of method and class.
pub const FIGURE_COUNT: usize = METHOD_LABELS.len() * CLASS_LABELS.len();

/// One collector's own figures.
#[derive(Clone, Debug)]
pub struct Figures([u64; FIGURE_COUNT]);

impl Default for Figures {
    fn default() -> Self {
        Figures([0; FIGURE_COUNT])
    }
}

impl Figures {
    /// Counts a transaction; `status` is `None` without a response, and `Some(None)` for one without a status code.
    pub fn count(&mut self, method: Option<Method>, status: Option<Option<i32>>) {
        let other = METHODS.len();
        let method = method.map_or(other + 1, |method| {
            METHODS.iter().position(|(known, _)| *known == method).unwrap_or(other)
        });
        let class = match status {
            None => 6,
            Some(Some(code @ 100..=599)) => (code / 100 - 1) as usize,
            Some(_) => 5,
        };
        self.0[method * CLASS_LABELS.len() + class] += 1;
    }

    /// All figures, by method and then by class.
    pub fn values(&self) -> &[u64; FIGURE_COUNT] {
        &self.0
    }
}

/// Method, class and place of every figure.
pub fn labels() -> impl Iterator<Item = (&'static str, &'static str, usize)> {
    let classes = CLASS_LABELS.len();
    METHOD_LABELS.iter().enumerate().flat_map(move |(row, method)| {
        let place = move |(column, class): (usize, &&'static str)| (*method, *class, row * classes + column);
        CLASS_LABELS.iter().enumerate().map(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transaction_has_one_place() {
        let mut figures = Figures::default();
        figures.count(Some(Method::Get), Some(Some(204)));
        figures.count(Some(Method::Propfind), Some(Some(999)));
        figures.count(None, Some(Some(503)));
        figures.count(Some(Method::Post), None);
        figures.count(Some(Method::Head), Some(None));
        let counted: Vec<(&str, &str)> = labels()
            .filter(|(_, _, place)| figures.values()[*place] == 1)
            .map(|(method, class, _)| (method, class))
            .collect();
        let expected =
            [("GET", "2xx"), ("POST", "none"), ("HEAD", "other"), ("_OTHER", "other"), ("none", "5xx")];
        assert_eq!(counted, expected);
        assert_eq!(labels().count(), FIGURE_COUNT);
        assert!(METHODS.iter().zip(METHOD_LABELS).all(|((_, name), label)| *name == label));
    }
}
