//! What is redacted, what stays, and a canary that must not get through however its line is broken.

mod policies;

use proptest::prelude::*;
use storage::{
    field::Field,
    flags::Flags,
    values::{FieldLine, RequestValues, ResponseValues},
};

use super::*;
use crate::http::Parser;

fn key() -> Key {
    Key::from_bytes([42; key::KEY_BYTES])
}

fn token(secret: &str) -> String {
    let mut out = Vec::new();
    token::Tokenizer::new(key()).write(secret.as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn with_request<T>(
    policy: Policy,
    head: &[u8],
    complete: bool,
    read: impl FnOnce(&RequestValues<'_>) -> T,
) -> T {
    let mut parser = Parser::new();
    let head = parser.request(head, complete).expect("a request");
    read(&Redactor::new(policy, key()).request(&head))
}

fn with_response<T>(head: &[u8], complete: bool, read: impl FnOnce(&ResponseValues<'_>) -> T) -> T {
    let mut parser = Parser::new();
    let head = parser.response(head, complete).expect("a response");
    read(&Redactor::new(Policy::default(), key()).response(&head, &[100]))
}

/// The value that a request line of fields ends up with.
fn value(line: &str) -> String {
    value_under(Policy::default(), line)
}

fn value_under(policy: Policy, line: &str) -> String {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    with_request(policy, head.as_bytes(), true, |values| text(values.fields[1].value))
}

/// The target a request ends up with.
fn redacted_target(target: &str) -> String {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    with_request(Policy::default(), head.as_bytes(), true, |values| text(values.target_raw))
}

#[test]
fn a_head_without_secrets_stays_as_it_is() {
    let head = b"GET /a/42?q=key+ring&page=2 HTTP/1.1\r\nHost: Example.com\r\nAccept: text/html;q=0.9\r\n\
        Cache-Control: max-age=0\r\nReferer: http://example.com/x?y=z\r\nTransfer-Encoding: gzip\r\n\
        transfer-encoding:chunked\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
        X-Json: {\"a\": 1}\r\nFrom: bob@example.com\r\nX-Author: me\r\n\r\n";
    with_request(Policy::default(), head, true, |values| {
        assert_eq!(values.flags.names().collect::<Vec<_>>(), ["te_multi"]);
        assert_eq!((values.method, values.method_raw), ("GET", &b"GET"[..]));
        assert_eq!(values.target_raw, b"/a/42?q=key+ring&page=2");
        assert_eq!((values.path, values.query), (Some(&b"/a/42"[..]), Some(&b"q=key+ring&page=2"[..])));
        assert_eq!(values.path_template, Some(&b"/a/{int}"[..]));
        assert_eq!(values.host, Some(&b"example.com"[..]));
        assert_eq!(values.version, Some(&b"1.1"[..]));
        assert_eq!(values.transfer_encoding, Some(&b"gzip, chunked"[..]));
        assert_eq!(values.trace_id, Some(&b"0af7651916cd43dd8448eb211c80319c"[..]));
        assert_eq!((values.head_bytes, values.header_count), (head.len() as i32, 10));
        assert_eq!(values.fields[5].raw, Some(&b":chunked"[..]));
        assert_eq!(values.fields[5].field, Some(Field::TransferEncoding));
    });
}

#[test]
fn schemes_and_names_stay_and_values_become_tokens() {
    let t = token;
    assert_eq!(value("Authorization: Bearer abc"), format!("Bearer {}", t("abc")));
    assert_eq!(value("proxy-authorization: basic  YTpi"), format!("basic  {}", t("YTpi")));
    assert_eq!(value("Authorization: abc"), t("abc"));
    assert_eq!(value("Authorization: my secret"), t("my secret"));
    assert_eq!(value("X-Api-Key: abc"), t("abc"));
    assert_eq!(value("Cookie: a=abc; b=; c"), format!("a={}; b=; {}", t("abc"), t("c")));
    assert_eq!(value("Cookie: c2VjcmV0IHZhbHVl=="), t("c2VjcmV0IHZhbHVl=="));
    assert_eq!(
        value("Referer: http://u:p@h/?sid=abc&x=y"),
        format!("http://{}@h/?sid={}&x=y", t("u:p"), t("abc"))
    );
    assert_eq!(value("X-Any: a=b; token=abc, d"), format!("a=b; token={}", t("abc, d")));
    assert_eq!(value("Host: u:p@h"), format!("{}@h", t("u:p")));
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    assert_eq!(value(&format!("X-Any: v {jwt}, x")), format!("v {}, x", t(jwt)));
    let cookies =
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Digest x\r\nCookie: a=1; b\r\ncookie: c=2\r\n\r\n";
    with_request(Policy::default(), cookies.as_bytes(), true, |values| {
        assert_eq!(values.cookie_names, [b"a", b"c"]);
        assert_eq!(values.authorization_scheme, Some(&b"Digest"[..]));
        assert!(values.flags.contains(Flags::REDACTED));
    });
}

#[test]
fn set_cookie_keeps_name_and_known_attributes() {
    let head =
        b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=abc; Path=/x; HttpOnly; odd=abc\r\nLocation: /#code=abc\r\n\r\n";
    with_response(head, true, |values| {
        let cookie = format!("sid={}; Path=/x; HttpOnly;{}", token("abc"), token(" odd=abc"));
        assert_eq!(text(values.fields[0].value), cookie);
        assert_eq!(text(values.fields[1].value), format!("/#code={}", token("abc")));
        assert_eq!(values.set_cookie_names, [b"sid"]);
        assert_eq!(
            (values.status, values.reason, values.info_status),
            (Some(200), Some(&b"OK"[..]), &[100][..])
        );
        assert!(values.flags.contains(Flags::REDACTED));
    });
    with_response(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", true, |values| {
        assert_eq!(values.upgrade_protocol, Some(&b"websocket"[..]));
        assert!(!values.flags.contains(Flags::REDACTED));
    });
}

#[test]
fn targets_lose_parameters_userinfo_and_tokens() {
    let t = token;
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    let rows = [
        ("/x?a=b&token=abc&c=d", format!("/x?a=b&token={}&c=d", t("abc"))),
        ("/x?pass=a;b#c&d", format!("/x?pass={}&d", t("a;b#c"))),
        ("/x;jsessionid=abc?d=e", format!("/x;jsessionid={}?d=e", t("abc"))),
        ("/x?%74oken=abc", format!("/x?%74oken={}", t("abc"))),
        ("/x?%2574oken=abc", format!("/x?%2574oken={}", t("abc"))),
        ("/x?user[password]=abc", format!("/x?user[password]={}", t("abc"))),
        ("http://u:p@h/x", format!("http://{}@h/x", t("u:p"))),
        ("u@h/x", format!("{}@h/x", t("u"))),
        ("/x?u=http%3A%2F%2Fh%3Fsid%3Dabc&v=w", format!("/x?u={}&v=w", t("http%3A%2F%2Fh%3Fsid%3Dabc"))),
        ("/r/a%3Ftoken%3Dabc/s", format!("/r/{}/s", t("a%3Ftoken%3Dabc"))),
        ("/x?f={\"pwd\":\"abc\"}", t("/x?f={\"pwd\":\"abc\"}")),
        (&format!("/t/{jwt}/u"), format!("/t/{}/u", t(jwt))),
        ("/x?token=", "/x?token=".to_owned()),
        ("/npm/@scope/pkg?author=me&keyword=x%20y", "/npm/@scope/pkg?author=me&keyword=x%20y".to_owned()),
    ];
    for (target, expected) in rows {
        assert_eq!(redacted_target(target), expected, "{target}");
    }
    let head = format!("GET http://U:P@Host:81/t/{jwt}?a=b HTTP/1.1\r\nHost: other\r\n\r\n");
    with_request(Policy::default(), head.as_bytes(), true, |values| {
        assert_eq!(values.host, Some(&b"host:81"[..]));
        assert_eq!(text(values.path.unwrap()), format!("/t/{}", t(jwt)));
        assert_eq!((values.path_template, values.query), (Some(&b"/t/{id}"[..]), Some(&b"a=b"[..])));
    });
    let connect = b"CONNECT u:p@h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
    with_request(Policy::default(), connect, true, |values| {
        assert_eq!(text(values.target_raw), format!("{}@h:443", t("u:p")));
        assert_eq!((values.host, values.path, values.is_connect), (Some(&b"h:443"[..]), None, true));
    });
}

#[test]
fn raw_forms_are_redacted_like_values() {
    let head =
        b"GET / HTTP/1.1\r\nCookie:a=abc\nX-Key : abc \r\nSecret abc\r\nCoo kie: abc\r\nX:a\r\n b\r\n\r\n";
    with_request(Policy::default(), head, true, |values| {
        let raws: Vec<_> = values.fields.iter().map(|line| line.raw.map(text)).collect();
        let expected = [
            format!(":a={}\n", token("abc")),
            format!(" : {} ", token("abc")),
            token("Secret abc"),
            token(" kie: abc"),
            ":a\r\n b".to_owned(),
        ];
        assert_eq!(raws, expected.map(Some));
        let names: Vec<_> = values.fields.iter().map(|line| text(line.name)).collect();
        assert_eq!(names, ["Cookie", "X-Key", "", "Coo", "X"]);
        assert_eq!(values.fields[4].value, b"a b");
    });
}

#[test]
fn policies_change_what_becomes_of_a_value() {
    let policy = Policy::default;
    assert_eq!(value_under(Policy::off(), "Cookie: a=abc"), "a=abc");
    assert_eq!(value_under(Policy::off(), "X: a\r\n  b"), "a b");
    assert_eq!(value_under(policy().with_field("x-key", Action::Keep), "X-Key: abc"), "abc");
    assert_eq!(value_under(policy().with_field("X-Key", Action::Mask(1)), "X-Key: abc"), "a***");
    assert_eq!(value_under(policy().with_field("User-Agent", Action::Drop), "User-Agent: abc"), "");
    assert_eq!(value_under(policy().with_field("Cookie", Action::Drop), "Cookie: a=abc; b=d"), "a=; b=");
    assert_eq!(value_under(policy().with_parameter("q", Action::Drop), "Referer: /?q=a&r=b"), "/?q=&r=b");
    assert_eq!(value_under(policy().with_parameter("sid", Action::Keep), "Referer: /?sid=a"), "/?sid=a");
    let redactor = Redactor::new(policy(), key());
    assert!(redactor.policy_name().starts_with("default-2 key="), "{}", redactor.policy_name());
    assert_eq!(Redactor::new(Policy::off(), key()).policy_name(), "off");
}

#[test]
fn one_head_leaves_nothing_to_the_next() {
    let mut parser = Parser::new();
    let mut redactor = Redactor::new(Policy::default(), key());
    let first = parser.request(b"GET /?sid=a HTTP/1.1\r\nHost: A\r\nCookie: a=b\r\n\r\n", true).unwrap();
    assert_eq!(redactor.request(&first).fields.len(), 2);
    let second = parser.request(b"GET / HTTP/1.0\r\n\r\n", true).unwrap();
    let values = redactor.request(&second);
    assert_eq!((values.fields.len(), values.cookie_names.len(), values.host), (0, 0, None));
    assert_eq!((values.target_raw, values.flags), (&b"/"[..], Flags::NONE));
}

const REQUESTS: &[(&str, &str)] = &[
    ("GET /x?token=@ HTTP/1.1", ""),
    ("GET /x?a=b&api_key=@&c=d HTTP/1.1", ""),
    ("GET /x;jsessionid=@/y?z=1 HTTP/1.1", ""),
    ("GET http://user:@\u{40}host/x HTTP/1.1", ""),
    ("GET http://@\u{40}host/x HTTP/1.1", ""),
    ("GET /x?%70assword=@ HTTP/1.1", ""),
    ("GET /x?u=http%3A%2F%2Fh%2F%3Ftoken%3D@ HTTP/1.1", ""),
    ("GET /x?u=http%3A%2F%2Fu%3A@%40h HTTP/1.1", ""),
    ("GET /x#access_token=@ HTTP/1.1", ""),
    ("GET /j/eyJhbGciOiJIUzI1NiJ9.@.@ HTTP/1.1", ""),
    ("GET /?f={\"password\":\"@\"} HTTP/1.1", ""),
    ("GET /?f={\"code\":\"@\"} HTTP/1.1", ""),
    ("GET  /x?secret=@ HTTP/1.1 ", ""),
    ("CONNECT user:@\u{40}host:443 HTTP/1.1", ""),
    ("GET / HTTP/1.1", "Authorization: Bearer @"),
    ("GET / HTTP/1.1", "Authorization: @"),
    ("GET / HTTP/1.1", "Authorization: Digest username=\"a\", response=\"@\""),
    ("GET / HTTP/1.1", "Proxy-Authorization: Basic @=="),
    ("GET / HTTP/1.1", "Cookie: a=@; b=@"),
    ("GET / HTTP/1.1", "Cookie: @"),
    ("GET / HTTP/1.1", "Cookie: a=\"@\"; @=="),
    ("GET / HTTP/1.1", "X-Api-Key: @"),
    ("GET / HTTP/1.1", "X-Auth-Token: a @"),
    ("GET / HTTP/1.1", "Referer: http://h/?session=@"),
    ("GET / HTTP/1.1", "Referer: http://u:@\u{40}h/"),
    ("GET / HTTP/1.1", "X-Custom: foo=bar; password = @"),
    ("GET / HTTP/1.1", "X-Custom: foo=bar; token=\"x; @\""),
    ("GET / HTTP/1.1", "X-Any: eyJhbGciOiJIUzI1NiJ9.eyJ@.@"),
    ("GET / HTTP/1.1", "X-Json: {\"secret\": \"@\"}"),
    ("GET / HTTP/1.1", "Host: u:@\u{40}h"),
    ("GET / HTTP/1.1", "Host: h?token=@"),
    ("HTTP/1.1 200 OK", "Set-Cookie: sid=@; Path=/; HttpOnly"),
    ("HTTP/1.1 200 OK", "Set-Cookie: sid=\"a; @\"; Path=/"),
    ("HTTP/1.1 200 OK", "Set-Cookie: sid=a; Path=/x?token=@"),
    ("HTTP/1.1 302 Found", "Location: https://h/cb?x=y#id_token=@"),
    ("HTTP/1.1 302 Found", "Location: //u:@\u{40}h/"),
    ("HTTP/1.1 200 token=@", ""),
];

/// How a line is broken.
#[derive(Clone, Copy, Debug)]
enum Break {
    Nothing,
    UpperCase,
    LowerCase,
    NoSpace,
    MoreSpace,
    SpaceBeforeColon,
    SpaceInName,
    NoColon,
    FoldBehindColon,
    FoldInSecret,
    FoldOfLineBefore,
    CrInsteadOfLineEnd,
    NulBefore,
    CrBehindColon,
    BareLf,
    Twice,
}

const BREAKS: &[Break] = &[
    Break::Nothing,
    Break::UpperCase,
    Break::LowerCase,
    Break::NoSpace,
    Break::MoreSpace,
    Break::SpaceBeforeColon,
    Break::SpaceInName,
    Break::NoColon,
    Break::FoldBehindColon,
    Break::FoldInSecret,
    Break::FoldOfLineBefore,
    Break::CrInsteadOfLineEnd,
    Break::NulBefore,
    Break::CrBehindColon,
    Break::BareLf,
    Break::Twice,
];

/// A head with `canary` where its row has `@` (but for a written-out `\u{40}`, the same character, behind one).
fn head_with(canary: &str, (start, line): (&str, &str), broken: Break) -> String {
    let fill = |template: &str| {
        let kept = template.replace("@\u{40}", "\u{1}");
        kept.replace('@', canary).replace('\u{1}', &format!("{canary}@"))
    };
    let (name, rest) = line.split_once(": ").unwrap_or((line, ""));
    let first = name.len().min(2);
    let (front, line) = match broken {
        Break::Nothing => ("A: b\r\n", line.to_owned()),
        Break::UpperCase => ("A: b\r\n", format!("{}: {rest}", name.to_uppercase())),
        Break::LowerCase => ("A: b\r\n", format!("{}: {rest}", name.to_lowercase())),
        Break::NoSpace => ("A: b\r\n", format!("{name}:{rest}")),
        Break::MoreSpace => ("A: b\r\n", format!("{name}: \t{rest} \t")),
        Break::SpaceBeforeColon => ("A: b\r\n", format!("{name} : {rest}")),
        Break::SpaceInName => ("A: b\r\n", format!("{} {}: {rest}", &name[..first], &name[first..])),
        Break::NoColon => ("A: b\r\n", format!("{name} {rest}")),
        Break::FoldBehindColon => ("A: b\r\n", format!("{name}:\r\n {rest}")),
        Break::FoldInSecret => ("A: b\r\n", line.to_owned()),
        Break::FoldOfLineBefore => ("A: b\r\n ", line.to_owned()),
        Break::CrInsteadOfLineEnd => ("A: b\r", line.to_owned()),
        Break::NulBefore => ("A: b\r\n", format!("{name}: \0{rest}")),
        Break::CrBehindColon => ("A: b\r\n", format!("{name}:\r{rest}")),
        Break::BareLf => ("A: b\n", format!("{line}\n")),
        Break::Twice => ("A: b\r\n", format!("{line}\r\n{line}")),
    };
    let mut line = fill(&line);
    if matches!(broken, Break::FoldInSecret)
        && let Some(at) = line.find(canary)
    {
        line.insert_str(at + canary.len() / 2, "\r\n\t");
    }
    format!("{}\r\n{front}{line}\r\nZ: z\r\n\r\n", fill(start))
}

fn line_parts<'a>(fields: &[FieldLine<'a>]) -> Vec<&'a [u8]> {
    fields.iter().flat_map(|line| [line.name, line.value, line.raw.unwrap_or_default()]).collect()
}

/// Everything that leaves the stage for this head, value by value.
fn outputs(head: &[u8], complete: bool) -> Vec<Vec<u8>> {
    let owned = |parts: Vec<&[u8]>| parts.into_iter().map(<[u8]>::to_vec).collect();
    if head.starts_with(b"HTTP/") {
        return with_response(head, complete, |values| {
            let mut parts = line_parts(values.fields);
            parts.extend(values.set_cookie_names);
            parts.extend([Some(values.version), values.reason, values.upgrade_protocol].iter().flatten());
            parts.extend(values.transfer_encoding);
            owned(parts)
        });
    }
    with_request(Policy::default(), head, complete, |values| {
        let mut parts = line_parts(values.fields);
        parts.extend(values.cookie_names);
        parts.extend([values.method_raw, values.target_raw]);
        parts.extend([values.host, values.path, values.query, values.path_template].iter().flatten());
        parts.extend([values.version, values.transfer_encoding, values.trace_id].iter().flatten());
        parts.extend(values.authorization_scheme);
        owned(parts)
    })
}

fn leak(canary: &str, head: &[u8], complete: bool) -> Option<String> {
    let pieces: Vec<_> = canary.as_bytes().windows(8).map(<[u8]>::to_ascii_lowercase).collect();
    outputs(head, complete).into_iter().map(|output| text(&output)).find(|output| {
        let output = output.to_ascii_lowercase();
        pieces.iter().any(|piece| memchr::memmem::find(output.as_bytes(), piece).is_some())
    })
}

#[test]
fn a_canary_gets_through_nowhere_whole_or_cut_anywhere() {
    let canary = "Kq7ZtWm3XbVn9RdLp2HsGf5J";
    for &row in REQUESTS {
        for &broken in BREAKS {
            let head = head_with(canary, row, broken);
            assert_eq!(leak(canary, head.as_bytes(), true), None, "{head:?}");
            for cut in 12..head.len() {
                assert_eq!(leak(canary, &head.as_bytes()[..cut], false), None, "{:?}", &head[..cut]);
            }
        }
    }
}

#[test]
fn the_canary_test_can_fail() {
    let head = "GET /x?harmless=Kq7ZtWm3XbVn HTTP/1.1\r\n\r\n";
    assert!(leak("Kq7ZtWm3XbVn", head.as_bytes(), true).is_some());
}

proptest! {
    #[test]
    fn any_canary_any_break(
        canary in "[A-Za-z0-9_]{16,40}",
        row in proptest::sample::select(REQUESTS),
        broken in proptest::sample::select(BREAKS),
        cut in any::<prop::sample::Index>(),
    ) {
        let head = head_with(&canary, row, broken);
        prop_assert_eq!(leak(&canary, head.as_bytes(), true), None, "{:?}", head);
        let cut = 12 + cut.index(head.len() - 12);
        prop_assert_eq!(leak(&canary, &head.as_bytes()[..cut], false), None, "{:?}", &head[..cut]);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(
            proptest::sample::select(b"GET /HTP1.\r\n :=&?%@{;\"#eyJtokenAuth\0\x80".to_vec()), 0..200),
        complete in any::<bool>(),
    ) {
        let mut parser = Parser::new();
        let mut redactor = Redactor::new(Policy::default(), key());
        for start in ["GET /", "GET http://", "CONNECT "] {
            let head = [start.as_bytes(), &bytes, b"\r\n\r\n"].concat();
            if let Ok(head) = parser.request(&head, complete) {
                let count = head.fields.lines().len();
                prop_assert_eq!(redactor.request(&head).fields.len(), count);
            }
        }
        let head = [b"HTTP/1.1 200", &bytes[..]].concat();
        if let Ok(head) = parser.response(&head, complete) {
            let count = head.fields.lines().len();
            prop_assert_eq!(redactor.response(&head, &[]).fields.len(), count);
        }
    }
}
