//! The live source.
pub mod load;
