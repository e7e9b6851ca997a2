//! A client table and a server table over a network that loses, doubles and reorders.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What the network does with the n-th packet, taken round and round.
#[derive(Debug, Clone)]
struct Fate {
    lost: bool,
    copies: u8,
    delay: u16,
}

fn fate() -> impl Strategy<Value = Fate> {
    // Twice this is less than T4, the longest that a message stays in the network (RFC 3261 §17.1.1.1): what comes later
    // than that meets no transaction any more, and is no fault of the table.
    (any::<bool>(), 1..3u8, 0..2_400u16).prop_map(|(lost, copies, delay)| Fate { lost, copies, delay })
}

/// A call of the transaction user of the server: its method, when it is sent and what it gets.
#[derive(Debug, Clone)]
struct Plan {
    invite: bool,
    at: u16,
    think: u16,
    code: u16,
    cancel_after: Option<u16>,
}

fn plan() -> impl Strategy<Value = Plan> {
    (any::<bool>(), 0..5_000u16, 0..6_000u16, prop::sample::select(vec![200, 404, 486, 603]), any::<u16>())
        .prop_map(|(invite, at, think, code, dice)| {
            let cancel_after = (invite && dice % 3 == 0).then_some(dice % 8_000);
            Plan { invite, at, think, code, cancel_after }
        })
}

#[derive(Debug, Clone)]
enum Event {
    Start(usize),
    Cancel(usize),
    Answer(usize, ServerTxId),
    ToServer(Arc<[u8]>),
    ToClient(Arc<[u8]>),
}

/// The network, both tables and both users; packets are real messages.
struct World {
    route: Road,
    fates: Vec<Fate>,
    packets: usize,
    queue: BTreeMap<(u64, u64), Event>,
    order: u64,
    client: ClientTable<Road, usize>,
    server: ServerTable<Road, usize>,
    plans: Vec<Plan>,
    sent: Vec<Option<ClientTxId>>,
    /// Finals that the client's user got for each plan: responses, timeouts.
    finals: Vec<(u32, u32)>,
    requests_seen: Vec<u32>,
    ended: Vec<u32>,
}

impl World {
    fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// Puts a packet on the wire. Streams lose and reorder nothing.
    fn carry(&mut self, now: u64, packet: Event) {
        let fate = self.fates[self.packets % self.fates.len()].clone();
        self.packets += 1;
        match self.route {
            Road::Stream(_) => self.push(now + 20, packet),
            Road::Datagram(_) if fate.lost => {}
            Road::Datagram(_) => {
                for copy in 0..fate.copies {
                    self.push(now + u64::from(fate.delay) * u64::from(copy + 1), packet.clone());
                }
            }
        }
    }

    fn client_actions(&mut self, now: u64, actions: Vec<ClientAction<Road, usize>>) {
        for action in actions {
            match action {
                Action::Send { bytes, .. } => self.carry(now, Event::ToServer(bytes)),
                Action::Event { owner, .. } if owner < self.plans.len() => self.finals[owner].1 += 1,
                Action::Event { .. } => {}
                Action::Terminated { owner, .. } => {
                    if let Some(ended) = self.ended.get_mut(owner) {
                        *ended += 1;
                    }
                }
            }
        }
    }

    fn server_actions(&mut self, now: u64, actions: Vec<ServerAction<Road, usize>>) {
        for action in actions {
            if let Action::Send { bytes, .. } = action {
                self.carry(now, Event::ToClient(bytes));
            }
        }
    }

    fn respond(&mut self, now: u64, tx: ServerTxId, plan: usize, method: &str, code: u16) {
        let text = outcome(method, branch_of(plan).as_str(), code);
        let mut actions = Vec::new();
        // A crossing CANCEL may have ended it.
        let _late = self.server.respond(now, tx, code, bytes(&text), &mut actions);
        self.server_actions(now, actions);
    }

    fn at_server(&mut self, now: u64, packet: &[u8]) {
        let message = Message::parse(packet).unwrap();
        let branch = message.top_via().unwrap().branch().unwrap();
        let plan = (0..self.plans.len()).find(|plan| branch_of(*plan).as_str() == branch).unwrap();
        let mut actions = Vec::new();
        let received = self.server.receive(now, &message, SOURCE, &mut actions);
        match received {
            Received::New(key) => {
                self.requests_seen[plan] += 1;
                let trying = self.plans[plan].invite.then(|| bytes(&outcome("INVITE", branch, 100)));
                let tx = self.server.open(now, key, self.route, trying, plan, &mut actions).unwrap();
                self.push(now + u64::from(self.plans[plan].think), Event::Answer(plan, tx));
            }
            Received::Cancel { key, target } => {
                let tx = self.server.open(now, key, self.route, None, plan, &mut actions).unwrap();
                let code = if target == CancelTarget::Unknown { 481 } else { 200 };
                self.respond(now, tx, plan, "CANCEL", code);
                if let CancelTarget::Pending(invite) = target {
                    self.respond(now, invite, plan, "INVITE", 487);
                }
            }
            Received::Ack { .. } | Received::Absorbed => {}
            Received::Unmatchable => panic!("{message:?}"),
        }
        self.server_actions(now, actions);
    }

    fn at_client(&mut self, now: u64, packet: &[u8]) {
        let response = Message::parse(packet).unwrap();
        let mut actions = Vec::new();
        match self.client.receive(now, &response, &mut actions) {
            Verdict::Final { owner, .. } | Verdict::Accepted { owner, first: true, .. }
                if owner < self.plans.len() =>
            {
                self.finals[owner].0 += 1;
            }
            _ => {}
        }
        self.client_actions(now, actions);
    }

