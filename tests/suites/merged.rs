//! Copies of one request that come by several paths (RFC 3261 §8.2.2.2): the first is served, the others get
//! 482. What is compared stands in the tables of one worker, so this covers copies that reach the same
//! worker: all from one source address over UDP, and all on one connection.

use keyline_tests::sip::{Line, Request, audio, respond, unique};
use keyline_wire::sip::{Message, Method};

use crate::common::{CALLEE, CALLER, callee_device, caller_device};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};

fn node(shards: u16) -> Node {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(shards), CALLER).plain_phone(&callee_device(shards), CALLEE);
    Builder::new().shards(shards).inventory(&inventory).start()
}

fn registered(mut line: Line, dn: &str) -> Line {
    let request = Request::register_from(dn, &line);
    assert_eq!(line.exchange(&request).status(), Some(200), "{dn}");
    line
}

fn copies_ring_once(node: &Node, mut caller: Line) {
    let mut callee = registered(Line::udp(node.udp()), CALLEE);
    let mut invite = Request::new("INVITE", &format!("sip:{CALLEE}@keyline.local"), CALLER)
        .header("Contact", &keyline_tests::sip::contact(CALLER, &caller));
    invite.body = Some(("application/sdp".into(), audio(4000)));
    let first = invite.print(&caller);
    caller.send(&first);
    let rings = callee.receive();
    assert_eq!(rings.method(), Some(Method::Invite));

    invite.branch = unique();
    let copy = caller.exchange(&invite);
    assert_eq!((copy.status(), branch(&copy)), (Some(482), Some(invite.branch.clone())));

    // The call itself goes on, and it was one.
    let answer = respond(&callee, &rings, 486, "busy", None);
    callee.send(&answer);
    let refused = caller.receive_final();
    assert_eq!(refused.status(), Some(486));
    let mut ack = callee.receive();
    while ack.method() == Some(Method::Invite) {
        assert_eq!(ack.call_id(), rings.call_id(), "the copy rang as well");
        ack = callee.receive();
    }
    assert_eq!(ack.method(), Some(Method::Ack));
}

fn branch(message: &Message<'_>) -> Option<String> {
    Some(message.top_via()?.branch()?.trim_start_matches("z9hG4bK").to_owned())
}

fn a_merged_request_gets_482(shards: u16) {
    let node = node(shards);
    copies_ring_once(&node, registered(Line::udp(node.udp()), CALLER));
    copies_ring_once(&node, registered(Line::tcp(node.tcp()), CALLER));
}

on_shards!(a_merged_request_gets_482);

#[test]
fn a_register_repeated_under_a_new_branch_is_merged_and_the_next_one_is_served() {
    let node = node(1);
    let mut line = Line::udp(node.udp());
    let mut request = Request::register_from(CALLER, &line);
    assert_eq!(line.exchange(&request).status(), Some(200));
    request.branch = unique();
    assert_eq!(line.exchange(&request).status(), Some(482));
    assert_eq!(line.exchange(&request.next()).status(), Some(200));
}
