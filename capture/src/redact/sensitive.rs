//! Names that promise a secret: of fields, of parameters, and of anything in a line too broken to be sure of.
//!
//! One pass over the name; where three bytes begin a word, the few words of that first letter are tried.
//! Invariant: when in doubt, sensitive.

/// What the name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// A field.
    Field,
    /// A parameter of a query, a path, or a field value.
    Parameter,
}

/// Where in a name a word counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anywhere: long enough to mean nothing else.
    Anywhere,
    /// Where the word ends there (`apikey`).
    Ending,
    /// Where the word stands alone (`sid`, `user-sid`, `userSid`).
    Alone,
    /// Where it is the whole name.
    Whole,
}

/// Sorted by first byte.
const WORDS: &[(&[u8], Place)] = &[
    (b"2fa", Place::Alone),
    (b"accesskey", Place::Anywhere),
    (b"apikey", Place::Anywhere),
    (b"assertion", Place::Anywhere),
    (b"auth", Place::Anywhere),
    (b"bearer", Place::Anywhere),
    (b"code", Place::Whole),
    (b"cookie", Place::Anywhere),
    (b"cred", Place::Alone),
    (b"credential", Place::Anywhere),
    (b"creds", Place::Alone),
    (b"csrf", Place::Anywhere),
    (b"cvc", Place::Alone),
    (b"cvv", Place::Alone),
    (b"hmac", Place::Alone),
    (b"jwt", Place::Anywhere),
    (b"key", Place::Ending),
    (b"keys", Place::Ending),
    (b"mfa", Place::Alone),
    (b"otp", Place::Ending),
    (b"pass", Place::Ending),
    (b"passcode", Place::Anywhere),
    (b"passphrase", Place::Anywhere),
    (b"passw", Place::Anywhere),
    (b"pin", Place::Alone),
    (b"pincode", Place::Anywhere),
    (b"psw", Place::Anywhere),
    (b"pw", Place::Alone),
    (b"pwd", Place::Anywhere),
    (b"saml", Place::Anywhere),
    (b"secret", Place::Anywhere),
    (b"sess", Place::Alone),
    (b"sessid", Place::Anywhere),
    (b"session", Place::Anywhere),
    (b"sid", Place::Alone),
    (b"sig", Place::Alone),
    (b"sign", Place::Alone),
    (b"signature", Place::Anywhere),
    (b"ssn", Place::Alone),
    (b"ticket", Place::Alone),
    (b"tok", Place::Alone),
    (b"token", Place::Anywhere),
    (b"verifier", Place::Anywhere),
    (b"wpnonce", Place::Anywhere),
    (b"xsrf", Place::Anywhere),
];

/// Fields whose names only look like it: challenges and a flag.
const HARMLESS_FIELDS: &[&[u8]] =
    &[b"www-authenticate", b"proxy-authenticate", b"access-control-allow-credentials"];

/// The three bytes that each word begins with, as bits of `trigram` (of a word of two, with any third).
static BEGINNINGS: [u64; TRIGRAM_COUNT / 64] = {
    let mut bits = [0; TRIGRAM_COUNT / 64];
    let mut i = 0;
    while i < WORDS.len() {
        let word = WORDS[i].0;
        let pair = trigram(trigram(0, word[0]), word[1]);
        let mut third = 0;
        while third < 32 {
            if word.len() == 2 || third == word[2] & 31 {
                let index = trigram(pair, third);
                bits[index / 64] |= 1 << (index % 64);
            }
            third += 1;
        }
        i += 1;
    }
    bits
};

const TRIGRAM_COUNT: usize = 1 << 15;

/// The last three bytes as five bits each, which no case changes.
const fn trigram(before: usize, byte: u8) -> usize {
    (before << 5 | (byte & 31) as usize) % TRIGRAM_COUNT
}

/// Where in `WORDS` the words of each first byte lie.
static BY_FIRST: [(u8, u8); 256] = {
    let mut table = [(0, 0); 256];
    let mut i = 0;
    while i < WORDS.len() {
        let first = WORDS[i].0[0];
        assert!(i == 0 || WORDS[i - 1].0[0] <= first, "words are sorted by first byte");
        if table[first as usize].1 == 0 {
            table[first as usize].0 = i as u8;
        }
        table[first as usize].1 = i as u8 + 1;
        table[first.to_ascii_uppercase() as usize] = table[first as usize];
        i += 1;
    }
    table
};

/// True where the name promises a secret.
pub(super) fn is_sensitive(name: &[u8], names: Names) -> bool {
    mentions(name)
        && !(names == Names::Field && HARMLESS_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name)))
}

