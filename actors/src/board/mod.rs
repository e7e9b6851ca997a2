//! Boards: what actors publish and the engine reads, without a lock and without asking an actor.
//!
//! | board | map | why |
//! |---|---|---|
//! | devices by name, line, digest user; certificates seen | `papaya` (lock-free reads) | read per packet, written by the catalog |
//! | device slots | append-only array, `arc-swap` per slot | an index, not a look-up, per packet |
//! | users, profiles, parameters | `papaya`, `arc-swap` snapshots | read per packet, rarely written |
//! | refusals | fixed array, `arc-swap` per slot | written where something is refused, read by the API |
//! | roll-outs | `papaya` | read by the API, written a few times a second while one runs |
//! | watched lines | `dashmap` | met where a call or a registration changes, never by a refresh |
//! | calls | `dashmap` (sharded locks: **not** lock-free) | read by the API, and once a call for its hop count |
//!
//! Hot path: no lock, no allocation, no call that can block in a reader.

pub mod calls;
pub mod certificates;
pub mod devices;
pub mod keys;
mod own;
pub mod profiles;
pub mod refusals;
pub mod rollouts;
pub mod settings;
mod slots;
pub mod tokens;
pub mod watch;

/// Most devices of a node.
pub const DEVICES_MAX: usize = slots::CAPACITY;

pub use calls::{CallBoard, CallEntry};
pub use certificates::CertificateBoard;
pub use devices::{Device, DeviceBoard, DeviceSlot, LineDevices};
pub use keys::{KeyBoard, Keys, OauthSecrets, TICKET_SECRET_LEN, TicketKey, TicketKeys};
pub use own::{Crl, Material, Own, OwnCertificates, PrivateKeyPem};
pub use profiles::{Judgement, ProfileBoard};
pub use refusals::{RefusalBoard, Refused, RefusedAt};
pub use rollouts::RolloutBoard;
pub use settings::{Settings, SettingsBoard};
pub use tokens::{Role, Token, TokenBoard};
pub use watch::WatchBoard;

/// All boards of a node.
#[derive(Debug)]
pub struct Boards {
    /// Devices, lines, digest users and their live rows.
    pub devices: DeviceBoard,
    /// Profiles by id and version.
    pub profiles: ProfileBoard,
    /// Parameters and users.
    pub settings: SettingsBoard,
    /// Calls in progress.
    pub calls: CallBoard,
    /// Keys in force.
    pub keys: KeyBoard,
    /// What may be subscribed to, and who did.
    pub watch: WatchBoard,
    /// Tokens of the admin API.
    pub tokens: TokenBoard,
    /// What phones proved themselves by.
    pub certificates: CertificateBoard,
    /// Why phones were refused, last.
    pub refusals: RefusalBoard,
    /// Roll-outs of profiles.
    pub rollouts: RolloutBoard,
}

impl Boards {
    /// By what a device is judged now: admission, files, ports, class.
    pub fn judged(&self, slot: &DeviceSlot, now: keyline_domain::ids::UnixMillis) -> Option<Judgement> {
        self.profiles.judge(slot.device()?.profile, slot.row().as_deref(), now)
    }

    /// Publishes a row. Only the device's shard and recovery call this.
    pub(crate) fn publish_row(&self, slot: &DeviceSlot, row: std::sync::Arc<keyline_domain::phone::Row>) {
        let old = slot.swap_row(Some(std::sync::Arc::clone(&row)));
        self.profiles.replaced(old.as_deref(), Some(&row));
    }

    /// Publishes a row that was read at the start. It names the lines of its device by the device's own texts, so that
    /// each is there once.
    pub(crate) fn publish_first(
        &self,
        index: keyline_domain::ids::DeviceIndex,
        mut row: keyline_domain::phone::Row,
    ) {
        let Some(slot) = self.devices.slot(index) else { return };
        if let Some(device) = slot.device() {
            for binding in &mut row.bindings {
                if let Some(own) = device.lines.iter().find(|line| **line == binding.line) {
                    binding.line = own.clone();
                }
            }
        }
        self.publish_row(slot, std::sync::Arc::new(row));
    }

    /// Adds or replaces a device. `false`: the board is full.
    pub(crate) fn put_device(&self, device: Device) -> bool {
        let (index, profile) = (device.index, device.profile);
        let before = self.devices.device(index).map(|d| d.profile);
        let put = self.devices.put(device);
        if put {
            self.profiles.assigned(before, Some(profile));
        }
        put
    }

    /// Adds a device to boards that have not got it. `false`: the board is full.
    pub(crate) fn enter_device(&self, device: Device) -> bool {
        let profile = device.profile;
        let entered = self.devices.enter(device);
        if entered {
            self.profiles.assigned(None, Some(profile));
        }
        entered
    }

    /// Takes a device off the boards.
    pub(crate) fn remove_device(&self, index: keyline_domain::ids::DeviceIndex) {
        if let Some(device) = self.devices.device(index) {
            self.certificates.forget(&device.name);
            self.profiles.assigned(Some(device.profile), None);
        }
        let old = self.devices.remove(index);
        self.profiles.replaced(old.as_deref(), None);
    }
}
