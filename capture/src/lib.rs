//! hdrcap in user space.

pub mod community_id;
pub mod settings;
pub mod source;
