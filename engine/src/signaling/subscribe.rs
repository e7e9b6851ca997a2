//! SUBSCRIBE and NOTIFY (RFC 6665): who may watch what, and documents on their way.
//!
//! The subscription itself is the phone's: a request becomes work for its actor, which answers and notifies
//! through the outlet.

use std::borrow::Cow;
use std::sync::Arc;

use keyline_actors::Load;
use keyline_actors::phone::PhoneWork;
use keyline_actors::shard::Intent;
use keyline_domain::call::{Dialog, ServerTx};
use keyline_domain::flow::Flow;
use keyline_domain::ids::{DeviceIndex, Dn};
use keyline_domain::subscription::{
    Answered, Items, MessageWaiting, Notify, Package, Refusal, Subscribe, SubscriptionId, Watched,
};
use keyline_wire::events;
use keyline_wire::sip::{HeaderName, Message, Method, reason_phrase};

use super::ALLOW_EVENTS;
use super::invite::{Voice, name_addr, route_values, without_tag};
use super::outbound;
use super::owner::{Asked, ClientOwner};
use super::path::Path;
use super::shared::Shared;
use super::transaction::{RequestKey, ServerTxId, branch};
use super::worker::{State, shard_of};

/// Max-Forwards of a NOTIFY.
const MAX_FORWARDS: u64 = 70;

/// Longest `id` of an Event header that is kept, in bytes.
const EVENT_ID_MAX: usize = 64;

/// Longest Contact of a subscriber that is kept, in bytes.
const CONTACT_MAX: usize = keyline_domain::phone::CONTACT_MAX;

/// Why a SUBSCRIBE is refused before the phone's actor sees it.
struct Refused {
    status: u16,
    text: &'static str,
    header: Option<(&'static str, &'static str)>,
}

const fn refused(status: u16, text: &'static str) -> Refused {
    Refused { status, text, header: None }
}

impl State {
    pub(super) fn subscribe(&mut self, shared: &Shared, path: Path, message: &Message<'_>, key: RequestKey) {
        let in_dialog = message.to_tag().is_some();
        let Some(voice) = self.speak(shared, &path, message, in_dialog) else { return };
        let request = match self.read_subscribe(shared, &path, message, &voice) {
            Ok(request) => request,
            Err(Refused { status, text, header: None }) => {
                return self.refuse_stateless(shared, &path, message, status, text);
            }
            Err(Refused { status, header: Some(header), .. }) => {
                return self.answer_stateless(shared, &path, message, status, &[header]);
            }
        };
        let Some(shard) = shard_of(shared, voice.device) else { return };
        // What prolongs or ends a subscription belongs to a dialog and is never shed.
        let load = if in_dialog { Load::Dialog } else { Load::New };
        let full = shared.boards.watch.count() >= shared.subscriptions_max;
        if !in_dialog && (full || shared.is_draining()) || !shared.handle.admit(shard, load) {
            shared.metrics.shed("subscribe");
            return self.overloaded(shared, &path, message);
        }
        let Some(tx) = self.open(shared, &path, message, key, Asked::Subscribe, Some(voice.device), None)
        else {
            return self.credit_back(shared, shard);
        };
        let request = Subscribe { tx: ServerTx(tx.to_u64()), ..request };
        self.intend(
            shard,
            Intent::Phone {
                device: voice.device,
                work: Box::new(PhoneWork::Subscribe(Box::new(request))),
                tx: Some(tx.to_u64()),
            },
        );
    }

