//! The table of secrets: kinds, places, encodings and spellings, multiplied out.
//!
//! Invariant: every case has a secret of its own, so that whatever comes out names its case.

use bench::random::Random;

use super::HARMLESS;

/// A transaction with secrets in it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Vec<u8>,
    pub(super) response: Vec<u8>,
    /// As they are on the wire.
    pub(super) secrets: Vec<String>,
}

const SCHEMES: &[&str] = &[
    "Basic",
    "Bearer",
    "Digest",
    "DPoP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "OAuth",
    "SCRAM-SHA-256",
    "vapid",
    "NTLM",
    "Kerberos",
    "AWS4-HMAC-SHA256",
    "AWS",
    "ApiKey",
    "Token",
    "JWT",
    "Key",
    "Hawk",
    "MAC",
    "SharedKey",
    "Signature",
    "GoogleLogin",
    "Splunk",
    "SSWS",
    "Session",
    "bearer",
    "BASIC",
    "unheard-of",
];

const FIELDS: &[&str] = &[
    "X-Api-Key",
    "Api-Key",
    "ApiKey",
    "X-Auth-Token",
    "X-Access-Token",
    "X-CSRF-Token",
    "X-XSRF-TOKEN",
    "X-Amz-Security-Token",
    "X-Goog-Api-Key",
    "X-Vault-Token",
    "PRIVATE-TOKEN",
    "X-Gitlab-Token",
    "X-Shopify-Access-Token",
    "X-Functions-Key",
    "Ocp-Apim-Subscription-Key",
    "X-Session-Id",
    "X-Client-Secret",
    "X-Password",
    "X-Hub-Signature-256",
    "Cookie2",
    "X-Authorization",
    "X-Forwarded-Authorization",
    "Authentication-Info",
    "X-User-Credentials",
    "X-OTP",
    "Sec-WebSocket-Key",
];

const PARAMETERS: &[&str] = &[
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "accessToken",
    "api_key",
    "apikey",
    "apiKey",
    "key",
    "secret",
    "client_secret",
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "auth",
    "authorization",
    "session",
    "sessionid",
    "PHPSESSID",
    "jsessionid",
    "sid",
    "sig",
    "signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "jwt",
    "code",
    "otp",
    "pin",
    "SAMLResponse",
    "SAMLRequest",
    "ticket",
    "assertion",
    "code_verifier",
    "_csrf",
    "authenticity_token",
    "user[password]",
    "credential",
    "bearer",
];

/// Targets and values with `P` for a parameter's name and `@` for the secret.
const PARAMETER_PLACES: &[&str] = &[
    "T /x?P=@",
    "T /x?a=b&P=@&c=d",
    "T /x#P=@",
    "T /x;P=@/y",
    "T http://h/x?P=@",
    "T /x?u=http%3A%2F%2Fh%2F%3FP%3D@",
    "T /x?u=%2Fy%253FP%253D@",
    "T /x?j={\"P\":\"@\"}",
    "T /x?j=%7B%22P%22%3A%22@%22%7D",
    "F Referer: http://h/?P=@",
    "F Referer: /x?P=@&b=c",
    "F X-Original-URL: /x?a=b&P=@",
    "F X-Custom: a=b; P=@",
    "F X-Custom: P=\"@\"",
    "R Location: https://h/cb?P=@",
    "R Location: /cb#P=@",
    "R Link: <https://h/?P=@>; rel=next",
    "R Refresh: 0; url=/x?P=@",
];

/// Places where userinfo stands.
const USERINFO_PLACES: &[&str] = &[
    "T http://@!h/x",
    "T http://u:@!h/x",
    "T //u:@!h/x",
    "T /x?u=http://u:@!h/",
    "T /x?u=http%3A%2F%2Fu%3A@%40h",
    "F Referer: http://u:@!h/",
    "F Origin: http://@!h",
    "F Host: u:@!h",
    "F X-Custom: ftp://u:@!h/x",
    "R Location: https://u:@!h/",
    "R Location: //@!h/",
    "R Content-Location: http://u:@!h/",
];

/// Places that promise nothing: what stands there is known by its form.
const FORM_PLACES: &[&str] = &[
    "T /x/@",
    "T /x/@/y",
    "T /@",
    "T /x?q=@",
    "T /x?q=a&r=@&s",
    "T http://h/x/@",
    "F User-Agent: bot/1 (@)",
    "F X-Custom: @",
    "F X-Custom: a, @, b",
    "F Referer: http://h/a/@/b",
    "F Referer: http://h/?x=@",
    "F X-Any: a @ b",
    "F Accept: @",
    "F X-Json: {\"a\": \"@\"}",
    "R X-Custom: @",
    "R Location: /x/@",
    "R Server: @",
    "R X-Powered-By: a/@",
];

const COOKIES: &[&str] = &[
    "F Cookie: a=@",
    "F Cookie: a=b; sid=@",
    "F Cookie: sid=@; b=c",
    "F Cookie: @",
    "F Cookie: a=\"@\"",
    "F Cookie: a=@=",
    "F Cookie: a=x;b=@",
    "F Cookie: $Version=1; a=@; $Path=/",
    "R Set-Cookie: a=@",
    "R Set-Cookie: a=@; Path=/; HttpOnly",
    "R Set-Cookie: a=\"@\"; Secure",
    "R Set-Cookie: @",
    "R Set-Cookie: a=b; Path=/x; odd=@",
    "R Set-Cookie: a=b; @",
    "R Set-Cookie: a=b; Path=/?token=@",
    "R Set-Cookie2: a=@; Version=1",
];

