//! Gateway types (R043): the device types of sccp.md §12.5 that are gateways. No source says of any that
//! it passed the security criteria, so none is trusted.

use super::facts::{Certainty, Fact, Topic};

/// A type of gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayType {
    /// Cisco's device type.
    pub number: u32,
    /// Name.
    pub name: &'static str,
    /// Whether it passed the security criteria, if that is known.
    trusted: Option<(bool, &'static str)>,
}

impl GatewayType {
    /// What is known of its trust (R041: a matter of the type).
    pub fn trust(&self) -> Fact {
        Fact {
            name: Topic::Trusted,
            value: self.trusted.map(|(value, _)| value),
            source: self.trusted.map(|(_, source)| source),
            certainty: if self.trusted.is_some() { Certainty::Documented } else { Certainty::Unknown },
        }
    }
}

const fn unknown(number: u32, name: &'static str) -> GatewayType {
    GatewayType { number, name, trusted: None }
}

/// Sorted by name.
static TYPES: [GatewayType; 12] = [
    unknown(30, "Analog Access"),
    unknown(47, "Analog Access WS-X6624"),
    unknown(40, "Digital Access"),
    unknown(43, "Digital Access WS-X6608"),
    unknown(42, "Digital Access+"),
    unknown(62, "H.323 Gateway"),
    unknown(120, "MGCP Station"),
    unknown(121, "MGCP Trunk"),
    unknown(132, "SIP Gateway"),
    unknown(253, "SPA8800"),
    unknown(254, "Unknown MGCP Gateway"),
    unknown(48, "VGC Gateway"),
];

/// All gateway types, sorted by name.
pub fn gateway_types() -> &'static [GatewayType] {
    &TYPES
}

/// The gateway type of this exact name.
pub fn gateway_type(name: &str) -> Option<&'static GatewayType> {
    TYPES.iter().find(|t| t.name == name)
}

/// What a window shows of trust (R043, R044): the words and the icon, derived from the type.
pub fn trust_shown(trusted: bool) -> (&'static str, &'static str) {
    if trusted { ("trusted", "lock") } else { ("not trusted", "none") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r043_a_gateway_type_is_trusted_only_where_that_is_known() {
        assert!(gateway_types().windows(2).all(|w| w[0].name < w[1].name));
        for one in gateway_types() {
            assert_eq!(gateway_type(one.name), Some(one));
            let fact = one.trust();
            assert_eq!(fact.value.is_some(), fact.source.is_some(), "{}", one.name);
            assert_eq!(fact.certainty == Certainty::Unknown, fact.value.is_none(), "{}", one.name);
            let (text, icon) = trust_shown(fact.value == Some(true));
            assert_eq!(
                (text == "trusted", icon == "lock"),
                (fact.value == Some(true), fact.value == Some(true))
            );
        }
        let known = GatewayType { trusted: Some((true, "a source")), ..TYPES[0] };
        assert_eq!(trust_shown(known.trust().value == Some(true)), ("trusted", "lock"));
        let refused = GatewayType { trusted: Some((false, "a source")), ..TYPES[0] };
        assert_eq!(trust_shown(refused.trust().value == Some(true)), ("not trusted", "none"));
        assert_eq!(refused.trust().certainty, Certainty::Documented);
    }
}
