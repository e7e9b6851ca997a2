//! Who a TLS client is: chains to CallManager-trust or CAPF-trust, or is exactly an uploaded certificate.
//!
//! A client certificate is asked for, never demanded: whether one is due is a matter of the device's
//! profile, which is known only from its REGISTER (design §5). One that is sent and cannot be verified ends
//! the handshake.

pub mod claim;
pub mod known;
pub mod trust;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use keyline_actors::catalog::RevokedBy;
use keyline_domain::identity::{CertificateFacts, ChainedTo};
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::CertificateRow;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use self::known::Known;
pub use self::trust::{ClientTrust, LeftOut};
use crate::flow::PeerCertificateFacts;
use crate::pki::crl::{self, Revocations};
use crate::pki::inspect::{self, InspectError};
use crate::tls::resume::TrustDigest;

/// SHA-256 of a certificate's DER form.
pub type Fingerprint = [u8; 32];

/// Bytes of names of authorities that are sent as a hint; beyond it none are sent, and the client chooses by
/// itself. A CertificateRequest must stay far below the largest handshake message.
const HINTS_MAX: usize = 8 << 10;

/// Fingerprint of a certificate.
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    Sha256::digest(der).into()
}

/// Verifies clients against one [`ClientTrust`]. What it found out about a certificate is [`Known`] under the
/// digest of that trust, as long as the certificate and its issuers are valid, so that a phone that comes back
/// costs a look-up; possession of the private key is verified every time.
pub struct DeviceVerifier {
    chains: Vec<(ChainedTo, Arc<dyn ClientCertVerifier>)>,
    exact: HashMap<Fingerprint, ChainedTo>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    revoked: Revocations,
    /// A chain is good no longer than its revocation lists, where those must be current.
    lists_until: UnixMillis,
    /// Digest of the trust and of the revocation lists: by what a judgement was made.
    digest: TrustDigest,
    known: Arc<Known>,
}

impl fmt::Debug for DeviceVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceVerifier({} certificates believed as they are)", self.exact.len())
    }
}

/// A trust store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A certificate that is an authority, but not one that can be built upon.
    #[error("the authority {fingerprint} cannot be a trust anchor: {source}; remove it from its trust store")]
    Anchor {
        /// SHA-256, hex: its name in the inventory.
        fingerprint: String,
        /// What rustls says.
        source: Error,
    },
    /// The verifier cannot be built from these roots.
    #[error("the trusted authorities cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Digest of a trust with lists beside it.
fn digest_beside(by: RevokedBy<'_>, trust: TrustDigest) -> TrustDigest {
    if by.lists.is_empty() {
        return trust;
    }
    let mut digest = Sha256::new_with_prefix(trust);
    digest.update([u8::from(by.refuse_expired)]);
    for list in by.lists {
        digest.update(fingerprint(&list.der));
    }
    digest.finalize().into()
}

/// Until when lists that must be current are.
fn current_until(by: RevokedBy<'_>) -> UnixMillis {
    let ends = by.lists.iter().filter(|_| by.refuse_expired);
    let ends = ends.filter_map(|crl| crl::facts(&crl.der)?.next_update);
    ends.min().unwrap_or(UnixMillis(u64::MAX))
}

