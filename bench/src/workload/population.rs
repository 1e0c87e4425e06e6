//! Who talks and about what: hosts with their targets, user agents, and pools of body bytes. Made once per workload.

use std::net::{Ipv4Addr, Ipv6Addr};

use miniz_oxide::deflate::compress_to_vec;

use super::Profile;
use crate::random::{Random, Zipf};

const HOST_COUNT: usize = 400;
const AGENT_COUNT: usize = 220;
const POOL_BYTES: usize = 1 << 20;
const GZIP_COUNT: usize = 100;

/// Longest body in either profile.
pub(super) const BODY_BYTES_MAX: usize = 60_000;

pub(super) const WORDS: &[&str] = &[
    "account", "after", "again", "album", "alpha", "answer", "archive", "article", "asset", "basket",
    "before", "billing", "blue", "board", "book", "bridge", "bright", "camera", "canvas", "catalog",
    "center", "change", "channel", "charge", "city", "claim", "cloud", "comment", "coupon", "course",
    "create", "credit", "daily", "deal", "delta", "depot", "detail", "device", "dinner", "draft", "early",
    "east", "editor", "energy", "event", "export", "fabric", "family", "feature", "field", "filter", "final",
    "first", "flight", "folder", "forest", "forum", "friend", "gallery", "garden", "global", "green",
    "group", "guide", "happy", "harbor", "health", "home", "hotel", "image", "index", "invoice", "island",
    "item", "journal", "kitchen", "label", "large", "later", "ledger", "letter", "light", "list", "local",
    "lower", "magnet", "market", "meadow", "media", "member", "merge", "message", "metric", "mirror",
    "mobile", "module", "morning", "music", "native", "news", "night", "north", "note", "number", "offer",
    "online", "open", "order", "outer", "owner", "page", "panel", "paper", "partner", "people", "photo",
    "plain", "planet", "player", "policy", "portal", "price", "profile", "public", "quick", "quiet", "quote",
    "radio", "random", "rapid", "ready", "recent", "record", "region", "report", "result", "review", "river",
    "round", "route", "sample", "school", "search", "season", "second", "secure", "series", "shadow",
    "signal", "simple", "single", "small", "social", "source", "south", "status", "stock", "store", "story",
    "stream", "street", "studio", "summer", "supply", "table", "target", "ticket", "tiger", "token", "topic",
    "track", "travel", "trend", "update", "upper", "user", "value", "vendor", "video", "view", "village",
    "voice", "water", "weather", "week", "west", "window", "winter", "world", "yellow", "young", "zone",
];

const SERVERS: &[&str] = &[
    "nginx",
    "nginx/1.24.0",
    "Apache/2.4.57 (Debian)",
    "cloudflare",
    "envoy",
    "Microsoft-IIS/10.0",
    "openresty/1.21.4.1",
    "AmazonS3",
    "gws",
];

/// How a target of a host varies from request to request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variation {
    /// Not at all.
    Fixed,
    /// A number, and sometimes more, is appended.
    Numbered,
    /// Query parameters are appended.
    Queried,
}

/// A site that is asked.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) v4: Vec<Ipv4Addr>,
    pub(super) v6: Vec<Ipv6Addr>,
    pub(super) port: u16,
    pub(super) server: &'static str,
    pub(super) targets: Vec<(String, Variation)>,
    pub(super) target_ranks: Zipf,
    pub(super) security_policy: Option<String>,
    pub(super) weak_etags: bool,
}

impl Host {
    /// The path of any of its targets.
    pub(super) fn any_path(&self, random: &mut Random) -> &str {
        &self.targets[random.below(self.targets.len())].0
    }
}

/// Everything connections draw from.
pub(super) struct Population {
    pub(super) hosts: Vec<Host>,
    pub(super) host_ranks: Zipf,
    pub(super) agents: Vec<String>,
    pub(super) agent_ranks: Zipf,
    text: Vec<u8>,
    noise: Vec<u8>,
    gzip: Vec<Vec<u8>>,
}

impl Population {
    pub(super) fn new(profile: Profile, random: &mut Random) -> Self {
        let text = text(random);
        let gzip = (0..GZIP_COUNT).map(|_| gzip(profile, &text, random)).collect();
        Self {
            hosts: (0..HOST_COUNT).map(|rank| host(rank, random)).collect(),
            host_ranks: Zipf::new(HOST_COUNT),
            agents: (0..AGENT_COUNT).map(|rank| agent(rank, random)).collect(),
            agent_ranks: Zipf::new(AGENT_COUNT),
            noise: random.bytes(POOL_BYTES),
            text,
            gzip,
        }
    }

    /// Words and tags.
    pub(super) fn text(&self, len: usize, random: &mut Random) -> &[u8] {
        let at = random.below(self.text.len() - len);
        &self.text[at..at + len]
    }

    /// Bytes that do not compress.
    pub(super) fn noise(&self, len: usize, random: &mut Random) -> &[u8] {
        let at = random.below(self.noise.len() - len);
        &self.noise[at..at + len]
    }

    /// Compressed words and tags.
    pub(super) fn gzip(&self, random: &mut Random) -> &[u8] {
        &self.gzip[random.below(self.gzip.len())]
    }
}

pub(super) fn word(random: &mut Random) -> &'static str {
    WORDS[random.below(WORDS.len())]
}

fn text(random: &mut Random) -> Vec<u8> {
    let mut text = Vec::with_capacity(POOL_BYTES + 64);
    while text.len() < POOL_BYTES {
        text.extend_from_slice(word(random).as_bytes());
        text.push(b' ');
        if random.chance(0.05) {
            let (class, id) = (random.below(40), random.hex(6));
            text.extend_from_slice(format!("<div class=\"c{class}\" id=\"{id}\"> ").as_bytes());
        }
    }
    text.truncate(POOL_BYTES);
    text
}

