//! A fleet worth searching: several models and profiles, one of which nine phones of ten have; each phone with
//! a line, a user and, nine of ten, a description.

use std::io::{self, Write};

/// The profile that nine of ten phones have.
pub(super) const FLEET: &str = "Fleet";
/// Profiles of the others.
pub(super) const BRANCHES: u32 = 9;
const MODELS: [&str; 3] = ["Cisco 8845", "Cisco 7841", "Cisco 8865"];
const WORDS: [&str; 8] = ["Reception", "Office", "Lab", "Meeting room", "Kitchen", "Gate", "Store", "Ward"];

/// Name of phone `n`: spread over the whole range, so that neighbours by name are none by number.
pub(super) fn device(n: u32) -> String {
    // Odd, so that it is a permutation of 32 bits.
    format!("SEP02AA{:08X}", n.wrapping_mul(0x9e37_79b1))
}

/// Directory number of phone `n`.
pub(super) fn dn(n: u32) -> String {
    format!("{}", 10_000_000 + u64::from(n))
}

/// Description of phone `n`.
pub(super) fn description(n: u32) -> String {
    let hash = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match n % 10 {
        9 => String::new(),
        _ => format!("{} {:06X}, floor {}", WORDS[(hash % 8) as usize], hash, n % 40),
    }
}

/// Name of the profile of phone `n`.
pub(super) fn profile(n: u32) -> String {
    match n % 10 {
        3 => format!("Branch {}", n / 10 % BRANCHES),
        _ => FLEET.to_owned(),
    }
}

/// Writes all rows; gives their number.
pub(super) fn write(out: &mut impl Write, phones: u32) -> io::Result<u64> {
    let mut rows = 0;
    for (n, name) in
        std::iter::once(FLEET.to_owned()).chain((0..BRANCHES).map(|b| format!("Branch {b}"))).enumerate()
    {
        // A branch has phones of one model, as a profile does.
        let model = if n == 0 { MODELS[0] } else { MODELS[n % MODELS.len()] };
        writeln!(
            out,
            "{{\"kind\":\"security_profile\",\"name\":\"{name}\",\"model\":\"{model}\",\"protocol\":\"sip\",\
                 \"device_security_mode\":\"non_secure\",\"transport\":\"tcp_udp\"}}"
        )?;
        rows += 1;
    }
    for n in 0..phones {
        let (device, dn, profile, description) = (device(n), dn(n), profile(n), description(n));
        let model = match n % 10 {
            3 => MODELS[(n / 10 % BRANCHES + 1) as usize % MODELS.len()],
            _ => MODELS[0],
        };
        write!(
            out,
            "{{\"kind\":\"end_user\",\"id\":\"user{dn}\",\"digest_credentials\":\"Secret{n}\"}}\n\
                 {{\"kind\":\"line\",\"dn\":\"{dn}\"}}\n\
                 {{\"kind\":\"phone\",\"name\":\"{device}\",\"model\":\"{model}\",\"protocol\":\"sip\",\
                 \"security_profile\":\"{profile}\",\"digest_user\":\"user{dn}\",\"lines\":[\"{dn}\"],\
                 \"description\":\"{description}\"}}\n"
        )?;
        rows += 3;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use keyline_domain::inventory::{Inventory, parse_row};

    use super::*;

    #[test]
    fn rows_are_valid_together() {
        let mut text = Vec::new();
        let rows = write(&mut text, 500).unwrap();
        let text = String::from_utf8(text).unwrap();
        let parsed: Vec<_> = text.lines().map(|line| parse_row(line).unwrap()).collect();
        assert_eq!(parsed.len() as u64, rows);
        let report = Inventory::new().check(&parsed, true);
        assert!(report.is_ok(), "{:?}", report.errors);
        assert_eq!((0..5_000).map(device).collect::<HashSet<_>>().len(), 5_000);
    }
}
