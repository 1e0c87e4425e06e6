//! Which strings each side of a transaction holds, and in which of them a field line finds its home.
//!
//! The enums number the string columns of a side; a record keeps one code per variant.

use super::strings::Coding;
use crate::field::Field;

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($variant:ident: $coding:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($variant,)+ }

        impl $name {
            /// How each column gives out codes, in the order of the variants.
            pub(crate) const CODINGS: [Coding; [$($name::$variant,)+].len()] = [$(Coding::$coding,)+];
        }
    };
}

texts! {
    /// Strings of a connection.
    ConnectionText {
        Iface: Repeating,
        CommunityId: Repeating,
        ClientIp: Repeating,
        ServerIp: Repeating,
        TunnelType: Repeating,
        OuterSrcIp: Repeating,
        OuterDstIp: Repeating,
    }
}

texts! {
    /// Strings of a request, those computed from its field lines last.
    RequestText {
        Method: Repeating,
        MethodRaw: Repeating,
        TargetRaw: Repeating,
        Host: Repeating,
        Path: Repeating,
        Query: Repeating,
        PathTemplate: Repeating,
        Version: Repeating,
        TransferEncoding: Repeating,
        AuthorizationScheme: Repeating,
        TraceId: Unique,
        HeaderNames: Repeating,
        UserAgent: Repeating,
        Referer: Repeating,
        Origin: Repeating,
        Accept: Repeating,
        AcceptLanguage: Repeating,
        AcceptEncoding: Repeating,
        ContentType: Repeating,
        Authorization: Repeating,
        Cookie: Repeating,
        XForwardedFor: Repeating,
        Forwarded: Repeating,
        Via: Repeating,
        XRealIp: Repeating,
        XRequestId: Unique,
        Traceparent: Unique,
        Range: Repeating,
        IfNoneMatch: Repeating,
        IfModifiedSince: Repeating,
        CacheControl: Repeating,
        Connection: Repeating,
        Expect: Repeating,
    }
}

texts! {
    /// Strings of a response, those computed from its field lines last.
    ResponseText {
        Version: Repeating,
        Reason: Repeating,
        UpgradeProtocol: Repeating,
        TransferEncoding: Repeating,
        HeaderNames: Repeating,
        ContentEncoding: Repeating,
        Server: Repeating,
        Date: Repeating,
        ContentType: Repeating,
        Location: Repeating,
        CacheControl: Repeating,
        Connection: Repeating,
        Etag: Repeating,
        LastModified: Repeating,
        Vary: Repeating,
        Age: Repeating,
        Expires: Repeating,
        XCache: Repeating,
        RetryAfter: Repeating,
        WwwAuthenticate: Repeating,
        StrictTransportSecurity: Repeating,
        ContentSecurityPolicy: Repeating,
        AccessControlAllowOrigin: Repeating,
    }
}

/// Where a canonical field line that comes once is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In the column with this number, which holds the line's value.
    Text(usize),
    /// In a column whose value came beside the lines, where it equals the line's.
    Given(Given),
    /// In the list of set cookies.
    SetCookies,
    /// Among the other headers.
    Other,
}

/// A column that is not filled from its field lines alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// `host`, in lower case or from the target.
    Host,
    /// The declared length, a number.
    ContentLength,
    /// The codings of all lines.
    TransferEncoding,
}

/// Homes of a side's field lines, by `Field`.
pub(crate) type Homes = [Home; Field::ALL.len()];

/// Homes of the field lines of a request.
pub(crate) static REQUEST_HOMES: Homes = homes(true);

/// Homes of the field lines of a response.
pub(crate) static RESPONSE_HOMES: Homes = homes(false);

const fn homes(of_request: bool) -> Homes {
    let mut homes = [Home::Other; Field::ALL.len()];
    let mut at = 0;
    while at < homes.len() {
        let field = Field::ALL[at];
        homes[at] = if of_request { request_home(field) } else { response_home(field) };
        at += 1;
    }
    homes
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the fields named have a column, all others have none")]
const fn request_home(field: Field) -> Home {
    use RequestText as Text;
    let text = match field {
        Field::Host => return Home::Given(Given::Host),
        Field::ContentLength => return Home::Given(Given::ContentLength),
        Field::TransferEncoding => return Home::Given(Given::TransferEncoding),
        Field::UserAgent => Text::UserAgent,
        Field::Referer => Text::Referer,
        Field::Origin => Text::Origin,
        Field::Accept => Text::Accept,
        Field::AcceptLanguage => Text::AcceptLanguage,
        Field::AcceptEncoding => Text::AcceptEncoding,
        Field::ContentType => Text::ContentType,
        Field::Authorization => Text::Authorization,
        Field::Cookie => Text::Cookie,
        Field::XForwardedFor => Text::XForwardedFor,
        Field::Forwarded => Text::Forwarded,
        Field::Via => Text::Via,
        Field::XRealIp => Text::XRealIp,
        Field::XRequestId => Text::XRequestId,
        Field::Traceparent => Text::Traceparent,
        Field::Range => Text::Range,
        Field::IfNoneMatch => Text::IfNoneMatch,
        Field::IfModifiedSince => Text::IfModifiedSince,
        Field::CacheControl => Text::CacheControl,
        Field::Connection => Text::Connection,
        Field::Expect => Text::Expect,
        _ => return Home::Other,
    };
    Home::Text(text as usize)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the fields named have a column, all others have none")]
const fn response_home(field: Field) -> Home {
    use ResponseText as Text;
    let text = match field {
        Field::SetCookie => return Home::SetCookies,
        Field::ContentLength => return Home::Given(Given::ContentLength),
        Field::TransferEncoding => return Home::Given(Given::TransferEncoding),
        Field::ContentEncoding => Text::ContentEncoding,
        Field::Server => Text::Server,
        Field::Date => Text::Date,
        Field::ContentType => Text::ContentType,
        Field::Location => Text::Location,
        Field::CacheControl => Text::CacheControl,
        Field::Connection => Text::Connection,
        Field::Etag => Text::Etag,
        Field::LastModified => Text::LastModified,
        Field::Vary => Text::Vary,
        Field::Age => Text::Age,
        Field::Expires => Text::Expires,
        Field::XCache => Text::XCache,
        Field::RetryAfter => Text::RetryAfter,
        Field::WwwAuthenticate => Text::WwwAuthenticate,
        Field::StrictTransportSecurity => Text::StrictTransportSecurity,
        Field::ContentSecurityPolicy => Text::ContentSecurityPolicy,
        Field::AccessControlAllowOrigin => Text::AccessControlAllowOrigin,
        _ => return Home::Other,
    };
    Home::Text(text as usize)
}
