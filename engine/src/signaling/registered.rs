//! What a phone hears of its REGISTER.

use std::rc::Rc;
use std::sync::Arc;

use keyline_wire::sip::Message;

use super::path::Path;
use super::register;
use super::shared::Shared;
use super::transaction::ServerTxId;
use super::worker::State;

impl State {
    /// A standby keepalive changes nothing, so it is answered without state, and alike whether the phone is
    /// known or not: it tells nobody which phones there are.
    pub(super) fn standby_keepalive(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        cisco: bool,
    ) {
        let date = self.date(keyline_actors::clock::now().0 / 1000);
        let headers = [("Date", &*date), ("Supported", register::CISCO_SUPPORTED)];
        let headers = if cisco { &headers[..] } else { &headers[..1] };
        self.answer_stateless(shared, path, message, 200, headers);
    }

    pub(super) fn register_reply(
        &mut self,
        shared: &Shared,
        tx: ServerTxId,
        reply: &keyline_actors::outlet::RegisterReply,
    ) {
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let spread = self.retry_after();
        let now_s = keyline_actors::clock::now().0 / 1000;
        let date = self.date(now_s);
        let (status, bytes) = register::answer(&owner, reply, &date, spread);
        drop(owner);
        self.respond(shared, tx, status, bytes);
        // What is kept for Timer J is the answer; of the request nothing more is needed, and its place in memory
        // serves the next one.
        if let Some(owner) = self.servers.owner_mut(tx) {
            *owner = Rc::clone(&self.answered);
        }
    }

    /// Text of a Date header; made once a second.
    fn date(&mut self, now_s: u64) -> Arc<str> {
        if self.date.0 != now_s {
            self.date = (now_s, keyline_wire::sip::http_date(now_s).into());
        }
        Arc::clone(&self.date.1)
    }
}
