//! The field names that mean something to the schema: which have a column of their own, and on which side.

macro_rules! fields {
    ($($variant:ident = $name:literal,)+) => {
        /// A field name (RFC 9110 section 5.1) that parser, redaction or schema know by heart.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the field it names")]
        pub enum Field { $($variant,)+ }

        impl Field {
            /// Every known field.
            pub const ALL: &'static [Field] = &[$(Field::$variant,)+];

            /// The name in lower case.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)+ }
            }

            /// The field in a set of fields, which is one u64.
            pub const fn bit(self) -> u64 {
                1 << self as u8
            }
        }
    };
}

fields! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AccessControlAllowOrigin = "access-control-allow-origin",
    Age = "age",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentSecurityPolicy = "content-security-policy",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Etag = "etag",
    Expect = "expect",
    Expires = "expires",
    Forwarded = "forwarded",
    Host = "host",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    LastModified = "last-modified",
    Location = "location",
    Origin = "origin",
    ProxyAuthorization = "proxy-authorization",
    Range = "range",
    Referer = "referer",
    RetryAfter = "retry-after",
    Server = "server",
    SetCookie = "set-cookie",
    StrictTransportSecurity = "strict-transport-security",
    Traceparent = "traceparent",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    WwwAuthenticate = "www-authenticate",
    XCache = "x-cache",
    XForwardedFor = "x-forwarded-for",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
}

impl Field {
    /// The known field of this name, in any case; `None` where the name is not known by heart.
    #[inline]
    pub fn from_name(name: &[u8]) -> Option<Field> {
        let (&first, &last) = (name.first()?, name.last()?);
        let slot = SLOTS[slot_of(name.len(), first, last)];
        let field = *Self::ALL.get(slot as usize)?;
        let letters = &LETTERS[slot as usize];
        (field.name().len() == name.len() && letters.matches(name)).then_some(field)
    }
}

/// Slots of the perfect hash: a power of two, about three times the names.
const SLOT_COUNT: usize = 128;
/// Longest known name.
const NAME_BYTES_MAX: usize = 32;
/// Marks a slot no name hashes to.
const SLOT_EMPTY: u8 = u8::MAX;

const _: () = assert!(Field::ALL.len() < SLOT_EMPTY as usize);
const _: () = assert!(Field::ALL.len() <= u64::BITS as usize, "a set of fields is one u64");

/// The multipliers part the names without collision; `slots` refuses to compile once they do not.
const fn slot_of(len: usize, first: u8, last: u8) -> usize {
    (len + (first | 0x20) as usize * 18 + (last | 0x20) as usize * 6) % SLOT_COUNT
}

static SLOTS: [u8; SLOT_COUNT] = slots();
static LETTERS: [Letters; Field::ALL.len()] = letters();

const fn slots() -> [u8; SLOT_COUNT] {
    let mut table = [SLOT_EMPTY; SLOT_COUNT];
    let mut i = 0;
    while i < Field::ALL.len() {
        let name = Field::ALL[i].name().as_bytes();
        let slot = slot_of(name.len(), name[0], name[name.len() - 1]);
        assert!(table[slot] == SLOT_EMPTY, "two names share a slot: choose other multipliers in slot_of");
        table[slot] = i as u8;
        i += 1;
    }
    table
}

const fn letters() -> [Letters; Field::ALL.len()] {
    let mut table =
        [Letters { lower: [0; NAME_BYTES_MAX / 8], case: [0; NAME_BYTES_MAX / 8] }; Field::ALL.len()];
    let mut i = 0;
    while i < Field::ALL.len() {
        table[i] = Letters::of(Field::ALL[i].name().as_bytes());
        i += 1;
    }
    table
}

/// A name as words: compared eight bytes at a time, the case bit of letters left out.
#[derive(Clone, Copy)]
struct Letters {
    lower: [u64; NAME_BYTES_MAX / 8],
    case: [u64; NAME_BYTES_MAX / 8],
}

impl Letters {
    const fn of(name: &[u8]) -> Letters {
        assert!(name.len() <= NAME_BYTES_MAX);
        let mut letters = Letters { lower: [0; NAME_BYTES_MAX / 8], case: [0; NAME_BYTES_MAX / 8] };
        let mut i = 0;
        while i < name.len() {
            assert!(!name[i].is_ascii_uppercase(), "names are kept in lower case");
            letters.lower[i / 8] |= (name[i] as u64) << (i % 8 * 8);
            if name[i].is_ascii_lowercase() {
                letters.case[i / 8] |= 0x20 << (i % 8 * 8);
            }
            i += 1;
        }
        letters
    }

    fn matches(&self, name: &[u8]) -> bool {
        let mut difference = 0;
        for (i, chunk) in name.chunks(8).enumerate() {
            difference |= (word(chunk) ^ self.lower[i]) & !self.case[i];
        }
        difference == 0
    }
}

/// Up to eight bytes as a little-endian number, without a loop over bytes.
#[inline]
fn word(chunk: &[u8]) -> u64 {
    let low = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let Some(all) = chunk.first_chunk::<8>() {
        return u64::from_le_bytes(*all);
    }
    match (chunk.first_chunk::<4>(), chunk.last_chunk::<4>()) {
        (Some(head), Some(tail)) => low(head) | low(tail) << ((chunk.len() - 4) * 8),
        _ => chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(name: &[u8]) -> Option<Field> {
        Field::ALL.iter().copied().find(|field| name.eq_ignore_ascii_case(field.name().as_bytes()))
    }

    #[test]
    fn every_name_is_found_in_any_case() {
        for &field in Field::ALL {
            let name = field.name();
            assert_eq!(Field::from_name(name.as_bytes()), Some(field));
            assert_eq!(Field::from_name(name.to_ascii_uppercase().as_bytes()), Some(field));
        }
    }

    #[test]
    fn one_changed_byte_agrees_with_the_naive_twin() {
        for &field in Field::ALL {
            for position in 0..field.name().len() {
                for byte in 0..=255 {
                    let mut name = field.name().as_bytes().to_vec();
                    name[position] = byte;
                    assert_eq!(Field::from_name(&name), naive(&name), "{name:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_agree_with_the_naive_twin(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(Field::from_name(&name), naive(&name));
        }
    }
}
