//! The inventory: what an administrator writes down about phones, and the rules over it.
//!
//! * [`parse_row`] turns a line of NDJSON, or the body of an admin request, into a [`Row`] and judges
//!   it by itself.
//! * [`Inventory`] is the model that one writer holds in memory. [`Inventory::check`] judges a whole
//!   file against it, all or nothing, with references to rows anywhere in the file;
//!   [`Inventory::apply`] takes a row in and says what to persist and what to publish;
//!   [`Inventory::remove`] refuses what is in use; [`Inventory::load`] rebuilds it from stored records;
//!   [`Inventory::export`] writes it out again.
//! * [`Step`] is what an administrator asks of one object, [`Inventory::plan`] the operations it comes to, and
//!   [`Inventory::mutate`] does several of them or none; [`Inventory::revert`] takes them back.
//! * [`Inventory::device`] and its like are the views that admission and the boards are made of.
//!
//! Secrets leave through [`Secret::expose`] only, are stored through a [`Sealer`], and an import that
//! does not name them keeps them.

mod adopt;
mod apply;
mod capf;
mod check;
mod check_users;
mod dependents;
mod error;
mod export;
mod index;
mod kind;
mod load;
mod mutate;
mod package;
mod parameter;
mod parse;
mod remove;
mod report;
mod rows;
mod secret;
mod step;
mod store;
mod stored;
mod trunks;
mod undo;
mod upgrade;
mod view;

#[cfg(test)]
mod tests;

pub use crate::hardening::{Hardening, Switch};
pub use crate::profile::CapfOperation;
pub use adopt::Newcomer;
pub use apply::{Apply, Change, Event, in_order};
pub use capf::CapfView;
pub use dependents::{Dependents, DependentsPlace};
pub use error::{LoadError, RowError};
pub use kind::Kind;
pub use load::{Loading, Stored};
pub use mutate::{Mutate, Mutated, Op, Refused};
pub use package::PackageRow;
pub use parameter::{
    NODE_NAME_MAX, PARAMETERS, ParameterRow, ParameterSpec, ParameterType, ParameterValue, Parameters,
    Policy, SrtpMenu, TlsMenu, is_node_name,
};
pub use parse::{ROW_BYTES_MAX, SECURE_CALL_FEATURES_MAX, did_you_mean, nearest, parse_row};
pub use report::{ERRORS_MAX, Report, Warning, WarningCode};
pub use rows::{
    CapfOrder, CertificateFacts, CertificateRow, CommonPhoneProfileRow, EnterprisePhoneRow, LINES_MAX,
    LineRow, Login, PEM_MAX, PhoneModelRow, PhoneRow, Purpose, Row, SUBJECT_MAX, SecurityProfileRow,
    TEXT_MAX, Tag, UserRow,
};
pub use secret::{CREDENTIALS_MAX, Sealer, Secret, SecretField};
pub use step::{ReadCertificate, Step, name_field};
pub use store::{DeviceView, Inventory, PhoneDetails, UserStore, UserView};
pub use trunks::{REALM_MAX, RealmFault, RealmView, SipRealmRow, TrunkRow, TrunkSecurityProfileRow};
pub use undo::Undo;
pub use view::{ParameterView, PhoneView, Rows};
