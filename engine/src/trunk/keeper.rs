//! Who keeps a task for each trunk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keyline_actors::Handle;
use keyline_actors::clock::now;
use keyline_domain::mode::DeviceSecurityMode;
use keyline_domain::trunk::TrunkState;
use tokio::task::JoinHandle;

use super::connection::{Origin, serve};
use super::{Plan, Status, Trunks};

/// How often the configuration is looked at. Trunks are few and change seldom.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps a task for each trunk until the runtime ends.
pub async fn keep(handle: Handle, trunks: Trunks, origin: Arc<Origin>) {
    let mut tasks: HashMap<String, (Plan, Option<JoinHandle<()>>)> = HashMap::new();
    loop {
        if let Ok(plans) = handle.look(|catalog| plans(catalog.inventory())).await {
            tasks.retain(|name, (plan, task)| {
                let stays = plans.iter().any(|p| p == plan);
                if !stays {
                    // Dropping its socket closes the connection.
                    task.iter().for_each(JoinHandle::abort);
                    trunks.forget(name);
                }
                stays
            });
            for plan in plans {
                let ended = match tasks.get(&plan.name) {
                    // Its task runs for ever unless it panics.
                    Some((_, Some(task))) => task.is_finished(),
                    Some((_, None)) => false,
                    None => false,
                };
                if ended {
                    trunks.restarts.inc();
                    tracing::error!(trunk = plan.name, "the trunk's task panicked; it begins anew");
                }
                if ended || !tasks.contains_key(&plan.name) {
                    let task = begin(&plan, &trunks, &origin);
                    tasks.insert(plan.name.clone(), (plan, task));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn begin(plan: &Plan, trunks: &Trunks, origin: &Arc<Origin>) -> Option<JoinHandle<()>> {
    if plan.mode == DeviceSecurityMode::NonSecure {
        // Without TLS there is no connection to keep.
        let status = Status { state: TrunkState::Open, detail: String::new(), suite: 0, since: now() };
        trunks.set(&plan.name, status);
        return None;
    }
    Some(actix::spawn(serve(plan.clone(), trunks.clone(), Arc::clone(origin))))
}

fn plans(inventory: &keyline_domain::inventory::Inventory) -> Vec<Plan> {
    inventory
        .trunks()
        .map(|trunk| {
            let name = trunk.security_profile.as_deref();
            let profile = name.and_then(|n| inventory.trunk_security_profiles().find(|p| *p.name == *n));
            Plan {
                name: trunk.name.to_string(),
                destination: trunk.destination.to_string(),
                mode: profile.map_or(DeviceSecurityMode::NonSecure, |p| p.device_security_mode),
                subject: profile.and_then(|p| p.x509_subject.as_deref()).map(str::to_owned),
            }
        })
        .collect()
}
