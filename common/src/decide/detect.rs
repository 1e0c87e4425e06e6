//! Detect: does this payload begin with a start line (RFC 9112 section 2.1)?
//!
//! A registered method and a space, or `HTTP/` and a digit: one comparison tree over the first four bytes, then the rest of that
//! one token. Methods nobody registered are not detected: only a whole line could tell them from text.

use super::frame::Frame;

/// Every method of the IANA HTTP Method Registry but `*`, which no request line may carry.
pub const METHODS: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Bytes of the shortest token looked for, `GET `.
const TOKEN_BYTES_MIN: u32 = 4;

/// Line ends passed over in front of a start line (RFC 9112 section 2.2 asks for one empty line at least).
pub const LEAD_BYTES_MAX: u32 = 4;

/// How many bytes of line ends stand before the start line at `offset`, behind which `len` bytes of payload are there;
/// `None` where no start line begins.
#[inline(always)]
pub fn detect<F: Frame>(frame: &mut F, offset: u32, len: u32) -> Option<u32> {
    let mut word = word_of_payload(frame, offset, len)?;
    // Each number of line ends alone would be followed through all that comes.
    let lead = frame.opaque(lead_of(word));
    let (offset, len) = (frame.opaque(offset.wrapping_add(lead)), frame.opaque(len.saturating_sub(lead)));
    if lead > 0 {
        word = word_of_payload(frame, offset, len)?;
    }
    Start { frame, offset, len, word }.is_known().then_some(lead)
}

/// The same at a place where a head should begin: there, more is believed. Methods in any case or nobody's, where what
/// looks like a target follows; `http` in any case; and what a short segment cuts off before it can be told.
#[inline(always)]
pub fn detect_expected<F: Frame>(frame: &mut F, offset: u32, len: u32) -> Option<Expected> {
    let word = word_of_some(frame, offset, len)?;
    let lead = frame.opaque(lead_of(word));
    let left = frame.opaque(len.saturating_sub(lead));
    let behind = frame.opaque(offset.wrapping_add(lead));
    let word = word_of_some(frame, behind, left)?;
    let is_letter = (word as u8 | 0x20).wrapping_sub(b'a') < 26;
    let is_status = is_http_or_cut(word as u32, left);
    if !is_letter {
        return None;
    }
    let is_sure = left >= TOKEN_BYTES_MIN && Start { frame, offset: behind, len: left, word }.is_known();
    let is_start = is_sure
        || is_status
        || (left < word_len() && is_cut(word, left))
        || is_request(frame, behind, left, word);
    is_start.then_some(Expected { lead, is_sure, is_status })
}

/// What was found where a head should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Bytes of line ends before the start line.
    pub lead: u32,
    /// It would have been taken for a head anywhere.
    pub is_sure: bool,
    /// It begins as a status line does, as far as it goes.
    pub is_status: bool,
}

/// Whether fewer bytes than a word hold may be the beginning of a method or of `HTTP/`: two capitals, or the first.
#[inline(always)]
const fn is_cut(word: u64, len: u32) -> bool {
    let (a, b) = (word as u8, (word >> 8) as u8);
    a.is_ascii_uppercase() & ((len == 1) | b.is_ascii_uppercase())
}

const fn word_len() -> u32 {
    size_of::<u64>() as u32
}

/// `http` in any case.
#[inline(always)]
const fn is_http(word: u32) -> bool {
    word | 0x2020_2020 == first(b"http")
}

/// The same of `len` bytes, as far as they go.
#[inline(always)]
const fn is_http_or_cut(word: u32, len: u32) -> bool {
    let missing = TOKEN_BYTES_MIN.saturating_sub(len) * 8;
    (word | 0x2020_2020) << missing == first(b"http") << missing
}

/// Bytes of the longest method of which the target is looked for.
const METHOD_BYTES_MAX: u32 = 24;

