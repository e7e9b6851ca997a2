//! The lists and objects of the read API, made from the configuration and the boards. The same functions
//! answer over HTTPS, over the control socket, and to the command line when no node runs.
//!
//! Phones, users and lines may be a million. Phones are found in an index of their own, on the thread of whoever
//! asks ([`page_of`]). Users and lines are walked in the order of their keys, on the catalog's thread, in slices of
//! [`SCAN_MAX`] rows with changes in between. A page may be short, even empty, while `next` is set: the time of one
//! request is bounded, whatever its filter. The other lists are small; they are filtered and sorted as a whole.

mod catalogue;
mod certificates;
mod commons;
mod cursor;
mod live;
mod options;
mod others;
mod packages;
mod phones;
mod profiles;
mod query;
mod scan;
mod setup;
mod trunks;

use std::ops::Bound;
use std::sync::Arc;

use keyline_actors::board::Boards;
use keyline_domain::find::PhoneIndex;
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{CertificateFacts, Inventory, Kind, UserStore};
use serde_json::{Value, json};

pub use cursor::{CURSOR_MAX, Position};
pub use live::binding;
pub use options::{help, profile_options};
pub use query::{
    FILTER_TEXT_MAX, FILTERS_MAX, Filter, LIMIT_DEFAULT, LIMIT_MAX, Pattern, Query, Row, Shape, refusal,
};
pub use scan::page_of;
pub use setup::setup;

use super::problem::{Code, Problem};
use crate::trunk::Trunks;

/// Rows that one slice looks at. At 0.1 to 0.7 µs a row the catalog is kept for 20 ms at most.
pub const SCAN_MAX: usize = 25_000;

/// What objects are made from.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Configuration.
    pub inventory: &'a Inventory,
    /// What phones are searched by, as of the last commit.
    pub find: &'a PhoneIndex,
    /// What runs; `None` where no node does.
    pub live: Option<Live<'a>>,
    /// The node's own certificates by name.
    pub own: &'a [(String, CertificateFacts)],
    /// The ETag of an object as configured; `None` when there is none.
    pub etag: &'a dyn Fn(Kind, &str) -> Option<String>,
}

/// The running part.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    /// Boards.
    pub boards: &'a Arc<Boards>,
    /// Domain of addresses of record.
    pub domain: &'a str,
    /// Now.
    pub at: UnixMillis,
    /// How trunks stand, where that is asked for.
    pub trunks: Option<&'a Trunks>,
}

/// A page of any list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Rows.
    pub items: Vec<Value>,
    /// Cursor of the next page; `None` when there is none.
    pub next: Option<String>,
}

impl Page {
    /// The body of an answer.
    pub fn body(self) -> Value {
        json!({ "items": self.items, "next": self.next })
    }
}

/// Lists of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `/phones`
    Phones,
    /// `/security-profiles`
    SecurityProfiles,
    /// `/end-users`
    EndUsers,
    /// `/application-users`
    ApplicationUsers,
    /// `/lines`
    Lines,
    /// `/parameters`
    Parameters,
    /// `/common-phone-profiles`
    CommonPhoneProfiles,
    /// `/phone-models`
    PhoneModels,
    /// `/certificates`
    Certificates,
    /// `/sip-realms`
    SipRealms,
    /// `/trunk-security-profiles`
    TrunkSecurityProfiles,
    /// `/trunks`
    Trunks,
    /// `/gateways`
    Gateways,
    /// `/features`
    Features,
    /// `/hardening-templates`
    HardeningTemplates,
    /// `/packages`
    Packages,
}

