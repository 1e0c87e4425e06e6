//! Requests and responses as browsers, programs and servers write them.

use super::{
    Profile,
    population::{BODY_BYTES_MAX, Host, Population, Variation, word},
};
use crate::random::Random;

const REQUEST_FIELDS_MIN: usize = 6;
const REQUEST_FIELDS_MAX: usize = 20;
const RESPONSE_FIELDS_MIN: usize = 6;
const RESPONSE_FIELDS_MAX: usize = 15;

/// Longest Cookie value: enough for a head to need three segments.
const COOKIE_BYTES_MAX: usize = 3000;

const METHODS: &[(&str, u32)] =
    &[("GET", 82), ("POST", 11), ("PUT", 3), ("DELETE", 2), ("HEAD", 1), ("OPTIONS", 1)];

const STATUSES: &[((u16, &str), u32)] = &[
    ((200, "OK"), 84),
    ((304, "Not Modified"), 6),
    ((302, "Found"), 3),
    ((404, "Not Found"), 3),
    ((204, "No Content"), 2),
    ((500, "Internal Server Error"), 1),
    ((403, "Forbidden"), 1),
];

const ACCEPTS: &[&str] = &[
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "*/*",
    "application/json, text/plain, */*",
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "application/json",
    "text/css,*/*;q=0.1",
];

const LANGUAGES: &[&str] = &[
    "en-US,en;q=0.9",
    "en-GB,en;q=0.8",
    "de-DE,de;q=0.9,en;q=0.7",
    "fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7",
    "ja,en-US;q=0.9,en;q=0.8",
    "es-ES,es;q=0.9",
    "pt-BR,pt;q=0.9,en;q=0.8",
    "zh-CN,zh;q=0.9,en;q=0.8",
];

/// Content types, and whether they hold words (which compress) or noise.
const TYPES: &[(&str, bool)] = &[
    ("text/html; charset=utf-8", true),
    ("application/json", true),
    ("application/javascript", true),
    ("text/css", true),
    ("text/plain", true),
    ("image/jpeg", false),
    ("image/webp", false),
    ("application/octet-stream", false),
];

/// What the requests of one connection have in common.
pub(super) struct Visitor {
    agent: String,
    is_browser: bool,
    language: &'static str,
    cookie: Option<String>,
    authorization: Option<String>,
    forwarded_for: Option<String>,
    sends_trace: bool,
    pub(super) sends_request_id: bool,
}

/// A message as it goes on the wire.
pub(super) struct Message {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) header_count: u32,
}

/// What the response and the truth need to know of a request.
pub(super) struct Request {
    pub(super) message: Message,
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) cookie_bytes: u64,
}

/// What the connection and the truth need to know of a response.
pub(super) struct Response {
    pub(super) message: Message,
    pub(super) status: u16,
    pub(super) is_chunked: bool,
    pub(super) is_gzip: bool,
    pub(super) is_close_delimited: bool,
}

/// Where on a connection a response stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) date: &'a str,
    pub(super) profile: Profile,
    /// The connection ends with this response, and with it its body.
    pub(super) closes: bool,
}

impl Visitor {
    pub(super) fn new(population: &Population, random: &mut Random) -> Self {
        let agent = population.agents[population.agent_ranks.draw(random)].clone();
        let is_browser = agent.starts_with("Mozilla");
        let cookie = random.chance(if is_browser { 0.85 } else { 0.25 }).then(|| {
            let len = random.log_normal(6.0, 0.9, 50, COOKIE_BYTES_MAX);
            cookie(len, random)
        });
        let authorization = match random.below(100) {
            0..18 => {
                let claims = random.range(160, 660);
                let token = [random.base64(claims), random.base64(342)].join(".");
                Some(format!("Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{token}"))
            }
            18..24 => Some(format!("Basic {}", random.base64(32))),
            _ => None,
        };
        let forwarded_for = random.chance(0.3).then(|| {
            let octets = [0; 4].map(|_: u8| random.range(1, 255).to_string());
            octets.join(".")
        });
        Self {
            agent,
            is_browser,
            language: random.pick(LANGUAGES),
            cookie,
            authorization,
            forwarded_for,
            sends_trace: random.chance(0.4),
            sends_request_id: random.chance(0.5),
        }
    }
}

