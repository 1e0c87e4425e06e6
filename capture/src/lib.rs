//! hdrcap in user space: sources, collector, flow, http, redact, ledger, control plane, live view.
//!
//! Data goes one way (see `pipeline`): source, collector, one bounded queue, encoder, file.

pub mod allocator;
pub mod backlog;
pub mod balance;
pub mod beside;
pub mod collector;
pub mod community_id;
pub mod compacting;
pub mod confine;
pub mod control;
pub mod encoder;
pub mod flow;
pub mod http;
pub mod idle;
pub mod keeper;
pub mod ledger;
pub mod limits;
mod private;
pub mod redact;
pub mod settings;
pub mod source;
pub mod upload;
pub mod view;