impl List {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Phones,
        Self::SecurityProfiles,
        Self::EndUsers,
        Self::ApplicationUsers,
        Self::Lines,
        Self::Parameters,
        Self::CommonPhoneProfiles,
        Self::PhoneModels,
        Self::Certificates,
        Self::SipRealms,
        Self::TrunkSecurityProfiles,
        Self::Trunks,
        Self::Gateways,
        Self::Features,
        Self::HardeningTemplates,
        Self::Packages,
    ];

    /// What it knows.
    pub fn shape(self) -> &'static Shape {
        match self {
            Self::Phones => &phones::SHAPE,
            Self::SecurityProfiles => &profiles::SHAPE,
            Self::EndUsers => &others::END_USERS,
            Self::ApplicationUsers => &others::APPLICATION_USERS,
            Self::Lines => &others::LINES,
            Self::Parameters => &others::PARAMETERS,
            Self::CommonPhoneProfiles => &commons::SHAPE,
            Self::PhoneModels => &catalogue::MODELS,
            Self::Certificates => &certificates::SHAPE,
            Self::SipRealms => &trunks::REALMS,
            Self::TrunkSecurityProfiles => &trunks::PROFILES,
            Self::Trunks => &trunks::TRUNKS,
            Self::Gateways => &catalogue::GATEWAYS,
            Self::Features => &catalogue::FEATURES,
            Self::HardeningTemplates => &catalogue::TEMPLATES_SHAPE,
            Self::Packages => &packages::SHAPE,
        }
    }

    /// One page.
    pub fn page(self, world: &World<'_>, query: &Query) -> Page {
        match self {
            Self::Phones => scan::page(world, query),
            Self::SecurityProfiles => profiles::page(world, query),
            Self::EndUsers => others::users(world, UserStore::EndUser, query),
            Self::ApplicationUsers => others::users(world, UserStore::ApplicationUser, query),
            Self::Lines => others::lines(world, query),
            Self::Parameters => others::parameters(world, query),
            Self::CommonPhoneProfiles => commons::page(world, query),
            Self::PhoneModels => catalogue::models(world, query),
            Self::Certificates => certificates::page(world, query),
            Self::SipRealms => trunks::realms(world, query),
            Self::TrunkSecurityProfiles => trunks::profiles(world, query),
            Self::Trunks => trunks::trunks(world, query),
            Self::Gateways => catalogue::gateways(world, query),
            Self::Features => catalogue::features(world, query),
            Self::HardeningTemplates => catalogue::templates(world, query),
            Self::Packages => packages::page(world, query),
        }
    }

    /// One object, by its key.
    ///
    /// # Errors
    /// The problem that says that there is none.
    pub fn one(self, world: &World<'_>, key: &str) -> Result<Value, Problem> {
        let found = match self {
            Self::Phones => phones::one(world, key),
            Self::SecurityProfiles => profiles::one(world, key),
            Self::EndUsers => others::user(world, UserStore::EndUser, key),
            Self::ApplicationUsers => others::user(world, UserStore::ApplicationUser, key),
            Self::Lines => others::line(world, key),
            Self::Parameters => others::parameter(world, key),
            Self::CommonPhoneProfiles => commons::one(world, key),
            Self::PhoneModels => catalogue::model(world, key),
            Self::Certificates => certificates::one(world, key),
            Self::SipRealms => trunks::one_realm(world, key),
            Self::TrunkSecurityProfiles => trunks::one_profile(world, key),
            Self::Trunks => trunks::one_trunk(world, key),
            Self::Gateways => catalogue::gateway(world, key),
            Self::Features => catalogue::feature(world, key),
            Self::HardeningTemplates => catalogue::template(world, key),
            Self::Packages => packages::one(world, key),
        };
        let what = self.what();
        found.ok_or_else(|| Problem::new(self.not_found(), format!("there is no {what} {key:?}")))
    }

    /// What one of its objects is called.
    fn what(self) -> String {
        match self {
            Self::Gateways => "gateway type".to_owned(),
            Self::Features => "feature".to_owned(),
            Self::HardeningTemplates => "hardening template".to_owned(),
            other => other.kind().map_or("object", Kind::as_str).replace('_', " "),
        }
    }

    /// The kind of its objects; none where they are facts that nobody configures.
    pub fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Gateways | Self::Features | Self::HardeningTemplates => return None,
            Self::Phones => Kind::Phone,
            Self::SecurityProfiles => Kind::SecurityProfile,
            Self::EndUsers => Kind::EndUser,
            Self::ApplicationUsers => Kind::ApplicationUser,
            Self::Lines => Kind::Line,
            Self::Parameters => Kind::Parameter,
            Self::CommonPhoneProfiles => Kind::CommonPhoneProfile,
            Self::PhoneModels => Kind::PhoneModel,
            Self::Certificates => Kind::Certificate,
            Self::SipRealms => Kind::SipRealm,
            Self::TrunkSecurityProfiles => Kind::TrunkSecurityProfile,
            Self::Trunks => Kind::Trunk,
            Self::Packages => Kind::Package,
        })
    }

    /// The list of a kind's objects.
    pub fn of(kind: Kind) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.kind() == Some(kind))
    }

    /// What is said when there is no such object.
    pub fn not_found(self) -> Code {
        match self {
            Self::Phones => Code::PhoneNotFound,
            Self::SecurityProfiles => Code::SecurityProfileNotFound,
            Self::EndUsers | Self::ApplicationUsers => Code::UserNotFound,
            Self::Lines => Code::LineNotFound,
            Self::Parameters => Code::ParameterNotFound,
            Self::CommonPhoneProfiles => Code::CommonPhoneProfileNotFound,
            Self::PhoneModels => Code::PhoneModelNotFound,
            Self::Certificates => Code::CertificateNotFound,
            Self::SipRealms => Code::SipRealmNotFound,
            Self::TrunkSecurityProfiles => Code::TrunkSecurityProfileNotFound,
            Self::Trunks => Code::TrunkNotFound,
            Self::Gateways => Code::GatewayNotFound,
            Self::Features => Code::FeatureNotFound,
            Self::HardeningTemplates => Code::TemplateNotFound,
            Self::Packages => Code::PackageNotFound,
        }
    }

    /// Objects can be added as rows; the set of parameters is fixed, packages come as files, and facts are what
    /// they are.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Parameters | Self::Packages) && self.kind().is_some()
    }

    /// A key as it is kept: names of phones are in upper case, fingerprints in lower case.
    pub fn canonical(self, key: &str) -> String {
        match self {
            Self::Phones => key.to_ascii_uppercase(),
            Self::Certificates => match key.split_once('/') {
                Some((purpose, fingerprint)) => format!("{purpose}/{}", fingerprint.to_ascii_lowercase()),
                None => key.to_owned(),
            },
            _ => key.to_owned(),
        }
    }
}

