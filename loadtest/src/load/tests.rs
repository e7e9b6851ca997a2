//! Fleets against a scripted proxy that knows nothing of Keyline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::core::{Core, Heard, Purpose};
use super::scenario::Scenario;
use super::users::User;
use super::worker;
use super::{Amount, CallPlan, Carrier, Certificates, Fleet, Job, Options, Span, Tally, Target, TlsSetup};
use keyline_wire::sip::Message;

use crate::inventory::fleet;
use crate::pki::Authority;
use crate::switchboard::{Rules, Switchboard};
use crate::tls::TlsOptions;

const CALL: CallPlan =
    CallPlan { hold: Duration::from_millis(20), ring: Duration::ZERO, busy: 0, cancel: 0, b2bua: false };

fn users(count: u32) -> Vec<User> {
    let one = |phone| {
        let user = User::from(phone);
        User { user: user.number.clone(), password: "secret".into(), ..user }
    };
    fleet(1, count).into_iter().map(one).collect()
}

fn guarded() -> Rules {
    Rules { password: Some("secret".into()), ..Rules::default() }
}

fn options(board: &Switchboard, carrier: Carrier) -> Options {
    let address = match carrier {
        Carrier::Udp => board.udp,
        Carrier::Tcp => board.tcp,
        Carrier::Tls => board.tls,
    };
    let options = Options::new(Target { carrier, address }, vec!["127.0.0.1".parse().unwrap()]);
    Options { timeout: Duration::from_secs(20), ..options }
}

fn all(count: u64, rate: f64) -> Amount {
    Amount { count, rate, ramp: Duration::ZERO }
}

