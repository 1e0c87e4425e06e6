//! An error of the object store in the words of an operator: what was said, what it means, what to try.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

/// Part of the address at which a machine is asked for its role's credentials.
const MACHINE_ROLE: &str = "/latest/";

/// What TLS says first of a certificate that it does not take.
const BAD_CERTIFICATE: &str = "invalid peer certificate";

/// What keeps files from being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    NoCredentials,
    Refused,
    NoBucket,
    Untrusted,
    Unreachable,
    Other,
}

impl Cause {
    fn of(error: &object_store::Error) -> Cause {
        if matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
        ) {
            return Cause::Refused;
        }
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Cause::NoBucket;
        }
        let never_connected = causes(error)
            .filter_map(|cause| cause.downcast_ref::<HttpError>())
            .any(|cause| matches!(cause.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout));
        if error.to_string().contains(MACHINE_ROLE) {
            Cause::NoCredentials
        } else if root(error).contains(BAD_CERTIFICATE) {
            Cause::Untrusted
        } else if never_connected {
            Cause::Unreachable
        } else {
            Cause::Other
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Cause::NoCredentials => {
                "there are no credentials, neither in variables nor of a role of this machine"
            }
            Cause::Refused => "the store refuses it to these credentials",
            Cause::NoBucket => "the store has no such bucket",
            Cause::Untrusted => "the store shows a certificate that this host does not trust",
            Cause::Unreachable => "the store cannot be reached",
            Cause::Other => "the store did not take it",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Cause::NoCredentials => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and start again",
            Cause::Refused => {
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; they must allow to put, to delete and \
                 to send in parts below this place"
            }
            Cause::NoBucket => "make it, or check --upload and --upload-endpoint",
            Cause::Untrusted => {
                "name the file of its authority's certificate in SSL_CERT_FILE, or add that to this host's, and start \
                 again"
            }
            Cause::Unreachable => "check --upload-endpoint, and that this host may connect there",
            Cause::Other => "see what it says",
        }
    }
}

/// The error in one line.
pub(super) fn explained(error: &object_store::Error) -> anyhow::Error {
    let cause = Cause::of(error);
    let said = match cause {
        Cause::Refused | Cause::NoBucket => code(error).unwrap_or_else(|| root(error)),
        Cause::NoCredentials | Cause::Untrusted | Cause::Unreachable => root(error),
        Cause::Other => error.to_string(),
    };
    anyhow::anyhow!("{} ({said}): {}", cause.meaning(), cause.advice())
}

/// What S3 calls it, of the answer `<Error><Code>...</Code>...`.
fn code(error: &object_store::Error) -> Option<String> {
    let text = error.to_string();
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

fn root(error: &object_store::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes<'a>(error: &'a object_store::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn generic(source: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: source.into() }
    }

    #[test]
    fn each_cause_has_its_advice() {
        let refused = |body: &str| object_store::Error::PermissionDenied {
            path: "a".to_owned(),
            source: format!("Server returned non-2xx status code: 403 Forbidden: {body}").into(),
        };
        let untrusted = io::Error::other(format!("{BAD_CERTIFICATE}: UnknownIssuer"));
        let closed = io::Error::from(io::ErrorKind::ConnectionRefused);
        let cases = [
            (refused("<Error><Code>InvalidAccessKeyId</Code></Error>"), "(InvalidAccessKeyId): check AWS_"),
            (refused("no"), "(Server returned non-2xx status code: 403 Forbidden: no): check AWS_"),
            (refused("<Code>no code \u{1b}[0m</Code>"), "AWS_REGION"),
            (
                object_store::Error::NotFound {
                    path: "a".to_owned(),
                    source: "<Code>NoSuchBucket</Code>".into(),
                },
                "no such bucket (NoSuchBucket): make it",
            ),
            (generic(HttpError::new(HttpErrorKind::Connect, untrusted)), "SSL_CERT_FILE"),
            (
                generic(HttpError::new(HttpErrorKind::Connect, closed)),
                "(connection refused): check --upload-endpoint",
            ),
            (generic("PUT http://169.254.169.254/latest/api/token"), "set AWS_ACCESS_KEY_ID"),
            (generic("it is late"), "did not take it (Generic S3 error: it is late)"),
        ];
        for (error, expected) in cases {
            let told = explained(&error).to_string();
            assert!(told.contains(expected), "{told} for {expected}");
        }
    }
}
