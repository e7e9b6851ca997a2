//! RFC 4475 and RFC 5118: the verdict on each message is the one in the index beside the files.

use std::fs;
use std::path::PathBuf;

use crate::sip::{HeaderName, Message, Method, ParseError, ReplyHead, TransactionKey, multipart};

use super::touch;

pub(super) struct Torture {
    pub file: String,
    pub bytes: Vec<u8>,
    request: bool,
    invalid: bool,
    ideal: Vec<String>,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

pub(super) fn load(name: &str) -> Vec<Torture> {
    let index = fs::read(folder(name).join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let messages = index["messages"].as_array().unwrap().iter();
    messages
        .map(|entry| Torture {
            file: text(&entry["file"]),
            bytes: fs::read(folder(name).join(text(&entry["file"]))).unwrap(),
            request: entry["kind"] == "req",
            invalid: entry["validity"] == "invalid",
            ideal: entry["ideal"].as_array().unwrap().iter().map(text).collect(),
        })
        .collect()
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder("rfc4475").join(name)).unwrap()
}

/// The status that parsing itself must give: what the index names first, where it is about syntax. All
/// else (404, 406, 415, 483, 501 …) is for those who know the application.
fn expected_status(torture: &Torture) -> Option<u16> {
    match torture.ideal[0].as_str() {
        status @ ("400" | "416" | "505") => status.parse().ok(),
        "drop" if torture.invalid => Some(400),
        _ => None,
    }
}

fn assert_verdict(torture: &Torture, bytes: &[u8]) {
    let name = &torture.file;
    match (Message::parse(bytes), expected_status(torture)) {
        (Ok(message), None) => {
            assert_eq!(message.is_request(), torture.request, "{name}");
            touch(&message);
        }
        (Err(rejected), Some(status)) => {
            assert_eq!(rejected.status(), status, "{name}: {}", rejected.error);
            let must_drop = !torture.request || torture.ideal.iter().any(|ideal| ideal == "drop");
            assert_eq!(rejected.answerable().is_none(), must_drop, "{name}");
            if let Some(message) = rejected.answerable() {
                let source = "203.0.113.5:40000".parse().unwrap();
                let head = ReplyHead::capture(message, source, false).unwrap();
                let answer = head.respond(status, rejected.reason(), Some("t"), &[], None);
                assert!(answer.starts_with(format!("SIP/2.0 {status} ").as_bytes()), "{name}");
            }
        }
        (Ok(_), Some(status)) => panic!("{name}: must be refused with {status}"),
        (Err(rejected), None) => panic!("{name}: refused: {}", rejected.error),
    }
}

#[test]
fn rfc4475_verdicts_are_those_of_the_index() {
    let all = load("rfc4475");
    assert!(all.len() >= 30);
    for torture in &all {
        assert_verdict(torture, &torture.bytes);
    }
}

#[test]
fn rfc5118_verdicts_are_those_of_the_index() {
    let all = load("rfc5118");
    assert!(all.len() >= 8);
    for torture in &all {
        // As made for the wire: CRLF and a right Content-Length.
        let wire = fs::read(folder("rfc5118").join(torture.file.replace(".dat", ".sip"))).unwrap();
        assert_verdict(torture, &wire);
        // As archived: bare line feeds, and lengths that fit no form of the file.
        match Message::parse(&torture.bytes) {
            Ok(message) => drop(touch(&message)),
            Err(rejected) => {
                let truncated = matches!(rejected.error, ParseError::BodyTruncated { .. });
                assert!(truncated || expected_status(torture) == Some(400), "{}", torture.file);
            }
        }
    }
}

#[test]
fn wsinv_is_read_through_all_its_folds() {
    let bytes = file("wsinv.dat");
    let message = Message::parse(&bytes).unwrap();
    let hosts: Vec<_> =
        message.vias().map(|via| (via.transport, via.host.to_string(), via.branch())).collect();
    assert_eq!(
        hosts,
        [
            ("UDP", "192.0.2.2".to_owned(), Some("390skdjuw")),
            ("TCP", "spindle.example.com".to_owned(), Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111".to_owned(), Some("z9hG4bK30239")),
        ]
    );
    assert_eq!((message.to_tag(), message.from_tag()), (Some("1918181833n"), Some("98asjd8")));
    assert_eq!(message.from().unwrap().display(), "J Rosenberg \\\"");
    assert_eq!((message.cseq().unwrap().number, message.max_forwards()), (9, 68));
    assert_eq!(message.contact().unwrap().q(), Some(330));
    assert_eq!(message.other("newfangledheader"), Some("newfangled value continued newfangled value"));
    assert_eq!(message.first(HeaderName::Subject), Some(""));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn escapes_in_users_names_and_methods_stay_what_they_are() {
    let bytes = file("esc01.dat");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.uri().unwrap().user, Some("sips%3Auser%40example.com"));
    assert_eq!(message.to().unwrap().uri.aor().as_deref(), Some("sip:user@example.com"));
    let bytes = file("esc02.dat");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.method(), Some(Method::Other("RE%47IST%45R")));
    assert_eq!(message.values(HeaderName::Contact).count(), 2);
}

#[test]
fn thirty_four_vias_are_kept_in_order() {
    let bytes = file("longreq.dat");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.vias().count(), 34);
    assert_eq!(message.top_via().unwrap().branch(), None);
    let head = ReplyHead::capture(&message, "192.0.2.5:5060".parse().unwrap(), false).unwrap();
    let answer = head.respond(200, "OK", None, &[], None);
    let answer = Message::parse(&answer).unwrap();
    let lower =
        |message: &Message<'_>| message.values(HeaderName::Via).skip(1).map(String::from).collect::<Vec<_>>();
    assert_eq!(lower(&answer), lower(&message));
}

#[test]
fn bytes_behind_content_length_are_no_second_message() {
    let bytes = file("dblreq.dat");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.method(), message.body()), (Some(Method::Register), &b""[..]));
}

#[test]
fn contact_parameters_belong_to_header_or_uri_by_brackets() {
    for (name, in_header) in [("cparam01.dat", true), ("cparam02.dat", false)] {
        let bytes = file(name);
        let message = Message::parse(&bytes).unwrap();
        let contact = message.contact().unwrap();
        assert_eq!(contact.params.has("unknownparam"), in_header, "{name}");
        assert_eq!(contact.uri.param("unknownparam").is_some(), !in_header, "{name}");
    }
}

#[test]
fn binary_multipart_keeps_its_nul_bytes() {
    let bytes = file("mpart01.dat");
    let message = Message::parse(&bytes).unwrap();
    let content_type = message.first(HeaderName::ContentType).unwrap();
    let parts = multipart::parts(content_type, message.body()).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].body, b"Hello");
    assert!(parts[1].is("application/octet-stream") && parts[1].body.contains(&0));
}

#[test]
fn a_bare_cookie_gives_no_common_transaction() {
    let bytes = file("badbranch.dat");
    let other = String::from_utf8(bytes.clone()).unwrap().replace("badbranch.sadonfo", "another.call");
    let key = |bytes: &[u8]| TransactionKey::server(&Message::parse(bytes).unwrap()).unwrap();
    assert_ne!(key(&bytes), key(other.as_bytes()));
    assert_eq!(key(&bytes), key(&bytes));
}