    fn step(&mut self, now: u64, event: Event) {
        let mut actions = Vec::new();
        match event {
            Event::Start(plan) => {
                let (method, branch) =
                    (if self.plans[plan].invite { "INVITE" } else { "OPTIONS" }, branch_of(plan));
                let bytes = request(method, branch.as_str());
                let (method, route) = (Method::of(method), self.route);
                let tx = self.client.send(now, method, branch.as_str(), bytes, route, plan, &mut actions);
                self.sent[plan] = Some(tx.unwrap());
                if let Some(after) = self.plans[plan].cancel_after {
                    self.push(now + u64::from(after), Event::Cancel(plan));
                }
            }
            Event::Cancel(plan) => {
                let invite = self.sent[plan].unwrap();
                let owner = self.plans.len();
                if self.client.cancel(now, invite, &[], owner, &mut actions) == Err(CancelError::NotYet) {
                    self.push(now + 300, Event::Cancel(plan));
                }
            }
            Event::Answer(plan, tx) => {
                let method = if self.plans[plan].invite { "INVITE" } else { "OPTIONS" };
                self.respond(now, tx, plan, method, self.plans[plan].code);
            }
            Event::ToServer(packet) => self.at_server(now, &packet),
            Event::ToClient(packet) => self.at_client(now, &packet),
        }
        self.client_actions(now, actions);
    }

    fn run(&mut self) -> u64 {
        let mut now = START;
        for turn in 0.. {
            assert!(turn < 200_000, "it never ends");
            let timer = [self.client.next_wakeup(), self.server.next_wakeup()].into_iter().flatten().min();
            let packet = self.queue.keys().next().copied();
            match (timer, packet) {
                (None, None) => break,
                (timer, Some(key)) if timer.is_none_or(|timer| key.0 <= timer) => {
                    now = now.max(key.0);
                    let event = self.queue.remove(&key).unwrap();
                    self.step(now, event);
                }
                (timer, _) => {
                    now = now.max(timer.unwrap());
                    let (mut client, mut server) = (Vec::new(), Vec::new());
                    self.client.on_tick(now, &mut client);
                    self.server.on_tick(now, &mut server);
                    self.client_actions(now, client);
                    self.server_actions(now, server);
                }
            }
        }
        now
    }
}

fn branch_of(plan: usize) -> Branch {
    branch::make(3, [plan as u8; 12])
}

fn world(route: Road, fates: Vec<Fate>, plans: Vec<Plan>) -> World {
    let count = plans.len();
    let mut world = World {
        route,
        fates,
        packets: 0,
        queue: BTreeMap::new(),
        order: 0,
        client: ClientTable::new(config(1_000)),
        server: ServerTable::new(config(1_000)),
        sent: vec![None; count],
        finals: vec![(0, 0); count],
        requests_seen: vec![0; count],
        ended: vec![0; count],
        plans,
    };
    for plan in 0..count {
        world.push(START + u64::from(world.plans[plan].at), Event::Start(plan));
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_exchange_ends_with_exactly_one_outcome(
        stream in any::<bool>(),
        fates in prop::collection::vec(fate(), 1..40),
        plans in prop::collection::vec(plan(), 1..12),
    ) {
        // Where answers are lost a client repeats for 64 T1, as long as the server remembers (Timer J): its last copy may
        // come when the transaction has gone, and nothing in RFC 3261 tells it from a new request.
        let seen = if fates.iter().any(|fate| fate.lost) { 2 } else { 1 };
        let mut world = world(if stream { TCP } else { UDP }, fates, plans);
        let end = world.run();
        prop_assert!(world.client.is_empty() && world.server.is_empty(), "a slot leaked");
        prop_assert!(end <= START + 1_900_000);
        for (plan, (responses, failures)) in world.finals.iter().enumerate() {
            prop_assert_eq!(responses + failures, 1, "plan {}", plan);
            prop_assert_eq!(world.ended[plan], 1);
            prop_assert!(world.requests_seen[plan] <= seen, "a repeat reached the user");
            prop_assert!(!stream || *responses == 1, "streams lose nothing");
        }
    }

    #[test]
    fn a_server_table_never_grows_past_its_limit(
        steps in prop::collection::vec((0..40u8, any::<bool>(), 0..4u8, 0..5_000u16), 1..300),
    ) {
        let mut table: ServerTable<Road, u8> = ServerTable::new(config(5));
        let mut live = Vec::new();
        let (mut now, mut opened, mut ended) = (START, 0, 0);
        for (number, invite, action, after) in steps {
            let mut actions = Vec::new();
            now += u64::from(after);
            let branch = format!("z9hG4bK{number}");
            let method = if invite { "INVITE" } else { "REGISTER" };
            match action {
                0 | 1 => {
                    let received = table.receive(now, &parsed(&incoming(method, &branch)), SOURCE, &mut actions);
                    if let Received::New(key) = received {
                        let result = table.open(now, key, UDP, None, number, &mut actions);
                        opened += usize::from(result.is_ok());
                        live.extend(result);
                    }
                }
                2 => {
                    if let Some(tx) = live.pop() {
                        let code = if number % 2 == 0 { 200 } else { 404 };
                        let _late = table.respond(now, tx, code, bytes("x"), &mut actions);
                    }
                }
                _ => table.on_tick(now, &mut actions),
            }
            ended += actions.iter().filter(|action| matches!(action, Action::Terminated { .. })).count();
            prop_assert!(table.len() <= 5);
            prop_assert_eq!(table.len(), opened - ended);
        }
        let mut actions = Vec::new();
        while let Some(at) = table.next_wakeup() {
            now = now.max(at);
            table.on_tick(now, &mut actions);
        }
        prop_assert!(table.is_empty());
    }
}
