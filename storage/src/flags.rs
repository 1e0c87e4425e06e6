//! The vocabulary of the `flags` column: quality of the capture and header-side anomalies of the message.

macro_rules! flags {
    ($($(#[$doc:meta])* $constant:ident = $name:literal,)+) => {
        /// A set of row flags; request, response and pairing contribute to one set per row.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Flags(u128);

        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only numbers the bits below")]
        #[repr(u8)]
        enum Bit { $($constant,)+ }

        impl Flags {
            $($(#[$doc])* pub const $constant: Flags = Flags(1 << Bit::$constant as u8);)+

            /// Every flag with the name it has in the files.
            pub const ALL: &'static [(Flags, &'static str)] = &[$((Flags::$constant, $name),)+];
        }
    };
}

flags! {
    /// Longer than `--head-limit`, or cut by the capture: the row holds what was seen.
    HEAD_TRUNCATED = "head_truncated",
    /// Bytes inside the head never came by: the row holds what was seen.
    GAP_IN_HEAD = "gap_in_head",
    /// A segment of the head came more than once.
    RETRANSMITTED = "retransmitted",
    /// Segments of the head came in another order than sent.
    OUT_OF_ORDER = "out_of_order",
    /// Overlapping segments of the head differ; the first copy won.
    DATA_CONFLICT = "data_conflict",
    /// A value was not UTF-8 and is escaped as `\xNN`.
    BAD_UTF8 = "bad_utf8",
    /// At least one value was replaced by a token, masked or dropped.
    REDACTED = "redacted",
    /// A later request took the oldest unanswered one's place in the pairing queue.
    PAIRING_OVERFLOW = "pairing_overflow",
    /// A response came with no request to answer.
    RESP_UNMATCHED = "resp_unmatched",
    /// A response came before its request was complete.
    RESP_BEFORE_REQ = "resp_before_req",
    /// The start line had other white space or line end than RFC 9112 writes; the rebuilt head normalises it.
    START_LINE_NORMALIZED = "start_line_normalized",
    /// The head's empty line was a bare LF.
    BARE_LF_END = "bare_lf_end",
    /// Content-Length and Transfer-Encoding together (RFC 9112 section 6.3).
    CL_AND_TE = "cl_and_te",
    /// Content-Length more than once, all equal.
    CL_MULTIPLE = "cl_multiple",
    /// Content-Length values that differ.
    CL_CONFLICT = "cl_conflict",
    /// Content-Length that is no number.
    CL_INVALID = "cl_invalid",
    /// Content-Length below zero.
    CL_NEGATIVE = "cl_negative",
    /// Content-Length beyond 2^63-1.
    CL_OVERFLOW = "cl_overflow",
    /// Content-Length with leading zeros.
    CL_LEADING_ZERO = "cl_leading_zero",
    /// Content-Length followed or preceded by other characters (`+5`, `5,`, `5 x`).
    CL_EXTRA_CHARS = "cl_extra_chars",
    /// Transfer-Encoding whose last coding is not chunked.
    TE_NOT_FINAL_CHUNKED = "te_not_final_chunked",
    /// Chunked named more than once, or several Transfer-Encoding lines.
    TE_MULTI = "te_multi",
    /// An unregistered transfer coding.
    TE_UNKNOWN = "te_unknown",
    /// Transfer-Encoding in an HTTP/1.0 message.
    TE_HTTP10 = "te_http10",
    /// Obsolete line folding (RFC 9112 section 5.2).
    OBS_FOLD = "obs_fold",
    /// A line ended by LF alone.
    BARE_LF = "bare_lf",
    /// A CR not followed by LF.
    BARE_CR = "bare_cr",
    /// A NUL byte in the head.
    NUL = "nul",
    /// White space between field name and colon (RFC 9112 section 5.1).
    SPACE_BEFORE_COLON = "space_before_colon",
    /// A header line without colon.
    MISSING_COLON = "missing_colon",
    /// A field line with an empty name.
    EMPTY_NAME = "empty_name",
    /// A field name that is no token (RFC 9110 section 5.6.2).
    BAD_NAME_CHAR = "bad_name_char",
    /// No Host in an HTTP/1.1 request (RFC 9112 section 3.2).
    HOST_MISSING = "host_missing",
    /// Host more than once.
    HOST_MULTIPLE = "host_multiple",
    /// Host that is no authority.
    HOST_INVALID = "host_invalid",
    /// Host and the authority of the target differ.
    HOST_URI_MISMATCH = "host_uri_mismatch",
    /// A method IANA has not registered.
    METHOD_UNKNOWN = "method_unknown",
    /// A registered method in lower or mixed case.
    METHOD_LOWERCASE = "method_lowercase",
    /// A request line that is not method SP target SP version.
    REQUEST_LINE_BAD = "request_line_bad",
    /// Empty lines or white space before the start line.
    LEADING_SPACE = "leading_space",
    /// Start line elements parted by something else than one space.
    DELIM_BAD = "delim_bad",
    /// A version that is neither 1.0 nor 1.1.
    VERSION_BAD = "version_bad",
    /// Request and response of different minor versions (1.0 and 1.1).
    VERSION_MISMATCH = "version_mismatch",
    /// A request line without version (HTTP/0.9).
    HTTP09 = "http09",
    /// More field lines than are stored; the rest is counted in the header count only.
    TOO_MANY_HEADERS = "too_many_headers",
    /// A single field line longer than 8190 bytes.
    HEADER_TOO_LONG = "header_too_long",
    /// A field that must be single came more than once.
    HEADER_REPEATED = "header_repeated",
    /// A status code outside 100 to 599.
    STATUS_BAD = "status_bad",
    /// Expect that is not 100-continue.
    EXPECT_NOT_100 = "expect_not_100",
    /// Expect: 100-continue with Content-Length 0.
    CL0_EXPECT100 = "cl0_expect100",
    /// More than one 100 (Continue) for one request.
    MULTIPLE_100 = "multiple_100",
    /// Data followed the 101 that ended HTTP on this connection.
    UPGRADE_DATA = "upgrade_data",
    /// Data followed the 2xx to CONNECT that ended HTTP on this connection.
    CONNECT_DATA = "connect_data",
    /// An Upgrade was asked for and the answer was not 101.
    SWITCH_FAILED = "switch_failed",
    /// A 101 or CONNECT 2xx that declares a body.
    SWITCH_WITH_BODY = "switch_with_body",
    /// A percent sign in the target without two hex digits behind it.
    PCT_BAD = "pct_bad",
    /// `%25` followed by two hex digits in the target.
    DOUBLE_ENCODED = "double_encoded",
    /// A control character in the target.
    CTL_IN_URI = "ctl_in_uri",
    /// A byte above 0x7f in the target.
    OBS_TEXT_IN_URI = "obs_text_in_uri",
    /// A segment of the body began with what looks like a start line; it was not taken for one.
    START_LINE_IN_BODY = "start_line_in_body",
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Adds every flag of `other`.
    pub const fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    /// Takes out what is set of `other`.
    pub const fn take(&mut self, other: Flags) -> Flags {
        let taken = Flags(self.0 & other.0);
        self.0 &= !other.0;
        taken
    }

    /// True where every flag of `other` is set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// True where no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number, stable within one build only: for grouping equal sets, never for storing.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Names of the flags set, in the order of `ALL`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}