    fn read_subscribe(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        voice: &Voice,
    ) -> Result<Subscribe, Refused> {
        let bad_event = Refused { header: Some(("Allow-Events", ALLOW_EVENTS)), ..refused(489, "") };
        let event = message.event().ok_or(bad_event)?;
        let bad_event = Refused { header: Some(("Allow-Events", ALLOW_EVENTS)), ..refused(489, "") };
        let package = Package::parse(event.package).ok_or(bad_event)?;
        let content_type = package.content_type();
        if !accepts(message, content_type) {
            return Err(Refused { header: Some(("Accept", content_type)), ..refused(406, "") });
        }
        let event_id = match event.id {
            Some(id) if id.len() > EVENT_ID_MAX => return Err(refused(400, "Event id is too long")),
            id => id.map(Arc::from),
        };
        let (Some(contact), Some(remote_tag)) = (message.contact(), message.from_tag()) else {
            return Err(refused(400, "SUBSCRIBE without Contact or From tag"));
        };
        if contact.uri.raw.len() > CONTACT_MAX {
            return Err(refused(400, "Contact is too long"));
        }
        let own_line = Dn::parse(&voice.line).map_err(|_| refused(403, "no such line"))?;
        let in_dialog: Option<Arc<str>> = message.to_tag().map(Arc::from);
        let line = match &in_dialog {
            // Which line it is about stands with the subscription.
            Some(_) => own_line,
            None => {
                let asked = message.uri().and_then(|u| u.aor_user().map(Cow::into_owned));
                let line = asked.and_then(|u| Dn::parse(&u).ok());
                let line = line.filter(|dn| shared.boards.devices.has_line(dn.as_str()));
                let line = line.ok_or(refused(404, "no such line"))?;
                may_watch(shared, voice.device, package, &line)?;
                line
            }
        };
        let now = keyline_actors::clock::now();
        let row = shared.boards.devices.slot(voice.device).and_then(|s| s.row());
        let Some(row) = row.filter(|r| in_dialog.is_some() || r.is_registered(now)) else {
            return Err(refused(403, "register first"));
        };
        // Without rport the phone's own port may be another than its source's (R174): the binding knows it.
        let rport = message.top_via().is_some_and(|v| v.has_rport());
        let flow = match path.flow() {
            own @ Flow::Udp { remote, .. } if !rport => {
                let mut bound = row.live(now).map(|b| b.origin.flow);
                let same = |f: &Flow| matches!(f, Flow::Udp { remote: r, .. } if r.ip() == remote.ip());
                bound.find(same).unwrap_or(own)
            }
            own => own,
        };
        let call_id = message.call_id().unwrap_or_default();
        if call_id.len() > keyline_domain::phone::CALL_ID_MAX {
            return Err(refused(400, "Call-ID is too long"));
        }
        Ok(Subscribe {
            tx: ServerTx(0),
            watched: Watched { package, line },
            event_id,
            expires: message.expires().map(|e| e.seconds),
            in_dialog,
            dialog: Dialog {
                call_id: call_id.into(),
                local_tag: format!("{:032x}", u128::from_be_bytes(self.entropy.take())).into(),
                remote_tag: Some(remote_tag.into()),
                local_uri: without_tag(message.to()),
                remote_uri: without_tag(message.from()),
                local_cseq: 0,
                remote_cseq: message.cseq().map(|c| c.number),
                route_set: route_values(message),
                remote_target: contact.uri.raw.into(),
            },
            flow,
            worker: self.id,
        })
    }

    /// The phone's actor has judged a SUBSCRIBE.
    pub(super) fn subscribed(
        &mut self,
        shared: &Shared,
        tx: ServerTxId,
        outcome: Result<(u32, Arc<str>), Refusal>,
    ) {
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let status = outcome.as_ref().map_or_else(|why| why.status(), |_| 200);
        let tag = outcome.as_ref().map_or(owner.tag.as_str(), |(_, tag)| tag);
        let mut p = owner.head.response(status, reason_phrase(status), Some(tag));
        match &outcome {
            Ok((expires, _)) => {
                p.header_number("Expires", u64::from(*expires));
                p.header("Contact", &owner.contact);
                p.header("Allow-Events", ALLOW_EVENTS);
            }
            Err(why) => {
                if let Refusal::TooBrief { min } = why {
                    p.header_number("Min-Expires", u64::from(*min));
                }
                let text = keyline_wire::sip::quoted(&why.to_string());
                p.header_parts("Warning", &["399 keyline ", &text]);
            }
        }
        self.respond(shared, tx, status, p.finish());
    }

