//! Workload generator and benchmarks.
