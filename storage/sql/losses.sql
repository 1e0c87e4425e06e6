-- Views over what a dataset of hdrcap lacks, for DuckDB 1.3 and later; they stand on those of views.sql.
--
--     cat views.sql losses.sql | sed "s|HDRCAP_DATASET|/data|g" | duckdb analysis.db
--
-- capture_stats    what was counted, per interval and source, with the partition as date (DATE) and hour (BIGINT)
-- capture_losses   per interval and sensor: what came, what was lost, where, and the share of transactions that are in the files
-- http_estimated   the rows of http with weight: sum(weight) estimates how many transactions there were

CREATE OR REPLACE VIEW capture_stats AS
SELECT * FROM read_parquet('HDRCAP_DATASET/capture_stats/**/*.parquet', hive_partitioning = true);

-- One row per interval and sensor. Shares are of what came to the stage that lost it; 0 where nothing came.
CREATE OR REPLACE VIEW capture_losses AS
WITH summed AS (
    SELECT
        sensor, ts,
        ts - to_microseconds(CAST(max(interval_seconds) * 1e6 AS BIGINT)) AS ts_begin,
        sum(frames)::BIGINT AS frames,
        sum(nic_missed + nic_no_buffer + nic_crc + nic_other)::BIGINT AS nic_dropped,
        sum(softnet_dropped)::BIGINT AS softnet_dropped,
        sum(upstream_followed_bytes)::BIGINT AS followed_bytes,
        sum(upstream_gap_bytes - upstream_gap_bytes_closed)::BIGINT AS upstream_lost_bytes,
        sum(heads)::BIGINT AS heads,
        sum(ring_full)::BIGINT AS ring_full,
        sum(evicted)::BIGINT AS evicted,
        sum("rows")::BIGINT AS "rows",
        sum(shed)::BIGINT AS shed,
        sum(disk_full)::BIGINT AS disk_full,
        sum(disk_error)::BIGINT AS disk_error
    FROM capture_stats
    GROUP BY sensor, ts
),
shares AS (
    SELECT
        *,
        -- What came late can belong to a gap of the interval before.
        greatest(upstream_lost_bytes, 0) / nullif(followed_bytes + greatest(upstream_lost_bytes, 0), 0) AS upstream,
        nic_dropped / nullif(frames + nic_dropped, 0) AS nic,
        (ring_full + evicted) / nullif(heads, 0) AS heads_lost,
        (shed + disk_full + disk_error) / nullif("rows", 0) AS rows_lost
    FROM summed
)
SELECT
    * EXCLUDE (upstream, nic, heads_lost, rows_lost),
    coalesce(upstream, 0) AS upstream_lost_share,
    coalesce(nic, 0) AS nic_lost_share,
    coalesce(heads_lost, 0) AS heads_lost_share,
    least(coalesce(rows_lost, 0), 1) AS rows_lost_share,
    (1 - coalesce(upstream, 0)) * (1 - coalesce(nic, 0)) * (1 - coalesce(heads_lost, 0)) * (1 - least(coalesce(rows_lost, 0), 1))
        AS kept_share
FROM shares;

-- Each row stands for sample_weight connections like it, and for those of its interval that were lost. A row outside every
-- interval (capture files, whose time is not that of the reading) is weighted by sampling alone; one of an interval of which
-- less than a thousandth was kept is weighted by a thousand at the most, as nothing can be told from so little.
CREATE OR REPLACE VIEW http_estimated AS
SELECT
    http.*,
    losses.kept_share,
    http.sample_weight / greatest(coalesce(losses.kept_share, 1), 0.001) AS weight
FROM http
ASOF LEFT JOIN (FROM capture_losses SELECT sensor, ts_begin, ts AS ts_end, kept_share) AS losses
    ON http.sensor = losses.sensor AND http.ts >= losses.ts_begin;