/// The next request of a visitor; `index` counts those before it on the connection.
pub(super) fn request(
    visitor: &Visitor,
    host: &Host,
    population: &Population,
    (index, profile): (usize, Profile),
    random: &mut Random,
) -> Request {
    let method = *weighted(METHODS, random);
    let target = target(host, random);
    let mut fields = Fields::default();
    match host.port {
        80 => fields.add("Host", &host.name),
        port => fields.add("Host", &format!("{}:{port}", host.name)),
    }
    add_negotiation(&mut fields, visitor, host, random);
    let mut body = Vec::new();
    if matches!(method, "POST" | "PUT") {
        let len = match profile {
            Profile::Heads => random.range(20, 400),
            Profile::Mix => random.log_normal(5.5, 1.2, 20, 8000),
        };
        body.extend_from_slice(population.text(len, random));
        let form = ["application/json", "application/x-www-form-urlencoded"];
        fields.add("Content-Type", random.pick(&form));
        fields.add("Content-Length", &len.to_string());
        if visitor.is_browser {
            fields.add("Origin", &format!("http://{}", host.name));
        }
    }
    let cookie_bytes = add_identity(&mut fields, visitor, random);
    if index > 0 && random.chance(0.1) {
        fields.add("If-None-Match", &format!("\"{}\"", random.hex(16)));
    }
    while fields.lines.len() < REQUEST_FIELDS_MIN {
        fields.add(&format!("X-Client-{}", word(random)), &random.hex(8));
    }
    fields.lines.truncate(REQUEST_FIELDS_MAX);
    let cookie_bytes = if fields.has("Cookie: ") { cookie_bytes } else { 0 };
    let message = fields.finish(&format!("{method} {target} HTTP/1.1"), body);
    Request { message, method, target, cookie_bytes }
}

fn add_negotiation(fields: &mut Fields, visitor: &Visitor, host: &Host, random: &mut Random) {
    if visitor.is_browser {
        fields.add("Connection", "keep-alive");
    }
    fields.add("User-Agent", &visitor.agent);
    fields.add("Accept", random.pick(ACCEPTS));
    fields.add("Accept-Encoding", if visitor.is_browser { "gzip, deflate" } else { "gzip" });
    if !visitor.is_browser {
        return;
    }
    fields.add("Accept-Language", visitor.language);
    if random.chance(0.7) {
        fields.add("Referer", &format!("http://{}{}", host.name, host.any_path(random)));
    }
    if random.chance(0.3) {
        fields.add("Cache-Control", random.pick(&["no-cache", "max-age=0"]));
    }
    if random.chance(0.3) {
        fields.add("Upgrade-Insecure-Requests", "1");
    }
    if random.chance(0.5) {
        fields.add("Sec-Fetch-Dest", random.pick(&["document", "image", "script", "empty"]));
        fields.add("Sec-Fetch-Mode", random.pick(&["navigate", "no-cors", "cors"]));
        fields.add("Sec-Fetch-Site", random.pick(&["same-origin", "cross-site", "none"]));
    }
    if random.chance(0.2) {
        fields.add("DNT", "1");
    }
}

/// Adds what tells visitors apart, and gives the bytes of the cookie.
fn add_identity(fields: &mut Fields, visitor: &Visitor, random: &mut Random) -> u64 {
    if let Some(authorization) = &visitor.authorization {
        fields.add("Authorization", authorization);
    }
    if visitor.sends_request_id {
        fields.add("X-Request-Id", &random.uuid());
    }
    if visitor.sends_trace {
        fields.add("traceparent", &format!("00-{}-{}-01", random.hex(32), random.hex(16)));
    }
    if let Some(address) = &visitor.forwarded_for {
        fields.add("X-Forwarded-For", address);
        fields.add("X-Forwarded-Proto", "http");
    }
    let Some(cookie) = &visitor.cookie else { return 0 };
    fields.add("Cookie", cookie);
    cookie.len() as u64
}

