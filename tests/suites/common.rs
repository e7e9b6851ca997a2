//! What several suites share: shard counts, and two phones that can call each other.

use keyline_loadtest::phone::{Answer, Call, End, Phone, PhoneConfig, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_wire::sdp::Sdp;

/// Makes three tests of each function: with 1, 2 and 3 shards.
macro_rules! on_shards {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn one_shard() {
                super::$name(1);
            }
            #[test]
            fn two_shards() {
                super::$name(2);
            }
            #[test]
            fn three_shards() {
                super::$name(3);
            }
        }
    )*};
}

/// Makes two tests of each function: everything on one thread, and on two.
macro_rules! on_one_and_two {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn one_shard() {
                super::$name(1);
            }
            #[test]
            fn two_shards() {
                super::$name(2);
            }
        }
    )*};
}

/// Makes two tests of each function: everything on one thread, and on three.
macro_rules! on_one_and_three {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn one_shard() {
                super::$name(1);
            }
            #[test]
            fn three_shards() {
                super::$name(3);
            }
        }
    )*};
}

/// Line of the caller.
pub const CALLER: &str = "1001";

/// Line of the callee.
pub const CALLEE: &str = "1002";

/// Device of the caller: on the first shard.
pub fn caller_device(shards: u16) -> String {
    device_on(0, shards, 1)
}

/// Device of the callee: on another shard than the caller's, where there are several.
pub fn callee_device(shards: u16) -> String {
    device_on(shards - 1, shards, 2)
}

/// A node with two phones that need no proof, both registered, on different shards where there are
/// several.
pub struct Pair {
    /// The node.
    pub node: Node,
    /// Line 1001.
    pub caller: Phone,
    /// Line 1002.
    pub callee: Phone,
}

/// A node with two phones over UDP.
pub async fn pair(shards: u16) -> Pair {
    pair_with(shards, Transport::Udp, Transport::Udp, |inventory| inventory, |caller| caller, |callee| callee)
        .await
}

/// A node with two phones over UDP; the callee does that with calls.
pub async fn pair_answering(shards: u16, answer: Answer) -> Pair {
    pair_with(
        shards,
        Transport::Udp,
        Transport::Udp,
        |inventory| inventory,
        |caller| caller,
        |callee| callee.answering(answer),
    )
    .await
}

/// A node with two phones, each over its transport, with changes to inventory and phones.
pub async fn pair_with(
    shards: u16,
    caller: Transport,
    callee: Transport,
    rows: impl FnOnce(Inventory) -> Inventory,
    change_caller: impl FnOnce(PhoneConfig) -> PhoneConfig,
    change_callee: impl FnOnce(PhoneConfig) -> PhoneConfig,
) -> Pair {
    let (device_a, device_b) = (caller_device(shards), callee_device(shards));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device_a, CALLER).plain_phone(&device_b, CALLEE);
    let node = Builder::new().shards(shards).inventory(&rows(inventory)).start();
    let caller = registered(change_caller(node.phone(caller, &device_a, CALLER))).await;
    let callee = registered(change_callee(node.phone(callee, &device_b, CALLEE))).await;
    Pair { node, caller, callee }
}

/// Starts a phone and registers it.
pub async fn registered(config: PhoneConfig) -> Phone {
    let phone = Phone::start(config).await.expect("the phone starts");
    phone.register().await.expect("it registers");
    phone
}

/// The caller calls the callee, who answers by itself; both ends of the established call.
pub async fn connect(caller: &Phone, callee: &Phone) -> (Call, Call) {
    let out = caller.invite(callee.dn()).expect("an INVITE");
    let inn = callee.incoming().await.expect("the call arrives");
    out.answered().await.expect("it is answered");
    inn.acked(1).await.expect("the answer is acknowledged");
    (out, inn)
}

/// The status with which a call was refused.
pub async fn refused_with(call: &Call) -> u16 {
    match call.ended().await.expect("the call ends").how {
        End::Status(status) => status,
        other => panic!("the call ended otherwise: {other:?}"),
    }
}

/// Version of a session description (`o=`).
pub fn version(sdp: &Sdp) -> u64 {
    sdp.origin.version.parse().expect("a number")
}

/// A node with plain phones of the lines 1001 to 1004 on shards in turn, for phones of raw messages.
pub fn raw_node(shards: u16) -> Node {
    raw_node_with(shards, |_| {})
}

/// The same with changes to the inventory.
pub fn raw_node_with(shards: u16, rows: impl FnOnce(&mut Inventory)) -> Node {
    raw_builder(shards, rows).start()
}

/// The same, not started yet.
pub fn raw_builder(shards: u16, rows: impl FnOnce(&mut Inventory)) -> Builder {
    let mut inventory = Inventory::new();
    for (i, dn) in (0..).zip(["1001", "1002", "1003", "1004"]) {
        inventory.plain_phone(&device_on(i % shards, shards, 40 + u32::from(i)), dn);
    }
    rows(&mut inventory);
    Builder::new().shards(shards).inventory(&inventory)
}
