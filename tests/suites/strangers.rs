//! Many unanswered challenges from a stranger change nothing for a registered fleet.

use std::time::{Duration, Instant};

use keyline_domain::digest::Algorithm;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::{HEAVY, device_on};
use keyline_tests::sip::{Line, Login, Request, contact};

/// REGISTERs without credentials.
const FLOOD: u32 = 200_000;

/// Of which so many may be unanswered at a time, so that socket buffers do not overflow.
const WINDOW: u32 = 128;

/// Phones of the fleet.
const PHONES: u32 = 50;

/// Resident memory may grow by this much: buffers and allocator, but nothing for each stranger.
const GROWTH_KIB: u64 = 48 * 1024;

/// A registered phone with the nonce that it uses.
struct Phone {
    dn: String,
    line: Line,
    challenged: keyline_wire::sip::Message<'static>,
    request: Request,
}

impl Phone {
    fn login<'a>(user: &'a str, password: &'a str) -> Login<'a> {
        Login { user, password, algorithm: Algorithm::Sha256 }
    }

    fn register(node: &Node, dn: String) -> Phone {
        let mut line = Line::udp(node.udp());
        let mut request = Request::register_from(&dn, &line);
        let challenged = line.exchange(&request);
        assert_eq!(challenged.status(), Some(401));
        request = request.next();
        request.authorize(&challenged, &Self::login(&user_of(&dn), &password_of(&dn)), 1);
        assert_eq!(line.exchange(&request).status(), Some(200));
        Phone { dn, line, challenged, request }
    }

    /// Refreshes under the nonce of the first registration.
    fn refresh(&mut self, nc: u32) -> Option<u16> {
        self.request = self.request.clone().next();
        let (user, password) = (user_of(&self.dn), password_of(&self.dn));
        self.request.authorize(&self.challenged, &Self::login(&user, &password), nc);
        self.line.exchange(&self.request).status()
    }
}

#[test]
fn r192_challenges_cost_a_stranger_nothing_and_the_fleet_nothing() {
    let _turn = HEAVY.lock();
    let mut inventory = Inventory::new();
    for i in 0..PHONES {
        inventory.digest_phone(&device_on((i % 2) as u16, 2, i), &(3000 + i).to_string());
    }
    // What is measured is the cost of a challenge, not the limit on a source.
    let node = Builder::new()
        .shards(2)
        .inventory(&inventory)
        .setting("limits", "requests_per_source = 1000000")
        .start();
    let mut fleet: Vec<Phone> = (0..PHONES).map(|i| Phone::register(&node, (3000 + i).to_string())).collect();
    let before = node.registrations().len();

    let mut stranger = Line::udp_from("127.0.0.77".parse().unwrap(), node.udp());
    let request = Request::register("3001").header("Contact", &contact("3001", &stranger));
    let template = String::from_utf8(request.print(&stranger)).unwrap();
    let (head, tail) = template.split_once(&request.branch).expect("the branch");
    // The first ones fill buffers and tables that have a fixed size.
    flood(&mut stranger, head, tail, 0..FLOOD / 10);
    let rss = node.rss_kib();
    let began = Instant::now();
    flood(&mut stranger, head, tail, FLOOD / 10..FLOOD);
    let (took, grown) = (began.elapsed(), node.rss_kib().saturating_sub(rss));
    println!("{} challenges in {took:.1?}; resident memory grew by {grown} KiB", FLOOD - FLOOD / 10);
    assert!(grown < GROWTH_KIB, "{grown} KiB");

    // No nonce is lost: every phone goes on with the one that it has.
    for phone in &mut fleet {
        assert_eq!(phone.refresh(2), Some(200), "{}", phone.dn);
    }
    assert_eq!(node.registrations().len(), before);
}

fn flood(line: &mut Line, head: &str, tail: &str, range: std::ops::Range<u32>) {
    let mut open = 0;
    for i in range {
        line.send(format!("{head}flood{i}{tail}").as_bytes());
        open += 1;
        while open >= WINDOW {
            match line.receive_within(Duration::from_millis(500)) {
                Some(answer) => {
                    assert_eq!(answer.status(), Some(401));
                    open -= 1;
                }
                // Lost datagrams are not waited for.
                None => open = 0,
            }
        }
    }
}
