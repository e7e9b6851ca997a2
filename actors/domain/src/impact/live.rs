//! What is known of registered phones and calls, as plain data.

use std::sync::Arc;

use crate::class::LegFacts;
use crate::identity::{ChainedTo, ShownCertificate};
use crate::ids::DeviceIndex;
use crate::inventory::CertificateRow;
use crate::phone::Row;
use crate::profile::ProfileSettings;

/// A phone as the node knows it now.
#[derive(Debug, Clone)]
pub struct LivePhone {
    /// What it is judged by now; `None`: nothing of it is known.
    pub settings: Option<Arc<ProfileSettings>>,
    /// Its last committed row.
    pub row: Option<Arc<Row>>,
    /// The certificate that it showed when it last registered, if that was since the start.
    pub shown: Option<Arc<ShownCertificate>>,
}

/// A call in progress.
#[derive(Debug, Clone)]
pub struct CallLegs<'a> {
    /// Its name in the API.
    pub call: &'a str,
    /// Facts of its answered legs as it was last classified.
    pub legs: &'a [LegFacts],
}

/// Judges certificates by a trust store.
pub type Chains<'a> = Box<dyn Fn(&ShownCertificate) -> ChainedTo + 'a>;

/// Who knows phones and calls.
pub trait Live {
    /// A phone; `None` when nothing of it is known, as always where no node runs.
    fn phone(&self, index: DeviceIndex) -> Option<LivePhone>;

    /// What certificates chain to where these are trusted, and where a revocation list that is out of date refuses or
    /// not: the TLS verifier's own judgement.
    fn chains<'a>(&'a self, trusted: &[CertificateRow], refuse_expired: bool) -> Chains<'a>;

    /// Visits all calls in progress.
    fn calls(&self, visit: &mut dyn FnMut(CallLegs<'_>));
}

/// Where no node runs: nothing is registered, nobody calls.
impl Live for () {
    fn phone(&self, _: DeviceIndex) -> Option<LivePhone> {
        None
    }

    fn chains<'a>(&'a self, _: &[CertificateRow], _: bool) -> Chains<'a> {
        Box::new(|shown| shown.chain)
    }

    fn calls(&self, _: &mut dyn FnMut(CallLegs<'_>)) {}
}
