//! Messages that wait for lines: a durable row each, told to whoever watches the line (RFC 3842).

use actix::{Handler, Message};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::ids::Dn;
use keyline_domain::subscription::{MessageWaiting, Package, Watched};
use keyline_storage::{Commit, Outcome, Page, Store, Table};

use super::actor::{CatalogActor, ThroughWriter};
use crate::board::{Boards, WatchBoard};
use crate::error::OpenError;
use crate::shard::LineChanged;

const PREFIX: &str = "messages/";
const SCHEMA: u8 = 1;
const PAGE: usize = 1000;

/// Why a count was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessagesError {
    /// No such line.
    #[error("no such line")]
    UnknownLine,
    /// Not committed.
    #[error("the store did not take it: {0}")]
    Store(String),
}

/// Sets what waits for a line.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), MessagesError>")]
pub(crate) struct SetMessages(pub(crate) Dn, pub(crate) MessageWaiting, pub(crate) Who);

fn key(dn: &Dn) -> Vec<u8> {
    format!("{PREFIX}{dn}").into_bytes()
}

impl Handler<SetMessages> for CatalogActor {
    type Result = Result<(), MessagesError>;

    fn handle(&mut self, SetMessages(dn, waiting, who): SetMessages, _: &mut Self::Context) -> Self::Result {
        let after = serde_json::to_value(waiting).unwrap_or_default();
        let draft = |result| {
            Draft::new(&who, "message_waiting", "line", dn.as_str(), result).with(None, Some(&after))
        };
        if !self.boards.devices.has_line(dn.as_str()) {
            let writer = self.writer.clone();
            let noted =
                self.catalog.note(draft(Happened::refused("line_not_found")), &ThroughWriter(&writer));
            self.audit_written();
            return match noted {
                Ok(()) => Err(MessagesError::UnknownLine),
                Err(e) => Err(self.doubtful(e.to_string())),
            };
        }
        let fault = |e: &dyn std::fmt::Display| MessagesError::Store(e.to_string());
        let builder = if waiting == MessageWaiting::default() {
            Commit::build().delete(Table::Meta, key(&dn))
        } else {
            let row = serde_json::to_vec(&waiting).map_err(|e| fault(&e))?;
            Commit::build().put(Table::Meta, key(&dn), SCHEMA, row)
        };
        let (builder, pending) = self.catalog.audited(builder, draft(Happened::Done));
        let commit = builder.finish().map_err(|e| fault(&e))?;
        match self.writer.submit_blocking(commit) {
            Outcome::Committed(_) => {}
            Outcome::Conflict(_) => return Err(self.doubtful("another writer won".to_owned())),
            Outcome::Unknown(e) => return Err(self.doubtful(e.to_string())),
        }
        self.catalog.audit_settled(pending);
        self.audit_written();
        self.boards.watch.set_messages(dn.clone(), waiting);
        // Any shard knows where the watchers live.
        if let Some(shard) = self.router.get().and_then(|shards| shards.first()) {
            shard.do_send(LineChanged(Watched { package: Package::MessageSummary, line: dn }));
        }
        Ok(())
    }
}

impl CatalogActor {
    /// Nobody knows whether the store took it: the memory is read again.
    fn doubtful(&mut self, reason: String) -> MessagesError {
        self.recover();
        MessagesError::Store(reason)
    }
}

/// Puts what waits onto the board, at start.
pub(crate) fn load_messages(store: &dyn Store, boards: &Boards) -> Result<(), OpenError> {
    let board: &WatchBoard = &boards.watch;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(
            Table::Meta,
            PREFIX.as_bytes(),
            Page { after: after.as_deref(), limit: PAGE },
            None,
        )?;
        for (key, row) in &page.rows {
            let dn = std::str::from_utf8(key).ok().and_then(|k| k.strip_prefix(PREFIX));
            let dn = dn.and_then(|dn| Dn::parse(dn).ok());
            match (dn, serde_json::from_slice(&row.payload)) {
                (Some(dn), Ok(waiting)) => board.set_messages(dn, waiting),
                // A lamp that is dark is no reason to stay down.
                _ => tracing::error!("a row of waiting messages cannot be read and is skipped"),
            }
        }
        after = page.rows.last().map(|(key, _)| key.to_vec());
        if page.rows.len() < PAGE {
            return Ok(());
        }
    }
}