/// Runs jobs on a thread of their own, as the board needs the runtime's.
async fn run(users: Vec<User>, options: Options, jobs: Vec<(Job, Amount)>) -> (Vec<Tally>, u64) {
    let work = move || {
        let mut fleet = Fleet::open(users, options).unwrap();
        let tallies = jobs.iter().map(|(job, amount)| fleet.run(job, *amount)).collect();
        (tallies, fleet.connected())
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn clean(tally: &Tally, count: u64) {
    assert_eq!((tally.begun, tally.good, tally.failed), (count, count, 0), "{tally:#?}");
}

async fn board(rules: Rules) -> Arc<Switchboard> {
    Switchboard::start(rules).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_register_and_refresh_over_udp() {
    let board = board(guarded()).await;
    let options = Options { threads: 2, sockets: 3, ..options(&board, Carrier::Udp) };
    let jobs = vec![(Job::Register, all(101, 5_000.0)), (Job::Refresh, all(202, 0.0))];
    let (tallies, _) = run(users(101), options, jobs).await;
    clean(&tallies[0], 101);
    assert_eq!(tallies[0].statuses[&("REGISTER", 401)], 101);
    // Twice as many as phones: each waits for its answer before it sends again.
    clean(&tallies[1], 202);
    assert!(!tallies[1].statuses.contains_key(&("REGISTER", 401)), "the nonces are kept");
    assert_eq!(tallies[1].span(Span::Operation).unwrap().len(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_move_and_a_window_holds() {
    let board = board(guarded()).await;
    for carrier in [Carrier::Udp, Carrier::Tcp] {
        let options = Options { sockets: 3, window: 2, ..options(&board, carrier) };
        let jobs = vec![(Job::Register, all(6, 0.0)), (Job::Move, all(12, 0.0))];
        let (tallies, connected) = run(users(6), options, jobs).await;
        clean(&tallies[0], 6);
        // Each 200 lists the new address, or it counts as no success.
        clean(&tallies[1], 12);
        assert_eq!(connected, if carrier == Carrier::Tcp { 6 } else { 0 });
        assert!(tallies[1].timeline.seconds().iter().map(|s| s.good).sum::<u64>() == 12);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attackers_are_told_from_phones_that_are_let_in() {
    // The board takes numbers for users.
    let same = |user: User| User { user: user.number.clone(), ..user };
    let crowd: Vec<User> = super::attackers(&users(6), 6).into_iter().map(same).collect();
    let board = board(guarded()).await;
    let patient = Options { timeout: Duration::from_millis(400), ..options(&board, Carrier::Udp) };
    let (tallies, _) = run(crowd.clone(), patient, vec![(Job::Attack, all(12, 0.0))]).await;
    clean(&tallies[0], 12);
    assert_eq!((tallies[0].outcomes["refused"], tallies[0].outcomes["garbage"]), (8, 4));
    // A server that lets everybody in.
    let open = Switchboard::start(Rules::default()).await;
    let (tallies, _) = run(crowd, options(&open, Carrier::Udp), vec![(Job::Attack, all(6, 0.0))]).await;
    assert_eq!((tallies[0].failed, tallies[0].outcomes["let_in"]), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_counted() {
    let board = board(Rules { min_expires: 7_200, ..guarded() }).await;
    let mut wrong = users(3);
    wrong[1].password = "wrong".into();
    // One answer is lost; with so little patience nothing is sent twice.
    board.rules.lock().unwrap().lose.insert("REGISTER".into(), 1);
    let options = Options { timeout: Duration::from_millis(400), ..options(&board, Carrier::Udp) };
    let (tallies, _) = run(wrong, options, vec![(Job::Register, all(3, 0.0))]).await;
    let tally = &tallies[0];
    assert_eq!((tally.good, tally.failed, tally.timeouts), (0, 3, 1), "{tally:#?}");
    assert_eq!((tally.outcomes["no_answer"], tally.outcomes["refused"]), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_messages_are_repeated() {
    let board = board(guarded()).await;
    for method in ["REGISTER", "200", "BYE"] {
        board.rules.lock().unwrap().lose.insert(method.into(), 1);
    }
    let jobs = vec![(Job::Register, all(2, 0.0)), (Job::Call(CALL), all(2, 0.0))];
    let (tallies, _) = run(users(2), options(&board, Carrier::Udp), jobs).await;
    clean(&tallies[0], 2);
    assert_eq!(tallies[0].repeated, 1);
    clean(&tallies[1], 2);
    assert_eq!(tallies[1].outcomes["completed"], 2);
    assert!(tallies[1].repeated >= 2, "{:?}", tallies[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_busy_or_cancelled_as_planned() {
    let board = board(guarded()).await;
    let plan = CallPlan { busy: 20, cancel: 30, ..CALL };
    let jobs = vec![(Job::Register, all(20, 0.0)), (Job::Call(plan), all(100, 2_000.0))];
    let (tallies, _) = run(users(20), options(&board, Carrier::Udp), jobs).await;
    let tally = &tallies[1];
    clean(tally, 100);
    let outcomes = ["completed", "busy", "cancelled", "callee_bye", "callee_cancelled"];
    assert_eq!(outcomes.map(|name| tally.outcomes[name]), [50, 20, 30, 50, 30], "{tally:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_told_from_a_back_to_back_user_agent() {
    let board = board(guarded()).await;
    let plan = CallPlan { b2bua: true, ..CALL };
    let jobs = vec![(Job::Register, all(4, 0.0)), (Job::Call(plan), all(3, 0.0))];
    let (tallies, _) = run(users(4), options(&board, Carrier::Udp), jobs).await;
    assert_eq!((tallies[1].good, tallies[1].outcomes["legs_not_apart"]), (3, 3), "{:#?}", tallies[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_keep_their_tls_connections() {
    let board = board(guarded()).await;
    let folder = tempfile::tempdir().unwrap();
    // The board believes its own authority only; certificates of another one break the handshake.
    for (certificates, good) in [(Certificates::None, 20), (made(&folder), 0)] {
        let tls = TlsSetup::new(TlsOptions::trusting(board.ca.pem.clone()), certificates, false);
        let options = Options { tls: Some(tls), ..options(&board, Carrier::Tls) };
        let jobs = vec![(Job::Register, all(20, 0.0)), (Job::Refresh, all(20, 0.0))];
        let (tallies, connected) = run(users(20), options, jobs).await;
        assert_eq!((tallies[0].good, tallies[1].good, connected), (good, good, good), "{tallies:#?}");
    }
}

fn made(folder: &tempfile::TempDir) -> Certificates {
    Certificates::Made(Box::new(Authority::open(folder.path()).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_whole_or_resumed() {
    let board = board(guarded()).await;
    for (resume, kinds) in [(false, (30, 0)), (true, (3, 27))] {
        let tls = TlsSetup::new(TlsOptions::trusting(board.ca.pem.clone()), Certificates::None, resume);
        let options = Options { tls: Some(tls), ..options(&board, Carrier::Tls) };
        // Paced, so that a phone has its ticket before it comes back.
        let (tallies, connected) =
            run(users(3), options, vec![(Job::Handshake { links: 16 }, all(30, 100.0))]).await;
        clean(&tallies[0], 30);
        let seen = ["full", "resumed"].map(|kind| tallies[0].outcomes.get(kind).copied().unwrap_or(0));
        assert_eq!((seen[0], seen[1]), kinds);
        assert_eq!(connected, 0);
    }
}

/// One that had waited for its link longer than a handshake may take was ended by the bell of one before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_waited_for_a_link_has_all_its_time() {
    let board = board(guarded()).await;
    let tls = TlsSetup::new(TlsOptions::trusting(board.ca.pem.clone()), Certificates::None, false);
    let options =
        Options { tls: Some(tls), timeout: Duration::from_secs(1), ..options(&board, Carrier::Tls) };
    let (tallies, _) = run(users(3), options, vec![(Job::Handshake { links: 1 }, all(2_500, 0.0))]).await;
    clean(&tallies[0], 2_500);
}

/// Counts the bells that ring.
struct Bells<'a>(&'a AtomicU64);

impl Scenario for Bells<'_> {
    fn begin(&mut self, _core: &mut Core, _number: u64, _intended: u64) {}
    fn heard(&mut self, _core: &mut Core, _heard: &Heard, _message: &Message<'_>) {}
    fn gone(&mut self, _core: &mut Core, _purpose: Purpose) {}
    fn alarm(&mut self, _core: &mut Core, _id: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn open(&self) -> u64 {
        0
    }
}

/// A bell that an ended call had asked for removed a call of the next run, which then never ended.
#[tokio::test]
async fn bells_of_one_run_do_not_ring_in_the_next_and_calls_have_numbers_of_their_own() {
    let board = board(Rules::default()).await;
    let options = options(&board, Carrier::Udp);
    let rung = AtomicU64::new(0);
    let fleet = tokio::task::spawn_blocking(move || {
        let mut fleet = Fleet::open(users(4), options).unwrap();
        fleet.cores.iter_mut().for_each(|core| core.alarm(0, 1));
        let nothing = Amount { count: 0, rate: 0.0, ramp: Duration::ZERO };
        fleet.all((nothing, 0), Duration::from_millis(5), |core, phase| {
            worker::run(core, &mut Bells(&rung), phase)
        });
        assert_eq!(rung.load(Ordering::Relaxed), 0);
        clean(&fleet.run(&Job::Register, all(4, 0.0)), 4);
        for _ in 0..2 {
            clean(&fleet.run(&Job::Call(CALL), all(4, 0.0)), 4);
        }
        fleet
    })
    .await
    .unwrap();
    assert_eq!(fleet.cores.iter().map(|core| core.calls).sum::<u64>(), 8);
}
