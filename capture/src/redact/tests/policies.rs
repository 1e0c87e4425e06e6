//! What policies of the operator's own change, and secrets that are known by their form alone.

use std::net::IpAddr;

use super::*;

fn policy(toml: &str) -> Policy {
    Policy::from_toml(toml, "test").unwrap()
}

fn target_under(toml: &str, target: &str) -> String {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    with_request(policy(toml), head.as_bytes(), true, |values| text(values.target_raw))
}

fn line_under(toml: &str, line: &str) -> String {
    value_under(policy(toml), line)
}

const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015";
const BEARER: &str = "BQDxk3PbZ9mYt2Lr7WqNc5Vh8Kj4Gs6F_-a";

#[test]
fn long_values_are_secrets_wherever_they_stand() {
    for secret in [HEX, BEARER] {
        let t = token(secret);
        assert_eq!(value(&format!("User-Agent: bot {secret}; x")), format!("bot {t}; x"));
        assert_eq!(value(&format!("X-Any: a={secret}")), format!("a={t}"));
        assert_eq!(value(&format!("X-Any: {secret}==")), token(&format!("{secret}==")));
        assert_eq!(value(&format!("Referer: http://h/a/{secret}/b")), format!("http://h/a/{t}/b"));
        assert_eq!(redacted_target(&format!("/a/{secret}/b?c={secret}&d")), format!("/a/{t}/b?c={t}&d"));
        let encoded = secret.replace('a', "%61").replace('7', "%37");
        assert_eq!(redacted_target(&format!("/a/{encoded}/b")), format!("/a/{}/b", token(&encoded)));
        assert_eq!(value(&format!("X-Request-Id: {secret}")), secret);
        assert_eq!(value(&format!("If-None-Match: \"{secret}\"")), format!("\"{secret}\""));
    }
    let slashes = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert_eq!(value(&format!("X-Any: {slashes}")), token(slashes));
    assert_eq!(redacted_target(&format!("/?x={slashes}")), format!("/?x={}", token(slashes)));
    let uuid = "/users/550e8400-e29b-41d4-a716-446655440000";
    assert_eq!(redacted_target(uuid), uuid);
    assert_eq!(target_under("long_values = \"keep\"", &format!("/{HEX}")), format!("/{HEX}"));
}

#[test]
fn a_folded_line_hides_no_long_value() {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Any: a\r\n {HEX}\r\n\r\n");
    with_request(Policy::default(), head.as_bytes(), true, |values| {
        assert_eq!(text(values.fields[1].value), format!("a {}", token(HEX)));
        assert!(!text(values.fields[1].raw.unwrap()).contains(HEX));
    });
}

#[test]
fn cookies_have_rules_of_their_own() {
    let toml = "[cookies]\ntheme = \"keep\"\nga = \"drop\"\nid = \"mask:2\"";
    let t = token;
    assert_eq!(
        line_under(toml, "Cookie: theme=dark; ga=1.2; id=abcdef; sid=x; Theme=y"),
        format!("theme=dark; ga=; id=ab***; sid={}; Theme={}", t("x"), t("y"))
    );
    assert_eq!(line_under(toml, &format!("Cookie: theme={HEX}")), format!("theme={HEX}"));
    // Within quotes it may be part of another's value.
    assert_eq!(
        line_under(toml, "Cookie: sid=\"a; theme=b\""),
        format!("sid={}; theme={}", t("\"a"), t("b\""))
    );
    let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: theme=dark; Path=/\r\nSet-Cookie: ga=x; Path=/\r\n\r\n";
    let mut parser = Parser::new();
    let head = parser.response(head, true).unwrap();
    let mut redactor = Redactor::new(policy(toml), key());
    let values = redactor.response(&head, &[]);
    assert_eq!(text(values.fields[0].value), "theme=dark; Path=/");
    assert_eq!(text(values.fields[1].value), "ga=; Path=/");
}

#[test]
fn a_field_that_is_kept_still_names_its_cookies() {
    let toml = "[fields]\nCookie = \"keep\"\nAuthorization = \"keep\"";
    let head = "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\nAuthorization: Bearer x\r\n\r\n";
    with_request(policy(toml), head.as_bytes(), true, |values| {
        assert_eq!(values.cookie_names, [b"a", b"b"]);
        assert_eq!(text(values.fields[1].value), "a=1; b=2");
        assert_eq!(text(values.fields[2].value), "Bearer x");
    });
}

