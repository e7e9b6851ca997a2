//! Devices: configuration from the catalog, live rows from the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use keyline_domain::identity::ShownCertificate;
use keyline_domain::ids::{DeviceIndex, DeviceName, Dn, ProfileId, UserId};
use keyline_domain::mode::Protocol;
use keyline_domain::model::SharedModel;
use keyline_domain::phone::Row;
use papaya::HashMap;
use smallvec::SmallVec;

use super::slots::Slots;

/// Hasher of the boards' maps: seeded per process, so that names cannot be chosen to collide.
type Hasher = foldhash::quality::RandomState;

/// A device as configured. Immutable: a change publishes a new one.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its place on the board.
    pub index: DeviceIndex,
    /// Name.
    pub name: DeviceName,
    /// What people call it: shown beside its number. Empty when nothing was written down.
    pub description: Arc<str>,
    /// Model: trust, vendor class, capabilities.
    pub model: SharedModel,
    /// SIP or SCCP.
    pub protocol: Protocol,
    /// Lines in button order.
    pub lines: Arc<[Dn]>,
    /// Digest user.
    pub digest_user: Option<UserId>,
    /// Assigned profile. Its saved version and name are on the profile board, so that a change of the profile
    /// touches no device (design §5).
    pub profile: ProfileId,
    /// Who is logged in by Extension Mobility, and takes the digest user's place (R195).
    pub em_user: Option<UserId>,
    /// SHA-256 fingerprint of the vendor certificate that was uploaded for this very device.
    pub vendor_certificate: Option<Box<[u8; 32]>>,
}

impl Device {
    /// The user whose digest counts now.
    pub fn expected_user(&self) -> Option<&UserId> {
        self.em_user.as_ref().or(self.digest_user.as_ref())
    }
}

/// One device: what the catalog set and what its shard publishes.
#[derive(Default)]
pub struct DeviceSlot {
    config: ArcSwapOption<Device>,
    row: ArcSwapOption<Row>,
    /// What it showed when it last registered over TLS: for those who ask what a change would do.
    shown: ArcSwapOption<ShownCertificate>,
    /// Second (Unix) for which the shard has armed its wheel; 0 when not.
    armed: AtomicU32,
    /// A roll-out wants to know whether the phone comes back.
    watched: AtomicBool,
}

impl DeviceSlot {
    /// Configuration; `None` once the device was deleted.
    pub fn device(&self) -> Option<Arc<Device>> {
        self.config.load_full()
    }

    /// Last committed row.
    pub fn row(&self) -> Option<Arc<Row>> {
        self.row.load_full()
    }

    /// Puts a row in the place of another, which it returns; [`super::Boards::publish_row`] counts both.
    pub(super) fn swap_row(&self, row: Option<Arc<Row>>) -> Option<Arc<Row>> {
        self.row.swap(row)
    }

    /// The client certificate that it showed when it last registered, if that was since the start.
    pub fn shown(&self) -> Option<Arc<ShownCertificate>> {
        self.shown.load_full()
    }

    pub(crate) fn show(&self, shown: Option<Arc<ShownCertificate>>) {
        let same = match (&*self.shown.load(), &shown) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if !same {
            self.shown.store(shown);
        }
    }

    pub(crate) fn set_device(&self, device: Option<Arc<Device>>) {
        self.config.store(device);
    }

    /// A roll-out signalled the phone, or is about to, and waits for it.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(crate) fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    pub(crate) fn armed(&self) -> u32 {
        self.armed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_armed(&self, second: u32) {
        self.armed.store(second, Ordering::Relaxed);
    }
}

/// Devices that share a line, in order of index.
pub type LineDevices = SmallVec<[DeviceIndex; 2]>;

/// The directory.
#[derive(Default)]
pub struct DeviceBoard {
    slots: Slots<DeviceSlot>,
    names: HashMap<DeviceName, DeviceIndex, Hasher>,
    lines: HashMap<Dn, LineDevices, Hasher>,
    /// By the user whose digest counts on them; more than one only where policy allows it (R196).
    digest_users: HashMap<UserId, LineDevices, Hasher>,
}

impl std::fmt::Debug for DeviceBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceBoard({} slots)", self.slots.len())
    }
}

impl DeviceBoard {
    /// Index of a device by its canonical name.
    pub fn by_name(&self, name: &str) -> Option<DeviceIndex> {
        self.names.pin().get(name).copied()
    }

    /// Devices of a line; empty when the line is unknown.
    pub fn by_line(&self, dn: &str) -> LineDevices {
        self.lines.pin().get(dn).cloned().unwrap_or_default()
    }

    /// The line exists, be it without a device.
    pub fn has_line(&self, dn: &str) -> bool {
        self.lines.pin().contains_key(dn)
    }

