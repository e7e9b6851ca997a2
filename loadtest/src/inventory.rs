//! Made-up fleets: the NDJSON that a server imports, and the phones that its rows describe.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

use serde::Deserialize;

/// Security profile of made-up phones: digest over UDP and TCP.
pub const PROFILE: &str = "Loadtest digest";
/// Model of made-up phones.
pub const MODEL: &str = "Cisco 8845";
/// Its number.
pub const MODEL_NUMBER: u32 = 36_224;
/// Most phones of one made-up fleet: directory numbers have eight digits.
pub const PHONES_MAX: u32 = 89_999_999;

/// What a generator must know about one phone.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetPhone {
    /// `SEP` and twelve hexadecimal digits.
    pub device: String,
    /// Directory number.
    pub dn: String,
    /// Digest user.
    pub user: String,
    /// Digest password.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for FleetPhone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FleetPhone({} {} {})", self.device, self.dn, self.user)
    }
}

/// Phone `index` of the fleet of that seed: always the same one.
pub fn nth(seed: u8, index: u32) -> FleetPhone {
    let dn = format!("{}", 10_000_000 + u64::from(index));
    FleetPhone {
        // A locally administered address: no maker's.
        device: format!("SEP02{seed:02X}{index:08X}"),
        user: format!("user{dn}"),
        password: password(seed, index),
        dn,
    }
}

/// The fleet of that seed.
pub fn fleet(seed: u8, phones: u32) -> Vec<FleetPhone> {
    (0..phones).map(|index| nth(seed, index)).collect()
}

fn password(seed: u8, index: u32) -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";
    let mut state = (u64::from(seed) << 32 | u64::from(index)) ^ 0x6b65_796c_696e_6531;
    (0..12)
        .map(|_| {
            state = mix(state);
            char::from(LETTERS[(state % LETTERS.len() as u64) as usize])
        })
        .collect()
}

/// splitmix64: the same numbers everywhere.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes the inventory of a fleet: one profile, then user, line and phone for each. Gives the number of
/// rows.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut impl Write, seed: u8, phones: u32) -> io::Result<u64> {
    let profile = "\"device_security_mode\":\"non_secure\",\"transport\":\"tcp_udp\"";
    write_digest(out, seed, phones, profile)?;
    Ok(1 + 3 * u64::from(phones))
}

/// The same over TLS: phones that show no certificate and are let in by digest. One row more.
///
/// # Errors
/// What `out` says.
pub fn write_digest_tls(out: &mut impl Write, seed: u8, phones: u32) -> io::Result<u64> {
    writeln!(out, "{{\"kind\":\"parameter\",\"name\":\"cluster_security_mode\",\"value\":\"mixed\"}}")?;
    let profile = "\"device_security_mode\":\"encrypted\",\"transport\":\"tls\"";
    write_digest(out, seed, phones, profile)?;
    Ok(2 + 3 * u64::from(phones))
}

fn write_digest(out: &mut impl Write, seed: u8, phones: u32, profile: &str) -> io::Result<()> {
    writeln!(
        out,
        "{{\"kind\":\"security_profile\",\"name\":\"{PROFILE}\",\"model\":\"{MODEL}\",\"protocol\":\"sip\",\
         {profile},\"digest_authentication\":true,\"nonce_validity_s\":3600}}"
    )?;
    for index in 0..phones {
        let FleetPhone { device, dn, user, password } = nth(seed, index);
        writeln!(out, "{{\"kind\":\"end_user\",\"id\":\"{user}\",\"digest_credentials\":\"{password}\"}}")?;
        writeln!(out, "{{\"kind\":\"line\",\"dn\":\"{dn}\"}}")?;
        writeln!(
            out,
            "{{\"kind\":\"phone\",\"name\":\"{device}\",\"model\":\"{MODEL}\",\"protocol\":\"sip\",\
             \"security_profile\":\"{PROFILE}\",\"digest_user\":\"{user}\",\"lines\":[\"{dn}\"]}}"
        )?;
    }
    Ok(())
}

/// Security profile of made-up phones over TLS.
pub const PROFILE_ENCRYPTED: &str = "Loadtest encrypted";

/// Writes a fleet whose phones prove themselves by certificates of an authority (PEM) and register over TLS
/// in encrypted mode; gives the number of rows.
///
/// # Errors
/// What `out` says.
pub fn write_encrypted(out: &mut impl Write, seed: u8, phones: u32, authority: &str) -> io::Result<u64> {
    write_encrypted_from(out, seed, 0..phones, authority)
}

