//! Limits of the node: each has a name, a default and a range, and is set in `[limits]` of keyline.toml.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use keyline_wire::sip::ParseError;

/// A limit as the configuration knows it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Key in `[limits]`.
    pub name: &'static str,
    /// Value if the key is absent.
    pub default: u64,
    /// Lowest value taken.
    pub min: u64,
    /// Highest value taken.
    pub max: u64,
}

impl Field {
    /// The values taken.
    pub fn range(&self) -> RangeInclusive<u64> {
        self.min..=self.max
    }
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $default:literal in $min:literal ..= $max:literal;)*) => {
        /// What the node takes at most before it refuses or sheds.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// All limits, in the order of [`Limits`].
        pub const FIELDS: &[Field] = &[
            $(Field { name: stringify!($name), default: $default, min: $min, max: $max },)*
        ];

        impl Limits {
            /// The limit of this name, to be set.
            pub fn by_name(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

limits! {
    /// Bytes of start line and headers of a message together.
    message_head_bytes = 65_535 in 1_024 ..= 65_535;
    /// Bytes of one header line.
    message_header_bytes = 16_384 in 256 ..= 65_535;
    /// Header lines of a message.
    message_headers = 256 in 16 ..= 4_096;
    /// Via values of a message.
    message_vias = 128 in 1 ..= 1_024;
    /// Bytes of a message's body.
    message_body_bytes = 262_144 in 1_024 ..= 16_777_216;
    /// Requests that one source may send in a second, and as many at once; more over UDP are dropped unread,
    /// over a stream they get 503. One source may be a whole site behind a NAT, or a proxy.
    requests_per_source = 20_000 in 1 ..= 1_000_000;
    /// OPTIONS to the server itself that one source may send in a second; more get no answer.
    options_per_source = 200 in 1 ..= 1_000_000;
    /// Unknown phones that one source may have let in by auto-registration in a second; more get 503.
    auto_registrations_per_source = 10 in 1 ..= 1_000_000;
    /// Phones that auto-registration may have made in all and that are still there; more get 403.
    auto_registered_phones = 10_000 in 1 ..= 4_000_000;
    /// Wrong digest answers of one source that still get a challenge; then 403. Right ones are served always.
    wrong_digests_per_source = 8 in 1 ..= 120;
    /// Seconds after which one wrong digest answer of a source is forgiven.
    wrong_digest_forget_s = 10 in 1 ..= 3_600;
    /// Open stream connections of the node, handshakes included. An idle TLS connection costs about 12 KB.
    /// Held below what the process may open, less `descriptors_reserved`.
    connections = 100_000 in 1 ..= 4_000_000;
    /// Open stream connections from one source. Many phones may share one behind a NAT.
    connections_per_source = 20_000 in 1 ..= 4_000_000;
    /// Open stream connections of the node on which nobody has registered yet.
    unauthenticated_connections = 10_000 in 1 ..= 4_000_000;
    /// The same from one source: nobody takes all of them.
    unauthenticated_per_source = 2_000 in 1 ..= 4_000_000;
    /// TLS and WebSocket handshakes under way at a time.
    handshakes = 4_000 in 1 ..= 4_000_000;
    /// The same from one source.
    handshakes_per_source = 2_000 in 1 ..= 4_000_000;
    /// Whole TLS handshakes that wait for one worker; who comes then is closed at once, unless it resumes. One
    /// costs about 6 KB and 0.1 to 0.6 ms of a core.
    handshakes_waiting = 1_024 in 1 ..= 1_000_000;
    /// File descriptors that no phone's connection may take: for the store, the log, the admin API.
    descriptors_reserved = 512 in 16 ..= 1_000_000;
    /// Seconds for a TLS or WebSocket handshake, from the first byte; as many from the connection to that byte.
    handshake_s = 10 in 1 ..= 120;
    /// Seconds for a message on a stream, from its first byte.
    message_s = 30 in 1 ..= 300;
    /// Seconds that a connection on which nobody has registered may send no message; keepalives count for none.
    unauthenticated_idle_s = 60 in 1 ..= 3_600;
    /// Bytes that wait to be written to one connection before it is closed as stuck.
    write_queue_bytes = 262_144 in 16_384 ..= 16_777_216;
    /// Seconds in which a peer must take what is written to it.
    write_s = 10 in 1 ..= 120;
    /// SIP transactions of each direction in one worker. A completed one costs about 0.9 KB for 32 s.
    transactions_per_worker = 65_536 in 1_000 ..= 16_777_216;
    /// Of these, server transactions of one source that wait for an answer, or an INVITE's for its ACK; more requests
    /// outside of dialogs get 503. Answered ones give way where the table is full, so they take nobody's place.
    transactions_per_source = 16_384 in 1 ..= 16_777_216;
    /// Messages that wait for one shard. Ingress sheds from half of it on.
    queue_per_shard = 8_192 in 64 ..= 1_048_576;
    /// Calls at a time in one shard. A call costs about 4 KB.
    calls_per_shard = 50_000 in 1 ..= 10_000_000;
    /// Seconds without a message after which an active phone (on a call, with a subscription) becomes a row
    /// again. A longer time saves work, a shorter one memory: about 1 KB each.
    phone_idle_s = 10 in 1 ..= 3_600;
    /// 1: a second source may take over the binding of a phone that nothing proves. 0: it may not.
    allow_unproven_move = 0 in 0 ..= 1;
    /// Subscriptions of one phone. Each key that shows another line's state needs one.
    subscriptions_per_phone = 128 in 1 ..= 10_000;
    /// Subscriptions of the node. One costs about 1 KB.
    subscriptions = 500_000 in 1 ..= 10_000_000;
    /// Seconds for which a nonce key mints before a new one takes over; never less than the longest
    /// `nonce_validity_s` of a profile. The key before it still opens.
    nonce_key_s = 86_400 in 1 ..= 31_536_000;
    /// Verified bearer tokens of phones that are remembered, so that not each request costs a signature. One costs
    /// about 0.5 KB.
    oauth_tokens = 65_536 in 64 ..= 16_777_216;
    /// Client certificates whose chain check is remembered. One costs about 2 KB.
    known_certificates = 65_536 in 64 ..= 4_194_304;
    /// Seconds for which a key makes TLS session tickets before a new one takes over. The three before it still
    /// open theirs: a phone resumes for three to four times as long after its last whole handshake.
    ticket_key_s = 21_600 in 1 ..= 604_800;
    /// Wrong bearer tokens that one source address may send to the admin API in a minute; then none is looked at for
    /// a while.
    admin_wrong_tokens_per_minute = 20 in 1 ..= 1_000_000;
    /// Requests that one source may send to the admin API in a second, and as many at once; more get 429.
    admin_requests_per_source = 1_000 in 1 ..= 1_000_000;
    /// The same for one token.
    admin_requests_per_token = 500 in 1 ..= 1_000_000;
    /// Traces (`keyline trace`) that run at a time. Each holds at most 4 MB.
    traces = 8 in 1 ..= 64;
    /// Bytes of one request body of the admin API.
    admin_body_bytes = 1_048_576 in 4_096 ..= 1_073_741_824;
    /// Bytes of an inventory that comes over the admin API; it is held in memory, one at a time.
    admin_import_bytes = 67_108_864 in 65_536 ..= 536_870_912;
}

impl Limits {
    /// Those of a message, as the codec takes them.
    pub fn message(&self) -> keyline_wire::sip::Limits {
        keyline_wire::sip::Limits {
            head_bytes: size(self.message_head_bytes),
            header_bytes: size(self.message_header_bytes),
            headers: size(self.message_headers),
            vias: size(self.message_vias),
            body_bytes: size(self.message_body_bytes),
        }
    }
}

/// A limit as a size in memory.
pub fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// What "one source" is: an IPv4 address, or an IPv6 /64, which is the least that one customer gets
/// (RFC 6177), so that nobody has 2^64 sources.
pub fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        four => four,
    }
}

macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// A limit that refused, dropped or closed something: label of `keyline_limits_refused_total`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Limit {
            $($(#[$doc])* $name,)*
        }

        impl Limit {
            /// All, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The limit's name in `[limits]`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

counted! {
    /// 513.
    MessageHead "message_head_bytes",
    /// 513.
    MessageHeader "message_header_bytes",
    /// 513.
    MessageHeaders "message_headers",
    /// 513.
    MessageVias "message_vias",
    /// 513.
    MessageBody "message_body_bytes",
    /// Dropped, or 503.
    Requests "requests_per_source",
    /// Dropped.
    Options "options_per_source",
    /// 503.
    AutoRegistrations "auto_registrations_per_source",
    /// 403.
    AutoRegisteredPhones "auto_registered_phones",
    /// 403.
    WrongDigests "wrong_digests_per_source",
    /// Closed at once.
    Connections "connections",
    /// Closed at once.
    ConnectionsPerSource "connections_per_source",
    /// Closed at once.
    Unauthenticated "unauthenticated_connections",
    /// Closed at once.
    UnauthenticatedPerSource "unauthenticated_per_source",
    /// Closed at once.
    Handshakes "handshakes",
    /// Closed at once.
    HandshakesPerSource "handshakes_per_source",
    /// Closed after its ClientHello.
    HandshakesWaiting "handshakes_waiting",
    /// Closed at once, or left in the backlog where not even that can be done.
    Descriptors "descriptors_reserved",
    /// Closed.
    Handshake "handshake_s",
    /// Closed.
    Message "message_s",
    /// Closed.
    UnauthenticatedIdle "unauthenticated_idle_s",
    /// Closed.
    WriteQueue "write_queue_bytes",
    /// Closed.
    Write "write_s",
    /// 503.
    Transactions "transactions_per_worker",
    /// 503.
    TransactionsPerSource "transactions_per_source",
    /// 503.
    Queue "queue_per_shard",
    /// 503.
    Calls "calls_per_shard",
    /// 429.
    AdminWrongTokens "admin_wrong_tokens_per_minute",
    /// 429.
    AdminRequestsPerSource "admin_requests_per_source",
    /// 429.
    AdminRequestsPerToken "admin_requests_per_token",
    /// 413.
    AdminBody "admin_body_bytes",
    /// 413.
    AdminImport "admin_import_bytes",
    /// 503.
    Traces "traces",
}

impl Limit {
    /// The limit that a message broke, if it is one.
    pub fn of(error: &ParseError) -> Option<Self> {
        match error {
            ParseError::HeadTooLarge { .. } => Some(Self::MessageHead),
            ParseError::HeaderTooLarge { .. } => Some(Self::MessageHeader),
            ParseError::TooManyHeaders { .. } => Some(Self::MessageHeaders),
            ParseError::TooManyVias { .. } => Some(Self::MessageVias),
            ParseError::BodyTooLarge { .. } => Some(Self::MessageBody),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_lie_in_their_ranges_and_names_reach_their_fields() {
        let mut limits = Limits::default();
        for field in FIELDS {
            assert!(field.range().contains(&field.default), "{}", field.name);
            assert_eq!(limits.by_name(field.name).copied(), Some(field.default));
        }
        assert_eq!(limits.by_name("nothing"), None);
        *limits.by_name("handshake_s").unwrap() = 3;
        assert_eq!(limits.handshake_s, 3);
    }

    #[test]
    fn what_is_counted_is_a_limit_and_the_codec_takes_the_defaults() {
        for limit in Limit::ALL {
            assert!(FIELDS.iter().any(|f| f.name == limit.as_str()), "{limit:?}");
        }
        assert_eq!(Limits::default().message(), keyline_wire::sip::Limits::DEFAULT);
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(source(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }
}
