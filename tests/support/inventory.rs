//! Inventories: rows as NDJSON, with the field names of the contract.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// A trusted own-brand model with TLS, SRTP and a device security mode.
pub const CISCO: &str = "Cisco 8845";

/// Number of [`CISCO`] in `+u.sip!model.ccm.cisco.com`.
pub const CISCO_NUMBER: u32 = 36224;

/// Another maker's phone: digest over UDP, no device security mode.
pub const THIRD_PARTY: &str = "Third-party SIP Device (Advanced)";

/// Name of the profile that [`Inventory::digest_phone`] uses.
pub const DIGEST_PROFILE: &str = "Digest";

/// Name of the profile that [`Inventory::encrypted_phone`] uses.
pub const ENCRYPTED_PROFILE: &str = "Encrypted";

/// Rows of one import.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    rows: Vec<Value>,
    lines: BTreeSet<String>,
}

impl Inventory {
    /// No rows.
    pub fn new() -> Inventory {
        Inventory::default()
    }

    /// Adds a row as it is.
    pub fn row(&mut self, row: Value) -> &mut Self {
        self.rows.push(row);
        self
    }

    /// Sets a parameter.
    pub fn parameter(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.row(json!({"kind": "parameter", "name": name, "value": value.into()}))
    }

    /// The cluster is in mixed mode: secure profiles have effect.
    pub fn mixed(&mut self) -> &mut Self {
        self.parameter("cluster_security_mode", "mixed")
    }

    /// Offers MD5 alone: SIPp, baresip and sipsak know nothing else, and give up where a stronger
    /// algorithm stands beside it.
    pub fn md5_only(&mut self) -> &mut Self {
        self.parameter("digest_algorithms", json!(["MD5"]))
    }

    /// An end user with digest credentials.
    pub fn end_user(&mut self, id: &str, password: &str) -> &mut Self {
        self.row(json!({"kind": "end_user", "id": id, "digest_credentials": password}))
    }

    /// An application user with digest credentials.
    pub fn application_user(&mut self, id: &str, password: &str) -> &mut Self {
        self.row(json!({"kind": "application_user", "id": id, "digest_credentials": password}))
    }

    /// A SIP security profile of a model; `fields` are added to it.
    pub fn profile(&mut self, name: &str, model: &str, fields: Value) -> &mut Self {
        let row = json!({"kind": "security_profile", "name": name, "model": model, "protocol": "sip"});
        self.row(merged(row, fields))
    }

    /// A phone with its lines, which are added where they are new; `fields` are added to the phone.
    pub fn phone(&mut self, device: &str, model: &str, lines: &[&str], fields: Value) -> &mut Self {
        for dn in lines {
            if self.lines.insert((*dn).to_owned()) {
                self.row(json!({"kind": "line", "dn": dn}));
            }
        }
        let row = json!({"kind": "phone", "name": device, "model": model, "protocol": "sip", "lines": lines});
        self.row(merged(row, fields))
    }

    /// A phone under the predefined non-secure profile: UDP or TCP, no proof.
    pub fn plain_phone(&mut self, device: &str, dn: &str) -> &mut Self {
        self.phone(device, CISCO, &[dn], json!({}))
    }

    /// A phone with digest over UDP or TCP. Its user is [`user_of`] its line, the password
    /// [`password_of`] it. The first one brings the profile [`DIGEST_PROFILE`].
    pub fn digest_phone(&mut self, device: &str, dn: &str) -> &mut Self {
        self.once(DIGEST_PROFILE, json!({"transport": "tcp_udp", "digest_authentication": true}));
        self.end_user(&user_of(dn), &password_of(dn));
        let fields = json!({"security_profile": DIGEST_PROFILE, "digest_user": user_of(dn)});
        self.phone(device, CISCO, &[dn], fields)
    }

    /// A phone with a certificate over TLS, device security mode encrypted, no digest. The first one
    /// brings the profile [`ENCRYPTED_PROFILE`].
    pub fn encrypted_phone(&mut self, device: &str, dn: &str) -> &mut Self {
        self.once(ENCRYPTED_PROFILE, json!({"device_security_mode": "encrypted", "transport": "tls"}));
        self.phone(device, CISCO, &[dn], json!({"security_profile": ENCRYPTED_PROFILE}))
    }

    /// Trusts a certificate for a purpose of the contract.
    pub fn trust(&mut self, purpose: &str, pem: &str) -> &mut Self {
        self.row(json!({"kind": "certificate", "purpose": purpose, "pem": pem}))
    }

    /// The file.
    pub fn ndjson(&self) -> String {
        self.rows.iter().fold(String::new(), |mut text, row| {
            writeln!(text, "{row}").expect("writing to a String");
            text
        })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn once(&mut self, profile: &str, fields: Value) {
        let known = |row: &Value| row["kind"] == "security_profile" && row["name"] == profile;
        if !self.rows.iter().any(known) {
            self.profile(profile, CISCO, fields);
        }
    }
}

/// Digest user of a line in these inventories.
pub fn user_of(dn: &str) -> String {
    format!("user{dn}")
}

/// Digest password of a line in these inventories.
pub fn password_of(dn: &str) -> String {
    format!("Secret{dn}")
}

fn merged(mut row: Value, fields: Value) -> Value {
    let (Some(row_map), Value::Object(fields)) = (row.as_object_mut(), fields) else { return row };
    let fields: Map<String, Value> = fields;
    row_map.extend(fields);
    row
}
