//! Certificates that phones proved themselves by: a durable row each (R057, R214).

use actix::{Handler, Message};
use keyline_domain::identity::{SeenCertificate, SeenKind};
use keyline_domain::ids::DeviceName;
use keyline_storage::{Commit, Outcome, Page, Store, Table};

use super::actor::CatalogActor;
use crate::board::Boards;
use crate::error::OpenError;

const PREFIX: &str = "seen_certificate/";
const SCHEMA: u8 = 1;
const PAGE: usize = 1000;

/// A phone proved itself by a certificate that is not known of it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct See {
    pub(crate) device: DeviceName,
    pub(crate) kind: SeenKind,
    pub(crate) certificate: SeenCertificate,
}

/// Key of the row.
pub(super) fn key(device: &str, kind: SeenKind) -> Vec<u8> {
    format!("{PREFIX}{device}/{}", kind.as_str()).into_bytes()
}

impl Handler<See> for CatalogActor {
    type Result = ();

    fn handle(&mut self, see: See, _: &mut Self::Context) {
        let See { device, kind, certificate } = see;
        // The phone may be gone, or another message of it came first.
        if self.boards.devices.by_name(device.as_str()).is_none()
            || self.boards.certificates.knows(device.as_str(), kind, &certificate.sha256)
        {
            return;
        }
        let Ok(row) = serde_json::to_vec(&certificate) else { return };
        let commit = Commit::build().put(Table::Meta, key(device.as_str(), kind), SCHEMA, row).finish();
        let committed = commit.ok().map(|c| self.writer.submit_blocking(c));
        match committed {
            Some(Outcome::Committed(_)) => {
                tracing::info!(device = %device, kind = kind.as_str(), subject = %certificate.subject, "certificate seen");
                self.boards.certificates.set(&device, kind, certificate);
            }
            // It will be shown again at the next registration.
            other => tracing::warn!(device = %device, ?other, "a phone's certificate was not noted"),
        }
    }
}

/// Puts what was seen onto the board, at start; rows of phones that are gone are left out.
pub(crate) fn load_seen(store: &dyn Store, boards: &Boards) -> Result<(), OpenError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = Page { after: after.as_deref(), limit: PAGE };
        let page = store.scan(Table::Meta, PREFIX.as_bytes(), page, None)?;
        for (key, row) in &page.rows {
            let name = std::str::from_utf8(key).ok().and_then(|k| k.strip_prefix(PREFIX)?.rsplit_once('/'));
            let kind = name.and_then(|(_, kind)| SeenKind::ALL.into_iter().find(|k| k.as_str() == kind));
            let device = name.and_then(|(device, _)| DeviceName::parse(device).ok());
            match (device, kind, serde_json::from_slice(&row.payload)) {
                (Some(device), Some(kind), Ok(certificate)) => {
                    if boards.devices.by_name(device.as_str()).is_some() {
                        boards.certificates.set(&device, kind, certificate);
                    }
                }
                // It is learned again at the next handshake.
                _ => tracing::error!("a row of a certificate that was seen cannot be read and is skipped"),
            }
        }
        after = page.rows.last().map(|(key, _)| key.to_vec());
        if page.rows.len() < PAGE {
            return Ok(());
        }
    }
}