/// The response of a host to a request.
pub(super) fn response(
    (request, visitor): (&Request, &Visitor),
    host: &Host,
    population: &Population,
    place: Place<'_>,
    random: &mut Random,
) -> Response {
    let (status, reason) = *weighted(STATUSES, random);
    let mut fields = Fields::default();
    fields.add("Server", host.server);
    fields.add("Date", place.date);
    let has_content = !matches!(status, 204 | 304);
    let (mut content, mut is_gzip) = (Vec::new(), false);
    if has_content {
        (content, is_gzip) = self::content(&mut fields, population, place.profile, random);
    }
    fields.add("Connection", if place.closes { "close" } else { "keep-alive" });
    let (mut is_chunked, mut is_close_delimited) = (false, false);
    let mut body = Vec::new();
    if has_content {
        is_close_delimited = place.closes && request.method != "HEAD";
        is_chunked =
            !is_close_delimited && request.method != "HEAD" && content.len() > 50 && random.chance(0.2);
        if is_chunked {
            fields.add("Transfer-Encoding", "chunked");
            body = chunked(&content, random);
        } else {
            if !is_close_delimited {
                fields.add("Content-Length", &content.len().to_string());
            }
            if request.method != "HEAD" {
                body = content;
            }
        }
        if random.chance(0.5) {
            fields.add("Vary", "Accept-Encoding");
        }
    }
    add_metadata(&mut fields, host, random);
    if visitor.sends_request_id {
        fields.add("X-Request-Id", &random.uuid());
    }
    if status == 302 {
        fields.add("Location", &format!("http://{}{}", host.name, host.any_path(random)));
    }
    while fields.lines.len() < RESPONSE_FIELDS_MIN {
        fields.add(&format!("X-Server-{}", word(random)), &random.hex(8));
    }
    fields.lines.truncate(RESPONSE_FIELDS_MAX);
    let message = fields.finish(&format!("HTTP/1.1 {status} {reason}"), body);
    Response { message, status, is_chunked, is_gzip, is_close_delimited }
}

/// The content of a response and whether it is compressed; adds the fields that tell so.
fn content(
    fields: &mut Fields,
    population: &Population,
    profile: Profile,
    random: &mut Random,
) -> (Vec<u8>, bool) {
    let len = match profile {
        Profile::Heads if random.chance(0.2) => 0,
        Profile::Heads => random.range(1, 400),
        Profile::Mix if random.chance(0.04) => 0,
        Profile::Mix => random.log_normal(8.9, 1.2, 1, BODY_BYTES_MAX),
    };
    let (content_type, holds_words) = random.pick(TYPES);
    fields.add("Content-Type", content_type);
    match (holds_words, len) {
        (true, 1..) if random.chance(0.5) => {
            fields.add("Content-Encoding", "gzip");
            (population.gzip(random).to_vec(), true)
        }
        (true, _) => (population.text(len, random).to_vec(), false),
        (false, _) => (population.noise(len, random).to_vec(), false),
    }
}

fn add_metadata(fields: &mut Fields, host: &Host, random: &mut Random) {
    const CACHE_CONTROLS: &[&str] = &[
        "no-cache, no-store, must-revalidate",
        "max-age=31536000, immutable",
        "private, max-age=0",
        "public, max-age=600",
    ];
    if random.chance(0.5) {
        let weak = if host.weak_etags { "W/" } else { "" };
        fields.add("ETag", &format!("{weak}\"{}\"", random.hex(16)));
    }
    if random.chance(0.5) {
        fields.add("Cache-Control", random.pick(CACHE_CONTROLS));
    }
    if random.chance(0.4) {
        let (day, hour, minute) = (random.range(1, 29), random.below(24), random.below(60));
        fields.add("Last-Modified", &format!("Tue, {day:02} Jul 2026 {hour:02}:{minute:02}:07 GMT"));
    }
    if random.chance(0.15) {
        let len = random.range(22, 160);
        let (name, value) = (word(random), random.base64(len));
        let age = random.pick(&[3600, 86_400]);
        fields.add("Set-Cookie", &format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}"));
    }
    if random.chance(0.3) {
        fields.add("X-Content-Type-Options", "nosniff");
    }
    if random.chance(0.2) {
        fields.add("X-Frame-Options", "SAMEORIGIN");
    }
    if let Some(policy) = &host.security_policy {
        fields.add("Content-Security-Policy", policy);
    }
    if random.chance(0.3) {
        fields.add("Age", &random.below(5000).to_string());
        let edge = format!("HIT from edge-{}", random.below(40));
        fields.add("X-Cache", random.pick(&["HIT", "MISS", &edge]));
        fields.add("Via", "1.1 varnish");
    }
    if random.chance(0.2) {
        fields.add("Strict-Transport-Security", "max-age=63072000");
    }
    if host.server == "envoy" {
        fields.add("x-envoy-upstream-service-time", &random.below(300).to_string());
    }
}

