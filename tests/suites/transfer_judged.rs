//! Transfer and hold as baresip and linphone do them, seen from the far side.

use keyline_loadtest::phone::{Call, Phone, Transport};
use keyline_tests::client::{baresip, linphone};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::wait;
use keyline_wire::sdp::{Direction, OwnedSdp};

use crate::common::registered;
use crate::transfer::{TARGET, outcome, refer, talks};

on_shards!(baresip_transfers, baresip_is_transferred, baresip_holds, linphone_transfers, linphone_holds);

/// 1001 and 1003 are simulated, 1002 is not.
struct Site {
    node: Node,
    devices: [String; 3],
}

fn site(shards: u16) -> Site {
    let devices = [device_on(0, shards, 1), device_on(1, shards, 2), device_on(2, shards, 3)];
    let mut inventory = Inventory::new();
    for (device, dn) in devices.iter().zip(["1001", "1002", TARGET]) {
        inventory.plain_phone(device, dn);
    }
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    Site { node, devices }
}

impl Site {
    async fn simulated(&self) -> (Phone, Phone) {
        let udp = Transport::Udp;
        let one = registered(self.node.phone(udp.clone(), &self.devices[0], "1001")).await;
        (one, registered(self.node.phone(udp, &self.devices[2], TARGET)).await)
    }

    fn baresip(&self) -> (baresip::Account, baresip::Baresip) {
        let account = baresip::Account::new("1002", "udp", self.node.udp());
        let phone = account.start();
        phone.registered();
        (account, phone)
    }

    fn linphone(&self) -> linphone::Linphone {
        let phone = linphone::Account::new("1002", "tcp", self.node.tcp()).start();
        wait::until("linphone", || {
            self.node.registrations().iter().any(|r| r["aor"] == "sip:1002@keyline.local").then_some(())
        });
        phone
    }

    fn silent(&self) {
        wait::until("end of all calls", || self.node.calls().is_empty().then_some(()));
    }
}

async fn call(phone: &Phone, dn: &str) -> Call {
    let call = phone.invite(dn).unwrap();
    call.answered().await.unwrap();
    call
}

async fn sees(call: &Call, direction: Direction) {
    call.remote_sdp_until(|sdp| sdp.direction_of(&sdp.media[0]) == direction).await.unwrap();
}

/// Holds and resumes; what crosses a change of the other phone (491) is tried again, as a phone does.
async fn hold_and_resume(call: &Call) -> OwnedSdp {
    while call.hold(Direction::SendOnly).await.is_err() {}
    loop {
        if let Ok(Some(sdp)) = call.resume().await {
            return sdp;
        }
    }
}

fn baresip_transfers(shards: u16) {
    let site = site(shards);
    wait::run(async {
        let (a, c) = site.simulated().await;
        let (account, mut b) = tokio::task::block_in_place(|| site.baresip());
        let out = call(&a, "1002").await;
        tokio::task::block_in_place(|| {
            b.event("CALL_ESTABLISHED");
            b.command("transfer", &account.uri(TARGET));
        });
        let came = c.incoming().await.unwrap();
        came.acked(1).await.unwrap();
        talks(&out, &came).await;
        tokio::task::block_in_place(|| b.event("CALL_CLOSED"));
        assert_eq!(out.info('1').await.unwrap().status(), Some(200));
        came.hang_up().await.unwrap();
        out.ended().await.unwrap();
        site.silent();
    });
}

