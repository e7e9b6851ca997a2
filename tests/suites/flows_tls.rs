//! Requests to a phone over TLS travel on the connection that it registered on and on no other, whatever its Contact
//! names (RFC 5626) and whoever claims its address by `alias` (RFC 5923 §9: only what a connection has proved counts).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use keyline_loadtest::phone::{Phone, Srtp, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::Builder;
use keyline_tests::pki::Authority;
use keyline_tests::wait;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, registered};

#[test]
fn a_phone_over_tls_is_reached_on_its_own_flow_only() {
    let authority = Authority::new("Test CAPF");
    let third = keyline_tests::place::device_on(0, 2, 9);
    let (a, b) = (caller_device(2), callee_device(2));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.encrypted_phone(&a, CALLER).encrypted_phone(&b, CALLEE).encrypted_phone(&third, "1003");
    let node = Builder::new().shards(2).inventory(&inventory).start();
    let config = |device: &str, dn: &str| {
        let options = node.tls_options(Some(&authority.issue(device)));
        node.phone(Transport::Tls(Box::new(options)), device, dn).srtp(Srtp::savp())
    };
    wait::run(async {
        let caller = registered(config(&a, CALLER)).await;
        let callee = Phone::start(config(&b, CALLEE)).await.unwrap();
        // It names a place where nobody is, as behind a NAT, and asks for outbound.
        let contact = format!(
            "<sip:{CALLEE}@192.0.2.99:5061;transport=tls;ob>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-00000000000b>\";+u.sip!devicename.ccm.cisco.com=\"{b}\""
        );
        let headers = [("Contact", contact.as_str()), ("Supported", "path, outbound")];
        let granted = callee.register_line(CALLEE, 600, &headers).await.unwrap();
        assert!(granted.contacts.iter().any(|c| c.contains("192.0.2.99")), "{:?}", granted.contacts);
        let flow = node.registered(&b)["flow"].as_str().unwrap().to_owned();
        assert!(!flow.contains("192.0.2.99"), "{flow}");

        // A third phone, proven as itself, claims the callee's addresses: that of its Contact and that of its flow.
        let own = authority.issue(&third);
        let (certificate, key) = (node.folder().join("third.pem"), node.folder().join("third.key"));
        std::fs::write(&certificate, &own.certificate_pem).unwrap();
        std::fs::write(&key, &own.key_pem).unwrap();
        let claimed = flow.rsplit([' ', '>', '=']).next().unwrap_or_default().to_owned();
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &node.tls().to_string()])
            .args(["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let (mut input, mut output) =
            (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
        for (number, sent_by) in [(1, "192.0.2.99:5061"), (2, claimed.as_str())] {
            let request = format!(
                "REGISTER sip:keyline.local SIP/2.0\r\nVia: SIP/2.0/TLS {sent_by};branch=z9hG4bK-alias{number};alias;rport\r\n\
                 From: <sip:1003@keyline.local>;tag=1\r\nTo: <sip:1003@keyline.local>\r\nCall-ID: alias\r\n\
                 CSeq: {number} REGISTER\r\nContact: <sip:1003@192.0.2.99:5061;transport=tls;ob>\r\nExpires: 600\r\n\
                 Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            input.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            while !answer.ends_with("\r\n\r\n") {
                assert!(output.read_line(&mut answer).unwrap() > 0, "closed after {answer:?}");
            }
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        }
        let (out, inn) = connect(&caller, &callee).await;
        inn.hang_up().await.unwrap();
        drop(out);
        drop(input);
        client.kill().unwrap();
        client.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("INVITE") && !rest.contains("BYE"), "{rest}");
    });
}
