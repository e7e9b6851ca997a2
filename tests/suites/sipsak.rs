//! sipsak registers, pings and sends MESSAGE.

use std::process::{Command, Output};

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::wait;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};

on_shards!(sipsak_pings_registers_and_sends_a_message);

fn sipsak(node: &Node, arguments: &[&str]) -> Output {
    let server = node.udp().to_string();
    Command::new("sipsak").args(["-v", "-v", "-p", &server]).args(arguments).output().expect("sipsak runs")
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn sipsak_pings_registers_and_sends_a_message(shards: u16) {
    let mut inventory = Inventory::new();
    inventory
        .md5_only()
        .digest_phone(&caller_device(shards), CALLER)
        .plain_phone(&callee_device(shards), CALLEE);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let host = node.udp().to_string();

    let ping = sipsak(&node, &["-s", &format!("sip:{host}")]);
    assert!(ping.status.success(), "{}", text(&ping));

    let (user, password) = (user_of(CALLER), password_of(CALLER));
    let own = format!("sip:{CALLER}@{host}");
    let login = ["-u", &user, "-a", &password];
    let register = [&["-U", "-s", &own, "-x", "600"][..], &login].concat();
    let out = sipsak(&node, &register);
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(node.registrations_of(&caller_device(shards)).len(), 1);

    wait::run(async {
        let phone = registered(node.phone(Transport::Udp, &callee_device(shards), CALLEE)).await;
        // `sipsak -M` of Debian ends itself by a segmentation fault, so the request comes from a file.
        let (to, body) = (format!("sip:{CALLEE}@{host}"), "hello from sipsak");
        let file = node.folder().join("message.sip");
        let text_of = format!(
            "MESSAGE {to} SIP/2.0\r\nTo: <{to}>\r\nFrom: <{own}>;tag=sak\r\nCall-ID: message@sipsak\r\n\
             CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        std::fs::write(&file, text_of).unwrap();
        let out = sipsak(&node, &[&["-f", file.to_str().unwrap(), "-s", &to][..], &login].concat());
        assert!(out.status.success(), "{}", text(&out));
        let got = phone.record().request(0, "MESSAGE").await.unwrap();
        assert!(got.text().contains(body), "{}", got.text());
    });
}
