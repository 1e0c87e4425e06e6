//! hdrcap in user space.

pub mod http;
pub mod redact;
