//! hdrcap in user space.
