//! From batch to row group: cluster, gather, compress, and the footer that makes the file whole.
//!
//! Knows nothing of folders or rotation; it writes to any `std::io::Write`. A later encoder that writes pages
//! straight from the codes replaces `row_groups` and leaves the rest.

mod cells;
pub(crate) mod cluster;
pub(crate) mod footer;
pub(crate) mod gather;
mod properties;
pub(crate) mod row_groups;

pub(crate) use self::{properties::Layout, row_groups::RowGroups};
