//! SIGHUP: the configuration is read again; what can change while the node runs does, the rest is named.

use std::path::Path;

use crate::config::{Config, ConfigError, Sources};
use crate::limits::FIELDS;

/// Limits that act from the moment of a reload on.
pub(super) const LIVE_LIMITS: [&str; 22] = [
    "message_head_bytes",
    "message_header_bytes",
    "message_headers",
    "message_vias",
    "message_body_bytes",
    "requests_per_source",
    "auto_registrations_per_source",
    "options_per_source",
    "auto_registered_phones",
    "admin_requests_per_source",
    "admin_requests_per_token",
    "connections",
    "connections_per_source",
    "unauthenticated_connections",
    "unauthenticated_per_source",
    "handshakes",
    "handshakes_per_source",
    "descriptors_reserved",
    "message_s",
    "unauthenticated_idle_s",
    "write_queue_bytes",
    "transactions_per_source",
];

/// Reads the file again, with the environment and the data directory of the start.
///
/// # Errors
/// [`ConfigError`]: everything that is wrong with it; the node goes on with what it has.
pub(super) fn read(old: &Config) -> Result<Config, ConfigError> {
    let file = old.file.as_deref();
    Config::load(&Sources {
        file: file.map(Path::new),
        data: Some(&old.node.data_dir),
        env: &|name| std::env::var_os(name),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    })
}

/// Takes over what may change and says what changed (`section.key`): at once, and only at the next start.
pub(super) fn merge(old: &mut Config, new: Config) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut live, mut later) = (Vec::new(), Vec::new());
    let mut take = |name, changed: bool| {
        if changed {
            live.push(name);
        }
    };
    take("node.aliases", old.node.aliases != new.node.aliases);
    take("node.drain_s", old.node.drain_s != new.node.drain_s);
    take("node.calls_at_stop", old.node.calls_at_stop != new.node.calls_at_stop);
    let mut fresh = new.limits.clone();
    let mut kept = old.limits.clone();
    for field in FIELDS {
        let (Some(now), Some(then)) = (kept.by_name(field.name), fresh.by_name(field.name)) else { continue };
        if now == then {
            continue;
        }
        if LIVE_LIMITS.contains(&field.name) {
            *now = *then;
            live.push(field.name);
        } else {
            later.push(field.name);
        }
    }
    for (name, changed) in [
        ("node.name", old.node.name != new.node.name),
        ("node.domain", old.node.domain != new.node.domain),
        ("node.key_file", old.node.key_file != new.node.key_file),
        ("listen", old.listen != new.listen),
        ("shards.count", old.shards != new.shards),
        ("storage", old.storage != new.storage),
        ("tls", old.tls != new.tls),
        ("websocket", old.websocket != new.websocket),
        ("oauth", old.oauth != new.oauth),
    ] {
        if changed {
            later.push(name);
        }
    }
    old.node.aliases = new.node.aliases;
    old.node.drain_s = new.node.drain_s;
    old.node.calls_at_stop = new.node.calls_at_stop;
    old.limits = kept;
    (live, later)
}
