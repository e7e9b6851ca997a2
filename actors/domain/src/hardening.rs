//! Phone hardening: which level decides a switch (R016–R018).

use crate::inventory::{Hardening, Switch};

/// Where the value of a switch comes from, the strongest level first (R018).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The phone's own row.
    Phone,
    /// Its common phone profile.
    CommonPhoneProfile,
    /// The enterprise phone configuration.
    EnterprisePhone,
    /// No level sets it: switches are on (R019, R024, R027, R032).
    Default,
}

impl Origin {
    /// Name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::CommonPhoneProfile => "common_phone_profile",
            Self::EnterprisePhone => "enterprise_phone",
            Self::Default => "default",
        }
    }
}

/// A switch as a phone gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Effective {
    /// Field name of the switch.
    pub name: &'static str,
    /// Its state.
    pub value: Switch,
    /// The level that set it.
    pub origin: Origin,
}

type Get = fn(&Hardening) -> Option<Switch>;

const SWITCHES: [(&str, Get); 7] = [
    ("gratuitous_arp", |h| h.gratuitous_arp),
    ("web_access", |h| h.web_access),
    ("pc_voice_vlan_access", |h| h.pc_voice_vlan_access),
    ("settings_access", |h| h.settings_access),
    ("pc_port", |h| h.pc_port),
    ("speakerphone", |h| h.speakerphone),
    ("headset", |h| h.headset),
];

/// All switches with the level that decides each: phone before common phone profile before enterprise;
/// what a level leaves unset falls through (R018).
pub fn effective(phone: &Hardening, common: Option<&Hardening>, enterprise: &Hardening) -> [Effective; 7] {
    SWITCHES.map(|(name, get)| {
        let levels = [
            (get(phone), Origin::Phone),
            (common.and_then(get), Origin::CommonPhoneProfile),
            (get(enterprise), Origin::EnterprisePhone),
        ];
        let set = levels.into_iter().find_map(|(value, origin)| Some((value?, origin)));
        let (value, origin) = set.unwrap_or((Switch::Enabled, Origin::Default));
        Effective { name, value, origin }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [Option<Switch>; 3] = [None, Some(Switch::Enabled), Some(Switch::Disabled)];

    /// Every combination of three levels, for each switch.
    #[test]
    fn r018_the_nearest_level_that_sets_a_switch_decides() {
        type Set = fn(&mut Hardening, Option<Switch>);
        let setters: [Set; 7] = [
            |h, s| h.gratuitous_arp = s,
            |h, s| h.web_access = s,
            |h, s| h.pc_voice_vlan_access = s,
            |h, s| h.settings_access = s,
            |h, s| h.pc_port = s,
            |h, s| h.speakerphone = s,
            |h, s| h.headset = s,
        ];
        for (i, set) in setters.iter().enumerate() {
            for phone in LEVELS {
                for common in LEVELS {
                    for enterprise in LEVELS {
                        let level = |value| {
                            let mut h = Hardening::default();
                            set(&mut h, value);
                            h
                        };
                        let all = effective(&level(phone), Some(&level(common)), &level(enterprise));
                        let expected = phone.or(common).or(enterprise).unwrap_or(Switch::Enabled);
                        assert_eq!(all[i].value, expected, "{}", all[i].name);
                        let origin = match (phone, common, enterprise) {
                            (Some(_), ..) => Origin::Phone,
                            (None, Some(_), _) => Origin::CommonPhoneProfile,
                            (None, None, Some(_)) => Origin::EnterprisePhone,
                            _ => Origin::Default,
                        };
                        assert_eq!(all[i].origin, origin, "{}", all[i].name);
                        assert!(all.iter().enumerate().all(|(k, e)| k == i || e.origin == Origin::Default));
                    }
                }
            }
        }
    }
}
