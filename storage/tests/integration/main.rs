//! The tests of storage's outside: values in, files out, as readers and crashes see them.

mod columns;
mod dataset;
mod file;
mod frozen;
mod heads;
mod killed;
mod manifest;
mod recover;
mod retention;
mod schema;
mod support;
