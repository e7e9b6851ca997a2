//! From the raw form to the checked one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use keyline_domain::inventory::{NODE_NAME_MAX, is_node_name};

use super::error::{Origin, Problem};
use super::listen::{Listen, Listener};
use super::raw::{Given, Givens, Value};
use super::{
    ADMIN_TOKEN_VARIABLE, CallsAtStop, DEFAULT_DATA_DIR, Durability, Engine, Node, Secret, Sources, Storage,
    Tls, Websocket,
};
use crate::limits::{self, Limits};

/// Most shards: one for each partition (design §3).
const SHARDS_MAX: u16 = 256;

/// Longest host name (RFC 1035 §2.3.4).
const HOST_MAX: usize = 253;

/// Seconds that calls get to end when the node stops, if nothing is set, and at most.
const DRAIN_S: u64 = 30;
const DRAIN_MAX_S: u64 = 86_400;

/// Most aliases.
const ALIASES_MAX: usize = 64;

/// Longest administrator's token, in characters.
const TOKEN_MAX: usize = 512;

/// Most origins.
const ORIGINS_MAX: usize = 256;

/// Most addresses of one listener.
const ADDRESSES_MAX: usize = 16;

/// A shorter administrator's token can be guessed; it is taken with a warning.
const TOKEN_SAFE: usize = 16;

/// Checks all values. A wrong one is reported and replaced by its default, so that all problems
/// are found at once.
pub(super) fn check(
    file: Option<&Path>,
    givens: &Givens,
    sources: &Sources<'_>,
    problems: &mut Vec<Problem>,
) -> super::Config {
    let mut checker = Checker { givens, problems, warnings: Vec::new() };
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let node = checker.node(folder, sources.data);
    let listen = checker.listen();
    let shards = checker.shards(sources.cores);
    let storage = checker.storage();
    let tls = checker.tls();
    let websocket = checker.websocket(&listen);
    let oauth = checker.oauth(folder, &node.domain);
    let limits = checker.limits();
    let admin_token = checker.admin_token(sources);
    let warnings = checker.warnings;
    super::Config {
        file: file.map(Path::to_owned),
        node,
        listen,
        shards,
        storage,
        tls,
        websocket,
        oauth,
        limits,
        admin_token,
        warnings,
    }
}