fn gzip(profile: Profile, text: &[u8], random: &mut Random) -> Vec<u8> {
    let len = match profile {
        Profile::Heads => random.range(60, 800),
        Profile::Mix => random.log_normal(9.8, 1.0, 300, BODY_BYTES_MAX * 2),
    };
    let at = random.below(text.len() - len);
    let text = &text[at..at + len];
    // Compressed by a crate without CPU-dependent paths: its bytes are the same on every machine.
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    gzip.extend(compress_to_vec(text, 6));
    gzip.extend(crc32fast::hash(text).to_le_bytes());
    gzip.extend((len as u32).to_le_bytes());
    gzip
}

/// A user agent; the rank fixes its kind, so that every seed has the same shares of browsers and programs.
fn agent(rank: usize, random: &mut Random) -> String {
    let major = random.range(100, 140);
    match rank % 6 {
        0 | 1 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.{}.{} \
             Safari/537.36",
            random.range(4000, 7000),
            random.below(200)
        ),
        2 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS {0}_{1} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Version/{0}.0 Mobile/15E148 Safari/604.1",
            random.range(13, 19),
            random.below(7)
        ),
        3 => {
            format!("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{major}.0) Gecko/20100101 Firefox/{major}.0")
        }
        4 => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{major}.0.0.0 Safari/537.36 Edg/{major}.0.{}.{}",
            random.range(1000, 3000),
            random.below(99)
        ),
        _ => match random.below(6) {
            0 => format!("okhttp/4.{}.{}", random.below(13), random.below(4)),
            1 => format!("python-requests/2.{}.{}", random.range(20, 33), random.below(3)),
            2 => "Go-http-client/1.1".to_owned(),
            3 => format!("curl/7.{}.0", random.range(60, 89)),
            4 => format!("axios/1.{}.{}", random.below(7), random.below(4)),
            _ => format!("Apache-HttpClient/4.5.{} (Java/17.0.{})", random.below(14), random.below(9)),
        },
    }
}

/// A host; the rank fixes what weighs most in the size of heads, so that seeds compare.
fn host(rank: usize, random: &mut Random) -> Host {
    let name = host_name(random);
    let target_count = random.range(20, 120);
    let octet = |random: &mut Random| random.below(254) as u8 + 1;
    let v4 = (0..random.range(1, 4)).map(|_| {
        let first = random.pick(&[10, 172, 198, 203]);
        Ipv4Addr::new(first, random.range(16, 32) as u8, octet(random), octet(random))
    });
    let v4 = v4.collect();
    let v6 = (0..2).map(|_| {
        Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(random.bits32()) << 64 | u128::from(random.bits()))
    });
    let v6 = v6.collect();
    Host {
        name,
        v4,
        v6,
        port: if rank % 7 == 6 { 8080 } else { 80 },
        server: SERVERS[rank % SERVERS.len()],
        targets: (0..target_count).map(|_| target(random)).collect(),
        target_ranks: Zipf::new(target_count),
        security_policy: (rank % 5 == 3).then(|| security_policy(random)),
        weak_etags: random.chance(0.5),
    }
}

fn host_name(random: &mut Random) -> String {
    const NAMES: &[&str] = &[
        "www",
        "api",
        "cdn",
        "static",
        "auth",
        "img",
        "m",
        "edge",
        "orders",
        "users",
        "search",
        "catalog",
        "payments",
        "media",
        "events",
        "telemetry",
        "feed",
        "assets",
    ];
    const DOMAINS: &[&str] = &[
        "example.com",
        "corp.internal",
        "svc.cluster.local",
        "example.net",
        "shop.example.org",
        "api.example.io",
    ];
    let (name, domain) = (random.pick(NAMES), random.pick(DOMAINS));
    match random.below(4) {
        0 | 1 => format!("{name}.{domain}"),
        2 => format!("{name}-{}.{domain}", random.below(20)),
        _ => format!("{name}{}.{domain}", random.below(9)),
    }
}

fn target(random: &mut Random) -> (String, Variation) {
    match random.below(6) {
        0 => (format!("/static/{}/{}.{}.js", word(random), word(random), random.hex(8)), Variation::Fixed),
        1 => (format!("/api/v{}/{}/", random.range(1, 4), word(random)), Variation::Numbered),
        2 => (format!("/{}/{}?", word(random), word(random)), Variation::Queried),
        3 => {
            let (width, height) = (random.range(1, 20) * 100, random.range(1, 20) * 100);
            let path = format!("/images/{}/{}_{width}x{height}.jpg", random.hex(4), random.hex(12));
            (path, Variation::Fixed)
        }
        4 => {
            let title = [word(random), word(random), word(random)].join("-");
            (format!("/{}/{title}/", word(random)), Variation::Fixed)
        }
        _ => (format!("/v2/{}/{}/_search?", word(random), random.hex(6)), Variation::Queried),
    }
}

fn security_policy(random: &mut Random) -> String {
    let counts = [random.range(2, 25), random.range(1, 8), random.range(1, 8)];
    let mut origins = |scheme: &str, count: usize| {
        let origins = (0..count).map(|_| format!("{scheme}://{}", host_name(random)));
        origins.collect::<Vec<_>>().join(" ")
    };
    let (script, style, connect) =
        (origins("https", counts[0]), origins("https", counts[1]), origins("wss", counts[2]));
    format!(
        "default-src 'self'; script-src 'self' 'unsafe-inline' {script}; img-src * data:; style-src 'self' \
         'unsafe-inline' {style}; connect-src 'self' {connect}; frame-ancestors 'none'; report-uri /csp"
    )
}
