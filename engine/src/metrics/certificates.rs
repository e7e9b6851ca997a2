//! When the node's own certificates run out.

use std::sync::Arc;

use keyline_actors::board::SettingsBoard;
use keyline_actors::clock::now;
use keyline_actors::keyring::{Own, OwnCertificates};
use keyline_domain::ids::UnixMillis;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};

use crate::instant::Timestamp;
use crate::pki::authority::{OwnCertificate, ocsp_facts};
use crate::pki::{crl, inspect};

/// Below so many days an own certificate is warned of.
const WARN_DAYS: u64 = 30;
const DAY_MS: u64 = 86_400_000;

/// Reads the node's own certificates.
type Read = Box<dyn Fn() -> Arc<OwnCertificates> + Send + Sync>;

/// Computed when a scrape asks for it.
struct Expiry {
    seconds: GaugeVec,
    end: fn(&Own) -> Option<UnixMillis>,
    read: Read,
}

/// Registers seconds until the end of each own certificate; negative when it is over.
pub fn register(
    registry: &Registry,
    own: impl Fn() -> Arc<OwnCertificates> + Clone + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    let ends = |name: &str, help: &str, end: fn(&Own) -> Option<UnixMillis>| {
        let seconds = GaugeVec::new(Opts::new(name, help), &["name"])?;
        registry.register(Box::new(Expiry { seconds, end, read: Box::new(own.clone()) }))
    };
    ends(
        "keyline_certificate_expiry_seconds",
        "Seconds until the own certificate, or one of its chain, is no longer valid",
        |own| last_moment(&own.material.certificate_pem),
    )?;
    ends(
        "keyline_ocsp_expiry_seconds",
        "Seconds until the OCSP response that goes with the own certificate is carried along no longer",
        |own| Some(ocsp_facts(own)?.next_update),
    )
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.seconds.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (own, at) = ((self.read)(), now());
        for which in OwnCertificate::ALL {
            let end = own.get(which.name()).and_then(|own| (self.end)(own));
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
    let stale = own.iter().filter_map(|(name, own)| Some((name, ocsp_facts(own)?)));
    let stale = stale.filter(|(_, facts)| !facts.is_current(now)).map(|(name, facts)| {
        let until = Timestamp(facts.next_update);
        format!(
            "the OCSP response of own certificate {name} was to be replaced by {until}: bring a current one"
        )
    });
    soon.chain(old).chain(stale).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::pki::authority::self_signed;

    #[test]
    fn seconds_until_the_end_are_exported_by_name() {
        let registry = Registry::new();
        let seconds = i64::try_from(now().0 / 1000).unwrap();
        let material = self_signed(OwnCertificate::CallManagerEc, "n", &[], [1; 16], seconds).unwrap();
        let own = [("CallManager-EC".into(), Arc::new(Own { material, pending: None, ocsp: None }))];
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
