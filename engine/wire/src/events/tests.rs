use proptest::prelude::*;

use super::*;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_dialog_document() {
    let ringing = Dialog { id: "d1", direction: "recipient", state: "early", remote: "sip:1003@k" };
    let got = text(dialog_info(3, false, "sip:1002@k", [ringing].into_iter()));
    let want = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"3\" state=\"partial\" \
        entity=\"sip:1002@k\">\n\
        <dialog id=\"d1\" direction=\"recipient\"><state>early</state>\
        <local><identity>sip:1002@k</identity></local>\
        <remote><identity>sip:1003@k</identity><target uri=\"sip:1003@k\"/></remote></dialog>\n\
        </dialog-info>\n";
    assert_eq!(got, want);
}

#[test]
fn a_registration_document() {
    let contact = Contact {
        id: "c1",
        state: "active",
        event: "registered",
        expires: 600,
        q: Some(500),
        uri: "sip:1001@10.0.0.1;transport=tcp",
    };
    let gone = Contact { state: "terminated", event: "expired", q: None, id: "c2", ..contact };
    let got = text(reginfo(0, true, "sip:1001@k", "active", [contact, gone].into_iter()));
    for part in [
        "version=\"0\" state=\"full\"",
        "<registration aor=\"sip:1001@k\" id=\"r1\" state=\"active\">",
        "<contact id=\"c1\" state=\"active\" event=\"registered\" expires=\"600\" q=\"0.500\">",
        "<contact id=\"c2\" state=\"terminated\" event=\"expired\"><uri>",
    ] {
        assert!(got.contains(part), "{part} in {got}");
    }
}

#[test]
fn a_message_summary() {
    let counts = Counts { new: 4, old: 8, urgent_new: 1, urgent_old: 2 };
    let want = "Messages-Waiting: yes\r\nMessage-Account: sip:1001@k\r\nVoice-Message: 4/8 (1/2)\r\n";
    assert_eq!(text(message_summary("sip:1001@k", counts)), want);
    let none = text(message_summary("sip:1\r\nX: y@k", Counts::default()));
    assert_eq!(none, "Messages-Waiting: no\r\nMessage-Account: sip:1X: y@k\r\nVoice-Message: 0/0 (0/0)\r\n");
}

/// What a reader makes of the text between two marks.
fn unescape(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'")];
    let numbered = [("&#9;", "\t"), ("&#10;", "\n"), ("&#13;", "\r")];
    let text = named.iter().chain(&numbered).fold(text.to_owned(), |t, (from, to)| t.replace(from, to));
    text.replace("&amp;", "&")
}

proptest! {
    #[test]
    fn no_text_breaks_out_of_its_place(given in "\\PC{0,40}|[<>&\"' a-z]{0,40}") {
        let mut out = String::new();
        xml::push_text(&mut out, &given);
        let bare = out.contains(['<', '>', '"', '\'']);
        prop_assert!(!bare);
        let whole = out.split('&').skip(1).all(|rest| rest.split_once(';').is_some_and(|(name, _)| {
            name.len() <= 4 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '#')
        }));
        prop_assert!(whole);
        prop_assert_eq!(unescape(&out), given);
    }

    #[test]
    fn controls_have_no_place(given in any::<String>()) {
        let mut out = String::new();
        xml::push_text(&mut out, &given);
        let fit = out.chars().all(|c| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
        prop_assert!(fit);
    }
}
