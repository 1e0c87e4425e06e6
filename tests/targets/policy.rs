//! Policies: any text is a policy or is refused with a reason; what is accepted redacts any head without a panic.

use capture::redact::{Key, Policy, Redactor};

/// A head with something at every place a policy speaks of.
const HEAD: &[u8] = b"GET http://u:p@h/users/42/a;b=c?token=x&page_token=y&q=%2Fusers%2F7 HTTP/1.1\r\n\
    Host: h\r\nAuthorization: Bearer abc\r\nCookie: sid=1; theme=dark; x\r\nReferer: http://h/users/9?q=1\r\n\
    X-Forwarded-For: 192.0.2.7, ::1\r\nForwarded: for=192.0.2.7\r\nX-Any: 9f86d081884c7d659a2feaa0c55ad015\r\n\r\n";

/// The input is the file.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Policy::from_toml(text, "fuzz") {
        Ok(policy) => {
            let mut redactor = Redactor::new(policy.clone(), Key::from_bytes([7; 32]));
            let explanation = redactor.explain(HEAD).expect("a request");
            assert_eq!(explanation.parts.len(), 2 + 7);
            assert_eq!(policy.name(), Policy::from_toml(text, "fuzz").expect("as before").name());
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
