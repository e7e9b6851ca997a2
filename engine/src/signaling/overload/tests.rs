//! The law of the gate, against a queue that is made up.

use super::*;

const REGISTER: &[u8] = b"REGISTER sip:h SIP/2.0\r\nTo: <sip:1@h>\r\nFrom: <sip:1@h>;tag=a\r\n\r\n";
const PROVEN: &[u8] = b"REGISTER sip:h SIP/2.0\r\nTo: <sip:1@h>\r\nauthorization: Digest x\r\n\r\n";
const INVITE: &[u8] =
    b"INVITE sip:2@h SIP/2.0\r\nTo: <sip:2@h>\r\nFrom: <sip:1@h>;tag=a\r\n\r\nTo: x;tag=1\r\n";
const REINVITE: &[u8] = b"INVITE sip:2@h SIP/2.0\r\nt : <sip:2@h> ; Tag=b\r\n\r\n";

const BUSY: Queue = Queue { waited: 5 * PATIENCE, lost: false };
const IDLE: Queue = Queue { waited: 0, lost: false };

#[test]
fn classes_are_told_without_reading_the_message() {
    assert_eq!(class_of(REGISTER), Some(Class::First));
    assert_eq!(class_of(PROVEN), Some(Class::Refresh));
    assert_eq!(class_of(INVITE), Some(Class::New("invite")));
    let with = b"MESSAGE sip:2@h SIP/2.0\r\nTo: \"tag=\" <sip:2@h>\r\nProxy-Authorization: Digest x\r\n\r\n";
    assert_eq!(class_of(with), Some(Class::Proven("message")));
    let never: [&[u8]; 7] = [
        REINVITE,
        b"ACK sip:2@h SIP/2.0\r\n\r\n",
        b"CANCEL sip:2@h SIP/2.0\r\n\r\n",
        b"BYE sip:2@h SIP/2.0\r\n\r\n",
        b"OPTIONS sip:h SIP/2.0\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\xff\x00INVITE",
    ];
    for bytes in never {
        assert_eq!(class_of(bytes), None, "{}", String::from_utf8_lossy(bytes));
    }
}

/// A gate whose queue has been too long for as long as it takes.
fn late() -> Gate {
    let mut gate = Gate::default();
    gate.look(1_000_000, BUSY);
    gate.look(1_000_000 + PERSISTS - 1, BUSY);
    assert!(gate.is_open());
    gate
}

#[test]
fn a_pause_is_no_overload() {
    let mut gate = late();
    gate.drained();
    gate.look(1_000_000 + PERSISTS, BUSY);
    assert!(gate.is_open(), "it was empty in between");
    let mut gate = late();
    gate.look(1_000_000 + PERSISTS, BUSY);
    assert!(!gate.is_open());
}

/// Looks every period at a queue that is busy, seeing these datagrams between; gives the pressure over time.
fn pressed(gate: &mut Gate, looks: u64, between: &[&[u8]]) {
    let start = gate.looked_at;
    for n in 1..=looks {
        for bytes in between {
            gate.fate(start + n * PERIOD - 1, bytes);
        }
        gate.look(start + n * PERIOD, BUSY);
    }
}

fn served(gate: &mut Gate, bytes: &[u8]) -> u32 {
    let now = gate.looked_at;
    (0..1_000).map(|_| u32::from(gate.fate(now, bytes) == Fate::Serve)).sum()
}

#[test]
fn new_work_is_shed_first_then_registrations_then_refreshes_and_dialogs_never() {
    let mut gate = late();
    pressed(&mut gate, 33, &[]);
    let half = served(&mut gate, INVITE);
    assert!((400..600).contains(&half), "{half}");
    assert_eq!(served(&mut gate, REGISTER), 1_000);
    pressed(&mut gate, 134, &[]);
    assert_eq!(served(&mut gate, INVITE), 0);
    let half = served(&mut gate, REGISTER);
    assert!((400..600).contains(&half), "{half}");
    assert_eq!(served(&mut gate, PROVEN), 1_000);
    pressed(&mut gate, 1_000, &[]);
    assert_eq!(served(&mut gate, REGISTER), 0);
    let few = served(&mut gate, PROVEN);
    assert!((80..250).contains(&few), "nobody is shut out: {few}");
    assert_eq!(served(&mut gate, REINVITE), 1_000);
}

#[test]
fn the_next_class_does_not_pay_for_the_one_that_floods() {
    let mut gate = late();
    let flood: Vec<&[u8]> = std::iter::repeat_n(REGISTER, 50).chain([PROVEN]).collect();
    pressed(&mut gate, 2_000, &flood);
    assert_eq!(gate.pressure, 3 * BAND - BRINK);
    assert_eq!(served(&mut gate, PROVEN), 1_000);
    assert!(served(&mut gate, REGISTER) > 20);
}

#[test]
fn it_opens_again_by_itself() {
    let mut gate = late();
    pressed(&mut gate, 140, &[]);
    assert!(!gate.is_open());
    let end = gate.looked_at;
    gate.look(end + 2 * PERIOD, IDLE);
    assert!(!gate.is_open(), "not at once: the queue would fill again");
    // One second and a half without a datagram, then one: it is served.
    assert_eq!(gate.fate(end + 1_600_000, INVITE), Fate::Serve);
    assert!(gate.is_open());
    // The same where it is looked at all the time.
    pressed(&mut gate, 140, &[]);
    let end = gate.looked_at;
    let looks = (1..)
        .take_while(|n| {
            gate.look(end + n * PERIOD, IDLE);
            !gate.is_open()
        })
        .count() as u64;
    assert!(looks * PERIOD < 2_000_000, "{looks}");
}

#[test]
fn refusals_take_a_thirty_second_of_the_time_and_the_rest_is_dropped() {
    let mut gate = late();
    pressed(&mut gate, 140, &[]);
    let (start, mut refused, mut dropped) = (gate.looked_at, 0_u64, 0_u64);
    for n in 1..=1_000 {
        for _ in 0..100 {
            match gate.fate(start + n * PERIOD - 1, INVITE) {
                Fate::Refuse(_) => {
                    gate.refused(10_000);
                    refused += 10_000;
                }
                Fate::Drop(_) => dropped += 1,
                Fate::Serve => panic!("all is shed at this pressure"),
            }
        }
        gate.look(start + n * PERIOD, BUSY);
    }
    let share = refused / 1_000 * 100 / (1_000 * PERIOD);
    assert!((2..5).contains(&share) && dropped > 0, "{share} %");
}
