//! Orders to a phone: NOTIFY outside any subscription, `service-control` to Cisco phones (provisioning.md
//! §7.2), `check-sync` to others. Whoever orders learns what the phone answered.

use std::collections::HashMap;
use std::sync::Arc;

use keyline_actors::Applied;
use keyline_actors::board::Device;
use keyline_domain::call::Dialog;
use keyline_domain::flow::Flow;
use keyline_domain::ids::{DeviceIndex, ProfileId};
use keyline_domain::model::VendorClass;
use keyline_domain::phone::{AppliedVersion, Binding, Row};
use keyline_wire::sip::Method;
use tokio::sync::oneshot;

use super::invite::name_addr;
use super::outbound;
use super::owner::ClientOwner;
use super::shared::{Shared, ToWorker};
use super::transaction::branch;
use super::worker::State;
use crate::admin::{OrderRefused, PhoneOrder};

/// Orders of one worker that wait for an answer.
const OPEN_MAX: usize = 16_384;

/// Max-Forwards of an order.
const MAX_FORWARDS: u64 = 70;

/// One order, for the worker that owns the flow.
#[derive(Debug)]
pub struct Order {
    flow: Flow,
    dialog: Dialog,
    event: &'static str,
    body: Option<String>,
    done: Done,
}

/// Who hears what the phone answered; `None` when it did not.
#[derive(Debug)]
enum Done {
    /// Whoever ordered.
    Asked(oneshot::Sender<Option<u16>>),
    /// The roll-out of a profile.
    Rollout(ProfileId, DeviceIndex),
}

impl Done {
    fn tell(self, shared: &Shared, status: Option<u16>) {
        match self {
            // Whoever gave it up meanwhile hears nothing.
            Self::Asked(done) => drop(done.send(status)),
            Self::Rollout(profile, device) => shared.handle.answered(profile, device, status),
        }
    }
}

/// Orders under way.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    open: HashMap<u64, Done>,
}

/// Brings the saved version of its profile to a phone (R183, R206), sends it the order and waits for its answer.
///
/// # Errors
/// [`OrderRefused`].
pub async fn order(shared: &Shared, name: &str, order: PhoneOrder) -> Result<u16, OrderRefused> {
    let boards = &shared.boards;
    let index = boards.devices.by_name(name).or_else(|| boards.devices.by_name(&name.to_ascii_uppercase()));
    let slot = index.and_then(|i| boards.devices.slot(i));
    let Some((slot, device)) = slot.and_then(|s| Some((s, s.device()?))) else {
        return Err(OrderRefused::NoPhone(name.to_owned()));
    };
    let away = || OrderRefused::NotRegistered(device.name.to_string());
    let now = keyline_actors::clock::now();
    let reachable = |row: &Row| row.live(now).any(|b| b.origin.flow.is_live());
    if !slot.row().is_some_and(|row| reachable(&row)) {
        return Err(away());
    }
    match shared.handle.apply_to(device.index).await {
        Ok(Applied::Done) => {}
        Ok(Applied::Unregistered) => return Err(away()),
        Ok(Applied::Moved) => return Err(OrderRefused::NoPhone(name.to_owned())),
        Ok(Applied::Busy) => return Err(OrderRefused::Fault("too much waits to be written".to_owned())),
        Ok(Applied::Failed) => return Err(OrderRefused::Fault("the store did not take it".to_owned())),
        Err(reason) => return Err(OrderRefused::Fault(reason)),
    }
    let row = slot.row().ok_or_else(away)?;
    let binding = row.live(now).find(|b| b.origin.flow.is_live()).ok_or_else(away)?;
    let (done, answer) = oneshot::channel();
    let worker = match binding.origin.flow {
        Flow::Stream { id, .. } => id.worker,
        Flow::Udp { .. } | Flow::Lost { .. } => 0,
    };
    let message = write(shared, &device, &row, binding, order, Done::Asked(done))?;
    if !shared.inboxes.send(worker, ToWorker::Order(Box::new(message))) {
        return Err(OrderRefused::Fault("too much waits for that phone's worker".to_owned()));
    }
    tracing::info!(device = device.name.as_str(), order = order.as_str(), "a phone is ordered");
    match answer.await {
        Ok(Some(status @ 200..=299)) => Ok(status),
        Ok(Some(status)) => Err(OrderRefused::Refused(device.name.to_string(), status)),
        Ok(None) | Err(_) => Err(OrderRefused::Silent(device.name.to_string())),
    }
}

