-- Views over a dataset of hdrcap, for DuckDB 1.3 and later.
--
--     sed "s|HDRCAP_DATASET|/data|g" views.sql | duckdb analysis.db
--
-- http           one row per transaction, with the partition as date (DATE) and hour (BIGINT)
-- heads          request_head and response_head, byte for byte as on the wire (after redaction), as BLOB
-- http_otel, http_ecs, http_zeek   the columns under the names other tools give them

CREATE OR REPLACE VIEW http AS
SELECT * FROM read_parquet('HDRCAP_DATASET/http/**/*.parquet', hive_partitioning = true);

-- The bytes whose stored form is s: `\\` is a backslash and `\xNN` a byte.
CREATE OR REPLACE MACRO hdrcap_bytes(s) AS
    CASE
        WHEN contains(s, '\') THEN unhex(array_to_string(list_transform(
            regexp_extract_all(s, '\\\\|\\x[0-9A-F]{2}|[^\\]+'),
            lambda token: CASE
                WHEN token = '\\' THEN '5C'
                WHEN starts_with(token, '\x') THEN substr(token, 3)
                ELSE hex(token)
            END), ''))
        ELSE encode(s)
    END;

CREATE OR REPLACE MACRO hdrcap_trim(name) AS rtrim(name, E' \t\r\n\x0b\x0c');

-- The name of an entry's line, without what stands between it and the value.
CREATE OR REPLACE MACRO hdrcap_base(name) AS
    hdrcap_trim(CASE WHEN suffix(name, ':') THEN left(name, length(name) - 1) ELSE name END);

-- One entry of the other headers as a line. A name that is empty or ends with a colon says that the value begins
-- right behind it, and that the line ends with CRLF unless the value ends with LF.
CREATE OR REPLACE MACRO hdrcap_line(entry) AS
    CASE
        WHEN entry.name <> '' AND NOT suffix(entry.name, ':') THEN entry.name || ': ' || entry.value || E'\r\n'
        WHEN suffix(entry.value, E'\n') THEN entry.name || entry.value
        ELSE entry.name || entry.value || E'\r\n'
    END;

-- Names of the lines in wire order; a head without lines has none.
CREATE OR REPLACE MACRO hdrcap_names(names, others) AS
    CASE WHEN names = '' AND len(others) = 0 THEN [] ELSE string_split(names, ',') END;

-- Names of the lines that stand among the other headers.
CREATE OR REPLACE MACRO hdrcap_bases(others) AS list_transform(others, lambda entry: hdrcap_base(entry.name));

-- The line a column holds and its place, or NULL where the head has no such line or the other headers hold it.
-- `fields` and `held` are the names in lower case of all lines and of those among the other headers.
CREATE OR REPLACE MACRO hdrcap_own_line(field, value, names, fields, held) AS
    CASE WHEN value IS NOT NULL AND list_contains(fields, field) AND NOT list_contains(held, field) THEN {
        'place': CAST(list_position(fields, field) AS BIGINT),
        'line': names[list_position(fields, field)] || ': ' || value || E'\r\n'}
    END;

-- The lines among the other headers: the n-th of them is the n-th whose name they name.
CREATE OR REPLACE MACRO hdrcap_other_lines(others, names, bases) AS
    list_transform(
        list_zip(
            list_where(
                range(1, len(names) + 1),
                list_transform(names, lambda name: list_contains(bases, hdrcap_trim(name)))),
            others),
        lambda pair: {'place': pair[1], 'line': hdrcap_line(pair[2])});

-- The lines set cookies came in, where they are not among the other headers.
CREATE OR REPLACE MACRO hdrcap_cookie_lines(cookies, names, fields, held) AS
    CASE WHEN len(cookies) > 0 AND NOT list_contains(held, 'set-cookie') THEN list_transform(
        list_zip(
            list_where(range(1, len(names) + 1), list_transform(fields, lambda field: field = 'set-cookie')),
            cookies),
        lambda pair: {'place': pair[1], 'line': names[pair[1]] || ': ' || pair[2] || E'\r\n'})
    END;

-- The line that ends a head: a bare LF where the row says so of this side.
CREATE OR REPLACE MACRO hdrcap_end(flags, is_alone, lines) AS
    CASE
        WHEN list_contains(flags, 'bare_lf_end')
            AND (is_alone OR (suffix(lines, E'\n') AND NOT suffix(lines, E'\r\n'))) THEN E'\n'
        ELSE E'\r\n'
    END;