    /// Sends a NOTIFY of a subscription.
    pub(super) fn notify(&mut self, shared: &Shared, device: DeviceIndex, notify: &Notify) {
        let Some(path) = self.path_of(&notify.flow) else {
            return self.notified(shared, device, notify.id, notify.number, Answered::Failed);
        };
        let id = branch::make(self.id, self.entropy.take());
        let mut p = outbound::begin(&path, "NOTIFY", &notify.dialog, id.as_str(), MAX_FORWARDS);
        p.cseq(notify.dialog.local_cseq, "NOTIFY");
        p.header("Contact", &outbound::contact(&path));
        let package = notify.watched.package.token();
        match &notify.event_id {
            Some(id) => p.header_parts("Event", &[package, ";id=", id]),
            None => p.header("Event", package),
        };
        match notify.state {
            Ok(left) => p.header_parts("Subscription-State", &["active;expires=", &left.to_string()]),
            Err(why) => p.header_parts("Subscription-State", &["terminated;reason=", why.as_str()]),
        };
        p.header("Allow-Events", ALLOW_EVENTS);
        let bytes = p.finish_with(notify.watched.package.content_type(), &body(shared, notify));
        let owner = ClientOwner::Notify { device, id: notify.id, number: notify.number };
        let now = self.now();
        let sent = self.clients.send(
            now,
            Method::Notify,
            id.as_str(),
            bytes.into(),
            path,
            owner,
            &mut self.client_actions,
        );
        match sent {
            Ok(_) => shared.metrics.sent("NOTIFY"),
            Err(error) => {
                tracing::warn!(%error, "a NOTIFY was not sent");
                self.notified(shared, device, notify.id, notify.number, Answered::Failed);
            }
        }
        self.run_actions(shared);
    }

    /// Tells the phone's actor what became of a NOTIFY.
    pub(super) fn notified(
        &mut self,
        shared: &Shared,
        device: DeviceIndex,
        id: SubscriptionId,
        number: u32,
        answered: Answered,
    ) {
        let Some(shard) = shard_of(shared, device) else { return };
        shared.handle.admit(shard, Load::Dialog);
        let work = Box::new(PhoneWork::Notified { id, number, answered });
        self.intend(shard, Intent::Phone { device, work, tx: None });
    }
}

/// A phone watches its own lines; the dialogs of others where a parameter lets it. Contacts and messages are
/// nobody else's business.
fn may_watch(shared: &Shared, device: DeviceIndex, package: Package, line: &Dn) -> Result<(), Refused> {
    let own = shared.boards.devices.device(device).is_some_and(|d| d.lines.contains(line));
    let others = package == Package::Dialog && shared.boards.settings.load().parameters.watch_other_lines;
    if own || others { Ok(()) } else { Err(refused(403, "this line may not be watched")) }
}

/// Whether Accept takes that media type; without Accept the package's default is taken (RFC 6665 §3.1.3).
fn accepts(message: &Message<'_>, content_type: &str) -> bool {
    let mut any = false;
    for range in message.tokens(HeaderName::Accept) {
        any = true;
        let range = range.split(';').next().unwrap_or_default().trim();
        if range == "*/*"
            || range.eq_ignore_ascii_case("application/*")
            || range.eq_ignore_ascii_case(content_type)
        {
            return true;
        }
    }
    !any
}

fn body(shared: &Shared, notify: &Notify) -> Vec<u8> {
    let uri = |user: &str| {
        let text = name_addr("", user, &shared.domain);
        text.trim_start_matches('<').trim_end_matches('>').to_owned()
    };
    let entity = uri(notify.watched.line.as_str());
    let (version, full) = (notify.document.version, notify.document.full);
    match &notify.document.items {
        Items::Dialogs(list) => {
            let remotes: Vec<String> = list.iter().map(|d| uri(&d.remote)).collect();
            let dialogs = list.iter().zip(&remotes).map(|(d, remote)| events::Dialog {
                id: &d.id,
                direction: d.direction.as_str(),
                state: d.state.as_str(),
                remote,
            });
            events::dialog_info(version, full, &entity, dialogs)
        }
        Items::Contacts { active, contacts } => {
            let now = keyline_actors::clock::now();
            let state = match (active, version) {
                (true, _) => "active",
                (false, 0) => "init",
                (false, _) => "terminated",
            };
            let contacts = contacts.iter().map(|(c, event)| events::Contact {
                id: &c.id,
                state: if *event == "registered" { "active" } else { "terminated" },
                event,
                expires: c.until.secs_after(now),
                q: c.q,
                uri: &c.uri,
            });
            events::reginfo(version, full, &entity, state, contacts)
        }
        Items::Messages(MessageWaiting { new, old, urgent_new, urgent_old }) => {
            let counts =
                events::Counts { new: *new, old: *old, urgent_new: *urgent_new, urgent_old: *urgent_old };
            events::message_summary(&entity, counts)
        }
    }
}