/// Whether a word, a space and what a target may begin with stand here: `/`, `*` or `http`.
#[inline(always)]
fn is_request<F: Frame>(frame: &mut F, offset: u32, len: u32, word: u64) -> bool {
    let mut at = 1;
    loop {
        if at + 2 > len {
            return is_cut(word, len);
        }
        let place = frame.opaque(offset + at);
        match frame.load(place) {
            Some([byte]) if is_word(byte) && at + 1 < METHOD_BYTES_MAX => at += 1,
            Some(_) => break,
            None => return false,
        }
    }
    let behind = frame.opaque(offset + at);
    let far = at + 5 <= len;
    let Some([space, next]) = frame.load(behind) else {
        return false;
    };
    let is_http = far && frame.load(behind + 1).map(u32::from_le_bytes).is_some_and(is_http);
    space == b' ' && (matches!(next, b'/' | b'*') || is_http)
}

/// Whether a byte may be one of a method here.
#[inline(always)]
const fn is_word(byte: u8) -> bool {
    (byte | 0x20).wrapping_sub(b'a') < 26 || byte == b'-' || byte == b'_'
}

/// As `word_of_payload`, of one byte or more.
#[inline(always)]
fn word_of_some<F: Frame>(frame: &mut F, offset: u32, len: u32) -> Option<u64> {
    if len == 0 {
        return None;
    }
    let word = if len >= 8 { frame.load(offset) } else { short_word(frame, offset, len) };
    word.map(u64::from_le_bytes)
}

/// The first eight bytes of the payload as a little-endian number, zeros where it is shorter.
#[inline(always)]
fn word_of_payload<F: Frame>(frame: &mut F, offset: u32, len: u32) -> Option<u64> {
    if len < TOKEN_BYTES_MIN {
        return None;
    }
    let word = if len >= 8 { frame.load(offset) } else { short_word(frame, offset, len) };
    word.map(u64::from_le_bytes)
}

#[inline(always)]
const fn lead_of(word: u64) -> u32 {
    let mut lead = 0;
    while lead < LEAD_BYTES_MAX && matches!((word >> (lead * 8)) as u8, b'\r' | b'\n') {
        lead += 1;
    }
    lead
}

/// The first word of fewer than eight bytes, zeros behind them: loaded by way of the header in front.
#[inline(always)]
fn short_word<F: Frame>(frame: &mut F, offset: u32, len: u32) -> Option<[u8; 8]> {
    let missing = frame.opaque(8 - len);
    let place = frame.opaque(offset.checked_sub(missing)?);
    let word = u64::from_le_bytes(frame.load(place)?);
    Some((word >> (missing * 8)).to_le_bytes())
}

struct Start<'f, F> {
    frame: &'f mut F,
    offset: u32,
    len: u32,
    word: u64,
}

const fn first(text: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*text)
}

macro_rules! match_first {
    ($value:expr; $($name:ident $text:literal => $rest:expr,)+) => {{
        $(const $name: u32 = first($text);)+
        match $value { $($name => $rest,)+ _ => false }
    }};
}

