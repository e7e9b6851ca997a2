//! Scripts over one phone's subscriptions, and random ones.

mod random;
mod script;

use std::cell::RefCell;
use std::sync::Arc;

use super::*;
use crate::call::{Dialog, ServerTx};
use crate::flow::{Flow, StreamId};
use crate::ids::{Dn, UnixMillis};
use crate::mode::Transport;
use crate::phone::ExpiryLimits;

pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
pub(super) const MAX: usize = 4;

/// A phone, its clock, and what stands at the lines.
pub(super) struct World {
    pub(super) own: Subscriptions,
    pub(super) now: UnixMillis,
    pub(super) dialogs: RefCell<Vec<DialogItem>>,
    pub(super) messages: RefCell<MessageWaiting>,
    pub(super) contacts: RefCell<Vec<ContactItem>>,
}

pub(super) fn world() -> World {
    World {
        own: Subscriptions::default(),
        now: NOW,
        dialogs: RefCell::default(),
        messages: RefCell::default(),
        contacts: RefCell::default(),
    }
}

impl World {
    pub(super) fn step(&mut self, f: impl FnOnce(&mut Subscriptions, &Env<'_>) -> Effects) -> Seen {
        let (dialogs, messages, contacts) = (&self.dialogs, &self.messages, &self.contacts);
        let snapshot = |what: &Watched| match what.package {
            Package::Dialog => Snapshot::Dialogs(dialogs.borrow().clone()),
            Package::Registration => Snapshot::Contacts(contacts.borrow().clone()),
            Package::MessageSummary => Snapshot::Messages(*messages.borrow()),
        };
        let expiry = ExpiryLimits { min: 60, max: 7200, default: 3600 };
        let env = Env { now: self.now, expiry, max: MAX, snapshot: &snapshot };
        Seen(f(&mut self.own, &env))
    }

    pub(super) fn subscribe(&mut self, request: Subscribe) -> Seen {
        self.step(|own, env| own.subscribe(request, env))
    }

    pub(super) fn changed(&mut self, what: &Watched) -> Seen {
        self.step(|own, env| own.changed(what, env))
    }

    pub(super) fn answer(&mut self, notify: &Notify, status: u16) -> Seen {
        let (id, number) = (notify.id, notify.number);
        self.step(|own, env| own.notified(id, number, Answered::Status(status), env))
    }
}

/// Effects of a step, to be asked about.
pub(super) struct Seen(pub(super) Effects);

impl Seen {
    pub(super) fn notifies(&self) -> Vec<Notify> {
        let all = self.0.iter().filter_map(|e| match e {
            Effect::Notify(n) => Some((**n).clone()),
            _ => None,
        });
        all.collect()
    }

    pub(super) fn notify(&self) -> Notify {
        let mut all = self.notifies();
        assert_eq!(all.len(), 1, "{:?}", self.0);
        all.remove(0)
    }

    pub(super) fn accepted(&self) -> u32 {
        match self.0.first() {
            Some(Effect::Accept { expires, .. }) => *expires,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn refused(&self) -> Refusal {
        match &self.0[..] {
            [Effect::Refuse { why, .. }] => *why,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn watched(package: Package, line: &str) -> Watched {
    Watched { package, line: Dn::parse(line).unwrap() }
}

pub(super) fn flow(index: u32) -> Flow {
    let id = StreamId { worker: 0, index, generation: 1 };
    Flow::Stream { id, transport: Transport::Tcp, remote: "127.0.0.1:40000".parse().unwrap() }
}

/// A new subscription whose dialog is number `n`.
pub(super) fn request(n: u32, what: Watched, expires: Option<u32>) -> Subscribe {
    let text = |kind: &str| -> Arc<str> { format!("{kind}{n}").into() };
    Subscribe {
        tx: ServerTx(u64::from(n)),
        watched: what,
        event_id: None,
        expires,
        in_dialog: None,
        dialog: Dialog {
            call_id: text("call"),
            local_tag: text("ours"),
            remote_tag: Some(text("theirs")),
            local_uri: "<sip:1002@keyline.test>".into(),
            remote_uri: "<sip:1001@keyline.test>".into(),
            local_cseq: 0,
            remote_cseq: Some(1),
            route_set: Default::default(),
            remote_target: "sip:1001@127.0.0.1:40000".into(),
        },
        flow: flow(1),
        worker: 0,
    }
}

/// The same dialog again, `cseq` further on.
pub(super) fn again(n: u32, what: Watched, cseq: u32, expires: Option<u32>) -> Subscribe {
    let mut request = request(n, what, expires);
    request.in_dialog = Some(format!("ours{n}").into());
    request.dialog.local_tag = "fresh".into();
    request.dialog.remote_cseq = Some(cseq);
    request
}

pub(super) fn dialog(id: &str, state: DialogState) -> DialogItem {
    DialogItem { id: id.into(), state, direction: Direction::Recipient, remote: "1003".into() }
}
