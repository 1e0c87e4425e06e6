//! Table `capture_stats`: counters as deltas and gauges, one row per source of counters and interval.
//!
//! The names come from whoever counts; this module gives them columns and types.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

/// Columns in front of the counters.
pub const STATS_COLUMNS_FIXED: [&str; 5] = ["ts", "ts_ns", "sensor", "iface", "core"];

/// Counters and gauges of `capture_stats`, by name, in the order of the columns.
#[derive(Clone, Debug)]
pub struct StatsSchema {
    counters: usize,
    gauges: usize,
    schema: SchemaRef,
}

/// One row of `capture_stats`: what one source counted in one interval.
#[derive(Clone, Copy, Debug)]
pub struct StatsRow<'a> {
    /// End of the interval: Unix time in nanoseconds, UTC.
    pub ts_ns: i64,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// Interface name, or the capture file's.
    pub iface: &'a str,
    /// Core or queue the source counts for; `None` where it counts for the whole interface.
    pub core: Option<i32>,
    /// Growth of each counter in the interval, in the schema's order.
    pub counters: &'a [i64],
    /// Value of each gauge, in the schema's order; `None` where the source does not know it.
    pub gauges: &'a [Option<f64>],
}

impl StatsSchema {
    /// A schema with these counters (INT64, never null) and gauges (DOUBLE).
    pub fn new(counter_names: &[&str], gauge_names: &[&str]) -> StatsSchema {
        let [ts, ts_ns, sensor, iface, core] = STATS_COLUMNS_FIXED;
        let mut fields = vec![
            Field::new(ts, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new(ts_ns, DataType::Int64, false),
            Field::new(sensor, DataType::Utf8, false),
            Field::new(iface, DataType::Utf8, false),
            Field::new(core, DataType::Int32, true),
        ];
        fields.extend(counter_names.iter().map(|name| Field::new(*name, DataType::Int64, false)));
        fields.extend(gauge_names.iter().map(|name| Field::new(*name, DataType::Float64, true)));
        StatsSchema {
            counters: counter_names.len(),
            gauges: gauge_names.len(),
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// The Arrow schema of the table.
    pub fn arrow(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Lays rows out in columns.
    pub(crate) fn gather(&self, rows: &[StatsRow<'_>]) -> Result<RecordBatch, ArrowError> {
        for row in rows {
            assert_eq!(row.counters.len(), self.counters, "a value for each counter of the schema");
            assert_eq!(row.gauges.len(), self.gauges, "a value for each gauge of the schema");
        }
        let micros = rows.iter().map(|row| row.ts_ns.div_euclid(1000));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC")),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.ts_ns))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.sensor))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.iface))),
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.core))),
        ];
        for at in 0..self.counters {
            columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.counters[at]))));
        }
        for at in 0..self.gauges {
            columns.push(Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.gauges[at]))));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