pub(super) struct Checker<'a> {
    givens: &'a Givens,
    problems: &'a mut Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Checker<'a> {
    /// The value of a key, if it was given and is right.
    pub(super) fn take<V>(
        &mut self,
        section: &'static str,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Result<V, String>,
    ) -> Option<V> {
        let given: &Given = self.givens.get(&(section, key))?;
        let refused = match parse(&given.value) {
            Ok(value) => return Some(value),
            Err(reason) => reason,
        };
        self.problems.push(Problem::Value {
            place: given.place.clone(),
            key: format!("{section}.{key}"),
            value: given.value.shown(),
            reason: refused,
        });
        None
    }

    fn place(&self, section: &'static str, key: &'static str) -> Option<&'a Origin> {
        self.givens.get(&(section, key)).map(|given| &given.place)
    }

    /// Whether a key was given.
    pub(super) fn has(&self, section: &'static str, key: &'static str) -> bool {
        self.givens.contains_key(&(section, key))
    }

    /// Where a key was given, and its value for a message.
    pub(super) fn given(&self, section: &'static str, key: &'static str) -> Option<(Origin, String)> {
        self.givens.get(&(section, key)).map(|given| (given.place.clone(), given.value.shown()))
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn node(&mut self, folder: &Path, data: Option<&Path>) -> Node {
        let name = self.take("node", "name", node_name).unwrap_or_else(|| "keyline".to_owned());
        let domain = self.take("node", "domain", |value| host(text(value)?));
        let aliases = self.take("node", "aliases", aliases).unwrap_or_default();
        let configured = self.path("data_dir", folder);
        let data_dir =
            data.map(Path::to_owned).or(configured).unwrap_or_else(|| folder.join(DEFAULT_DATA_DIR));
        let key_file = self.path("key_file", folder).unwrap_or_else(|| data_dir.join("node.key"));
        let domain = domain.unwrap_or_else(|| "keyline.local".to_owned());
        let drain_s = self.take("node", "drain_s", |value| number(value, 0, DRAIN_MAX_S));
        let calls_at_stop = self.take("node", "calls_at_stop", |value| match text(value)? {
            "release" => Ok(CallsAtStop::Release),
            "keep" => Ok(CallsAtStop::Keep),
            _ => Err("is neither \"release\" nor \"keep\"".to_owned()),
        });
        Node {
            name,
            data_dir,
            domain,
            aliases,
            key_file,
            drain_s: drain_s.unwrap_or(DRAIN_S),
            calls_at_stop: calls_at_stop.unwrap_or(CallsAtStop::Release),
        }
    }

    /// A path: in the file relative to its folder.
    fn path(&mut self, key: &'static str, folder: &Path) -> Option<PathBuf> {
        let path = self.take("node", key, |value| match text(value)? {
            "" => Err("is empty; write a path".to_owned()),
            path => Ok(PathBuf::from(path)),
        })?;
        match self.place("node", key) {
            Some(Origin::File { .. }) => Some(folder.join(path)),
            _ => Some(path),
        }
    }

    fn listen(&mut self) -> Listen {
        let mut listen = Listen::default();
        let host = self.take("listen", "address", address);
        for (listener, place) in Listener::ALL.into_iter().zip(&mut listen.addresses) {
            let Some(given) = self.take("listen", listener.key(), |value| endpoints(value, listener)) else {
                if let Some(host) = host {
                    place.iter_mut().for_each(|own| own.set_ip(host));
                }
                continue;
            };
            let foreign =
                given.iter().filter_map(|(own, _)| *own).find(|own| host.is_some_and(|h| h != *own));
            if let (Some(host), Some(own)) = (host, foreign) {
                self.warnings.push(format!(
                    "listen.{} names {own}, but listen.address puts every listener on {host}; \
                     remove one of the two",
                    listener.key()
                ));
            }
            let fallback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let bound =
                |(own, port): (Option<IpAddr>, u16)| SocketAddr::new(host.or(own).unwrap_or(fallback), port);
            *place = given.into_iter().map(bound).collect();
        }
        self.collisions(&listen);
        if listen.all(Listener::SipUdp).iter().any(|a| a.ip().is_unspecified()) {
            self.warnings.push(
                "listen.sip_udp is bound to every address, and phones would be told to reach 0.0.0.0 or [::]: \
                 list the addresses that phones use, such as [\"192.0.2.10:5060\", \"[2001:db8::10]:5060\"]"
                    .to_owned(),
            );
        }
        let missing: Vec<&str> = listen.not_built().map(Listener::key).collect();
        if !missing.is_empty() {
            self.warnings.push(format!(
                "these listeners are not built in this version and bind nothing: {}",
                missing.join(", ")
            ));
        }
        listen
    }

    /// Two listeners of a kind cannot share an address and port.
    fn collisions(&mut self, listen: &Listen) {
        let bound: Vec<(Listener, SocketAddr)> = listen.bound().collect();
        for (number, (second, address)) in bound.iter().enumerate() {
            let clash = bound[..number].iter().find(|(first, other)| {
                first.socket() == second.socket()
                    && address.port() != 0
                    && address.port() == other.port()
                    // Sockets of the two families never meet: ours take no mapped addresses.
                    && address.is_ipv4() == other.is_ipv4()
                    && (address.ip() == other.ip()
                        || address.ip().is_unspecified()
                        || other.ip().is_unspecified())
            });
            let Some((first, _)) = clash else { continue };
            let places = [second, first].map(|listener| self.place("listen", listener.key()));
            let address_place = self.place("listen", "address");
            // One of them was given, for the defaults differ.
            let Some(place) = places.into_iter().flatten().next().or(address_place) else { continue };
            self.problems.push(Problem::Value {
                place: place.clone(),
                key: format!("listen.{}", second.key()),
                value: format!("\"{address}\""),
                reason: format!(
                    "listen.{} has that port already; give one of them another port",
                    first.key()
                ),
            });
        }
    }

    fn shards(&mut self, cores: usize) -> u16 {
        let limit = u64::from(SHARDS_MAX);
        let count = self.take("shards", "count", |value| number(value, 1, limit));
        // Within the limit, so it fits.
        count.unwrap_or_else(|| (cores as u64).clamp(1, limit)) as u16
    }

    fn storage(&mut self) -> Storage {
        let engine = self.take("storage", "engine", |value| match text(value)? {
            "rocksdb" => Ok(Engine::RocksDb),
            "memory" => Ok(Engine::Memory),
            "etcd" => Err("is not available in this version; use \"rocksdb\"".to_owned()),
            _ => Err("is no storage engine; use \"rocksdb\", or \"memory\" for a trial".to_owned()),
        });
        if engine == Some(Engine::Memory) {
            self.warnings.push("storage.engine is memory: nothing survives a restart".to_owned());
        }
        let durability = self.take("storage", "durability", |value| match text(value)? {
            "process" => Ok(Durability::Process),
            "power" => Ok(Durability::Power),
            _ => Err("is no durability; use \"process\" (survives kill -9) or \"power\" (synced to disk \
                      before each answer)"
                .to_owned()),
        });
        Storage {
            engine: engine.unwrap_or(Engine::RocksDb),
            durability: durability.unwrap_or(Durability::Process),
        }
    }

    fn tls(&mut self) -> Tls {
        let legacy = self.take("tls", "legacy", flag).unwrap_or(false);
        if legacy && !cfg!(feature = "legacy-tls") {
            self.warnings.push("tls.legacy is not built into this program: TLS 1.2 and 1.3 only".to_owned());
        }
        Tls { legacy }
    }

    fn websocket(&mut self, listen: &Listen) -> Websocket {
        let origins = self.take("websocket", "origins", origins).unwrap_or_default();
        let on = [Listener::SipWs, Listener::SipWss].iter().any(|l| listen.get(*l).is_some());
        if on && origins.is_empty() {
            self.warnings.push(
                "websocket.origins is empty: no browser can connect to sip_ws and sip_wss; list the origins of \
                 the pages with the phones, such as \"https://phone.example.com\""
                    .to_owned(),
            );
        }
        Websocket { origins }
    }

    fn limits(&mut self) -> Limits {
        let mut limits = Limits::default();
        for field in limits::FIELDS {
            let given = self.take("limits", field.name, |value| number(value, field.min, field.max));
            if let (Some(given), Some(limit)) = (given, limits.by_name(field.name)) {
                *limit = given;
            }
        }
        limits
    }

    fn admin_token(&mut self, sources: &Sources<'_>) -> Option<Secret> {
        let token = (sources.env)(ADMIN_TOKEN_VARIABLE)?.into_string().unwrap_or_default();
        let fits =
            (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && token.len() < TOKEN_SAFE {
            self.warnings.push(format!(
                "{ADMIN_TOKEN_VARIABLE} has fewer than {TOKEN_SAFE} characters and can be guessed; set a longer one"
            ));
        }
        if fits {
            return Some(Secret(token));
        }
        self.problems.push(Problem::Value {
            place: Origin::Environment(ADMIN_TOKEN_VARIABLE.to_owned()),
            key: "administrator's token".to_owned(),
            value: "(not shown)".to_owned(),
            reason: format!(
                "must be 1 to {TOKEN_MAX} visible ASCII characters without spaces; set another or unset it"
            ),
        });
        None
    }
}

pub(super) fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err("is not a text; write it in quotes".to_owned()),
    }
}

