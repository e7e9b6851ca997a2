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

#[test]
fn the_flows_of_one_phone_stand_together_the_best_first() {
    let mut row = phone();
    let flows = [(1, "10.0.0.1:1111"), (2, "10.0.0.1:2222"), (3, "10.0.0.1:3333")];
    for (n, (index, from)) in flows.into_iter().enumerate() {
        let uri = format!("sip:1001@10.0.0.1:{index}");
        let own = contact(&uri).instance(INSTANCE).reg_id(index).expires(600);
        let _ = take(
            &mut row,
            &request(1, [own]).call(&format!("c{n}")).over(stream(index, from)),
            &at(n as u64),
        );
    }
    let _ = take(&mut row, &request(1, [contact(B)]).call("other").over(stream(9, "10.0.0.1:9")), &at(0));
    let order = |row: &Row| -> Vec<(Option<u32>, bool)> {
        by_phone(row.bindings.iter()).into_iter().map(|(b, spare)| (b.reg_id, spare)).collect()
    };
    assert_eq!(order(&row), [(Some(3), false), (Some(2), true), (Some(1), true), (None, false)]);
    let lost = on_flow_lost(&row, StreamId { worker: 1, index: 3, generation: 7 }).unwrap();
    assert_eq!(order(&lost), [(Some(2), false), (Some(1), true), (Some(3), true), (None, false)]);
}