impl<F: Frame> Start<'_, F> {
    #[inline(always)]
    fn is_known(&mut self) -> bool {
        match_first!(self.word as u32;
            HTTP b"HTTP" => self.then(b"/") && self.is_digit(5) && !self.ends_a_line(8),
            GET b"GET " => true,
            POST b"POST" => self.then(b" "),
            PUT b"PUT " => true,
            HEAD b"HEAD" => self.then(b" "),
            DELE b"DELE" => self.then(b"TE "),
            OPTI b"OPTI" => self.then_far(b"OPTIONS "),
            PATC b"PATC" => self.then(b"H "),
            CONN b"CONN" => self.then_far(b"CONNECT "),
            PROP b"PROP" => self.then_far(b"PROPFIND ") || self.then_far(b"PROPPATCH "),
            REPO b"REPO" => self.then(b"RT "),
            SEAR b"SEAR" => self.then(b"CH "),
            TRAC b"TRAC" => self.then(b"E "),
            QUER b"QUER" => self.then(b"Y "),
            LOCK b"LOCK" => self.then(b" "),
            UNLO b"UNLO" => self.then(b"CK "),
            COPY b"COPY" => self.then(b" "),
            MOVE b"MOVE" => self.then(b" "),
            MKCO b"MKCO" => self.then(b"L "),
            PRI b"PRI " => true,
            ACL b"ACL " => true,
            BASE b"BASE" => self.then_far(b"BASELINE-CONTROL "),
            BIND b"BIND" => self.then(b" "),
            CHEC b"CHEC" => self.then_far(b"CHECKIN ") || self.then_far(b"CHECKOUT "),
            LABE b"LABE" => self.then(b"L "),
            LINK b"LINK" => self.then(b" "),
            MERG b"MERG" => self.then(b"E "),
            MKAC b"MKAC" => self.then_far(b"MKACTIVITY "),
            MKCA b"MKCA" => self.then_far(b"MKCALENDAR "),
            MKRE b"MKRE" => self.then_far(b"MKREDIRECTREF "),
            MKWO b"MKWO" => self.then_far(b"MKWORKSPACE "),
            ORDE b"ORDE" => self.then_far(b"ORDERPATCH "),
            REBI b"REBI" => self.then(b"ND "),
            UNBI b"UNBI" => self.then(b"ND "),
            UNCH b"UNCH" => self.then_far(b"UNCHECKOUT "),
            UNLI b"UNLI" => self.then(b"NK "),
            UPDA b"UPDA" => self.then(b"TE ") || self.then_far(b"UPDATEREDIRECTREF "),
            VERS b"VERS" => self.then_far(b"VERSION-CONTROL "),
        )
    }

    /// Whether the byte at a place below eight is a digit: any version begins a status line, 1.x or not.
    #[inline(always)]
    fn is_digit(&self, place: u32) -> bool {
        let byte = (self.word >> (place * 8)) as u8;
        byte.wrapping_sub(b'0') < 10
    }

    /// Whether the line ends at a place: `HTTP/1.1` and nothing behind it is what a request line ends with.
    #[inline(always)]
    fn ends_a_line(&mut self, place: u32) -> bool {
        self.len > place && matches!(self.frame.load(self.offset + place), Some([b'\r' | b'\n']))
    }

    /// Whether the bytes behind the first four are these (four at the most).
    #[inline(always)]
    fn then(&self, rest: &[u8]) -> bool {
        let mask = (1u64 << (rest.len() * 8)) - 1;
        (self.word >> 32) & mask == word_of(rest)
    }

    /// Whether the whole token of eight bytes or more is there: its first, ninth and last eight bytes cover it.
    #[inline(always)]
    fn then_far(&mut self, token: &[u8]) -> bool {
        let size = token.len() as u32;
        self.len >= size
            && self.word == word_of(&token[..8])
            && (size < 17 || self.word_at(8) == Some(word_of(&token[8..16])))
            && self.word_at(size - 8) == Some(word_of(&token[token.len() - 8..]))
    }

    #[inline(always)]
    fn word_at(&mut self, at: u32) -> Option<u64> {
        self.frame.load(self.offset + at).map(u64::from_le_bytes)
    }
}