pub(super) fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Flag(flag) => Ok(*flag),
        Value::Text(text) if text == "true" => Ok(true),
        Value::Text(text) if text == "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

pub(super) fn number(value: &Value, min: u64, max: u64) -> Result<u64, String> {
    let number = match value {
        Value::Number(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("is not a whole number from {min} to {max}"))
}

fn node_name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if !is_node_name(name) {
        return Err(format!("is no node name; use 1 to {NODE_NAME_MAX} letters, digits, '-', '_' and '.'"));
    }
    Ok(name.to_owned())
}

/// A host name or address literal, in lower case.
fn host(name: &str) -> Result<String, String> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_ascii_lowercase());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > HOST_MAX || !name.split('.').all(label) {
        return Err("is no host name; write one such as \"keyline.example.com\", without port".to_owned());
    }
    Ok(name.to_ascii_lowercase())
}

/// A list of texts; in the environment separated by commas. `wrong` says what is no list.
pub(super) fn list(value: &Value, most: usize, wrong: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = match value {
        Value::List(list) => list.clone(),
        Value::Text(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
        _ => return Err(wrong.to_owned()),
    };
    match names.len() {
        count if count > most => Err(format!("has {count} entries; at most {most} are taken")),
        _ => Ok(names),
    }
}

/// Origins of pages (RFC 6454 §6.2): scheme, host and port, `null` for pages without one, or `*`.
fn origins(value: &Value) -> Result<Vec<String>, String> {
    const WRONG: &str = "is no list of origins; write [\"https://phone.example.com\"]";
    let fits = |origin: &str| {
        let web = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        matches!(origin, "*" | "null") || web.is_some_and(|host| !host.is_empty() && !host.contains('/'))
    };
    let all = list(value, ORIGINS_MAX, WRONG)?;
    match all.iter().find(|origin| !fits(origin)) {
        Some(wrong) => {
            Err(format!("{wrong:?} is no origin; write \"https://HOST\" or \"https://HOST:PORT\""))
        }
        None => Ok(all.into_iter().map(|origin| origin.to_ascii_lowercase()).collect()),
    }
}

fn aliases(value: &Value) -> Result<Vec<String>, String> {
    let names = list(value, ALIASES_MAX, "is no list of host names; write [\"a.example\", \"b.example\"]")?;
    names.iter().map(|name| host(name).map_err(|reason| format!("{name:?} {reason}"))).collect()
}

fn address(value: &Value) -> Result<IpAddr, String> {
    let text = text(value)?;
    text.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| "is no IP address; write one such as \"0.0.0.0\" or \"::\", without port".to_owned())
}

