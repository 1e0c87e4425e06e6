//! The integration tests, one module per area; `scripts/test` runs them all.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

mod confine;
mod conversations;
mod corpus;
mod dataset;
mod encryption;
mod errors;
mod flood;
mod growth;
mod ledger;
mod live;
mod package;
mod readme;
mod replay;
mod secrets;
mod steering;
mod supply;
mod targets;
mod tidy;
mod traffic;
mod truth;
mod unsafe_code;
mod upload;
mod verdicts;
mod view;