impl DeviceVerifier {
    /// Builds the verifier; `Ok(None)` when nothing is trusted, so that no certificate is asked for.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn build(
        trust: &ClientTrust,
        provider: &Arc<CryptoProvider>,
        by: RevokedBy<'_>,
        known: &Arc<Known>,
    ) -> Result<Option<Arc<Self>>, TrustError> {
        if trust.is_empty() {
            return Ok(None);
        }
        let mut chains: Vec<(ChainedTo, Arc<dyn ClientCertVerifier>)> = Vec::new();
        for (to, ders) in
            [(ChainedTo::CallManagerTrust, &trust.call_manager), (ChainedTo::CapfTrust, &trust.capf)]
        {
            let mut roots = RootCertStore::empty();
            for der in ders {
                roots.add(der.clone()).map_err(|source| TrustError::Anchor {
                    fingerprint: inspect::fingerprint(der),
                    source,
                })?;
            }
            if !roots.is_empty() {
                let mut builder =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                        .with_crls(crl::ders(by.lists))
                        // Most authorities have no list here.
                        .allow_unknown_revocation_status();
                if by.refuse_expired {
                    builder = builder.enforce_revocation_expiration();
                }
                let verifier = builder.build()?;
                chains.push((to, verifier));
            }
        }
        Ok(Some(Arc::new(Self {
            hints: hints(&chains, trust),
            chains,
            exact: trust.exact.clone(),
            algorithms: provider.signature_verification_algorithms,
            revoked: Revocations::read(by),
            lists_until: current_until(by),
            digest: digest_beside(by, trust.digest()),
            known: Arc::clone(known),
        })))
    }

    /// Judges a certificate by this trust at this time.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] with the reason.
    pub fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<PeerCertificateFacts>, Error> {
        let print = fingerprint(leaf);
        let millis = UnixMillis(now.as_secs().saturating_mul(1000));
        if let Some(facts) = self.known.get(&print, &self.digest, millis) {
            return Ok(facts);
        }
        let facts = inspect::facts(leaf).map_err(unreadable)?;
        let judged = self.judge_facts(&print, &facts, leaf, intermediates, now);
        let (chain, until) = judged.inspect_err(|_| claim::note(&facts))?;
        // A list that has run out may refuse what it did not before: then it is asked at every turn.
        let until = if self.lists_until < millis { UnixMillis(0) } else { until.min(self.lists_until) };
        let ders = std::iter::once(leaf).chain(intermediates).map(|der| der.as_ref().into()).collect();
        let facts = Arc::new(PeerCertificateFacts { facts, chain, ders });
        self.known.put(&self.digest, millis, until, Arc::clone(&facts));
        Ok(facts)
    }

    /// Digest of the trust and of the revocation lists.
    pub(super) fn digest(&self) -> TrustDigest {
        self.digest
    }

    /// What the revocation lists say against a certificate; for chains that are built elsewhere.
    #[cfg(feature = "legacy-tls")]
    pub(super) fn revocation(&self, der: &[u8], now: UnixMillis) -> Option<CertificateError> {
        self.revoked.fault(der, now)
    }

    /// What a certificate chains to, and until when that holds.
    fn judge_facts(
        &self,
        print: &Fingerprint,
        facts: &CertificateFacts,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(ChainedTo, UnixMillis), Error> {
        let millis = UnixMillis(now.as_secs().saturating_mul(1000));
        let (chain, until) = match self.exact.get(print) {
            // It has no chain, so its list is asked here.
            Some(chain) => match self.revoked.fault(leaf, millis) {
                Some(fault) => return Err(fault.into()),
                None => (*chain, UnixMillis(u64::MAX)),
            },
            // Many phones' own certificates say that they are an authority. Such a one is believed as it is
            // or not at all; webpki would call it misused.
            None if facts.is_ca => return Err(CertificateError::UnknownIssuer.into()),
            None => {
                let chain = self.chain(leaf, intermediates, now).inspect_err(|error| {
                    tracing::debug!(subject = ?facts.subject, issuer = ?facts.issuer, %error, "client certificate refused");
                })?;
                (chain, last_moment(intermediates))
            }
        };
        // webpki has checked it for a chain; a certificate that is believed as it is has its dates too.
        if millis < facts.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if millis > facts.not_after {
            return Err(CertificateError::Expired.into());
        }
        Ok((chain, until.min(facts.not_after)))
    }

    /// What a leaf chains to.
    fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ChainedTo, Error> {
        let mut worst = Error::from(CertificateError::UnknownIssuer);
        for (to, verifier) in &self.chains {
            match verifier.verify_client_cert(leaf, intermediates, now) {
                Ok(_) => return Ok(*to),
                // That one store does not know the issuer says less than what another store found.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(error) => worst = error,
            }
        }
        Err(worst)
    }
}

/// Judges certificates that were shown in handshakes by other trust stores and revocation lists, as a handshake
/// would now. What cannot be judged chains to nothing.
pub fn judge_by<'a>(
    trusted: &[CertificateRow],
    revoked: RevokedBy<'_>,
) -> Box<dyn Fn(&PeerCertificateFacts) -> ChainedTo + 'a> {
    let (trust, _) = ClientTrust::read(trusted);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = DeviceVerifier::build(&trust, &provider, revoked, &Known::new(1)).ok().flatten();
    Box::new(move |shown| {
        let ders: Vec<CertificateDer<'_>> = shown.ders.iter().map(|d| CertificateDer::from(&**d)).collect();
        let judged = verifier.as_ref().zip(ders.split_first());
        let judged = judged.and_then(|(v, (leaf, rest))| v.judge(leaf, rest, UnixTime::now()).ok());
        judged.map_or(ChainedTo::Nothing, |facts| facts.chain)
    })
}

fn unreadable(error: InspectError) -> Error {
    tracing::debug!(%error, "a client certificate cannot be read");
    CertificateError::BadEncoding.into()
}

/// The earliest end of the certificates that a chain may have been built from; one that cannot be read ends
/// at once, so that nothing is kept.
fn last_moment(intermediates: &[CertificateDer<'_>]) -> UnixMillis {
    let end = |der: &CertificateDer<'_>| inspect::facts(der).map_or(UnixMillis(0), |f| f.not_after);
    intermediates.iter().map(end).min().unwrap_or(UnixMillis(u64::MAX))
}

/// Names of the authorities, for a client with several certificates. None when it could hide a certificate
/// that would be believed, because its issuer is not among them.
fn hints(chains: &[(ChainedTo, Arc<dyn ClientCertVerifier>)], trust: &ClientTrust) -> Vec<DistinguishedName> {
    let names = || chains.iter().flat_map(|(_, c)| c.root_hint_subjects());
    if trust.has_others() || names().map(|n| n.as_ref().len()).sum::<usize>() > HINTS_MAX {
        return Vec::new();
    }
    names().cloned().collect()
}

impl ClientCertVerifier for DeviceVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(leaf, intermediates, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
