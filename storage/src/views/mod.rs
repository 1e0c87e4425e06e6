//! What analysts read beside the table itself: SQL views for DuckDB, and the same rebuilding of heads in Rust.
//!
//! A row holds each field line once; `heads` and `rebuild` put them together again by the rule that
//! `batch::lines` stores by.

mod rebuild;

pub use self::rebuild::{REQUEST_FIELDS, RESPONSE_FIELDS, request_head, response_head};

/// SQL that creates the views in DuckDB; replace every `VIEWS_DATASET` in it by the dataset's folder.
pub const VIEWS_SQL: &str = include_str!("../../sql/views.sql");

/// What stands in `VIEWS_SQL` for the dataset's folder.
pub const VIEWS_DATASET: &str = "HDRCAP_DATASET";
