//! The tables stay in their bounds and hand out no handle twice.

use super::*;

fn open(
    table: &mut ServerTable<Road, u32>,
    now: u64,
    method: &str,
    branch: &str,
    route: Road,
) -> Result<ServerTxId, Refused> {
    let mut actions = Vec::new();
    match table.receive(now, &parsed(&incoming(method, branch)), SOURCE, &mut actions) {
        Received::New(key) => table.open(now, key, route, None, 0, &mut actions),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_server_table_evicts_the_oldest_completed_and_then_refuses() {
    let mut table = ServerTable::new(config(3));
    let mut actions = Vec::new();
    let first = open(&mut table, START, "REGISTER", "z9hG4bK1", UDP).unwrap();
    let second = open(&mut table, START, "REGISTER", "z9hG4bK2", UDP).unwrap();
    open(&mut table, START, "INVITE", "z9hG4bK3", UDP).unwrap();
    assert_eq!(open(&mut table, START, "REGISTER", "z9hG4bK4", UDP), Err(Refused::Full { limit: 3 }));
    // Completed in the other order than opened.
    table.respond(START, second, 200, bytes("200"), &mut actions).unwrap();
    table.respond(START, first, 200, bytes("200"), &mut actions).unwrap();
    open(&mut table, START, "REGISTER", "z9hG4bK4", UDP).unwrap();
    assert_eq!((table.route(second), table.route(first)), (None, Some(UDP)));
    open(&mut table, START, "INVITE", "z9hG4bK5", UDP).unwrap();
    assert_eq!(table.route(first), None);
    assert_eq!(open(&mut table, START, "INVITE", "z9hG4bK6", UDP), Err(Refused::Full { limit: 3 }));
    let counts = table.counts();
    assert_eq!((counts.opened, counts.evicted, counts.refused, table.len()), (5, 2, 2, 3));
}

#[test]
fn a_full_client_table_refuses() {
    let mut table = ClientTable::new(config(1));
    let mut actions = Vec::new();
    let mut send = |random: u8| {
        let branch = branch::make(3, [random; 12]);
        table.send(START, Method::Options, branch.as_str(), bytes("x"), UDP, 0, &mut actions)
    };
    send(1).unwrap();
    assert_eq!(send(2), Err(SendError::Full { limit: 1 }));
    assert_eq!(actions.len(), 1, "nothing was sent for the refused one");
}

#[test]
fn a_handle_dies_with_its_transaction() {
    let mut table = ServerTable::new(config(1));
    let mut actions = Vec::new();
    let mut old = Vec::new();
    for turn in 0..50 {
        let tx = open(&mut table, START, "REGISTER", &format!("z9hG4bK{turn}"), TCP).unwrap();
        assert_eq!(ServerTxId::from_u64(tx.to_u64()), tx);
        assert_eq!(table.owner(tx), Some(&0));
        assert!(table.owner(ServerTxId { worker: 4, ..tx }).is_none(), "another worker's");
        table.respond(START, tx, 200, bytes("200"), &mut actions).unwrap();
        old.push(tx);
    }
    assert!(old.iter().all(|tx| table.owner(*tx).is_none()));
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Terminated { .. })).count(), 50);
}

#[test]
fn the_lists_survive_removal_anywhere() {
    let mut table = ServerTable::new(config(1_000));
    let mut actions = Vec::new();
    let open_all: Vec<_> = (0..100)
        .map(|turn| open(&mut table, START + turn, "REGISTER", &format!("z9hG4bK{turn}"), UDP).unwrap())
        .collect();
    for (turn, tx) in open_all.iter().enumerate() {
        match turn % 3 {
            0 => table.abandon(*tx, &mut actions),
            1 => table.respond(START + 200, *tx, 200, bytes("200"), &mut actions).unwrap(),
            _ => {}
        }
    }
    actions.clear();
    table.on_tick(START + 32_099, &mut actions);
    let unanswered = |actions: &[ServerAction<Road, u32>]| {
        actions.iter().filter(|action| matches!(action, Action::Event { .. })).count()
    };
    assert_eq!(unanswered(&actions), 33);
    assert_eq!(table.len(), 33);
    table.on_tick(START + 32_200, &mut actions);
    assert_eq!((table.len(), unanswered(&actions)), (0, 33));
    assert_eq!(table.next_wakeup(), None);
}

/// A request by its To, From tag, Call-ID and CSeq number; the branch is new each time.
fn variant(method: &str, branch: &str, to: &str, tag: &str, call_id: &str, cseq: u32) -> String {
    format!(
        "{method} sip:keyline.local SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK{branch}\r\n\
         From: <sip:a@keyline.local>{tag}\r\nTo: <sip:b@keyline.local>{to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_copy_by_another_path_is_merged_and_nothing_else_is() {
    let mut table = ServerTable::new(config(8));
    let mut actions = Vec::new();
    let mut key = |table: &mut ServerTable<Road, u32>, text: &str, source: u8| {
        let source = std::net::Ipv4Addr::new(10, 0, 0, source).into();
        match table.receive(START, &parsed(text), source, &mut actions) {
            Received::New(key) => key,
            other => panic!("{other:?}"),
        }
    };
    let mut actions = Vec::new();
    let first = key(&mut table, &variant("INVITE", "1", "", ";tag=f", "c", 1), 1);
    assert!(!table.is_merged(&first));
    let tx = table.open(START, first, UDP, None, 0, &mut actions).unwrap();
    for (branch, source, merged) in [("2", 1, true), ("3", 1, true), ("2", 9, false), ("1", 9, false)] {
        let copy = key(&mut table, &variant("INVITE", branch, "", ";tag=f", "c", 1), source);
        assert_eq!(table.is_merged(&copy), merged, "{branch} from {source}");
    }
    for other in [
        variant("INVITE", "4", ";tag=t", ";tag=f", "c", 1),
        variant("INVITE", "4", "", ";tag=g", "c", 1),
        variant("INVITE", "4", "", "", "c", 1),
        variant("INVITE", "4", "", ";tag=f", "C", 1),
        variant("INVITE", "4", "", ";tag=f", "c", 2),
        variant("OPTIONS", "4", "", ";tag=f", "c", 1),
        // Parts do not run into each other.
        variant("INVITE", "4", "", ";tag=fc", "c", 1),
    ] {
        let other_key = key(&mut table, &other, 1);
        assert!(!table.is_merged(&other_key), "{other}");
    }
    assert_eq!(table.counts().merged, 2);
    // With the transaction its entry ends: nothing is left behind.
    table.abandon(tx, &mut actions);
    let again = key(&mut table, &variant("INVITE", "5", "", ";tag=f", "c", 1), 1);
    assert!(!table.is_merged(&again));
    assert_eq!(table.merged_entries(), 0);
}

#[test]
fn remembered_copies_are_bounded_by_the_transactions() {
    let mut table = ServerTable::new(config(4));
    let mut actions = Vec::new();
    for turn in 0..100u32 {
        let text = variant("REGISTER", &turn.to_string(), "", ";tag=f", "c", turn);
        let Received::New(key) = table.receive(START, &parsed(&text), SOURCE, &mut actions) else {
            panic!("a new request")
        };
        let tx = table.open(START, key, UDP, None, 0, &mut actions).unwrap();
        table.respond(START, tx, 200, bytes("200"), &mut actions).unwrap();
        assert!(table.merged_entries() <= 4);
    }
}
