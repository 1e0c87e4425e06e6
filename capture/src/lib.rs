//! hdrcap in user space.

pub mod http;
