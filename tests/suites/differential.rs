//! Our parser against another: `ezk-sip-types`, which is maintained, written independently of ours and
//! brings no resolver, TLS or runtime along. Where both can read a message they must read the same; each
//! known difference is listed with the rule that decides it.

use std::path::Path;

use bytes::Bytes;
use ezk_sip_types::header::typed::{CSeq, CallID, Contact, ContentLength, FromTo, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::uri::SipUri;
use ezk_sip_types::{Headers, Name};
use keyline_tests::mutate::Dice;
use keyline_wire::sip::{Contacts, HeaderName, Message, Uri, percent_decode};

/// Messages made up for the comparison.
const GENERATED: usize = 3000;

/// What both say of a message, field by field; a field that cannot be read is "?".
type Facts = Vec<(&'static str, String)>;

/// What a message holds, the fields in which the two then differ, and who is right by which rule.
const KNOWN: &[(&str, &[&str], &str)] = &[(
    "\\\"",
    &["From tag", "To tag", "Contact"],
    "we are: a backslash in a quoted string takes the next character with it (RFC 3261 §25.1, quoted-pair); the \
     other ends the string there",
)];

fn ours(message: &Message<'_>) -> Facts {
    let text = |value: Option<&str>| value.unwrap_or("-").to_owned();
    let start = match (message.method(), message.status()) {
        (Some(method), _) => method.as_str().to_owned(),
        (None, status) => status.map_or("?".into(), |s| s.to_string()),
    };
    let contacts = match message.contacts() {
        Contacts::None => String::new(),
        Contacts::Star => "*".into(),
        Contacts::List(list) => list.iter().map(|c| our_uri(&c.uri)).collect::<Vec<_>>().join(" "),
    };
    vec![
        ("start", start),
        ("Call-ID", text(message.call_id())),
        ("CSeq", message.cseq().map_or("?".into(), |c| format!("{} {}", c.number, c.method.as_str()))),
        ("From tag", text(message.from_tag())),
        ("To tag", text(message.to_tag())),
        ("branch", message.top_via().map_or("?".into(), |v| text(v.branch()))),
        ("Contact", contacts),
        ("Content-Length", text(message.first(HeaderName::ContentLength))),
    ]
}

fn our_uri(uri: &Uri<'_>) -> String {
    let mut host = String::new();
    if let Some(own) = uri.host {
        own.push_canonical(&mut host);
    }
    let user = uri.aor_user().unwrap_or_default();
    let scheme = uri.raw.split(':').next().unwrap_or_default().to_ascii_lowercase();
    format!("{scheme}:{user}@{}:{}", host.trim_matches(['[', ']']), uri.port.unwrap_or(0))
}

fn their_uri(uri: &SipUri) -> String {
    // The user part has no public type; its printed form is escaped.
    let printed = format!("{uri:?}");
    let user = printed.split_once(':').and_then(|(_, rest)| rest.rsplit_once('@')).map_or("", |(u, _)| u);
    let user = percent_decode(user.split(':').next().unwrap_or_default()).unwrap_or_default();
    let host = match &uri.host_port.host {
        ezk_sip_types::host::Host::IP6(ip) => ip.to_string(),
        ezk_sip_types::host::Host::IP4(ip) => ip.to_string(),
        ezk_sip_types::host::Host::Name(name) => name.to_ascii_lowercase(),
    };
    let scheme = if uri.sips { "sips" } else { "sip" };
    format!("{scheme}:{user}@{host}:{}", uri.host_port.port.unwrap_or(0))
}

/// The oracle's view; `None` where it cannot read the start line or a header line.
fn theirs(bytes: &[u8]) -> Option<Facts> {
    let source = Bytes::copy_from_slice(bytes);
    let mut lines = PullParser::new(&source, 0);
    let first = std::str::from_utf8(lines.next()?.ok()?).ok()?;
    let (_, start) = MessageLine::parse(&source)(first).ok()?;
    let mut headers = Headers::new();
    for line in lines {
        let line = std::str::from_utf8(line.ok()?).ok()?;
        let (_, line) = Line::parse(&source, line).ok()?;
        headers.insert(line.name, line.value);
    }
    let start = match &start {
        MessageLine::Request(line) => line.method.to_string(),
        MessageLine::Response(line) => line.code.into_u16().to_string(),
    };
    let tag = |name: Name| match headers.get::<FromTo>(name) {
        Ok(value) => value.tag.map_or("-".to_owned(), |tag| tag.to_string()),
        Err(_) => "?".into(),
    };
    let branch = match headers.get_named::<Vec<Via>>() {
        Ok(vias) => vias
            .first()
            .map_or("?".to_owned(), |v| v.params.get_val("branch").map_or("-".into(), ToString::to_string)),
        Err(_) => "?".into(),
    };
    let contacts = match headers.try_get_named::<Vec<Contact>>() {
        None => String::new(),
        Some(Ok(list)) => list.iter().map(|c| their_uri(&c.uri.uri)).collect::<Vec<_>>().join(" "),
        Some(Err(_)) => "?".into(),
    };
    Some(vec![
        ("start", start),
        ("Call-ID", headers.get_named::<CallID>().map_or("?".into(), |id| id.0.to_string())),
        ("CSeq", headers.get_named::<CSeq>().map_or("?".into(), |c| format!("{} {}", c.cseq, c.method))),
        ("From tag", tag(Name::FROM)),
        ("To tag", tag(Name::TO)),
        ("branch", branch),
        ("Contact", contacts),
        (
            "Content-Length",
            headers
                .try_get_named::<ContentLength>()
                .map_or("-".into(), |l| l.map_or("?".into(), |l| l.0.to_string())),
        ),
    ])
}

/// Differences of a message that both can read.
fn differences(name: &str, bytes: &[u8]) -> Option<Vec<(&'static str, String)>> {
    let message = Message::parse(bytes).ok()?;
    let (ours, theirs) = (ours(&message), theirs(bytes)?);
    let text = String::from_utf8_lossy(bytes);
    let differing = ours.into_iter().zip(theirs).filter(|((field, own), (_, other))| {
        let known = |(word, fields, _): &(&str, &[&str], &str)| text.contains(word) && fields.contains(field);
        own != other && !KNOWN.iter().any(known)
    });
    let differing = differing.map(|((field, own), (_, other))| {
        (field, format!("{name}: {field}: ours {own:?}, theirs {other:?}"))
    });
    Some(differing.collect())
}

#[test]
fn fixtures_are_read_as_another_parser_reads_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut compared, mut faults) = (0, Vec::new());
    for folder in ["fixtures/rfc4475", "fixtures/rfc5118", "fuzz/corpus/message"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("fixtures").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = std::fs::read(entry.path()).expect("a fixture");
            if let Some(found) = differences(&name, &bytes) {
                compared += 1;
                faults.extend(found.into_iter().map(|(_, text)| text));
            }
        }
    }
    println!("{compared} fixtures are read by both");
    assert!(compared >= 20, "only {compared} compared");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A valid message with much variety in spelling.