fn write(
    shared: &Shared,
    device: &Device,
    row: &Row,
    binding: &Binding,
    order: PhoneOrder,
    done: Done,
) -> Result<Order, OrderRefused> {
    let mut random = [0u8; 24];
    getrandom::fill(&mut random).map_err(|e| OrderRefused::Fault(e.to_string()))?;
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let dialog = Dialog {
        call_id: hex(&random[..16]).into(),
        local_tag: hex(&random[16..]).into(),
        remote_tag: None,
        local_uri: format!("<sip:{}>", shared.domain).into(),
        remote_uri: name_addr("", binding.line.as_str(), &shared.domain),
        local_cseq: 1,
        remote_cseq: None,
        route_set: binding.origin.path.clone(),
        remote_target: Arc::clone(&binding.contact),
    };
    let cisco = device.model.vendor_class == VendorClass::Own;
    let (event, body) = match (cisco, order) {
        (true, _) => ("service-control", Some(service_control(row.applied, binding, order))),
        (false, PhoneOrder::Reset) => ("check-sync;reboot=true", None),
        (false, PhoneOrder::Restart | PhoneOrder::Apply) => ("check-sync;reboot=false", None),
    };
    Ok(Order { flow: binding.origin.flow, dialog, event, body, done })
}

/// The body that a Cisco phone reads: it compares the Call-ID with that of its registration, and the stamp with
/// that of the configuration that it has. The stamp names the profile version that it is judged by.
fn service_control(applied: AppliedVersion, binding: &Binding, order: PhoneOrder) -> String {
    let action = match order {
        PhoneOrder::Reset => "reset",
        PhoneOrder::Restart => "restart",
        PhoneOrder::Apply => "apply-config",
    };
    let call_id = &binding.origin.call_id;
    let stamp = format!("{:08x}-{:08x}", applied.profile.0, applied.version.0);
    let mut body = format!(
        "action={action}\r\nRegisterCallId={{{call_id}}}\r\nConfigVersionStamp={{{stamp}}}\r\n\
         DialplanVersionStamp={{}}\r\nSoftkeyVersionStamp={{}}\r\nFeatureControlVersionStamp={{}}\r\n"
    );
    if order == PhoneOrder::Apply {
        body.push_str("CUCMResult=config_applied\r\nLoadId=\r\nLoadServer=\r\n");
    }
    body
}

impl State {
    /// Sends an order from this worker.
    pub(super) fn order(&mut self, shared: &Shared, order: Order) {
        let Order { flow, dialog, event, body, done } = order;
        let path = self.path_of(&flow).filter(|_| self.orders.open.len() < OPEN_MAX);
        let Some(path) = path else {
            done.tell(shared, None);
            return;
        };
        let id = branch::make(self.id, self.entropy.take());
        let mut p = outbound::begin(&path, "NOTIFY", &dialog, id.as_str(), MAX_FORWARDS);
        p.cseq(dialog.local_cseq, "NOTIFY");
        p.header("Contact", &outbound::contact(&path));
        p.header("Event", event);
        p.header("Subscription-State", "active");
        let bytes = match body {
            Some(body) => p.finish_with("text/plain", body.as_bytes()),
            None => p.finish(),
        };
        self.orders.next += 1;
        let number = self.orders.next;
        let owner = ClientOwner::Order { number };
        let now = self.now();
        let (method, bytes) = (Method::Notify, bytes.into());
        match self.clients.send(now, method, id.as_str(), bytes, path, owner, &mut self.client_actions) {
            Ok(_) => {
                shared.metrics.sent("NOTIFY");
                self.orders.open.insert(number, done);
            }
            Err(error) => {
                tracing::warn!(%error, "an order was not sent");
                done.tell(shared, None);
            }
        }
        self.run_actions(shared);
    }

    /// The phone answered, or did not.
    pub(super) fn ordered(&mut self, shared: &Shared, number: u64, status: Option<u16>) {
        if let Some(done) = self.orders.open.remove(&number) {
            done.tell(shared, status);
        }
    }

    /// A roll-out signals a phone.
    pub(super) fn signal(
        &mut self,
        shared: &Shared,
        device: DeviceIndex,
        profile: ProfileId,
        order: PhoneOrder,
    ) {
        let slot = shared.boards.devices.slot(device);
        let found = slot.and_then(|s| Some((s.device()?, s.row()?)));
        let now = keyline_actors::clock::now();
        let done = Done::Rollout(profile, device);
        let binding = found
            .as_ref()
            .and_then(|(config, row)| Some((config, row, row.live(now).find(|b| b.origin.flow.is_live())?)));
        let Some((config, row, binding)) = binding else { return done.tell(shared, None) };
        match write(shared, config, row, binding, order, done) {
            Ok(message) => self.order(shared, message),
            // Without randomness nothing can be sent; the roll-out's watch over the phone ends that.
            Err(error) => tracing::warn!(%error, "a phone was not signalled"),
        }
    }
}
