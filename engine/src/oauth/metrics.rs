//! What is counted about tokens; why requests were refused is in `keyline_admission_verdicts_total`.

use keyline_domain::oauth::Fault;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Results of a look at a token; the last is that of every fault not named here.
const RESULTS: [&str; 5] = ["ok", "expired", "key_unknown", "key_pending", "refused"];
const SOURCES: [&str; 2] = ["own", "outside"];
const READS: [&str; 2] = ["ok", "failed"];

/// The counters.
#[derive(Debug, Clone)]
pub struct OauthMetrics {
    tokens: [IntCounter; RESULTS.len()],
    keys: [IntGauge; SOURCES.len()],
    reads: [IntCounter; READS.len()],
    /// Tokens that our own issuer has issued.
    pub issued: IntCounter,
}

impl OauthMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A name was registered twice: a mistake of ours at start.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| {
            let family = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let tokens =
            counters("keyline_oauth_tokens_total", "Bearer tokens that were looked at, by result", "result")?;
        let reads = counters(
            "keyline_oauth_key_set_reads_total",
            "Key sets read from file or URL, by result",
            "result",
        )?;
        let keys = IntGaugeVec::new(
            Opts::new("keyline_oauth_keys", "Keys that tokens may be signed with"),
            &["source"],
        )?;
        registry.register(Box::new(keys.clone()))?;
        let issued =
            IntCounter::new("keyline_oauth_tokens_issued_total", "Tokens issued by the node itself")?;
        registry.register(Box::new(issued.clone()))?;
        Ok(Self {
            tokens: RESULTS.map(|r| tokens.with_label_values(&[r])),
            keys: SOURCES.map(|s| keys.with_label_values(&[s])),
            reads: READS.map(|r| reads.with_label_values(&[r])),
            issued,
        })
    }

    /// A token was looked at.
    pub fn token(&self, fault: Option<Fault>) {
        let place = match fault {
            None => 0,
            Some(Fault::Expired) => 1,
            Some(Fault::KeyUnknown) => 2,
            Some(Fault::KeyPending) => 3,
            Some(_) => 4,
        };
        self.tokens[place].inc();
    }

    /// So many keys of a source (`own`, `outside`) count.
    pub fn keys(&self, source: &str, number: usize) {
        let place = SOURCES.iter().position(|s| *s == source).unwrap_or(0);
        self.keys[place].set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// A key set was read, or was not.
    pub fn read(&self, fine: bool) {
        self.reads[usize::from(!fine)].inc();
    }
}
