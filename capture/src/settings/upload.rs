//! Where published files are uploaded to: `s3://BUCKET/PREFIX`, and the server that answers for it.

use std::{fmt, str::FromStr};

/// Longest name of a bucket, by the rules of S3.
const BUCKET_BYTES: std::ops::RangeInclusive<usize> = 3..=63;

/// How files are uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSettings {
    /// Where to.
    pub target: UploadTarget,
    /// A server other than that of AWS.
    pub endpoint: Option<String>,
}

/// A place in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadTarget {
    /// The bucket.
    pub bucket: String,
    /// What the names of objects begin with; without a slash at either end, and empty where they stand in the bucket itself.
    pub prefix: String,
}

impl fmt::Display for UploadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl FromStr for UploadTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<UploadTarget, String> {
        let place = text.strip_prefix("s3://").ok_or("give s3://BUCKET/PREFIX")?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        if !BUCKET_BYTES.contains(&bucket.len()) || !bucket.bytes().all(fits) {
            return Err(format!(
                "'{bucket}' cannot be a bucket: 3 to 63 lower-case letters, digits, dots, dashes"
            ));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_plain = |part: &str| !["", ".", ".."].contains(&part) && !part.contains(char::is_control);
        if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
            return Err(format!(
                "'{prefix}' cannot begin the names of objects: it has an empty part, a dot or two"
            ));
        }
        Ok(UploadTarget { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// Understands the address of a server.
pub(super) fn parse_endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    // What stands before an at sign is a secret that would be told in every message.
    match host {
        Some(host) if !host.is_empty() && !host.contains(['@', '?', '#', ' ']) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        Some(_) | None => Err("give https://HOST or https://HOST:PORT, without user and password".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood_and_odd_ones_are_not() {
        let place = |bucket: &str, prefix: &str| {
            Ok(UploadTarget { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!("s3://heads".parse(), place("heads", ""));
        assert_eq!("s3://heads/".parse(), place("heads", ""));
        assert_eq!("s3://heads/site-a/lan/".parse(), place("heads", "site-a/lan"));
        assert_eq!(
            "s3://heads/a".parse::<UploadTarget>().map(|place| place.to_string()),
            Ok("s3://heads/a".into())
        );
        for odd in
            ["heads", "gs://heads", "s3://", "s3://ab", "s3://Heads/a", "s3://heads//a", "s3://heads/../a"]
        {
            assert!(odd.parse::<UploadTarget>().is_err(), "{odd}");
        }
        assert_eq!(parse_endpoint("http://127.0.0.1:5000/"), Ok("http://127.0.0.1:5000".to_owned()));
        for odd in ["127.0.0.1", "ftp://a", "https://", "https://user:password@host"] {
            assert!(parse_endpoint(odd).is_err(), "{odd}");
        }
    }
}
