//! Real attachment.
