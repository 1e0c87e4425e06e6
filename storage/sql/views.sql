-- Views over a dataset of hdrcap, for DuckDB 1.3 and later.
--
--     sed "s|HDRCAP_DATASET|/data|g" views.sql | duckdb analysis.db
--
-- http           one row per transaction, with the partition as date (DATE) and hour (BIGINT)
-- capture_stats  counters and gauges, likewise
-- heads          request_head and response_head, byte for byte as on the wire (after redaction), as BLOB
-- http_otel, http_ecs, http_zeek   the columns under the names other tools give them

-- The response field Date has the column `date` in the files, and a partition key of a folder hides a column of the same
-- name. So the folders are read by path here, and the field is called resp_date.
CREATE OR REPLACE VIEW http AS
SELECT
    * EXCLUDE (date, filename),
    date AS resp_date,
    CAST(regexp_extract(filename, '/date=([0-9-]+)/', 1) AS DATE) AS date,
    CAST(regexp_extract(filename, '/hour=([0-9]+)/', 1) AS BIGINT) AS hour
FROM read_parquet('HDRCAP_DATASET/http/*/*/*.parquet', hive_partitioning = false, filename = true);

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

-- All field lines in wire order. A line comes from the other headers where they name one of its field, else from the
-- field's column; the n-th line of either kind is its n-th entry.
CREATE OR REPLACE MACRO hdrcap_lines(names, others, bases, own, cookies) AS
    array_to_string(list_transform(names, lambda name, nth:
        CASE
            WHEN list_contains(bases, hdrcap_trim(name)) THEN hdrcap_line(others[
                len(list_filter(names[1:nth], lambda before: list_contains(bases, hdrcap_trim(before))))])
            WHEN lower(name) = 'set-cookie' THEN name || ': ' || cookies[
                len(list_filter(names[1:nth], lambda before: lower(before) = 'set-cookie'))] || E'\r\n'
            ELSE name || ': ' || coalesce(own[lower(name)], '') || E'\r\n'
        END), '');

CREATE OR REPLACE MACRO hdrcap_names(names, others) AS
    CASE WHEN names = '' AND len(others) = 0 THEN [] ELSE string_split(names, ',') END;

CREATE OR REPLACE MACRO hdrcap_version(version) AS
    CASE WHEN version IN ('1.0', '1.1') THEN 'HTTP/' || version ELSE version END;

-- The line that ends a head: a bare LF where the row says so of this side.
CREATE OR REPLACE MACRO hdrcap_end(flags, is_alone, lines) AS
    CASE
        WHEN list_contains(flags, 'bare_lf_end')
            AND (is_alone OR (suffix(lines, E'\n') AND NOT suffix(lines, E'\r\n'))) THEN E'\n'
        ELSE E'\r\n'
    END;

CREATE OR REPLACE VIEW heads AS
WITH lines AS (
    SELECT
        *,
        hdrcap_lines(
            hdrcap_names(req_header_names, req_headers_other),
            req_headers_other,
            list_transform(req_headers_other, lambda entry: hdrcap_base(entry.name)),
            MAP {
                'host': "host",
                'user-agent': "user_agent",
                'referer': "referer",
                'origin': "origin",
                'accept': "accept",
                'accept-language': "accept_language",
                'accept-encoding': "accept_encoding",
                'content-type': "req_content_type",
                'content-length': "req_content_length"::VARCHAR,
                'transfer-encoding': "req_transfer_encoding",
                'authorization': "authorization",
                'cookie': "cookie",
                'x-forwarded-for': "x_forwarded_for",
                'forwarded': "forwarded",
                'via': "via",
                'x-real-ip': "x_real_ip",
                'x-request-id': "x_request_id",
                'traceparent': "traceparent",
                'range': "range",
                'if-none-match': "if_none_match",
                'if-modified-since': "if_modified_since",
                'cache-control': "req_cache_control",
                'connection': "req_connection",
                'expect': "expect"
            },
            NULL::VARCHAR[]) AS req_lines,
        hdrcap_lines(
            hdrcap_names(resp_header_names, resp_headers_other),
            resp_headers_other,
            list_transform(resp_headers_other, lambda entry: hdrcap_base(entry.name)),
            MAP {
                'server': "server",
                'date': "resp_date",
                'content-type': "resp_content_type",
                'content-length': "resp_content_length"::VARCHAR,
                'content-encoding': "content_encoding",
                'transfer-encoding': "resp_transfer_encoding",
                'location': "location",
                'cache-control': "resp_cache_control",
                'connection': "resp_connection",
                'etag': "etag",
                'last-modified': "last_modified",
                'vary': "vary",
                'age': "age",
                'expires': "expires",
                'x-cache': "x_cache",
                'retry-after': "retry_after",
                'www-authenticate': "www_authenticate",
                'strict-transport-security': "strict_transport_security",
                'content-security-policy': "content_security_policy",
                'access-control-allow-origin': "access_control_allow_origin"
            },
            set_cookies) AS resp_lines
    FROM http
)
SELECT
    ts_ns, sensor, flow_id, transaction_index, flags,
    CASE WHEN req_header_names IS NOT NULL THEN hdrcap_bytes(
        method_raw || ' ' || target_raw
        || CASE WHEN req_version IS NULL THEN '' ELSE ' ' || hdrcap_version(req_version) END || E'\r\n'
        -- HTTP/0.9 has a request line and nothing else.
        || CASE WHEN req_version IS NULL AND req_lines = '' THEN ''
            ELSE req_lines || hdrcap_end(flags, resp_header_names IS NULL, req_lines) END)
    END AS request_head,
    CASE WHEN resp_header_names IS NOT NULL THEN hdrcap_bytes(
        hdrcap_version(resp_version) || ' ' || coalesce(lpad(status::VARCHAR, 3, '0'), '')
        || coalesce(' ' || reason, '') || E'\r\n'
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
