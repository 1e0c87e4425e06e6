//! Rows in, sealed Parquet files out.
//!
//! The last stage of the flow: a collector appends values to a `Batch`; an encoder writes batches as row groups
//! and publishes files. Knows neither `common`, nor aya, nor tokio.

pub mod batch;
pub mod compact;
pub mod dataset;
mod disk;
mod encode;
pub mod encrypt;
mod escape;
pub mod field;
pub mod file;
pub mod flags;
pub mod manifest;
pub mod prefetch;
pub mod retention;
pub mod schema;
pub mod search;
pub mod secret;
pub mod upload;
pub mod values;
pub mod views;

pub use batch::{Batch, ConnectionId, RequestId, ResponseId};
pub use encode::table;
pub use escape::unescape;

const _: () = {
    /// A collector's thread fills a batch, an encoder's thread writes it.
    const fn crosses_threads<T: Send>() {}
    crosses_threads::<Batch>();
    crosses_threads::<dataset::Writer>();
};
