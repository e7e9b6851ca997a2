//! The known sections and keys, and the one most like an unknown one.

use super::listen::Listener;
use crate::limits;

/// All sections, in the order of the documentation.
pub(super) const SECTIONS: [&str; 8] =
    ["node", "listen", "shards", "storage", "tls", "websocket", "oauth", "limits"];

/// Longest name that is compared with the known ones, in characters.
const NAME_MAX: usize = 64;

/// All keys with their section.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let plain = [
        ("node", "name"),
        ("node", "data_dir"),
        ("node", "domain"),
        ("node", "aliases"),
        ("node", "key_file"),
        ("node", "drain_s"),
        ("node", "calls_at_stop"),
        ("listen", "address"),
        ("shards", "count"),
        ("storage", "engine"),
        ("storage", "durability"),
        ("tls", "legacy"),
        ("websocket", "origins"),
        ("oauth", "embedded"),
        ("oauth", "issuer"),
        ("oauth", "authz_server"),
        ("oauth", "audience"),
        ("oauth", "scope"),
        ("oauth", "skew_s"),
        ("oauth", "token_s"),
        ("oauth", "key_s"),
        ("oauth", "key_set"),
        ("oauth", "key_set_issuer"),
        ("oauth", "key_set_ca"),
        ("oauth", "refresh_s"),
        ("oauth", "device_claim"),
        ("oauth", "user_claim"),
        ("oauth", "lines_claim"),
    ];
    let listeners = Listener::ALL.iter().map(|listener| ("listen", listener.key()));
    plain.into_iter().chain(listeners).chain(limits::FIELDS.iter().map(|field| ("limits", field.name)))
}

/// The known pair of these names.
pub(super) fn find(section: &str, key: &str) -> Option<(&'static str, &'static str)> {
    all().find(|known| *known == (section, key))
}

/// The known key most like an unknown one, as `section.key`. Keys of the same section come first.
pub(super) fn nearest_key(section: &str, key: &str) -> String {
    let cost = |known: &(&str, &str)| 2 * distance(known.1, key) + usize::from(known.0 != section);
    all().min_by_key(cost).map(|(section, key)| format!("{section}.{key}")).unwrap_or_default()
}

/// The known section most like an unknown one.
pub(super) fn nearest_section(section: &str) -> &'static str {
    SECTIONS.into_iter().min_by_key(|known| distance(known, section)).unwrap_or("node")
}

/// Changes of one character (put in, left out, replaced, swapped with its neighbour) that make one
/// name out of the other, without regard to case.
fn distance(known: &str, given: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let given: Vec<char> = given.chars().take(NAME_MAX).map(|letter| letter.to_ascii_lowercase()).collect();
    let mut rows = vec![vec![0; given.len() + 1]; known.len() + 1];
    for i in 0..=known.len() {
        for j in 0..=given.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(known[i - 1] != given[j - 1]);
                let swapped = i > 1 && j > 1 && known[i - 1] == given[j - 2] && known[i - 2] == given[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(replaced).min(swap)
            };
        }
    }
    rows[known.len()][given.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_changes() {
        for (known, given, expected) in [
            ("sip_udp", "sip_udp", 0),
            ("sip_udp", "SIP_UDP", 0),
            ("sip_udp", "sip_upd", 1),
            ("sip_udp", "sipudp", 1),
            ("sip_udp", "sip_udpp", 1),
            ("sip_udp", "sip_tcp", 2),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(known, given), expected, "{known} {given}");
        }
    }

    #[test]
    fn every_key_has_a_known_section_and_its_own_variable() {
        let mut variables: Vec<String> = all().map(|(section, key)| format!("{section}_{key}")).collect();
        assert!(all().all(|(section, _)| SECTIONS.contains(&section)));
        let count = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), count);
    }
}