CREATE OR REPLACE VIEW heads AS
WITH named AS (
    SELECT
        *,
        hdrcap_names(req_header_names, req_headers_other) AS req_names,
        hdrcap_bases(req_headers_other) AS req_bases,
        hdrcap_names(resp_header_names, resp_headers_other) AS resp_names,
        hdrcap_bases(resp_headers_other) AS resp_bases
    FROM http
),
lowered AS (
    SELECT
        *,
        list_transform(req_names, lambda name: lower(name)) AS req_fields,
        list_transform(req_bases, lambda base: lower(base)) AS req_held,
        list_transform(resp_names, lambda name: lower(name)) AS resp_fields,
        list_transform(resp_bases, lambda base: lower(base)) AS resp_held
    FROM named
),
-- The lines with their places, in order.
placed AS (
    SELECT
        *,
        list_sort(list_concat(hdrcap_other_lines(req_headers_other, req_names, req_bases), [
            hdrcap_own_line('host', "host", req_names, req_fields, req_held),
            hdrcap_own_line('user-agent', "user_agent", req_names, req_fields, req_held),
            hdrcap_own_line('referer', "referer", req_names, req_fields, req_held),
            hdrcap_own_line('origin', "origin", req_names, req_fields, req_held),
            hdrcap_own_line('accept', "accept", req_names, req_fields, req_held),
            hdrcap_own_line('accept-language', "accept_language", req_names, req_fields, req_held),
            hdrcap_own_line('accept-encoding', "accept_encoding", req_names, req_fields, req_held),
            hdrcap_own_line('content-type', "req_content_type", req_names, req_fields, req_held),
            hdrcap_own_line('content-length', "req_content_length"::VARCHAR, req_names, req_fields, req_held),
            hdrcap_own_line('transfer-encoding', "req_transfer_encoding", req_names, req_fields, req_held),
            hdrcap_own_line('authorization', "authorization", req_names, req_fields, req_held),
            hdrcap_own_line('cookie', "cookie", req_names, req_fields, req_held),
            hdrcap_own_line('x-forwarded-for', "x_forwarded_for", req_names, req_fields, req_held),
            hdrcap_own_line('forwarded', "forwarded", req_names, req_fields, req_held),
            hdrcap_own_line('via', "via", req_names, req_fields, req_held),
            hdrcap_own_line('x-real-ip', "x_real_ip", req_names, req_fields, req_held),
            hdrcap_own_line('x-request-id', "x_request_id", req_names, req_fields, req_held),
            hdrcap_own_line('traceparent', "traceparent", req_names, req_fields, req_held),
            hdrcap_own_line('range', "range", req_names, req_fields, req_held),
            hdrcap_own_line('if-none-match', "if_none_match", req_names, req_fields, req_held),
            hdrcap_own_line('if-modified-since', "if_modified_since", req_names, req_fields, req_held),
            hdrcap_own_line('cache-control', "req_cache_control", req_names, req_fields, req_held),
            hdrcap_own_line('connection', "req_connection", req_names, req_fields, req_held),
            hdrcap_own_line('expect', "expect", req_names, req_fields, req_held)
        ])) AS req_placed,
        list_sort(list_concat(
            hdrcap_other_lines(resp_headers_other, resp_names, resp_bases),
            hdrcap_cookie_lines(set_cookies, resp_names, resp_fields, resp_held), [
            hdrcap_own_line('server', "server", resp_names, resp_fields, resp_held),
            hdrcap_own_line('date', "resp_date", resp_names, resp_fields, resp_held),
            hdrcap_own_line('content-type', "resp_content_type", resp_names, resp_fields, resp_held),
            hdrcap_own_line('content-length', "resp_content_length"::VARCHAR, resp_names, resp_fields, resp_held),
            hdrcap_own_line('content-encoding', "content_encoding", resp_names, resp_fields, resp_held),
            hdrcap_own_line('transfer-encoding', "resp_transfer_encoding", resp_names, resp_fields, resp_held),
            hdrcap_own_line('location', "location", resp_names, resp_fields, resp_held),
            hdrcap_own_line('cache-control', "resp_cache_control", resp_names, resp_fields, resp_held),
            hdrcap_own_line('connection', "resp_connection", resp_names, resp_fields, resp_held),
            hdrcap_own_line('etag', "etag", resp_names, resp_fields, resp_held),
            hdrcap_own_line('last-modified', "last_modified", resp_names, resp_fields, resp_held),
            hdrcap_own_line('vary', "vary", resp_names, resp_fields, resp_held),
            hdrcap_own_line('age', "age", resp_names, resp_fields, resp_held),
            hdrcap_own_line('expires', "expires", resp_names, resp_fields, resp_held),
            hdrcap_own_line('x-cache', "x_cache", resp_names, resp_fields, resp_held),
            hdrcap_own_line('retry-after', "retry_after", resp_names, resp_fields, resp_held),
            hdrcap_own_line('www-authenticate', "www_authenticate", resp_names, resp_fields, resp_held),
            hdrcap_own_line('strict-transport-security', "strict_transport_security", resp_names, resp_fields, resp_held),
            hdrcap_own_line('content-security-policy', "content_security_policy", resp_names, resp_fields, resp_held),
            hdrcap_own_line('access-control-allow-origin', "access_control_allow_origin", resp_names, resp_fields, resp_held)
        ])) AS resp_placed
    FROM lowered
),
lines AS (
    SELECT
        *,
        coalesce(array_to_string(list_transform(req_placed, lambda entry: entry.line), ''), '') AS req_lines,
        coalesce(array_to_string(list_transform(resp_placed, lambda entry: entry.line), ''), '') AS resp_lines
    FROM placed
)
SELECT
    ts, ts_ns, sensor, iface, flow_id, transaction_index, pair_state, flags,
    CASE WHEN req_header_names IS NOT NULL THEN hdrcap_bytes(
        method_raw || ' ' || target_raw
        || coalesce(' HTTP/' || req_version, '') || E'\r\n'
        -- HTTP/0.9 has a request line and nothing else.
        || CASE WHEN req_version IS NULL AND req_lines = '' THEN ''
            ELSE req_lines || hdrcap_end(flags, resp_header_names IS NULL, req_lines) END)
    END AS request_head,
    CASE WHEN resp_header_names IS NOT NULL THEN hdrcap_bytes(
        -- Where there is no status code, the reason is all that stood behind the version.
        'HTTP/' || resp_version || coalesce(' ' || status, '') || coalesce(' ' || reason, '') || E'\r\n'
        || resp_lines || hdrcap_end(flags, req_header_names IS NULL, resp_lines))
    END AS response_head