fn generated(dice: &mut Dice) -> Vec<u8> {
    let methods = ["INVITE", "REGISTER", "OPTIONS", "BYE", "MESSAGE", "SUBSCRIBE", "NOTIFY", "FOO.BAR"];
    let method = *dice.pick(&methods);
    let hosts =
        ["example.com", "EXAMPLE.com", "192.0.2.1", "[2001:db8::1]", "a-b.example", "h:5070", "[::1]:5080"];
    let users = ["1001", "a.b", "j%20doe", "user;par=1", "+1-201", "%75ser", "x!y", "al(1)ce"];
    let displays = ["", "\"A, B\" ", "Token ", "\"q \\\" <x> ; , é\" ", "Two Words ", "\"\" "];
    let address = |dice: &mut Dice, params: &str| {
        let (user, host) = (*dice.pick(&users), *dice.pick(&hosts));
        let scheme = *dice.pick(&["sip", "sips", "SIP"]);
        let uri = *dice.pick(&["", ";transport=tcp", ";lr;x=%41"]);
        format!("{}<{scheme}:{user}@{host}{uri}>{params}", dice.pick(&displays))
    };
    let tag = |dice: &mut Dice| format!(";tag=t{:x}", dice.roll() % 0xffff);
    let from_tag = tag(dice);
    let to_tag = if dice.of(0..2) == 0 { String::new() } else { tag(dice) };
    let (from, to) = (address(dice, &from_tag), address(dice, &to_tag));
    let contacts: Vec<_> =
        (0..dice.of(0..4)).map(|_| address(dice, ";q=0.5;+sip.instance=\"<urn:x:1>\"")).collect();
    let pick = |dice: &mut Dice, long: &str, short: &str| {
        let separator = *dice.pick(&[": ", ":", ":  ", ":\r\n "]);
        format!("{}{separator}", dice.pick(&[long, short, &long.to_ascii_uppercase()]))
    };
    let branch = format!("z9hG4bK{:x}", dice.roll());
    let start = if dice.of(0..4) == 0 {
        format!("SIP/2.0 {} Any Reason\r\n", dice.pick(&["100", "180", "200", "404", "503", "603"]))
    } else {
        format!("{method} sip:1001@example.com SIP/2.0\r\n")
    };
    let mut lines = vec![
        format!("{}{from}\r\n", pick(dice, "From", "f")),
        format!("{}{to}\r\n", pick(dice, "To", "t")),
        format!("{}{:x}@host\r\n", pick(dice, "Call-ID", "i"), dice.roll()),
        format!("CSeq: {} {method}\r\n", dice.roll() % (1 << 31)),
        format!("{}SIP/2.0/UDP {};branch={branch};rport\r\n", pick(dice, "Via", "v"), dice.pick(&hosts)),
    ];
    if !contacts.is_empty() {
        let name = pick(dice, "Contact", "m");
        match dice.of(0..2) {
            0 => lines.push(format!("{name}{}\r\n", contacts.join(", "))),
            _ => lines.extend(contacts.iter().map(|c| format!("Contact: {c}\r\n"))),
        }
    }
    for at in (1..lines.len()).rev() {
        lines.swap(at, dice.of(0..at + 1));
    }
    let body = "x".repeat(dice.of(0..30));
    let length = format!("{}{}\r\n", pick(dice, "Content-Length", "l"), body.len());
    format!("{start}{}{length}\r\n{body}", lines.concat()).into_bytes()
}

#[test]
fn generated_messages_are_read_as_another_parser_reads_them() {
    let mut dice = Dice::new(3261);
    let (mut both, mut faults) = (0, Vec::new());
    for number in 0..GENERATED {
        let bytes = generated(&mut dice);
        let text = String::from_utf8_lossy(&bytes);
        assert!(Message::parse(&bytes).is_ok(), "a valid message is refused:\n{text}");
        if let Some(found) = differences(&format!("#{number}"), &bytes) {
            both += 1;
            faults.extend(found.into_iter().map(|(field, fault)| (field, format!("{fault}\n{text}"))));
        }
    }
    println!("{both} of {GENERATED} generated messages are read by both");
    let shown: Vec<_> = faults.iter().take(5).map(|(_, text)| text.as_str()).collect();
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), shown.join("\n"));
    assert!(both * 10 >= GENERATED * 9, "the oracle reads only {both} of {GENERATED}");
}
