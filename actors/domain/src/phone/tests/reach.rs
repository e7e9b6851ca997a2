//! Flows.

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn r174_the_sip_phone_port_serves_udp_phones_that_do_not_ask_for_rport() {
    let source = addr("10.0.0.1:40000");
    for (rport, contact_port, target) in [
        (true, Some(5060), "10.0.0.1:40000"),
        (true, None, "10.0.0.1:40000"),
        (false, Some(40000), "10.0.0.1:40000"),
        (false, Some(5060), "10.0.0.1:5070"),
        (false, None, "10.0.0.1:5070"),
    ] {
        assert_eq!(udp_target(source, rport, contact_port, 5070), addr(target), "{rport} {contact_port:?}");
    }
    assert_eq!(udp_target(addr("10.0.0.1:5060"), false, None, 5070), addr("10.0.0.1:5060"));
    assert_eq!(udp_target(addr("[2001:db8::1]:9"), false, Some(7), 5070), addr("[2001:db8::1]:5070"));
}

#[test]
fn a_closed_connection_loses_its_bindings_flow_and_nothing_else() {
    let mut row = phone();
    let one = stream(1, "10.0.0.1:1111");
    let _ = take(&mut row, &request(1, [contact(A)]).lines(["1001", "1002"]).over(one), &at(0));
    let _ = take(&mut row, &request(1, [contact(B)]).call("c2").over(stream(2, "10.0.0.1:2222")), &at(0));
    let id = |index, generation| StreamId { worker: 1, index, generation };
    assert_eq!(on_flow_lost(&row, id(1, 8)), None, "the slot's next connection");
    assert_eq!(on_flow_lost(&row, id(3, 7)), None);
    let after = on_flow_lost(&row, id(1, 7)).unwrap();
    let live: Vec<_> = after.bindings.iter().map(|b| b.origin.flow.is_live()).collect();
    assert_eq!(live, [false, false, true]);
    assert_eq!(after.encode(), row.encode(), "nothing to write");
    assert_eq!(on_flow_lost(&after, id(1, 7)), None);
    assert_eq!(listed(&after, 1), listed(&row, 1));
}
