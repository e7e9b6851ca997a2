//! Device names that live on a wanted shard.

use std::sync::Mutex;

use keyline_domain::ids::DeviceName;

/// The shard counts under which suites run.
pub const SHARD_COUNTS: [u16; 3] = [1, 2, 3];

/// The shard of a device, where partition → shard is partition modulo count.
pub fn shard_of(device: &str, shards: u16) -> u16 {
    let name = DeviceName::parse(device).expect("a device name");
    u16::from(name.partition().0) % shards
}

/// The `nth` name of a hardware phone that lives on that shard. Different `nth` give different names.
pub fn device_on(shard: u16, shards: u16, nth: u32) -> String {
    // Sixteen neighbours are far more than it takes to meet each of a few shards.
    (0..256)
        .map(|i| format!("SEP{:012X}", 0x00C0_FFEE_0000_u64 + u64::from(nth) * 256 + i))
        .find(|name| shard_of(name, shards) == shard % shards)
        .expect("256 neighbours cover every shard")
}

/// Tests that load the machine take turns.
pub static HEAVY: Mutex<()> = Mutex::new(());
