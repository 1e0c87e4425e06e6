//! The tests of storage's outside: values in, files out, as readers and crashes see them.

mod columns;
mod compact;
mod dataset;
mod device;
mod encrypt;
mod file;
mod heads;
mod killed;
mod manifest;
mod recover;
mod retention;
mod schema;
mod support;
