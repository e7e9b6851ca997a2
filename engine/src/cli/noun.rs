//! The kinds of objects as the command line calls them.

use keyline_domain::inventory::{Kind, name_field};
use serde_json::{Map, Value};

use super::listing::{self, Table};
use crate::admin::control::escape;

/// A kind of objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noun {
    /// As it is typed and told.
    pub(super) word: &'static str,
    pub(super) kind: Kind,
    /// Its list; where there is one object only, its path and how it is shown.
    pub(super) table: &'static Table,
}

pub(super) static PHONE: Noun = Noun { word: "phone", kind: Kind::Phone, table: &listing::PHONES };
pub(super) static PROFILE: Noun =
    Noun { word: "security profile", kind: Kind::SecurityProfile, table: &listing::PROFILES };
pub(super) static END_USER: Noun = Noun { word: "end user", kind: Kind::EndUser, table: &listing::END_USERS };
pub(super) static APPLICATION_USER: Noun =
    Noun { word: "application user", kind: Kind::ApplicationUser, table: &listing::APPLICATION_USERS };
pub(super) static LINE: Noun = Noun { word: "line", kind: Kind::Line, table: &listing::LINES };
pub(super) static PARAMETER: Noun =
    Noun { word: "parameter", kind: Kind::Parameter, table: &listing::PARAMETERS };
pub(super) static MODEL: Noun = Noun { word: "phone model", kind: Kind::PhoneModel, table: &listing::MODELS };
pub(super) static COMMON_PROFILE: Noun =
    Noun { word: "common phone profile", kind: Kind::CommonPhoneProfile, table: &listing::COMMON_PROFILES };
pub(super) static SIP_REALM: Noun =
    Noun { word: "SIP realm", kind: Kind::SipRealm, table: &listing::SIP_REALMS };
pub(super) static TRUNK_PROFILE: Noun = Noun {
    word: "trunk security profile",
    kind: Kind::TrunkSecurityProfile,
    table: &listing::TRUNK_PROFILES,
};
pub(super) static TRUNK: Noun = Noun { word: "trunk", kind: Kind::Trunk, table: &listing::TRUNKS };
pub(super) static ENTERPRISE: Noun =
    Noun { word: "enterprise level", kind: Kind::EnterprisePhone, table: &listing::ENTERPRISE };
pub(super) static CERTIFICATE: Noun =
    Noun { word: "certificate", kind: Kind::Certificate, table: &listing::CERTIFICATES };

/// The kind of this name.
pub(super) fn of(kind: &str) -> Option<&'static Noun> {
    let all = [
        &PHONE,
        &PROFILE,
        &END_USER,
        &APPLICATION_USER,
        &LINE,
        &PARAMETER,
        &MODEL,
        &COMMON_PROFILE,
        &ENTERPRISE,
        &CERTIFICATE,
    ];
    all.into_iter().find(|noun| noun.kind.as_str() == kind)
}

impl Noun {
    /// Path of all of them below `/api/v1`.
    pub(super) fn path(&self) -> &'static str {
        self.table.path
    }

    /// Path of one.
    pub(super) fn path_of(&self, name: &str) -> String {
        match (self.kind, name.split_once('/')) {
            // Its name is `purpose/fingerprint`, which are two parts of the path.
            (Kind::Certificate, Some((purpose, fingerprint))) => {
                format!("{}/{}/{}", self.path(), escape(purpose), escape(fingerprint))
            }
            // There is one only.
            (Kind::EnterprisePhone, _) => self.path().to_owned(),
            _ => format!("{}/{}", self.path(), escape(name)),
        }
    }

    /// The name of an object in a row of its list.
    pub(super) fn name_in(&self, row: &Value) -> Option<String> {
        if self.kind == Kind::Certificate {
            return Some(format!("{}/{}", row["purpose"].as_str()?, row["fingerprint"].as_str()?));
        }
        row[name_field(self.kind)?].as_str().map(str::to_owned)
    }

    /// There is one object of it only, whose name nobody types.
    pub(super) fn is_single(&self) -> bool {
        self.kind == Kind::EnterprisePhone
    }

    /// A name as it is kept.
    pub(super) fn canonical(&self, name: &str) -> String {
        self.table.list.map_or_else(|| name.to_owned(), |list| list.canonical(name))
    }

    /// Where a secret of this kind stands in a body.
    pub(super) fn secret(&self) -> Option<&'static [&'static str]> {
        match self.kind {
            Kind::EndUser | Kind::ApplicationUser | Kind::SipRealm => Some(&["digest_credentials"]),
            Kind::Phone => Some(&["capf", "authentication_string"]),
            _ => None,
        }
    }

    /// Puts a new object's name into its body, where its kind has a field for it.
    pub(super) fn bear(&self, name: &str, body: &mut Map<String, Value>) {
        if let Some(field) = name_field(self.kind) {
            body.entry(field).or_insert_with(|| name.into());
        }
    }
}
