//! One integration binary: see the modules.

#[cfg(test)]
mod verdicts;