/// Where to begin in a list that is ordered by key, with the cursor and a prefix that all keys must have.
/// For walking backwards the place is the upper end.
fn place(query: &Query, prefix: Option<&str>) -> Bound<String> {
    let after = query.after.as_ref().map(|p| p.key.as_str());
    match (query.backwards, after, prefix) {
        (false, Some(after), Some(prefix)) if after < prefix => Bound::Included(prefix.to_owned()),
        (false, None, Some(prefix)) => Bound::Included(prefix.to_owned()),
        // Nothing that begins with the prefix stands behind this.
        (true, None, Some(prefix)) => Bound::Included(format!("{prefix}\u{10ffff}")),
        (_, Some(after), _) => Bound::Excluded(after.to_owned()),
        (_, None, None) => Bound::Unbounded,
    }
}

/// A page of rows that come in the order of their keys from the query's place on.
fn walk<R: Row>(
    query: &Query,
    prefix: Option<&str>,
    rows: impl Iterator<Item = R>,
    key: impl Fn(&R) -> &str,
    show: impl Fn(&R) -> Value,
) -> Page {
    let mut page = Page::default();
    let mut last: Option<String> = None;
    for (seen, row) in rows.enumerate() {
        let at = key(&row);
        // Behind (or, backwards, in front of) the last key with the prefix nothing can follow.
        if prefix.is_some_and(|p| !at.starts_with(p)) {
            return page;
        }
        if page.items.len() >= query.limit || seen >= SCAN_MAX {
            page.next = last.map(|key| query.cursor(&Position::key(key)));
            return page;
        }
        if query.admits(&row) {
            page.items.push(show(&row));
        }
        if page.items.len() >= query.limit || seen + 1 >= SCAN_MAX {
            last = Some(at.to_owned());
        }
    }
    page
}

/// A page of a small list of another module.
pub fn rows_of<R: Row>(
    query: &Query,
    shape: &Shape,
    rows: impl Iterator<Item = R>,
    show: impl Fn(&R) -> Value,
) -> Page {
    pick(query, shape.key, rows, show)
}

/// A page of a small list that comes in any order.
fn pick<R: Row>(
    query: &Query,
    key_field: &str,
    rows: impl Iterator<Item = R>,
    show: impl Fn(&R) -> Value,
) -> Page {
    let by_key = query.sort == key_field;
    let mut found: Vec<(Position, R)> = rows
        .filter(|row| query.admits(row))
        .map(|row| {
            let value = if by_key { String::new() } else { row.first(query.sort) };
            (Position { value, key: row.first(key_field) }, row)
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| {
        let order = (&a.value, &a.key).cmp(&(&b.value, &b.key));
        if query.backwards { order.reverse() } else { order }
    });
    let behind = |at: &Position| match &query.after {
        None => true,
        Some(after) if query.backwards => (&at.value, &at.key) < (&after.value, &after.key),
        Some(after) => (&at.value, &at.key) > (&after.value, &after.key),
    };
    let mut page = Page::default();
    let mut rest = found.into_iter().filter(|(at, _)| behind(at)).peekable();
    while let Some((at, row)) = rest.next() {
        page.items.push(show(&row));
        if page.items.len() >= query.limit {
            page.next = rest.peek().is_some().then(|| query.cursor(&at));
            break;
        }
    }
    page
}
