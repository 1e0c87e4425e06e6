//! The field names that mean something to the schema: which have a column of their own, and on which side.

macro_rules! fields {
    ($($variant:ident = $name:literal,)+) => {
        /// A field name (RFC 9110 section 5.1) that parser, redaction or schema know by heart.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the field it names")]
        pub enum Field { $($variant,)+ }

        impl Field {
            /// Every known field.
            pub const ALL: &'static [Field] = &[$(Field::$variant,)+];

            /// The name in lower case.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)+ }
            }
        }
    };
}

fields! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AccessControlAllowOrigin = "access-control-allow-origin",
    Age = "age",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentSecurityPolicy = "content-security-policy",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Etag = "etag",
    Expect = "expect",
    Expires = "expires",
    Forwarded = "forwarded",
    Host = "host",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    LastModified = "last-modified",
    Location = "location",
    Origin = "origin",
    ProxyAuthorization = "proxy-authorization",
    Range = "range",
    Referer = "referer",
    RetryAfter = "retry-after",
    Server = "server",
    SetCookie = "set-cookie",
    StrictTransportSecurity = "strict-transport-security",
    Traceparent = "traceparent",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    WwwAuthenticate = "www-authenticate",
    XCache = "x-cache",
    XForwardedFor = "x-forwarded-for",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
}

impl Field {
    /// The known field of this name, in any case; `None` where the name is not known by heart.
    pub fn from_name(name: &[u8]) -> Option<Field> {
        Self::ALL.iter().copied().find(|field| name.eq_ignore_ascii_case(field.name().as_bytes()))
    }
}
