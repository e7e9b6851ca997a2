//! Fleets against a scripted registrar.

use std::time::Duration;

use super::{StreamFleet, StreamOptions, UdpFleet, UdpOptions};
use crate::inventory::{FleetPhone, fleet};
use crate::phone::Transport;
use crate::switchboard::{Rules, Switchboard};
use crate::tls::TlsOptions;

fn phones(count: u32) -> Vec<FleetPhone> {
    let one = |phone: FleetPhone| FleetPhone { user: phone.dn.clone(), password: "secret".into(), ..phone };
    fleet(1, count).into_iter().map(one).collect()
}

fn guarded() -> Rules {
    Rules { password: Some("secret".into()), ..Rules::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_udp_fleet_registers_and_refreshes() {
    let board = Switchboard::start(guarded()).await;
    let mut options = UdpOptions::new(board.udp);
    (options.threads, options.sockets) = (2, 3);
    let mut fleet = UdpFleet::new(phones(101), &options).unwrap();
    let (first, again) =
        tokio::task::spawn_blocking(move || (fleet.register(5_000.0), fleet.refresh(0.0))).await.unwrap();
    assert!(first.is_clean() && again.is_clean(), "{first}\n{again}");
    assert_eq!((first.sent, first.challenged, first.intended), (202, 101, 101));
    assert_eq!((again.sent, again.challenged), (101, 0), "the nonce is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_counted() {
    let board = Switchboard::start(Rules { min_expires: 7_200, ..guarded() }).await;
    let mut wrong = phones(3);
    wrong[1].password = "wrong".into();
    let mut options = UdpOptions::new(board.udp);
    options.timeout = Duration::from_millis(1);
    let mut fleet = UdpFleet::new(wrong, &options).unwrap();
    // One answer is lost; with so little patience nothing is sent twice.
    board.rules.lock().unwrap().lose.insert("REGISTER".into(), 1);
    let report = tokio::task::spawn_blocking(move || fleet.register(0.0)).await.unwrap();
    assert_eq!((report.ok, report.timeouts, report.intended), (0, 1, 3), "{report}");
    assert_eq!(report.other.values().sum::<u64>(), 2, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_fleet_keeps_its_connections() {
    let board = Switchboard::start(guarded()).await;
    let root = board.ca.pem.clone();
    let options = StreamOptions {
        target: board.tls,
        host: "127.0.0.1".into(),
        bind: "127.0.0.1".parse().unwrap(),
        expires: 600,
        timeout: Duration::from_secs(20),
        transport: Box::new(move |_| Transport::Tls(Box::new(TlsOptions::trusting(root.clone())))),
    };
    let mut fleet = StreamFleet::new(&phones(20), &options);
    let first = fleet.register(1_000.0).await;
    assert!(first.is_clean(), "{first}");
    assert_eq!((first.sent, first.challenged, fleet.connected()), (40, 20, 20));
    let again = fleet.refresh(0.0).await;
    assert_eq!((again.ok, again.sent, again.challenged), (20, 20, 0));
}