/// The same for some phones of a fleet: directory numbers follow a phone's index.
///
/// # Errors
/// What `out` says.
pub fn write_encrypted_from(
    out: &mut impl Write,
    seed: u8,
    range: std::ops::Range<u32>,
    authority: &str,
) -> io::Result<u64> {
    let phones = range.end.saturating_sub(range.start);
    let pem = serde_json::Value::from(authority);
    writeln!(
        out,
        "{{\"kind\":\"parameter\",\"name\":\"cluster_security_mode\",\"value\":\"mixed\"}}\n\
         {{\"kind\":\"certificate\",\"purpose\":\"CallManager-trust\",\"pem\":{pem}}}\n\
         {{\"kind\":\"security_profile\",\"name\":\"{PROFILE_ENCRYPTED}\",\"model\":\"{MODEL}\",\"protocol\":\"sip\",\
         \"device_security_mode\":\"encrypted\",\"transport\":\"tls\"}}"
    )?;
    for index in range {
        let FleetPhone { device, dn, .. } = nth(seed, index);
        writeln!(
            out,
            "{{\"kind\":\"line\",\"dn\":\"{dn}\"}}\n\
             {{\"kind\":\"phone\",\"name\":\"{device}\",\"model\":\"{MODEL}\",\"protocol\":\"sip\",\
             \"security_profile\":\"{PROFILE_ENCRYPTED}\",\"lines\":[\"{dn}\"]}}"
        )?;
    }
    Ok(3 + 2 * u64::from(phones))
}

/// Why an inventory can not be used for load.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// Reading failed.
    #[error("the inventory can not be read: {0}")]
    Read(#[from] io::Error),
    /// A line is no row.
    #[error("line {line} of the inventory is no row: {source}")]
    Row {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Nothing to register.
    #[error("the inventory has no phone with a line and a digest user with credentials")]
    Empty,
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: serde_json::Value,
    #[serde(default)]
    digest_credentials: Option<String>,
    #[serde(default)]
    digest_user: Option<String>,
    #[serde(default)]
    lines: Vec<String>,
}

/// Reads the phones of an inventory that have a line and a digest user with credentials.
///
/// # Errors
/// [`InventoryError`].
pub fn read(input: impl BufRead) -> Result<Vec<FleetPhone>, InventoryError> {
    let (mut passwords, mut phones) = (HashMap::new(), Vec::new());
    for (number, line) in input.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Row =
            serde_json::from_str(&line).map_err(|source| InventoryError::Row { line: number + 1, source })?;
        match row.kind.as_str() {
            "end_user" | "application_user" => {
                if let Some(password) = row.digest_credentials {
                    passwords.insert(row.id, password);
                }
            }
            "phone" => {
                let (Some(name), Some(user), Some(dn)) =
                    (row.name.as_str(), row.digest_user, row.lines.into_iter().next())
                else {
                    continue;
                };
                phones.push((name.to_owned(), dn, user));
            }
            _ => {}
        }
    }
    let fleet: Vec<FleetPhone> = phones
        .into_iter()
        .filter_map(|(device, dn, user)| {
            let password = passwords.get(&user)?.clone();
            Some(FleetPhone { device, dn, user, password })
        })
        .collect();
    if fleet.is_empty() { Err(InventoryError::Empty) } else { Ok(fleet) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use keyline_domain::inventory::parse_row;

    use super::*;

    #[test]
    fn rows_are_valid_and_come_back() {
        let mut text = Vec::new();
        assert_eq!(write(&mut text, 7, 200).unwrap(), 601);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 601);
        for line in text.lines() {
            parse_row(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        assert_eq!(read(text.as_bytes()).unwrap(), fleet(7, 200));
    }

    #[test]
    fn rows_of_encrypted_phones_are_valid() {
        let folder = tempfile::tempdir().unwrap();
        let authority = crate::pki::Authority::open(folder.path()).unwrap();
        let mut text = Vec::new();
        assert_eq!(write_encrypted(&mut text, 7, 20, &authority.pem).unwrap(), 43);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 43);
        for line in text.lines() {
            parse_row(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn phones_differ_by_index_and_seed() {
        let all: Vec<_> = fleet(1, 1_000).into_iter().chain(fleet(2, 1_000)).collect();
        assert_eq!(all.iter().map(|p| &p.device).collect::<HashSet<_>>().len(), 2_000);
        assert_eq!(all.iter().map(|p| &p.password).collect::<HashSet<_>>().len(), 2_000);
        assert!(all.iter().all(|p| p.device.len() == 15 && p.password.len() == 12));
        assert_eq!(nth(1, 999), all[999]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let bad = read("{\"kind\":\"line\",\"dn\":\"1\"}\n{oops\n".as_bytes());
        assert!(matches!(bad, Err(InventoryError::Row { line: 2, .. })));
        assert!(matches!(read("{\"kind\":\"line\",\"dn\":\"1\"}".as_bytes()), Err(InventoryError::Empty)));
    }
}
