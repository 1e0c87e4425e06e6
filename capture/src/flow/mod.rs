//! Connections: heads put together, requests met with responses, body extents told by sequence numbers.
//!
//! Between the source (records) and the parser and pairing (heads). Pure: takes records, returns values, reads no clock.

pub mod assembler;
pub mod connection;
pub mod direction;
pub mod handshake;
mod latest;
pub mod origin;
pub mod partial;
pub mod piece;
pub mod seq;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod times;
pub mod trail;
pub mod transaction;
