//! Header names: one small enum for those that the engine reads, with their compact forms.

/// Builds the enum, its spellings and the lookup table from one list.
macro_rules! header_names {
    ($($variant:ident $text:literal $(compact $compact:literal)?;)*) => {
        /// A header name that this crate knows, or [`HeaderName::Other`].
        ///
        /// Long and compact spellings in any case give the same variant (RFC 3261 §7.3.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any name not in this list.
            Other,
        }

        impl HeaderName {
            /// The long spelling, as we write it; empty for `Other`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(HeaderName::$variant => $text,)*
                    HeaderName::Other => "",
                }
            }
        }

        const SPELLINGS: &[(&str, HeaderName)] = &[
            $(($text, HeaderName::$variant), $(($compact, HeaderName::$variant),)?)*
        ];
    };
}

header_names! {
    Accept "Accept";
    AcceptContact "Accept-Contact" compact "a";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AlertInfo "Alert-Info";
    Allow "Allow";
    AllowEvents "Allow-Events" compact "u";
    AuthenticationInfo "Authentication-Info";
    Authorization "Authorization";
    CallId "Call-ID" compact "i";
    CallInfo "Call-Info";
    Contact "Contact" compact "m";
    ContentDisposition "Content-Disposition";
    ContentEncoding "Content-Encoding" compact "e";
    ContentId "Content-ID";
    ContentLanguage "Content-Language";
    ContentLength "Content-Length" compact "l";
    ContentTransferEncoding "Content-Transfer-Encoding";
    ContentType "Content-Type" compact "c";
    Cseq "CSeq";
    Date "Date";
    Diversion "Diversion";
    ErrorInfo "Error-Info";
    Event "Event" compact "o";
    Expires "Expires";
    FlowTimer "Flow-Timer";
    From "From" compact "f";
    HistoryInfo "History-Info";
    Identity "Identity" compact "y";
    IdentityInfo "Identity-Info" compact "n";
    InReplyTo "In-Reply-To";
    InfoPackage "Info-Package";
    Join "Join";
    MaxForwards "Max-Forwards";
    MimeVersion "MIME-Version";
    MinExpires "Min-Expires";
    MinSe "Min-SE";
    Organization "Organization";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    Path "Path";
    Priority "Priority";
    Privacy "Privacy";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyRequire "Proxy-Require";
    Rack "RAck";
    Reason "Reason";
    RecordRoute "Record-Route";
    RecvInfo "Recv-Info";
    ReferSub "Refer-Sub";
    ReferTo "Refer-To" compact "r";
    ReferredBy "Referred-By" compact "b";
    RejectContact "Reject-Contact" compact "j";
    RemotePartyId "Remote-Party-ID";
    Replaces "Replaces";
    ReplyTo "Reply-To";
    RequestDisposition "Request-Disposition" compact "d";
    Require "Require";
    RetryAfter "Retry-After";
    Route "Route";
    Rseq "RSeq";
    Server "Server";
    ServiceRoute "Service-Route";
    SessionExpires "Session-Expires" compact "x";
    SipEtag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    Subject "Subject" compact "s";
    SubscriptionState "Subscription-State";
    Supported "Supported" compact "k";
    Timestamp "Timestamp";
    To "To" compact "t";
    Unsupported "Unsupported";
    UserAgent "User-Agent";
    Via "Via" compact "v";
    Warning "Warning";
    WwwAuthenticate "WWW-Authenticate";
}

impl HeaderName {
    /// The variant for a spelling, long or compact, in any case.
    #[inline]
    pub fn of(text: &str) -> HeaderName {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return HeaderName::Other;
        }
        let mut slot = slot_of(bytes);
        loop {
            let entry = SLOTS[slot];
            if entry == EMPTY {
                return HeaderName::Other;
            }
            let (spelling, name) = SPELLINGS[entry as usize];
            // Most senders write the usual spelling, which compares in one step.
            if spelling == text || spelling.eq_ignore_ascii_case(text) {
                return name;
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
    }
}

impl std::fmt::Display for HeaderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Slots of the lookup table: several times the number of spellings, so that most probes hit at once.
const SLOT_COUNT: usize = 512;
const EMPTY: u8 = u8::MAX;
static SLOTS: [u8; SLOT_COUNT] = build_slots();

/// `bytes` must not be empty.
const fn slot_of(bytes: &[u8]) -> usize {
    let len = bytes.len();
    let first = bytes[0].to_ascii_lowercase() as usize;
    let middle = bytes[len / 2].to_ascii_lowercase() as usize;
    let last = bytes[len - 1].to_ascii_lowercase() as usize;
    (len * 61 + first * 29 + middle * 7 + last * 131) % SLOT_COUNT
}

const fn build_slots() -> [u8; SLOT_COUNT] {
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut i = 0;
    while i < SPELLINGS.len() {
        let mut slot = slot_of(SPELLINGS[i].0.as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = i as u8;
        i += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        for (text, name) in SPELLINGS {
            assert_eq!(HeaderName::of(text), *name);
            assert_eq!(HeaderName::of(&text.to_ascii_uppercase()), *name);
            assert_eq!(HeaderName::of(&text.to_ascii_lowercase()), *name);
        }
        for text in ["", "Viaa", "Vi", "C%6Fntact", "z", "Contact "] {
            assert_eq!(HeaderName::of(text), HeaderName::Other, "{text}");
        }
    }
}
