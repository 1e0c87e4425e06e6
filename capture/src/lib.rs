//! hdrcap in user space.

pub mod source;
