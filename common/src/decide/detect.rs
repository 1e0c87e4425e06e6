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
    let lead = lead_of(word);
    if lead > 0 {
        let behind = frame.opaque(offset + lead);
        word = word_of_payload(frame, behind, len.saturating_sub(lead))?;
    }
    Start { frame, offset: offset + lead, len: len - lead, word }.is_known().then_some(lead)
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
    let missing = 8 - len;
    let word = u64::from_le_bytes(frame.load(offset.checked_sub(missing)?)?);
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
            HTTP b"HTTP" => self.then(b"/") && self.is_digit(5),
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
            || (payload.starts_with(b"HTTP/") && payload.get(5).is_some_and(u8::is_ascii_digit))
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
