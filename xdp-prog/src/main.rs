//! Placeholder until the half stands.
fn main() {}