FROM lines;

CREATE OR REPLACE VIEW http_otel AS
SELECT
    ts AS "timestamp",
    method AS "http.request.method",
    method_raw AS "http.request.method_original",
    status AS "http.response.status_code",
    host AS "server.address",
    server_port AS "server.port",
    path AS "url.path",
    query AS "url.query",
    path_template AS "url.template",
    req_version AS "network.protocol.version",
    user_agent AS "user_agent.original",
    referer AS "http.request.header.referer",
    req_body_bytes AS "http.request.body.size",
    resp_body_bytes AS "http.response.body.size",
    client_ip AS "client.address",
    client_port AS "client.port",
    server_ip AS "network.local.address",
    x_forwarded_for AS "http.request.header.x-forwarded-for",
    total_us / 1e6 AS "http.server.request.duration",
    trace_id AS "trace_id"
FROM http;

CREATE OR REPLACE VIEW http_ecs AS
SELECT
    ts AS "@timestamp",
    sensor AS "observer.name",
    community_id AS "network.community_id",
    method AS "http.request.method",
    status AS "http.response.status_code",
    req_version AS "http.version",
    host AS "url.domain",
    path AS "url.path",
    query AS "url.query",
    user_agent AS "user_agent.original",
    referer AS "http.request.referrer",
    req_body_bytes AS "http.request.body.bytes",
    req_head_bytes + req_body_bytes AS "http.request.bytes",
    resp_body_bytes AS "http.response.body.bytes",
    resp_head_bytes + resp_body_bytes AS "http.response.bytes",
    client_ip AS "source.ip",
    client_port AS "source.port",
    server_ip AS "destination.ip",
    server_port AS "destination.port",
    vlan_ids[1] AS "network.vlan.id",
    vlan_ids[2] AS "network.inner.vlan.id",
    total_us * 1000 AS "event.duration",
    trace_id AS "trace.id"
FROM http;

CREATE OR REPLACE VIEW http_zeek AS
SELECT
    epoch(ts) AS ts,
    community_id,
    client_ip AS "id.orig_h",
    client_port AS "id.orig_p",
    server_ip AS "id.resp_h",
    server_port AS "id.resp_p",
    transaction_index + 1 AS trans_depth,
    method,
    host,
    target_raw AS uri,
    referer AS referrer,
    resp_version AS version,
    user_agent,
    origin,
    req_body_bytes AS request_body_len,
    resp_body_bytes AS response_body_len,
    status AS status_code,
    reason AS status_msg,
    list_last(info_status) AS info_code,
    x_forwarded_for AS proxied,
    string_split(req_header_names, ',') AS client_header_names,
    string_split(resp_header_names, ',') AS server_header_names
FROM http;