/// True where any word of `text` promises a secret.
#[inline]
pub(super) fn mentions(text: &[u8]) -> bool {
    let mut window = 0;
    for (end, &byte) in text.iter().enumerate() {
        window = trigram(window, byte);
        if is_beginning(window) && end >= 2 && begins_word(text, end - 2) {
            return true;
        }
    }
    text.len() >= 2 && is_beginning(trigram(window, 0)) && begins_word(text, text.len() - 2)
}

#[inline]
fn is_beginning(window: usize) -> bool {
    BEGINNINGS[window / 64] >> (window % 64) & 1 != 0
}

/// True where a word that counts begins at `at`.
#[cold]
fn begins_word(text: &[u8], at: usize) -> bool {
    let (from, to) = BY_FIRST[text[at] as usize];
    WORDS[from as usize..to as usize].iter().any(|(word, place)| fits(text, at, word, *place))
}

fn fits(text: &[u8], at: usize, word: &[u8], place: Place) -> bool {
    let end = at + word.len();
    if !text.get(at..end).is_some_and(|part| part.eq_ignore_ascii_case(word)) {
        return false;
    }
    match place {
        Place::Anywhere => word != b"auth" || !is_author(&text[end..]),
        Place::Ending => is_edge(text, end),
        Place::Alone => is_edge(text, at) && is_edge(text, end),
        Place::Whole => word.len() == text.len(),
    }
}

/// True where `auth` goes on to author or authority, not to authorization.
fn is_author(rest: &[u8]) -> bool {
    let begins = |part: &[u8]| rest.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part));
    begins(b"or") && !begins(b"oriz") && !begins(b"oris")
}

/// True between two words: at either end, beside what is no letter, and where lower case turns to upper.
fn is_edge(text: &[u8], at: usize) -> bool {
    let (Some(&before), Some(&after)) = (at.checked_sub(1).and_then(|at| text.get(at)), text.get(at)) else {
        return true;
    };
    !before.is_ascii_alphabetic()
        || !after.is_ascii_alphabetic()
        || (before.is_ascii_lowercase() && after.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_promise_a_secret() {
        for name in [
            "token",
            "access_token",
            "accessToken",
            "X-Auth-Token",
            "id_token",
            "csrfmiddlewaretoken",
            "X-XSRF-TOKEN",
            "secret",
            "client_secret",
            "password",
            "passwd",
            "user_pwd",
            "userPassword",
            "pass",
            "PHPSESSID",
            "JSESSIONID",
            "ASP.NET_SessionId",
            "connect.sid",
            "sid",
            "session",
            "auth",
            "X-Authorization",
            "authkey",
            "basicauth",
            "api-key",
            "apikey",
            "X-API-Key",
            "api_keys",
            "AWSAccessKeyId",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "sig",
            "sign",
            "jwt",
            "otp",
            "totp",
            "pin",
            "pin_code",
            "code",
            "code_verifier",
            "SAMLResponse",
            "ticket",
            "user[password]",
            "password[]",
            "Cookie2",
            "key",
            "Authentication-Info",
            "2fa",
            "key1",
            "_wpnonce",
            "authorisation",
        ] {
            assert!(is_sensitive(name.as_bytes(), Names::Parameter), "{name}");
            assert!(
                is_sensitive(name.to_ascii_uppercase().as_bytes(), Names::Parameter),
                "{name} in upper case"
            );
        }
    }

    #[test]
    fn names_that_do_not() {
        for name in [
            "",
            "q",
            "page",
            "author",
            "authors",
            "Authority",
            "keyword",
            "country_code",
            "postcode",
            "signup",
            "signin",
            "spin",
            "pinterest",
            "inside",
            "sidebar",
            "passenger",
            "design",
            "max-age",
            "charset",
            "X-Forwarded-Proto",
            "Sec-Fetch-Mode",
            "accept",
            "User-Agent",
        ] {
            assert!(!is_sensitive(name.as_bytes(), Names::Parameter), "{name}");
        }
    }

    #[test]
    fn challenges_are_no_secrets_as_fields() {
        assert!(!is_sensitive(b"WWW-Authenticate", Names::Field));
        assert!(is_sensitive(b"WWW-Authenticate", Names::Parameter));
        assert!(!is_sensitive(b"Access-Control-Allow-Credentials", Names::Field));
        assert!(is_sensitive(b"X-Credentials", Names::Field));
    }

    proptest::proptest! {
        #[test]
        fn any_text_agrees_with_the_naive_twin(text in "[a-zA-Z2_ -]{0,6}(pw|tok|key|pin|auth|SESS|2fa|pass|si)[a-zA-Z2_]{0,4}") {
            let text = text.as_bytes();
            let naive = (0..text.len()).any(|at| WORDS.iter().any(|(word, place)| fits(text, at, word, *place)));
            proptest::prop_assert_eq!(mentions(text), naive);
        }
    }

    #[test]
    fn every_word_is_found_where_it_counts() {
        for (word, _) in WORDS {
            assert!(mentions(word), "{word:?}");
        }
    }
}
