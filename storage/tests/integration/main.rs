//! The tests of storage's outside: values in, files out, as readers and crashes see them.

mod columns;
mod dataset;
mod file;
mod heads;
mod recover;
mod schema;
mod support;