/// An address as it was written: its host, if it names one, and its port.
type Endpoint = (Option<IpAddr>, u16);

/// Where a listener binds: nowhere if it is off. SIP listeners take a list, one address of each family or
/// network for example; in the environment separated by commas.
fn endpoints(value: &Value, listener: Listener) -> Result<Vec<Endpoint>, String> {
    let refused = || "is no listen address; write \"IP:PORT\", \"PORT\" or \"\" to switch it off".to_owned();
    let texts: Vec<&str> = match value {
        Value::Number(port) => {
            return u16::try_from(*port).map(|port| vec![(None, port)]).map_err(|_| refused());
        }
        Value::Text(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::Text(text) => text.split(',').map(str::trim).collect(),
        Value::List(list) => list.iter().map(|text| text.trim()).collect(),
        _ => return Err(refused()),
    };
    if texts.len() > ADDRESSES_MAX {
        return Err(format!("has {} addresses; at most {ADDRESSES_MAX} are taken", texts.len()));
    }
    if texts.len() > 1 && !listener.takes_several() {
        return Err("takes one address; only the SIP listeners take a list".to_owned());
    }
    texts.into_iter().map(endpoint).collect()
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((Some(address.ip()), address.port()));
    }
    let digits = text.strip_prefix(':').unwrap_or(text);
    if !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(port) = digits.parse()
    {
        return Ok((None, port));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if host(name).is_ok() && port.parse::<u16>().is_ok() => {
            Err(match name.parse::<std::net::Ipv6Addr>() {
                Ok(_) => format!("has an IPv6 address without brackets; write \"[{name}]:{port}\""),
                Err(_) => format!("names the host {name:?}; write its IP address instead"),
            })
        }
        _ => Err("is no listen address; write \"IP:PORT\", \"PORT\" or \"\" to switch it off".to_owned()),
    }
}
