//! What Zeek calls weird and what Suricata raises as events of HTTP: the flag that says the same, or why heads do not show it.

use storage::flags::Flags;

/// What becomes of a name of theirs.
enum Ours {
    /// The same, or what it is a case of.
    Flag(&'static str),
    /// A column, or a value of one, says it.
    Column(&'static str),
    /// It is in bytes that are not copied: bodies, chunk sizes, trailers.
    InBody,
    /// It is about that program's own limits or state, not about the message.
    Theirs,
}

use Ours::{Column, Flag, InBody, Theirs};

/// Names of Zeek's HTTP analyzer in its `weird.log`.
const ZEEK: &[(&str, Ours)] = &[
    ("HTTP_bad_chunk_size", InBody),
    ("HTTP_bad_content_length", Flag("cl_invalid")),
    ("HTTP_chunked_multi", Flag("te_multi")),
    ("HTTP_chunked_transfer_for_multipart_message", InBody),
    ("HTTP_content_length_and_chunked", Flag("cl_and_te")),
    ("HTTP_content_length_leading_zeros", Flag("cl_leading_zero")),
    ("HTTP_excessive_pipelining", Flag("pairing_overflow")),
    ("HTTP_expect_not_100_continue", Flag("expect_not_100")),
    ("HTTP_obsolete_line_folding", Flag("obs_fold")),
    ("HTTP_overlapping_messages", Flag("data_conflict")),
    ("HTTP_reply_code_missing", Flag("status_bad")),
    ("HTTP_response_before_request", Flag("resp_before_req")),
    ("HTTP_version_mismatch", Flag("version_mismatch")),
    ("NUL_in_line", Flag("nul")),
    ("bad_HTTP_reply", Flag("status_bad")),
    ("bad_HTTP_request", Flag("request_line_bad")),
    ("bad_HTTP_request_with_version", Flag("request_line_bad")),
    ("bad_HTTP_version", Flag("version_bad")),
    ("crud_trailing_HTTP_request", Flag("delim_bad")),
    ("double_%_in_URI", Flag("double_encoded")),
    ("exceeded_mime_max_header_bytes", Flag("head_truncated")),
    ("http_no_crlf_in_header_list", Flag("missing_colon")),
    ("illegal_%_at_end_of_URI", Flag("pct_bad")),
    ("inflate_failed", InBody),
    ("line_terminated_with_single_CR", Flag("bare_cr")),
    ("line_terminated_with_single_LF", Flag("bare_lf")),
    ("lowercase_HTTP_keyword", Flag("version_bad")),
    ("missing_HTTP_uri", Flag("request_line_bad")),
    ("multiple_HTTP_request_elements", Flag("request_line_bad")),
    ("protocol_data_with_HTTP_CONNECT_reply", Flag("connect_data")),
    ("protocol_data_with_HTTP_upgrade_reply", Flag("upgrade_data")),
    ("unescaped_%_in_URI", Flag("pct_bad")),
    ("unescaped_special_URI_char", Flag("ctl_in_uri")),
    ("unexpected_client_HTTP_data", Flag("start_line_in_body")),
    ("unexpected_multiple_HTTP_requests", Column("pair_state")),
    ("unexpected_server_HTTP_data", Flag("resp_unmatched")),
    ("unknown_HTTP_method", Flag("method_unknown")),
    ("unmatched_HTTP_reply", Flag("resp_unmatched")),
];

/// Events of Suricata's HTTP parser, as its `http-events.rules` name them.
const SURICATA: &[(&str, Ours)] = &[
    ("100_continue_already_seen", Flag("multiple_100")),
    ("abnormal_ce_header", Column("content_encoding")),
    ("compression_bomb", InBody),
    ("double_encoded_uri", Flag("double_encoded")),
    ("duplicate_content_length_field_in_request", Flag("cl_multiple")),
    ("duplicate_content_length_field_in_response", Flag("cl_multiple")),
    ("failed_protocol_change", Flag("switch_failed")),
    ("file_name_too_long", Theirs),
    ("gzip_decompression_failed", InBody),
    ("host_header_ambiguous", Flag("host_uri_mismatch")),
    ("invalid_authority_port", Flag("host_invalid")),
    ("invalid_content_length_field_in_request", Flag("cl_extra_chars")),
    ("invalid_content_length_field_in_response", Flag("cl_negative")),
    ("invalid_request_chunk_len", InBody),
    ("invalid_request_field_folding", Flag("obs_fold")),
    ("invalid_response_chunk_len", InBody),
    ("invalid_response_field_folding", Flag("obs_fold")),
    ("invalid_server_port_in_request", Flag("host_invalid")),
    ("invalid_transfer_encoding_value_in_request", Flag("te_not_final_chunked")),
    ("invalid_transfer_encoding_value_in_response", Flag("te_not_final_chunked")),
    ("lzma_memlimit_reached", InBody),
    ("method_delim_non_compliant", Flag("delim_bad")),
    ("missing_host_header", Flag("host_missing")),
    ("multipart_generic_error", InBody),
    ("multipart_invalid_header", InBody),
    ("multipart_no_filedata", InBody),
    ("range_invalid", Column("range")),
    ("request_auth_unrecognized", Column("authorization_scheme")),
    ("request_body_unexpected", Column("req_body_bytes")),
    ("request_chunk_extension", InBody),
    ("request_field_missing_colon", Flag("missing_colon")),
    ("request_field_too_long", Flag("header_too_long")),
    ("request_header_host_invalid", Flag("host_invalid")),
    ("request_header_invalid", Flag("bad_name_char")),
    ("request_header_repetition", Flag("header_repeated")),
    ("request_line_incomplete", Flag("request_line_bad")),
    ("request_line_invalid", Flag("request_line_bad")),
    ("request_line_leading_whitespace", Flag("leading_space")),
    ("request_line_missing_protocol", Flag("http09")),
    ("request_server_port_tcp_port_mismatch", Column("server_port")),
    ("request_too_many_headers", Flag("too_many_headers")),
    ("request_uri_host_invalid", Flag("host_uri_mismatch")),
    ("response_abnormal_transfer_encoding", Flag("te_unknown")),
    ("response_chunk_extension", InBody),
    ("response_chunked_old_proto", Flag("te_http10")),
    ("response_field_missing_colon", Flag("missing_colon")),
    ("response_field_too_long", Flag("header_too_long")),
    ("response_header_invalid", Flag("empty_name")),
    ("response_header_repetition", Flag("header_repeated")),
    ("response_invalid_protocol", Flag("version_bad")),
    ("response_invalid_status", Flag("status_bad")),
    ("response_multipart_byteranges", Column("resp_content_type")),
    ("response_too_many_headers", Flag("too_many_headers")),
    ("too_many_encoding_layers", Column("content_encoding")),
    ("too_many_warnings", Theirs),
    ("unable_to_match_response_to_request", Flag("resp_unmatched")),
    ("unknown_error", Theirs),
    ("uri_delim_non_compliant", Flag("delim_bad")),
];

#[test]
fn what_zeek_and_suricata_name_has_a_name_here() {
    let columns = storage::schema::http_schema();
    for (name, ours) in ZEEK.iter().chain(SURICATA) {
        match ours {
            Flag(flag) => {
                assert!(Flags::ALL.iter().any(|(_, known)| known == flag), "{name}: no flag {flag}");
            }
            Column(column) => {
                assert!(columns.field_with_name(column).is_ok(), "{name}: no column {column}");
            }
            InBody | Theirs => {}
        }
    }
}
