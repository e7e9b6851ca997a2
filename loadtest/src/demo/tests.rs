//! The demo's phones and calls against a plain proxy.

use super::*;
use crate::switchboard::{Rules, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_register_and_the_calls_stand() {
    let board = Switchboard::start(Rules { anonymous: true, ..Rules::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let members = plan::members(&authority).unwrap();
    let node = Node::prepare(Path::new("keyline"), folder.path(), &[], "").unwrap();

    let mut listen = BTreeMap::from([("sip_udp".to_owned(), board.udp), ("sip_tcp".to_owned(), board.tcp)]);
    let (phones, _) = register(&listen, &members, &board.ca.pem).await.unwrap();
    assert_eq!(phones.len(), 9, "TLS phones are left out of a node without TLS");
    assert_eq!(calls::place(&members, &phones).await.unwrap().len(), 1);
    drop(phones);

    listen.insert("sip_tls".into(), board.tls);
    let (phones, renew) = register(&listen, &members, &board.ca.pem).await.unwrap();
    assert_eq!((phones.len(), renew), (PHONES, RENEW_MAX));
    let standing = calls::place(&members, &phones).await.unwrap();
    assert_eq!(standing.len(), plan::CALLS.len());
    for call in &standing {
        call.refresh().await;
        assert_eq!(call.call.phase(), crate::phone::Phase::Answered, "{}", call.what);
    }
    let text = tables(&members, &phones, &standing, &[]);
    assert!(text.contains("20 phones are registered") && text.contains("7 calls are up"), "{text}");
    assert!(pointers(&node, &listen, &members).contains(&format!("user      {}", members[PHONES].dn)));
    for phone in phones.values() {
        renew_phone(phone).await.unwrap();
    }

    let roots = Ok(board.ca.pem.clone());
    show(&node, &listen, &members, &roots, true).await.unwrap();
}

#[test]
fn a_taken_port_is_named() {
    // Whoever holds the port, the demo or this test: it is taken.
    let _held = TcpListener::bind("127.0.0.1:9464");
    let Err(DemoError::Taken { .. }) = free_ports() else { panic!("a port must be taken") };
}
