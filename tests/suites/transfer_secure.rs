//! Transfers between secure and other phones: keys, classes, and what a crash in between leaves.

use keyline_loadtest::phone::{Call, Phone, Srtp, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::place::device_on;
use keyline_tests::wait;

use crate::common::{connect, registered};
use crate::transfer::{TARGET, inventory, outcome, refer, replacing, talks};

on_shards!(the_class_and_the_keys_follow_the_transfers, a_crash_after_a_transfer_leaves_the_new_call);

fn keys(call: &Call) -> Vec<Vec<u8>> {
    let sdp = call.local_sdp().unwrap();
    sdp.media.iter().flat_map(|m| &m.crypto).map(|line| line.key.expose().to_vec()).collect()
}

fn shown_keys(call: &Call) -> Vec<Vec<u8>> {
    let sdp = call.remote_sdp().unwrap();
    sdp.media.iter().flat_map(|m| &m.crypto).map(|line| line.key.expose().to_vec()).collect()
}

fn classified(node: &Node, class: &str) {
    wait::until(&format!("one call of class {class}"), || {
        let calls = node.calls();
        let [call] = &calls[..] else { return None };
        let id = call["id"].as_str()?;
        (node.call_security(id)["class"] == class).then_some(())
    });
}

fn the_class_and_the_keys_follow_the_transfers(shards: u16) {
    let authority = Authority::new("Test CAPF");
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    let devices: Vec<String> = (0..4).map(|i| device_on(i, shards, 1 + u32::from(i))).collect();
    for (device, dn) in devices.iter().zip(["1001", "1002", TARGET]) {
        inventory.encrypted_phone(device, dn);
    }
    inventory.plain_phone(&devices[3], "1004");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        let secure = async |i: usize, dn: &str| -> Phone {
            let identity = authority.issue(&devices[i]);
            let tls = Transport::Tls(Box::new(node.tls_options(Some(&identity))));
            registered(node.phone(tls, &devices[i], dn).srtp(Srtp::fallback())).await
        };
        let (a, b, c) = (secure(0, "1001").await, secure(1, "1002").await, secure(2, TARGET).await);
        let d = registered(node.phone(Transport::Udp, &devices[3], "1004")).await;
        // Encrypted, then attended to another encrypted phone.
        let (out, inn) = connect(&a, &b).await;
        classified(&node, "encrypted");
        let (old, consulted) = (keys(&out), connect(&b, &c).await);
        let (consult, far) = consulted;
        let old_far = keys(&far);
        let mark = b.record().mark();
        assert_eq!(refer(&inn, &replacing(TARGET, &consult)).await, 202);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 200 OK");
        talks(&out, &far).await;
        classified(&node, "encrypted");
        for (call, peer, known) in [(&out, &far, &old_far), (&far, &out, &old)] {
            assert_eq!(shown_keys(call), keys(peer), "the keys of the new peer");
            assert!(shown_keys(call).iter().all(|k| !known.contains(k)), "and none that the old one knew");
        }
        // On to a phone that is not secure: no keys, and both displays say so.
        let mark = c.record().mark();
        assert_eq!(refer(&far, "<sip:1004@keyline.local>").await, 202);
        let plain = d.incoming().await.unwrap();
        assert_eq!(outcome(&c, mark).await, "SIP/2.0 200 OK");
        classified(&node, "non_secure");
        assert!(shown_keys(&plain).is_empty() && shown_keys(&out).is_empty());
        out.shows("NotAuthenticated").await.unwrap();
        // And back to a secure one.
        far.ended().await.unwrap();
        let mark = d.record().mark();
        assert_eq!(refer(&plain, "<sip:1002@keyline.local>").await, 202);
        let back = b.incoming().await.unwrap();
        assert_eq!(outcome(&d, mark).await, "SIP/2.0 200 OK");
        classified(&node, "encrypted");
        talks(&out, &back).await;
        out.shows("Encrypted").await.unwrap();
        back.shows("Encrypted").await.unwrap();
        out.hang_up().await.unwrap();
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

fn a_crash_after_a_transfer_leaves_the_new_call(shards: u16) {
    let (inventory, [a, b, c]) = inventory(shards);
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().start();
    wait::run(async {
        let udp = Transport::Udp;
        let a = registered(node.phone(udp.clone(), &a, "1001")).await;
        let b = registered(node.phone(udp.clone(), &b, "1002")).await;
        let c = registered(node.phone(udp, &c, TARGET)).await;
        let (out, inn) = connect(&a, &b).await;
        let (consult, far) = connect(&b, &c).await;
        let mark = b.record().mark();
        assert_eq!(refer(&inn, &replacing(TARGET, &consult)).await, 202);
        assert_eq!(outcome(&b, mark).await, "SIP/2.0 200 OK");
        inn.ended().await.unwrap();
        consult.ended().await.unwrap();
        talks(&out, &far).await;
        wait::until("one call", || (node.calls().len() == 1).then_some(()));
        node.kill9_and_restart();
        assert_eq!(node.calls().len(), 1);
        // The leg that came from the other call is still found by its tag.
        assert_eq!(far.info('1').await.unwrap().status(), Some(200));
        assert_eq!(out.info('2').await.unwrap().status(), Some(200));
        far.hang_up().await.unwrap();
        out.ended().await.unwrap();
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}
