//! When the node's own certificates run out.

use std::sync::Arc;

use keyline_actors::board::SettingsBoard;
use keyline_actors::clock::now;
use keyline_actors::keyring::OwnCertificates;
use keyline_domain::ids::UnixMillis;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};

use crate::instant::Timestamp;
use crate::pki::authority::OwnCertificate;
use crate::pki::{crl, inspect};

/// Below so many days an own certificate is warned of.
const WARN_DAYS: u64 = 30;
const DAY_MS: u64 = 86_400_000;

/// Reads the node's own certificates.
type Read = Box<dyn Fn() -> Arc<OwnCertificates> + Send + Sync>;

/// Computed when a scrape asks for it.
struct Expiry {
    seconds: GaugeVec,
    read: Read,
}

/// Registers seconds until the end of each own certificate; negative when it is over.
pub fn register(
    registry: &Registry,
    own: impl Fn() -> Arc<OwnCertificates> + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    let help = "Seconds until the own certificate, or one of its chain, is no longer valid";
    let seconds = GaugeVec::new(Opts::new("keyline_certificate_expiry_seconds", help), &["name"])?;
    registry.register(Box::new(Expiry { seconds, read: Box::new(own) }))
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.seconds.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (own, at) = ((self.read)(), now());
        for which in OwnCertificate::ALL {
            let end = own.get(which.name()).and_then(|own| last_moment(&own.material.certificate_pem));
            match end {
                Some(end) => {
                    let left = (end.0 as f64 - at.0 as f64) / 1000.0;
                    self.seconds.with_label_values(&[which.name()]).set(left);
                }
                // What is not there has no end; it may never have been there.
                None => drop(self.seconds.remove_label_values(&[which.name()])),
            }
        }
        self.seconds.collect()
    }
}

/// The first end among the certificates of a chain.
fn last_moment(pem: &str) -> Option<UnixMillis> {
    let chain = inspect::pem(pem).ok()?;
    chain.iter().filter_map(|der| inspect::facts(der).ok()).map(|facts| facts.not_after).min()
}

/// Own certificates that end soon, and revocation lists that are out of date, one line each.
pub fn warnings(settings: &SettingsBoard, now: UnixMillis) -> Vec<String> {
    let own = settings.own();
    let soon = own.iter().filter_map(|(name, own)| {
        let end = last_moment(&own.material.certificate_pem)?;
        let days = end.0.saturating_sub(now.0) / DAY_MS;
        (days < WARN_DAYS).then(|| {
            format!(
                "own certificate {name} is valid until {} ({days} days): install a new one",
                Timestamp(end)
            )
        })
    });
    let lists = settings.crls();
    let lists = lists.iter().filter_map(|list| crl::facts(&list.der)).filter(|facts| facts.is_expired(now));
    let old = lists
        .map(|facts| format!("the revocation list of {} is out of date: upload a current one", facts.issuer));
    soon.chain(old.collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use keyline_actors::keyring::Own;

    use super::*;
    use crate::pki::authority::self_signed;

    #[test]
    fn seconds_until_the_end_are_exported_by_name() {
        let registry = Registry::new();
        let seconds = i64::try_from(now().0 / 1000).unwrap();
        let material = self_signed(OwnCertificate::CallManagerEc, "n", &[], [1; 16], seconds).unwrap();
        let own = [("CallManager-EC".into(), Arc::new(Own { material, pending: None }))];
        let own: Arc<OwnCertificates> = Arc::new(own.into_iter().collect());
        register(&registry, move || Arc::clone(&own)).unwrap();
        let families = registry.gather();
        let all = families[0].get_metric();
        // What the node does not have is absent.
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].get_label()[0].value(), "CallManager-EC");
        let left = all[0].get_gauge().get_value() / 86_400.0;
        assert!((5.0 * 365.0 - 1.0..=5.0 * 365.0).contains(&left), "{left}");
    }
}