#[inline(always)]
const fn word_of(text: &[u8]) -> u64 {
    let mut word = 0;
    let mut i = text.len();
    while i > 0 {
        i -= 1;
        word = word << 8 | text[i] as u64;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::super::frame::SliceFrame;
    use super::*;
    use proptest::prelude::*;

    const HEADER: usize = 40;

    fn detected(payload: &[u8]) -> bool {
        let bytes = [&[b'G'; HEADER][..], payload].concat();
        let mut frame = SliceFrame::new(&bytes, bytes.len() as u32);
        let lead = detect(&mut frame, HEADER as u32, payload.len() as u32);
        assert!(lead.is_none_or(|lead| lead == naive_lead(payload)));
        lead.is_some()
    }

    fn naive_lead(payload: &[u8]) -> u32 {
        payload.iter().take(LEAD_BYTES_MAX as usize).take_while(|byte| b"\r\n".contains(byte)).count() as u32
    }

    fn naive(payload: &[u8]) -> bool {
        let payload = &payload[naive_lead(payload) as usize..];
        METHODS.iter().any(|method| payload.starts_with(format!("{method} ").as_bytes()))
            || (payload.starts_with(b"HTTP/")
                && payload.get(5).is_some_and(u8::is_ascii_digit)
                && !payload.get(8).is_some_and(|byte| b"\r\n".contains(byte)))
    }

    #[test]
    fn every_method_is_detected_from_its_space_on() {
        for method in METHODS {
            let line = format!("{method} / HTTP/1.1\r\n\r\n");
            for end in 0..line.len() {
                let start = &line.as_bytes()[..end];
                assert_eq!(detected(start), naive(start), "{:?}", &line[..end]);
            }
        }
        assert!(detected(b"HTTP/1") && detected(b"HTTP/2.0 200 OK") && !detected(b"HTTP/x 200"));
        assert!(detected(b"HTTP/1.1") && detected(b"HTTP/1.1 200\r\n") && detected(b"HTTP/1.1\t200\r\n"));
        assert!(
            !detected(b"HTTP/1.1\r\nHost: a\r\n") && !detected(b"HTTP/1.0\nHost"),
            "the end of a request line"
        );
    }

    #[test]
    fn where_a_head_is_expected_more_is_believed() {
        let found = |payload: &[u8]| {
            let bytes = [&[b'G'; HEADER][..], payload].concat();
            let mut frame = SliceFrame::new(&bytes, bytes.len() as u32);
            detect_expected(&mut frame, HEADER as u32, payload.len() as u32)
        };
        let expected = |payload: &[u8]| found(payload).map(|found| found.is_sure);
        let sure: [&[u8]; 4] = [b"GET / HTTP/1.1", b"\r\nPOST /", b"HTTP/1.1 200", b"GET "];
        let doubtful: [&[u8]; 10] = [
            b"G",
            b"GE",
            b"HTT",
            b"PROPP",
            b"get /a HTTP/1.1",
            b"BREW /pot HTTP/1.1",
            b"X-y_Z * HTTP/1.0",
            b"foo http://a/ HTTP/1.1",
            b"http/1.1 200 OK",
            b"VERSION-CONT",
        ];
        let none: [&[u8]; 8] = [
            b"",
            b"\r\n",
            b"body",
            b"\x16\x03\x01\x02\x00\x01",
            b"EHLO host.example\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"{\"a\": 1}",
            b"the house /",
        ];
        sure.iter().for_each(|payload| assert_eq!(expected(payload), Some(true), "{payload:?}"));
        doubtful.iter().for_each(|payload| assert_eq!(expected(payload), Some(false), "{payload:?}"));
        none.iter().for_each(|payload| assert_eq!(expected(payload), None, "{payload:?}"));
        for payload in sure.into_iter().chain(doubtful) {
            let is_status = payload.to_ascii_uppercase().starts_with(b"HTTP") || payload == b"HTT";
            assert_eq!(found(payload).map(|found| found.is_status), Some(is_status), "{payload:?}");
        }
    }

    #[test]
    fn line_ends_in_front_are_passed_over() {
        assert!(
            detected(b"\r\nGET / HTTP/1.1") && detected(b"\n\n\n\nHTTP/1.1 200") && detected(b"\r\n\r\nGET ")
        );
        assert!(!detected(b"\n\n\n\n\nGET / HTTP/1.1") && !detected(b"\r\nhello") && !detected(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn one_changed_byte_agrees_with_the_naive_list(method in 0usize..40, at in 0usize..20, byte: u8) {
            let mut line = format!("{} / HTTP/1.1", METHODS[method]).into_bytes();
            if let Some(place) = line.get_mut(at) {
                *place = byte;
            }
            prop_assert_eq!(detected(&line), naive(&line));
        }

        #[test]
        fn any_bytes_agree_with_the_naive_list(payload in prop::collection::vec(any::<u8>(), 0..24)) {
            prop_assert_eq!(detected(&payload), naive(&payload));
        }
    }
}
