use zeroize::Zeroizing;

use super::*;

mod capf;
mod changing;
mod checking;
mod choosing;
mod hardening;
mod helping;
mod loading;
mod login;
mod mutating;
mod package;
mod parsing;
mod properties;
mod trunking;
mod upgrading;

/// Reversible, keyed by the context, and nothing like the plain text.
struct Mask;

fn mask(bytes: &[u8], context: &str) -> Vec<u8> {
    let key = context.bytes().fold(0x5a_u8, |k, b| k.rotate_left(3) ^ b);
    bytes.iter().map(|b| b ^ key ^ 0x80).collect()
}

impl Sealer for Mask {
    fn seal(&self, plain: &[u8], context: &str) -> Vec<u8> {
        let mut sealed = mask(plain, context);
        sealed.push(mask(b"!", context)[0]);
        sealed
    }

    fn open(&self, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = mask(sealed, context);
        (plain.pop() == Some(b'!')).then(|| Zeroizing::new(plain))
    }
}

const ONLINE: Apply<'static> = Apply { sealer: &Mask, offline: false };

fn row(text: &str) -> Row {
    parse_row(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn rows(texts: &[&str]) -> Vec<Row> {
    texts.iter().map(|t| row(t)).collect()
}

fn codes(report: &Report) -> Vec<(usize, &'static str)> {
    report.errors.iter().map(|(at, e)| (*at, e.code())).collect()
}

/// Checks and applies, as an import does.
fn import(inventory: &mut Inventory, texts: &[&str]) -> Vec<Change> {
    let rows = rows(texts);
    let report = inventory.check(&rows, true);
    assert!(report.is_ok(), "{:?}", report.errors);
    in_order(rows).into_iter().flat_map(|r| inventory.apply(r, ONLINE).unwrap()).collect()
}

fn refused(inventory: &Inventory, texts: &[&str]) -> Vec<(usize, &'static str)> {
    codes(&inventory.check(&rows(texts), true))
}

fn events(changes: Vec<Change>) -> Vec<Event> {
    let event = |c| if let Change::Publish(event) = c { Some(event) } else { None };
    changes.into_iter().filter_map(event).collect()
}

const LINE: &str = r#"{"kind":"line","dn":"1001"}"#;
const ALICE: &str = r#"{"kind":"end_user","id":"alice","digest_credentials":"secret1"}"#;
const DIGEST: &str = r#"{"kind":"security_profile","name":"Digest","model":"Cisco 8845","protocol":"sip","digest_authentication":true}"#;
const ENCRYPTED: &str = r#"{"kind":"security_profile","name":"Encrypted","model":"Cisco 8845","device_security_mode":"encrypted"}"#;
const PHONE: &str = r#"{"kind":"phone","name":"SEP00AABBCCDD01","model":"Cisco 8845","lines":["1001"]}"#;

fn phone_with(rest: &str) -> String {
    format!(r#"{{"kind":"phone","name":"SEP00AABBCCDD01","model":"Cisco 8845",{rest}}}"#)
}

fn name(text: &str) -> crate::ids::DeviceName {
    text.parse().unwrap()
}