#[test]
fn kept_parameters_stay_whatever_they_look_like() {
    let toml = "[parameters]\npage_token = \"keep\"\nq = \"drop\"";
    let kept = format!("/?page_token={HEX}&x=1");
    assert_eq!(target_under(toml, &kept), kept);
    let encoded = format!("/?page_token={HEX}%3D&x=1");
    assert_eq!(target_under(toml, &encoded), encoded);
    assert_eq!(target_under(toml, "/?q=a&token=b"), format!("/?q=&token={}", token("b")));
    let hidden = target_under(toml, "/?page_token=a;password=b&x=1");
    assert_eq!(hidden, format!("/?page_token=a;password={}&x=1", token("b")));
}

#[test]
fn paths_are_acted_on_wherever_they_stand() {
    let toml = "[[path]]\npattern = \"/users/{*}\"\naction = \"token\"\n\
                [[path]]\npattern = \"/files/{*}\"\naction = \"keep\"";
    let t = token("ada");
    assert_eq!(target_under(toml, "/users/ada/x"), format!("/users/{t}/x"));
    assert_eq!(target_under(toml, "http://h/users/ada"), format!("http://h/users/{t}"));
    assert_eq!(target_under(toml, "/?next=/users/ada"), format!("/?next=/users/{t}"));
    let nested = target_under(toml, "/?next=%2Fusers%2Fada&x");
    assert_eq!(nested, format!("/?next={}&x", token("%2Fusers%2Fada")));
    assert_eq!(line_under(toml, "Referer: http://h/users/ada?x"), format!("http://h/users/{t}?x"));
    assert_eq!(line_under(toml, "X-Original-URL: /users/ada"), format!("/users/{t}"));
    assert_eq!(target_under(toml, &format!("/files/{HEX}")), format!("/files/{HEX}"));
    let head = "GET /users/ada HTTP/1.1\r\nHost: a\r\n\r\n";
    with_request(policy(toml), head.as_bytes(), true, |values| {
        assert_eq!(values.path_template, Some(&b"/users/{id}"[..]));
    });
}

#[test]
fn addresses_of_clients_are_cut_where_proxies_pass_them_on() {
    let toml = "[clients]\nipv4_prefix = 16\nipv6_prefix = 32\n[fields]\nX-Peer = \"truncate\"\n\
                [parameters]\nip = \"truncate\"";
    assert_eq!(line_under(toml, "X-Forwarded-For: 192.0.2.7, 198.51.100.9"), "192.0.0.0, 198.51.0.0");
    assert_eq!(
        line_under(toml, "Forwarded: for=\"[2001:db8:1::2]:1\";proto=http"),
        "for=2001:db8::;proto=http"
    );
    assert_eq!(line_under(toml, "CF-Connecting-IP: 192.0.2.7"), "192.0.0.0");
    assert_eq!(line_under(toml, "X-Peer: 192.0.2.7:80"), "192.0.0.0");
    assert_eq!(target_under(toml, "/?ip=192.0.2.7&a"), "/?ip=192.0.0.0&a");
    assert_eq!(line_under("", "X-Forwarded-For: 192.0.2.7"), "192.0.2.7");
    let redactor = Redactor::new(policy(toml), key());
    let client: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!(redactor.client(client), Some("192.0.0.0".parse().unwrap()));
    assert_eq!(Redactor::new(Policy::default(), key()).client(client), None);
    assert_ne!(redactor.pseudonym(7), 7);
}

#[test]
fn dropped_and_masked_lines_keep_their_form() {
    let toml = "[fields]\nX-Drop = \"drop\"\nX-Mask = \"mask:2\"";
    let head = "GET / HTTP/1.1\r\nX-Drop:  abc \r\nX-Mask:abcdef\r\n\r\n";
    with_request(policy(toml), head.as_bytes(), true, |values| {
        assert_eq!(
            (text(values.fields[0].value), text(values.fields[0].raw.unwrap())),
            (String::new(), ":   ".to_owned())
        );
        assert_eq!(text(values.fields[1].raw.unwrap()), ":ab***");
    });
}
