//! Auto-registration (R212): the REGISTER of an unknown phone waits until the catalog has let the phone in, and
//! is then served like any other.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keyline_actors::catalog::{ChangeError, ChangeRequest, Who};
use keyline_domain::inventory::{RowError, Step};
use keyline_domain::mode::Transport;
use keyline_wire::sip::Message;

use super::path::Path;
use super::register::Read;
use super::shared::{Shared, ToWorker};
use super::worker::State;
use crate::limits::{Limit, size};

/// Phones that one worker waits for at a time.
const OPEN_MAX: usize = 64;

/// How long the catalog may take before a repeat asks it again, in milliseconds.
const PATIENCE_MS: u64 = 10_000;

/// What became of a phone.
#[derive(Debug)]
pub struct Adopted {
    path: Path,
    message: Message<'static>,
    name: keyline_domain::ids::DeviceName,
    result: Result<(), ChangeError>,
}

impl State {
    /// Asks the catalog to let the phone in. `true`: the request waits or was answered; `false`: it is judged as
    /// that of an unknown phone.
    pub(super) fn adopt(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        read: &Read<'_>,
    ) -> bool {
        // The predefined profile knows no TLS (R002).
        let open = matches!(path.transport(), Transport::Udp | Transport::Tcp);
        if !open || !shared.boards.settings.load().parameters.auto_registration {
            return false;
        }
        let Some(new) = read.newcomer() else { return false };
        if shared.boards.devices.by_name(new.name.as_str()).is_some() {
            return false;
        }
        let now = self.now();
        // What the catalog never answered is forgotten.
        self.adopting.retain(|_, until| *until > now);
        if self.adopting.contains_key(&new.name) {
            // A repeat of what waits.
            return true;
        }
        let within = shared.admission.adoptions.take(path.remote().ip(), self.now_us());
        if !within || self.adopting.len() >= OPEN_MAX || shared.is_draining() {
            shared.metrics.limit(Limit::AutoRegistrations);
            self.overloaded(shared, path, message);
            return true;
        }
        self.adopting.insert(new.name.clone(), now + PATIENCE_MS);
        let (handle, inboxes, worker) = (shared.handle.clone(), Arc::clone(&shared.inboxes), self.id);
        let (path, message, name) = (*path, message.clone().into_owned(), new.name.clone());
        let source: Box<str> = path.remote().to_string().into();
        let who = Who { name: "auto-registration".into(), role: "node".into(), source, ..Who::default() };
        let adopted_max = Some(size(shared.admission.adopted_max.load(Ordering::Relaxed)));
        let steps = vec![Step::Adopt(new)];
        let request = ChangeRequest { steps, who, adopted_max, ..ChangeRequest::default() };
        actix::spawn(async move {
            let result = handle.change(request).await.map(|_| ());
            let adopted = Adopted { path, message, name, result };
            inboxes.send(worker, ToWorker::Adopted(Box::new(adopted)));
        });
        true
    }

    /// The catalog has decided: the request goes on, or is refused.
    pub(super) fn adopted(&mut self, shared: &Shared, adopted: Adopted) {
        let Adopted { path, message, name, result } = adopted;
        self.adopting.remove(&name);
        match result {
            Ok(()) => {
                tracing::info!(device = %name, peer = %path.remote(), "let in by auto-registration");
                self.request(shared, path, &message);
            }
            Err(error) => {
                if matches!(&error, ChangeError::Refused { error: RowError::AdoptionFull { .. }, .. }) {
                    shared.metrics.limit(Limit::AutoRegisteredPhones);
                }
                tracing::warn!(device = %name, peer = %path.remote(), %error, "not let in by auto-registration");
                let status = if matches!(error, ChangeError::Refused { .. }) { 403 } else { 503 };
                self.refuse_stateless(shared, &path, &message, status, "not let in by auto-registration");
            }
        }
    }
}