/// How a field line is spelled.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    AsItIs,
    Lower,
    Upper,
    NoSpace,
    Folded,
    SpaceBeforeColon,
    BareLf,
}

const SPELLINGS: &[Spelling] = &[
    Spelling::AsItIs,
    Spelling::Lower,
    Spelling::Upper,
    Spelling::NoSpace,
    Spelling::Folded,
    Spelling::SpaceBeforeColon,
    Spelling::BareLf,
];

/// Letters and digits only: it stands for itself in any encoding.
const PLAIN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn plain(random: &mut Random) -> String {
    random.text(PLAIN, 24)
}

/// The secret as it may stand in a URI or field: as it is, percent-encoded in part, and as base64 with padding.
fn encodings(random: &mut Random) -> [String; 3] {
    let text = plain(random);
    let encoded: String = plain(random)
        .bytes()
        .enumerate()
        .map(|(at, byte)| if at % 12 == 11 { format!("%{byte:02X}") } else { char::from(byte).to_string() })
        .collect();
    [text, encoded, format!("{}==", random.base64(22))]
}

/// Secrets known by their form.
fn forms(random: &mut Random) -> Vec<String> {
    let jwt = |random: &mut Random| {
        format!("eyJ{}.eyJ{}.{}", random.text(PLAIN, 33), random.text(PLAIN, 60), random.text(PLAIN, 43))
    };
    let digit = |text: String| format!("{text}7a7B7c7D");
    vec![
        jwt(random),
        random.hex(32),
        random.hex(40),
        random.hex(64),
        digit(random.text(PLAIN, 36)),
        format!("ghp_{}", digit(random.text(PLAIN, 28))),
        format!("sk_live_{}", digit(random.text(PLAIN, 24))),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut random = Random::new(66);
    let mut cases = Vec::new();
    for field in ["Authorization", "Proxy-Authorization"] {
        for scheme in SCHEMES {
            add_line(&mut cases, &format!("F {field}: {scheme} @"), &mut random);
        }
    }
    for field in FIELDS {
        add_line(&mut cases, &format!("F {field}: @"), &mut random);
        add_line(&mut cases, &format!("R {field}: x @"), &mut random);
    }
    for template in COOKIES {
        add_line(&mut cases, template, &mut random);
    }
    for parameter in PARAMETERS {
        for template in PARAMETER_PLACES {
            for secret in encodings(&mut random) {
                let template = template.replace('P', "\u{1}").replace('\u{1}', parameter);
                add(&mut cases, &template, Spelling::AsItIs, &secret);
            }
        }
    }
    for template in USERINFO_PLACES {
        for secret in encodings(&mut random) {
            add(&mut cases, template, Spelling::AsItIs, secret.trim_end_matches('='));
        }
    }
    for template in FORM_PLACES {
        for secret in forms(&mut random) {
            add(&mut cases, template, Spelling::AsItIs, &secret);
        }
    }
    cases
}

fn add_line(cases: &mut Vec<Case>, template: &str, random: &mut Random) {
    for spelling in SPELLINGS {
        add(cases, template, *spelling, &plain(random));
    }
}

/// `T` is a target, `F` a field of the request, `R` one of the response; `!` is an `@` that is meant.
fn add(cases: &mut Vec<Case>, template: &str, spelling: Spelling, secret: &str) {
    let name = format!("{template} {spelling:?} ({secret})");
    let (place, text) = template.split_once(' ').expect("a template begins with its place");
    let text = text.replace('@', secret).replace('!', "@");
    let line = if place == "T" { String::new() } else { spelled(&text, spelling) };
    let target = if place == "T" { text.replace(' ', "%20") } else { "/".to_owned() };
    let of = |wanted: &str| if place == wanted { line.as_str() } else { "" };
    let host = if text.starts_with("Host:") { "" } else { "Host: shop.example\r\n" };
    let request = format!("GET {target} HTTP/1.1\r\n{host}X-Harmless: {HARMLESS}\r\n{}\r\n", of("F"));
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", of("R"));
    let (request, response) = (request.into_bytes(), response.into_bytes());
    cases.push(Case { name, request, response, secrets: vec![secret.to_owned()] });
}

fn spelled(line: &str, spelling: Spelling) -> String {
    let (name, value) = line.split_once(": ").expect("a field line");
    match spelling {
        Spelling::AsItIs => format!("{line}\r\n"),
        Spelling::Lower => format!("{}: {value}\r\n", name.to_ascii_lowercase()),
        Spelling::Upper => format!("{}: {value}\r\n", name.to_ascii_uppercase()),
        Spelling::NoSpace => format!("{name}:{value}\r\n"),
        Spelling::Folded => format!("{name}:\r\n\t{value}\r\n"),
        Spelling::SpaceBeforeColon => format!("{name} : {value}\r\n"),
        Spelling::BareLf => format!("{line}\n"),
    }
}