fn target(host: &Host, random: &mut Random) -> String {
    let (base, variation) = &host.targets[host.target_ranks.draw(random)];
    match variation {
        Variation::Fixed => base.clone(),
        Variation::Numbered => {
            let suffix = random.pick(&["", "/items", "/status", "?expand=all"]);
            format!("{base}{}{suffix}", random.below(1_000_000))
        }
        Variation::Queried => {
            let parameters = (0..random.range(1, 6)).map(|_| {
                let value = match random.below(3) {
                    0 => random.below(10_000).to_string(),
                    1 => word(random).to_owned(),
                    _ => random.hex(8),
                };
                format!("{}={value}", word(random))
            });
            let parameters: Vec<_> = parameters.collect();
            format!("{base}{}", parameters.join("&"))
        }
    }
}

fn cookie(len: usize, random: &mut Random) -> String {
    let (a, b) = (random.range(100_000_000, 1_000_000_000), random.below(1_000_000));
    let mut cookie = format!("_ga=GA1.2.{a}.{}; sid={}", 1_755_000_000 + b, random.base64(32));
    while cookie.len() < len {
        let name = word(random);
        let crumb = match random.below(5) {
            0 => {
                let len = random.range(4, 20) * 2;
                format!("{name}={}", random.hex(len))
            }
            1 => format!("pref_{name}={}", word(random)),
            2 => {
                let len = random.range(16, 213);
                format!("__{name}_{}={}", word(random), random.base64(len))
            }
            3 => format!("ab_{name}={}", random.below(9)),
            _ => {
                let stamp = random.below(10_000_000_000);
                format!("session-{name}={}%3A{stamp}%7C{}", random.uuid(), random.hex(16))
            }
        };
        cookie.push_str("; ");
        cookie.push_str(&crumb);
    }
    cookie.truncate(len);
    cookie
}

fn chunked(content: &[u8], random: &mut Random) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() + 64);
    let mut rest = content;
    while !rest.is_empty() {
        let any = random.range(30, 4000);
        let len = (random.pick(&[4096, 8192, 16_384, any])).min(rest.len());
        let (chunk, behind) = rest.split_at(len);
        body.extend_from_slice(format!("{len:x}\r\n").as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
        rest = behind;
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

fn weighted<'a, T>(values: &'a [(T, u32)], random: &mut Random) -> &'a T {
    let total: u32 = values.iter().map(|(_, weight)| weight).sum();
    let mut point = random.below(total as usize) as u32;
    for (value, weight) in values {
        match point.checked_sub(*weight) {
            Some(rest) => point = rest,
            None => return value,
        }
    }
    unreachable!("the point lies below the sum of the weights")
}

/// The field lines of a head in the making.
#[derive(Default)]
struct Fields {
    lines: Vec<String>,
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        self.lines.push(format!("{name}: {value}\r\n"));
    }

    fn has(&self, start: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(start))
    }

    fn finish(self, start_line: &str, body: Vec<u8>) -> Message {
        let head = format!("{start_line}\r\n{}\r\n", self.lines.concat());
        Message { head: head.into_bytes(), body, header_count: self.lines.len() as u32 }
    }
}
