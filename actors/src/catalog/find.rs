//! What phones are searched by, kept beside the inventory.

use keyline_domain::find::PhoneIndex;
use keyline_domain::inventory::Event;

use super::Catalog;

impl Catalog {
    /// What phones are searched by, as of the last commit. A clone may be read on any thread.
    /// Whoever asks first after a start or a fault has it made.
    pub fn find(&self) -> &PhoneIndex {
        self.find.get_or_init(|| PhoneIndex::of(&self.inventory))
    }

    /// Follows what was committed.
    pub(super) fn follow(&mut self, events: &[Event]) {
        let (mut phones, mut profiles) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::DeviceChanged { index, .. } | Event::DeviceRemoved { index, .. } => {
                    phones.push(*index)
                }
                Event::ProfileSaved { id, .. } | Event::ProfileRemoved(id) => profiles.push(*id),
                _ => {}
            }
        }
        if (!phones.is_empty() || !profiles.is_empty())
            && let Some(find) = self.find.get_mut()
        {
            find.update(&self.inventory, &phones, &profiles);
        }
    }
}