    /// The device on which this user's digest counts; none where several share the user.
    pub fn by_digest_user(&self, user: &str) -> Option<DeviceIndex> {
        match self.digest_users.pin().get(user)?.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Slot of a device.
    pub fn slot(&self, index: DeviceIndex) -> Option<&DeviceSlot> {
        self.slots.get(index.0)
    }

    /// Configuration of a device.
    pub fn device(&self, index: DeviceIndex) -> Option<Arc<Device>> {
        self.slot(index)?.device()
    }

    /// Slots handed out so far, deleted devices included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// No device was ever added.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A board with room for that many devices and lines, so that its maps need not grow while they fill.
    pub(crate) fn with_room(devices: usize, lines: usize) -> Self {
        let (names, lines, digest_users) = (room(devices), room(lines), room(devices));
        Self { slots: Slots::default(), names, lines, digest_users }
    }

    /// The slot at an index, with all below it. `None`: the board is full.
    fn slot_for(&self, index: DeviceIndex) -> Option<&DeviceSlot> {
        while self.slots.len() <= index.0 as usize {
            self.slots.grow()?;
        }
        self.slot(index)
    }

    /// Adds a device to a board that knows none of its name or index; its lines are entered by themselves.
    /// `false`: the board is full.
    pub(super) fn enter(&self, new: Device) -> bool {
        let Some(slot) = self.slot_for(new.index) else { return false };
        if let Some(user) = new.expected_user() {
            self.join_user(user.clone(), new.index);
        }
        self.names.pin().insert(new.name.clone(), new.index);
        slot.set_device(Some(Arc::new(new)));
        true
    }

    /// Adds a line that is not there yet, with its devices in order.
    pub(crate) fn enter_line(&self, dn: Dn, devices: &[DeviceIndex]) {
        self.lines.pin().insert(dn, devices.into());
    }

    /// Adds or replaces a device at its index. `false`: the board is full.
    pub(crate) fn put(&self, new: Device) -> bool {
        let Some(slot) = self.slot_for(new.index) else { return false };
        let (index, name) = (new.index, new.name.clone());
        let old = slot.device();
        let lines = Arc::clone(&new.lines);
        if let Some(old) = &old {
            for dn in old.lines.iter().filter(|l| !lines.contains(l)) {
                self.leave_line(dn, index);
            }
            self.forget_user(old, new.expected_user());
        }
        let user = new.expected_user().cloned();
        slot.set_device(Some(Arc::new(new)));
        for dn in lines.iter() {
            self.join_line(dn.clone(), index);
        }
        if let Some(user) = user {
            self.join_user(user, index);
        }
        if old.is_none() {
            self.names.pin().insert(name, index);
        }
        true
    }

    /// Takes a device off the board; its index is not used again.
    /// Returns its last row.
    pub(super) fn remove(&self, index: DeviceIndex) -> Option<Arc<Row>> {
        let slot = self.slot(index)?;
        let old = slot.device()?;
        self.names.pin().remove(&old.name);
        for dn in old.lines.iter() {
            self.leave_line(dn, index);
        }
        self.forget_user(&old, None);
        slot.set_device(None);
        slot.swap_row(None)
    }

    /// Forgets a line that no device has.
    pub(crate) fn remove_line(&self, dn: &Dn) {
        self.lines.pin().remove(dn);
    }

    fn join_user(&self, user: UserId, index: DeviceIndex) {
        let pin = self.digest_users.pin();
        let devices = pin.get_or_insert_with(user.clone(), || LineDevices::from_slice(&[index]));
        if let Err(at) = devices.binary_search(&index) {
            let mut devices = devices.clone();
            devices.insert(at, index);
            pin.insert(user, devices);
        }
    }

    fn forget_user(&self, old: &Device, new: Option<&UserId>) {
        let Some(user) = old.expected_user().filter(|user| Some(*user) != new) else { return };
        let pin = self.digest_users.pin();
        let Some(devices) = pin.get(user) else { return };
        let mut devices = devices.clone();
        devices.retain(|d| *d != old.index);
        match devices.is_empty() {
            true => pin.remove(user),
            false => pin.insert(user.clone(), devices),
        };
    }

    /// Makes a line known that no device has (yet).
    pub(crate) fn put_line(&self, dn: Dn) {
        self.lines.pin().get_or_insert_with(dn, LineDevices::new);
    }

    fn join_line(&self, dn: Dn, index: DeviceIndex) {
        let pin = self.lines.pin();
        let mut devices = pin.get(&dn).cloned().unwrap_or_default();
        if let Err(at) = devices.binary_search(&index) {
            devices.insert(at, index);
            pin.insert(dn, devices);
        }
    }

    fn leave_line(&self, dn: &Dn, index: DeviceIndex) {
        let pin = self.lines.pin();
        if let Some(devices) = pin.get(dn) {
            let mut devices = devices.clone();
            devices.retain(|d| *d != index);
            pin.insert(dn.clone(), devices);
        }
    }
}

fn room<K, V>(entries: usize) -> HashMap<K, V, Hasher> {
    HashMap::builder().capacity(entries).hasher(Hasher::default()).build()
}
