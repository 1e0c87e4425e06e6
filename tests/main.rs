//! One integration binary: see the modules.

mod verdicts;
