//! Which rows a viewer wants: every condition that is given must hold.
//!
//! Evaluated by the hub on sightings; a viewer that asks for little is sent little.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::sighting::{Part, Sighting};
use crate::settings::Net;

/// Conditions on rows; none wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Host, `*` standing for any characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Pattern>,
    /// Path, without query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Pattern>,
    /// Method as on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Pattern>,
    /// Network of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientNet>,
    /// Status codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusSet>,
    /// Microseconds to the first byte of the response; only more will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than_us: Option<u64>,
}

impl Filter {
    /// True where every condition holds; a value that the row does not have fulfils none.
    pub fn wants(&self, seen: &Sighting) -> bool {
        let matches = |pattern: &Option<Pattern>, part: Part| {
            pattern.as_ref().is_none_or(|pattern| seen.text(part).is_some_and(|text| pattern.matches(text)))
        };
        matches(&self.host, Part::Host)
            && matches(&self.path, Part::Path)
            && matches(&self.method, Part::Method)
            && self.client.is_none_or(|net| net.0.contains(seen.client.0))
            && self.status.as_ref().is_none_or(|set| seen.status.is_some_and(|status| set.contains(status)))
            && self.slower_than_us.is_none_or(|floor| {
                seen.ttfb_us
                    .and_then(|micros| u64::try_from(micros).ok())
                    .is_some_and(|micros| micros > floor)
            })
    }
}

/// Text in which `*` stands for any characters; without one, the whole text. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Bytes of a pattern: longer than any text there is to match.
const PATTERN_BYTES_MAX: usize = 256;

impl Pattern {
    /// True where the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last star stands, and how much of the text it has taken.
        let mut star: Option<(usize, usize)> = None;
        while seen < text.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at, seen));
                at += 1;
            } else if pattern.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&text[seen])) {
                at += 1;
                seen += 1;
            } else if let Some((star_at, taken)) = star {
                star = Some((star_at, taken + 1));
                (at, seen) = (star_at + 1, taken + 1);
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.len() {
            0 => Err("an empty pattern matches nothing: leave it out, or give *".to_owned()),
            1..=PATTERN_BYTES_MAX => Ok(Pattern(text.to_owned())),
            len => Err(format!("a pattern of {len} bytes: at most {PATTERN_BYTES_MAX} are taken")),
        }
    }
}

/// The network that clients are to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientNet(Net);

impl FromStr for ClientNet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(ClientNet)
    }
}

/// Status codes: `404`, `5xx`, `400-499`, or several of them joined by commas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusSet(Vec<(i32, i32)>);

/// Ranges of a set of status codes.
const STATUS_RANGE_COUNT_MAX: usize = 16;

impl StatusSet {
    /// True for a status code of the set.
    pub fn contains(&self, status: i32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl FromStr for StatusSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ranges: Vec<_> = text.split(',').map(status_range).collect::<Result<_, _>>()?;
        if ranges.len() > STATUS_RANGE_COUNT_MAX {
            return Err(format!("{} ranges: at most {STATUS_RANGE_COUNT_MAX} are taken", ranges.len()));
        }
        Ok(StatusSet(ranges))
    }
}

fn status_range(text: &str) -> Result<(i32, i32), String> {
    let refusal =
        || format!("'{text}' is no status: expected 404, 5xx, 400-499, or several joined by commas");
    let code = |text: &str| {
        let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| text.parse().ok()).flatten().ok_or_else(refusal)
    };
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let first = code(&format!("{class}00"))?;
        return Ok((first, first + 99));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (code(first)?, code(last)?);
    if first > last { Err(refusal()) } else { Ok((first, last)) }
}

macro_rules! as_text {
    ($type:ty, |$value:ident, $f:ident| $write:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, $f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $value = self;
                $write
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

as_text!(Pattern, |pattern, f| f.write_str(&pattern.0));
as_text!(ClientNet, |net, f| net.0.fmt(f));
as_text!(StatusSet, |set, f| {
    let ranges: Vec<String> = set.0.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    f.write_str(&ranges.join(","))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::view::sighting::testing::sighting;

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            (Some((byte, rest)), Some((first, behind))) => {
                byte.eq_ignore_ascii_case(first) && naive(rest, behind)
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_agree_with_the_naive_twin(pattern in "[ab*]{1,7}", text in "[abA]{0,9}") {
            let matches = pattern.parse::<Pattern>().unwrap().matches(&text);
            prop_assert_eq!(matches, naive(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn status_sets() {
        let set: StatusSet = "404,5xx".parse().unwrap();
        assert!(set.contains(404) && set.contains(500) && set.contains(599));
        assert!(!set.contains(403) && !set.contains(600));
        for wrong in ["", "x", "5x", "xx", "99", "1000", "500-400", "4xx,", "-1"] {
            assert!(wrong.parse::<StatusSet>().is_err(), "{wrong}");
        }
        assert!(["404"; 17].join(",").parse::<StatusSet>().is_err());
    }

    #[test]
    fn every_condition_must_hold() {
        let seen = sighting(("GET", "shop.example", "/api/items/3"), 503, 250);
        let wants = |json: &str| serde_json::from_str::<Filter>(json).unwrap().wants(&seen);
        for json in [
            "{}",
            r#"{"host":"shop.example"}"#,
            r#"{"host":"*.EXAMPLE","status":"5xx","path":"/api/*","method":"get"}"#,
            r#"{"client":"10.0.0.0/8","slower_than_us":249999}"#,
        ] {
            assert!(wants(json), "{json}");
        }
        for json in [
            r#"{"host":"shop"}"#,
            r#"{"path":"/api"}"#,
            r#"{"status":"404"}"#,
            r#"{"method":"POST"}"#,
            r#"{"client":"192.168.0.0/16"}"#,
            r#"{"slower_than_us":250000}"#,
            r#"{"host":"shop.example","status":"2xx"}"#,
        ] {
            assert!(!wants(json), "{json}");
        }
    }

    #[test]
    fn a_filter_survives_the_way_to_the_hub() {
        let filter = Filter {
            host: Some("a*".parse().unwrap()),
            client: Some("10.0.0.0/8".parse().unwrap()),
            status: Some("404,5xx".parse().unwrap()),
            slower_than_us: Some(7),
            ..Filter::default()
        };
        let line = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&line).unwrap(), filter);
        assert!(serde_json::from_str::<Filter>(r#"{"hots":"a"}"#).is_err());
        assert!(serde_json::from_str::<Filter>(r#"{"host":""}"#).is_err());
        let long = format!(r#"{{"host":"{}"}}"#, "a".repeat(PATTERN_BYTES_MAX + 1));
        assert!(serde_json::from_str::<Filter>(&long).is_err());
    }
}