fn baresip_is_transferred(shards: u16) {
    let site = site(shards);
    wait::run(async {
        let (a, c) = site.simulated().await;
        let (_, mut b) = tokio::task::block_in_place(|| site.baresip());
        // It is the one that stays, and then the one that comes.
        let out = call(&a, "1002").await;
        tokio::task::block_in_place(|| b.event("CALL_ESTABLISHED"));
        let mark = a.record().mark();
        assert_eq!(refer(&out, "<sip:1003@keyline.local>").await, 202);
        let came = c.incoming().await.unwrap();
        assert_eq!(outcome(&a, mark).await, "SIP/2.0 200 OK");
        out.ended().await.unwrap();
        let port = came.remote_sdp().unwrap().media[0].port;
        assert_ne!(port, out.local_sdp().unwrap().media[0].port, "baresip's own media");
        came.hold(Direction::SendOnly).await.unwrap();
        came.resume().await.unwrap();
        tokio::task::block_in_place(|| b.hang_up());
        came.ended().await.unwrap();
        let between = call(&a, TARGET).await;
        let mark = a.record().mark();
        assert_eq!(refer(&between, "<sip:1002@keyline.local>").await, 202);
        assert_eq!(outcome(&a, mark).await, "SIP/2.0 200 OK");
        tokio::task::block_in_place(|| {
            b.event("CALL_ESTABLISHED");
            b.hang_up();
        });
        c.incoming().await.unwrap().ended().await.unwrap();
        site.silent();
    });
}

fn linphone_holds(shards: u16) {
    let site = site(shards);
    wait::run(async {
        let (a, _c) = site.simulated().await;
        let mut b = tokio::task::block_in_place(|| site.linphone());
        let out = call(&a, "1002").await;
        tokio::task::block_in_place(|| b.program.says("connected"));
        b.program.say("pause");
        sees(&out, Direction::SendOnly).await;
        let resumed = hold_and_resume(&out).await;
        assert_ne!(resumed.direction_of(&resumed.media[0]), Direction::SendRecv, "linphone still holds");
        b.program.say("resume");
        sees(&out, Direction::SendRecv).await;
        out.hang_up().await.unwrap();
        site.silent();
    });
}

fn baresip_holds(shards: u16) {
    let site = site(shards);
    wait::run(async {
        let (a, _c) = site.simulated().await;
        let (_, mut b) = tokio::task::block_in_place(|| site.baresip());
        let out = call(&a, "1002").await;
        tokio::task::block_in_place(|| {
            b.event("CALL_ESTABLISHED");
            b.command("hold", "");
        });
        sees(&out, Direction::SendOnly).await;
        // Held by both: the one that takes the call back does not take the other's hold.
        let resumed = hold_and_resume(&out).await;
        assert_ne!(resumed.direction_of(&resumed.media[0]), Direction::SendRecv, "baresip still holds");
        tokio::task::block_in_place(|| b.command("resume", ""));
        sees(&out, Direction::SendRecv).await;
        out.hang_up().await.unwrap();
        site.silent();
    });
}

fn linphone_transfers(shards: u16) {
    let site = site(shards);
    wait::run(async {
        let (a, c) = site.simulated().await;
        let mut b = tokio::task::block_in_place(|| site.linphone());
        // Blind.
        let out = call(&a, "1002").await;
        tokio::task::block_in_place(|| b.program.says("connected"));
        b.program.say("transfer sip:1003@keyline.local");
        let came = c.incoming().await.unwrap();
        came.acked(1).await.unwrap();
        talks(&out, &came).await;
        out.hang_up().await.unwrap();
        came.ended().await.unwrap();
        site.silent();
        // Attended.
        let out = call(&a, "1002").await;
        sees(&out, Direction::SendRecv).await;
        wait::until("the first call", || (site.node.calls().len() == 1).then_some(()));
        b.program.say("pause");
        sees(&out, Direction::SendOnly).await;
        b.dial("sip:1003@keyline.local");
        let far = c.incoming().await.unwrap();
        far.acked(1).await.unwrap();
        tokio::task::block_in_place(|| b.program.says("Call 3 with sip:1003@keyline.local connected"));
        b.program.say("transfer 2 --to-call 3");
        talks(&out, &far).await;
        wait::until("one call", || (site.node.calls().len() == 1).then_some(()));
        far.hang_up().await.unwrap();
        out.ended().await.unwrap();
        site.silent();
    });
}
