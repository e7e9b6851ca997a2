//! `/certificates`: what is trusted for which purpose, and the node's own (purpose `own`). Public parts only.

use keyline_domain::inventory::{CertificateFacts, CertificateRow};
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick};
use crate::admin::views::Timestamp;

/// Purpose of the node's own certificates.
pub(super) const OWN: &str = "own";

pub(super) static SHAPE: Shape = Shape {
    name: "certificates",
    key: "key",
    filters: &["purpose", "name", "subject", "fingerprint", "phone"],
    sorts: &["key", "subject", "not_after"],
};

enum Certificate<'a> {
    Own(&'a str, &'a CertificateFacts),
    Trusted(&'a CertificateRow, &'a CertificateFacts),
}

impl Certificate<'_> {
    fn facts(&self) -> &CertificateFacts {
        match self {
            Self::Own(_, facts) | Self::Trusted(_, facts) => facts,
        }
    }

    fn purpose(&self) -> &'static str {
        match self {
            Self::Own(..) => OWN,
            Self::Trusted(row, _) => row.purpose.as_str(),
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::Own(name, of) => facts(OWN, of, Some(name)),
            Self::Trusted(row, of) => {
                let mut out = facts(row.purpose.as_str(), of, None);
                out["phone"] = json!(row.phone);
                out
            }
        }
    }
}

/// What a certificate says.
pub(super) fn facts(purpose: &str, facts: &CertificateFacts, name: Option<&str>) -> Value {
    json!({
        "purpose": purpose,
        "name": name,
        "fingerprint": facts.fingerprint,
        "subject": facts.subject,
        "common_name": facts.common_name,
        "dns_names": facts.dns_names,
        "is_ca": facts.is_ca,
        "not_before": Timestamp(facts.not_before),
        "not_after": Timestamp(facts.not_after),
        "phone": null,
    })
}

impl Row for Certificate<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        let of = self.facts();
        match field {
            "key" => each(&format!("{}/{}", self.purpose(), of.fingerprint)),
            "purpose" => each(self.purpose()),
            "subject" => each(&of.subject),
            "fingerprint" => each(&of.fingerprint),
            "not_after" => each(&Timestamp(of.not_after).to_string()),
            "name" => {
                if let Self::Own(name, _) = self {
                    each(name);
                }
            }
            "phone" => {
                if let Self::Trusted(row, _) = self {
                    row.phone.iter().for_each(|phone| each(phone.as_str()));
                }
            }
            _ => {}
        }
    }
}

fn all<'a>(world: &World<'a>) -> impl Iterator<Item = Certificate<'a>> {
    let own = world.own.iter().map(|(name, facts)| Certificate::Own(name, facts));
    let trusted = world.inventory.all_certificates();
    own.chain(trusted.filter_map(|row| Some(Certificate::Trusted(row, row.facts.as_ref()?))))
}

pub(super) fn page(world: &World<'_>, query: &Query) -> Page {
    pick(query, SHAPE.key, all(world), Certificate::show)
}

/// By `<purpose>/<fingerprint>`.
pub(super) fn one(world: &World<'_>, key: &str) -> Option<Value> {
    all(world).find(|c| c.first("key") == key).map(|c| c.show())
}
