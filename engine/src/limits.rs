//! Limits of the node: each has a name, a default and a range, and is set in `[limits]` of keyline.toml.

use std::ops::RangeInclusive;

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
    /// Open stream connections of the node. An idle TLS connection costs about 12 KB.
    connections = 100_000 in 1 ..= 4_000_000;
    /// Open stream connections from one source address. Many phones may share one behind a NAT.
    connections_per_source = 20_000 in 1 ..= 4_000_000;
    /// Open stream connections of the node on which nobody has registered yet.
    unauthenticated_connections = 10_000 in 1 ..= 4_000_000;
    /// Seconds for a TLS handshake, from the first byte.
    handshake_s = 10 in 1 ..= 120;
    /// Seconds for a message on a stream, from its first byte.
    message_s = 30 in 1 ..= 300;
    /// Seconds that a connection on which nobody has registered may be silent.
    unauthenticated_idle_s = 60 in 5 ..= 3_600;
    /// Bytes that wait to be written to one connection before it is closed as stuck.
    write_queue_bytes = 262_144 in 16_384 ..= 16_777_216;
    /// SIP transactions of each direction in one worker. A completed one costs about 0.7 KB.
    transactions_per_worker = 65_536 in 1_000 ..= 16_777_216;
    /// Messages that wait for one shard. Ingress sheds from half of it on.
    queue_per_shard = 8_192 in 64 ..= 1_048_576;
    /// OPTIONS to the server itself that one source address may send in a second; more get no answer.
    options_per_source = 200 in 1 ..= 1_000_000;
    /// Calls at a time in one shard. A call costs about 4 KB.
    calls_per_shard = 50_000 in 1 ..= 10_000_000;
    /// 1: a second source may take over the binding of a phone that nothing proves. 0: it may not.
    allow_unproven_move = 0 in 0 ..= 1;
    /// Seconds for which a nonce key mints before a new one takes over; never less than the longest
    /// `nonce_validity_s` of a profile. The key before it still opens.
    nonce_key_s = 86_400 in 1 ..= 31_536_000;
    /// Bytes of one request body of the admin API.
    admin_body_bytes = 1_048_576 in 4_096 ..= 1_073_741_824;
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
}
