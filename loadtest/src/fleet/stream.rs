//! Devices with one connection each, over TCP or TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Report;
use crate::inventory::{FleetPhone, MODEL_NUMBER};
use crate::pace::Pace;
use crate::phone::{Phone, PhoneConfig, PhoneError, Transport};

/// Handshakes and registrations under way at once; more would only wait in the kernel.
const CONCURRENT: usize = 2_048;

/// How a stream fleet connects.
pub struct StreamOptions {
    /// Where connections go.
    pub target: SocketAddr,
    /// Host of the request URIs.
    pub host: String,
    /// Own address.
    pub bind: IpAddr,
    /// Seconds asked for.
    pub expires: u32,
    /// Patience of one device.
    pub timeout: Duration,
    /// Transport of a device: TLS devices bring a certificate of their own.
    pub transport: Box<dyn Fn(&FleetPhone) -> Transport + Send + Sync>,
}

/// Devices that hold their connections.
pub struct StreamFleet {
    waiting: Vec<PhoneConfig>,
    phones: Vec<Phone>,
}

impl StreamFleet {
    /// Prepares the devices; connections are made when they register.
    pub fn new(phones: &[FleetPhone], options: &StreamOptions) -> StreamFleet {
        let config = |phone: &FleetPhone| {
            let transport = (options.transport)(phone);
            let mut config = PhoneConfig::new(options.target, transport, &phone.dn)
                .cisco(&phone.device, MODEL_NUMBER)
                .login(&phone.user, &phone.password)
                .bind(options.bind);
            config.host.clone_from(&options.host);
            config.expires = options.expires;
            config.patience = options.timeout;
            config
        };
        StreamFleet { waiting: phones.iter().map(config).collect(), phones: Vec::new() }
    }

    /// Connects and registers all devices that are not connected.
    pub async fn register(&mut self, per_second: f64) -> Report {
        let waiting = std::mem::take(&mut self.waiting);
        let (report, phones) = run(waiting, per_second, connect).await;
        self.phones.extend(phones);
        report
    }

    /// Registers all connected devices again over the connections they have.
    pub async fn refresh(&mut self, per_second: f64) -> Report {
        let phones = std::mem::take(&mut self.phones);
        let (report, phones) = run(phones, per_second, register).await;
        self.phones = phones;
        report
    }

    /// Devices with a connection.
    pub fn connected(&self) -> usize {
        self.phones.iter().filter(|phone| phone.is_open()).count()
    }
}

/// A device that has a connection.
struct Done {
    phone: Phone,
    sent: usize,
    challenged: usize,
    result: Result<(), PhoneError>,
}

type Outcome = Result<Done, PhoneError>;

async fn connect(config: PhoneConfig) -> Outcome {
    register(Phone::start(config).await?).await
}

async fn register(phone: Phone) -> Outcome {
    let mark = phone.record().mark();
    let result = phone.register().await.map(drop);
    let sent = phone.record().find(mark, |e| e.is_request("REGISTER")).len();
    let challenged = phone.record().find(mark, |e| e.is_response(401, "REGISTER")).len();
    Ok(Done { phone, sent, challenged, result })
}

async fn run<T, F>(
    items: Vec<T>,
    per_second: f64,
    operate: impl Fn(T) -> F + Copy + Send + Sync + 'static,
) -> (Report, Vec<Phone>)
where
    T: Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let start = Instant::now();
    let pace = Pace::new(items.len() as u64, per_second);
    let room = Arc::new(Semaphore::new(CONCURRENT));
    let mut report = Report::default();
    report.intended = items.len() as u64;
    let (mut tasks, mut phones) = (JoinSet::new(), Vec::with_capacity(items.len()));
    for (index, item) in (0..).zip(items) {
        let intended = pace.at(index);
        tokio::time::sleep_until(start + intended).await;
        let room = room.clone();
        tasks.spawn(async move {
            // The semaphore is never closed.
            let _permit = room.acquire_owned().await;
            (operate(item).await, start.elapsed().saturating_sub(intended))
        });
        while let Some(done) = tasks.try_join_next() {
            count(&mut report, &mut phones, done.ok());
        }
    }
    while let Some(done) = tasks.join_next().await {
        count(&mut report, &mut phones, done.ok());
    }
    report.elapsed = start.elapsed();
    (report, phones)
}

fn count(report: &mut Report, phones: &mut Vec<Phone>, done: Option<(Outcome, Duration)>) {
    let Some((outcome, latency)) = done else {
        report.broken += 1;
        return;
    };
    let result = match outcome {
        Ok(done) => {
            report.sent += done.sent as u64;
            report.challenged += done.challenged as u64;
            phones.push(done.phone);
            done.result
        }
        Err(fault) => Err(fault),
    };
    match result {
        Ok(()) => report.succeeded(latency),
        Err(PhoneError::Timeout { .. }) => report.timeouts += 1,
        Err(PhoneError::Refused { status, .. }) => report.failed(status),
        Err(fault) => {
            report.broken += 1;
            report.first_fault.get_or_insert_with(|| fault.to_string());
        }
    }
}
