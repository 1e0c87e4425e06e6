//! The methods IANA has registered (RFC 9110 section 16.1), and everything else.
//!
//! Invariant: names are case-sensitive (RFC 9110 section 9.1); `get` is not GET, and is flagged as its neighbour.

macro_rules! methods {
    ($($variant:ident = $name:literal,)+) => {
        /// A request method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the method it names")]
        pub enum Method {
            $($variant,)+
            /// None that IANA has registered.
            Other,
        }

        impl Method {
            /// Every registered method.
            pub const REGISTERED: &'static [Method] = &[$(Method::$variant,)+];

            /// The registered name; `_OTHER` for any other.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Method::$variant => $name,)+
                    Method::Other => "_OTHER",
                }
            }
        }
    };
}

methods! {
    Get = "GET",
    Post = "POST",
    Put = "PUT",
    Head = "HEAD",
    Delete = "DELETE",
    Options = "OPTIONS",
    Patch = "PATCH",
    Connect = "CONNECT",
    Acl = "ACL",
    BaselineControl = "BASELINE-CONTROL",
    Bind = "BIND",
    Checkin = "CHECKIN",
    Checkout = "CHECKOUT",
    Copy = "COPY",
    Label = "LABEL",
    Link = "LINK",
    Lock = "LOCK",
    Merge = "MERGE",
    Mkactivity = "MKACTIVITY",
    Mkcalendar = "MKCALENDAR",
    Mkcol = "MKCOL",
    Mkredirectref = "MKREDIRECTREF",
    Mkworkspace = "MKWORKSPACE",
    Move = "MOVE",
    Orderpatch = "ORDERPATCH",
    Pri = "PRI",
    Propfind = "PROPFIND",
    Proppatch = "PROPPATCH",
    Query = "QUERY",
    Rebind = "REBIND",
    Report = "REPORT",
    Search = "SEARCH",
    Trace = "TRACE",
    Unbind = "UNBIND",
    Uncheckout = "UNCHECKOUT",
    Unlink = "UNLINK",
    Unlock = "UNLOCK",
    Update = "UPDATE",
    Updateredirectref = "UPDATEREDIRECTREF",
    VersionControl = "VERSION-CONTROL",
}

impl Method {
    /// The method of this exact name.
    #[inline]
    pub fn from_name(name: &[u8]) -> Method {
        Self::REGISTERED
            .iter()
            .copied()
            .find(|method| method.name().as_bytes() == name)
            .unwrap_or(Method::Other)
    }

    /// True where the name is a registered one but for its case.
    pub fn is_name_in_other_case(name: &[u8]) -> bool {
        Self::from_name(name) == Method::Other
            && Self::REGISTERED.iter().any(|method| method.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive() {
        for &method in Method::REGISTERED {
            assert_eq!(Method::from_name(method.name().as_bytes()), method);
            let lower = method.name().to_ascii_lowercase();
            assert_eq!(Method::from_name(lower.as_bytes()), Method::Other);
            assert!(Method::is_name_in_other_case(lower.as_bytes()));
            assert!(!Method::is_name_in_other_case(method.name().as_bytes()));
        }
        assert_eq!(Method::from_name(b"BREW").name(), "_OTHER");
        assert!(!Method::is_name_in_other_case(b"BREW"));
    }
}
