//! The TLS policy in force, and the handshake of one connection.
//!
//! The policy follows the parameter `tls_ciphers` (R121), the trust stores and the node's own certificates:
//! whoever accepts a connection looks at a generation number and, if it has moved, builds anew what the change
//! touches and swaps it in. Handshakes take no lock; connections that are open stay open; a handshake that was under way when the trust changed is
//! judged by the new trust at its end.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use keyline_actors::board::Boards;
use keyline_actors::catalog::Crl;
use keyline_actors::clock::now;
use keyline_actors::keyring::OwnCertificates;
use keyline_domain::cipher::choice::{Choice, NoChoice, Server};
use keyline_domain::cipher::{self, TlsCiphers};
use keyline_domain::inventory::CertificateRow;
use keyline_domain::mode::{SuiteKind, Transport};
use keyline_wire::hello::{Hello, Offer, TLS12, TLS13, read, ticket};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ProducesTickets;
use rustls::{Error, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::StartHandshake;

use super::gate::{self, Gate, Pass};
use super::hello::{CHUNK, accept, alert, hello};
#[cfg(feature = "legacy-tls")]
use super::legacy::{Begin, Serves, Spent};
use super::policy::{self, Configs, PolicyError};
use super::refused::{HandshakeRefused, Refusal};
use super::resume::{BoundTicketer, TicketSource, TrustDigest};
use super::source::PolicySource;
use super::stream::Secured;
use super::verify::claim::noting;
use super::verify::known::Known;
use super::verify::{ClientTrust, DeviceVerifier, RevokedBy};
use crate::flow::{ConnectionFacts, PeerCertificateFacts};
use crate::limits::{Limits, size};
use crate::pki::authority::{self, ServerIdentity};

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the connection to the first byte.
    pub first_byte: Duration,
    /// From the first byte to the end of the handshake.
    pub handshake: Duration,
}

impl Deadlines {
    /// Those of the configuration: the first byte must come within the time of a handshake.
    pub fn of(limits: &Limits) -> Self {
        let limit = Duration::from_secs(limits.handshake_s);
        Self { first_byte: limit, handshake: limit }
    }
}

/// TLS of a node's SIP listeners, shared by its workers.
pub struct TlsContext {
    source: Arc<dyn PolicySource>,
    deadlines: Deadlines,
    known: Arc<Known>,
    /// Configuration `[tls] legacy`, where the build has it.
    legacy: bool,
    /// Old phones' tickets that are not to be used again.
    #[cfg(feature = "legacy-tls")]
    spent: Spent,
    built: ArcSwap<Built>,
    /// Generation of the last failure that was logged, plus one.
    reported: AtomicU64,
}

/// A policy built from one generation of its source.
#[derive(Clone)]
pub(super) struct Built {
    generation: u64,
    menu: TlsCiphers,
    certificates: Arc<Vec<CertificateRow>>,
    crls: (Arc<Vec<Crl>>, bool),
    own: Arc<OwnCertificates>,
    pub(super) identity: ServerIdentity,
    pub(super) configs: Configs,
    #[cfg(feature = "legacy-tls")]
    legacy: Option<super::legacy::Contexts>,
    verifier: Option<Arc<DeviceVerifier>>,
    trust: TrustDigest,
}

impl Built {
    /// An OCSP response that it carries along holds no longer, or old phones' tickets have other keys now.
    fn is_late(&self, source: &dyn PolicySource) -> bool {
        #[cfg(feature = "legacy-tls")]
        if self.legacy.as_ref().is_some_and(|legacy| !legacy.tickets.are(&source.ticket_keys())) {
            return true;
        }
        #[cfg(not(feature = "legacy-tls"))]
        let _ = source;
        self.is_stale()
    }

    fn is_stale(&self) -> bool {
        self.identity.stapled_until.is_some_and(|until| until <= now())
    }

    pub(super) fn verifier(&self) -> Option<&Arc<DeviceVerifier>> {
        self.verifier.as_ref()
    }

    fn serves_legacy(&self) -> bool {
        #[cfg(feature = "legacy-tls")]
        return self.legacy.is_some();
        #[cfg(not(feature = "legacy-tls"))]
        false
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let built = self.built.load();
        f.debug_struct("TlsContext")
            .field("menu", &built.menu.as_str())
            .field("generation", &built.generation)
            .finish_non_exhaustive()
    }
}

impl TlsContext {
    /// Builds the first policy from the boards. The first byte must come within the same time as the end of the
    /// handshake after it.
    ///
    /// # Errors
    /// [`PolicyError`] when the node's own certificates or this build cannot serve TLS at all.
    pub fn new(boards: Arc<Boards>, limits: &Limits, legacy: bool) -> Result<Arc<Self>, PolicyError> {
        let known = Known::new(size(limits.known_certificates));
        Self::with_source(boards, Deadlines::of(limits), known, legacy)
    }

    /// The same from any source of policies.
    ///
    /// # Errors
    /// As [`TlsContext::new`].
    pub fn with_source(
        source: Arc<dyn PolicySource>,
        deadlines: Deadlines,
        known: Arc<Known>,
        legacy: bool,
    ) -> Result<Arc<Self>, PolicyError> {
        let legacy = legacy && cfg!(feature = "legacy-tls");
        let built = build(&source, &known, source.generation(), None, legacy)?;
        Ok(Arc::new(Self {
            source,
            deadlines,
            known,
            legacy,
            #[cfg(feature = "legacy-tls")]
            spent: Spent::default(),
            built: ArcSwap::from_pointee(built),
            reported: AtomicU64::new(0),
        }))
    }

    /// Client certificates that were judged, for metrics.
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// The node's own certificates that handshakes are served by now.
    pub(crate) fn identity(&self) -> ServerIdentity {
        self.current().identity.clone()
    }

    /// The policy of the source's present generation.
    pub(super) fn current(&self) -> Arc<Built> {
        let generation = self.source.generation();
        let old = self.built.load_full();
        if old.generation == generation && !old.is_late(&*self.source) {
            old
        } else {
            self.renew(&old, generation)
        }
    }

    /// Workers may do so side by side, each at most once a generation, and come to the same result: none
    /// ever waits for another, and none goes on with a policy that it knows to be out of date.
    fn renew(&self, old: &Arc<Built>, generation: u64) -> Arc<Built> {
        let unchanged = !old.is_late(&*self.source)
            && old.menu == self.source.menu()
            && Arc::ptr_eq(&old.certificates, &self.source.certificates())
            && same(&old.crls, &self.source.crls())
            && Arc::ptr_eq(&old.own, &self.source.own());
        let new = if unchanged {
            Built { generation, ..Built::clone(old) }
        } else {
            match build(&self.source, &self.known, generation, Some(old), self.legacy) {
                Ok(new) => new,
                Err(error) => {
                    if self.reported.swap(generation.wrapping_add(1), Ordering::AcqRel)
                        != generation.wrapping_add(1)
                    {
                        tracing::error!(
                            %error,
                            "the new TLS policy cannot be used; the former one stays in force until it is corrected"
                        );
                    }
                    Built { generation, ..Built::clone(old) }
                }
            }
        };
        let new = Arc::new(new);
        // Whoever was faster wins, unless it read an older generation.
        let seen = self.built.rcu(|now| match now.generation >= generation && !now.is_late(&*self.source) {
            true => Arc::clone(now),
            false => Arc::clone(&new),
        });
        if seen.generation < generation && !unchanged {
            tracing::info!(
                tls_ciphers = new.menu.as_str(),
                certificates = new.certificates.len(),
                "TLS policy in force"
            );
        }
        new
    }

    /// Makes the handshake of a connection just accepted. The connection is closed by the caller's dropping
    /// what it keeps; on a refusal the client has got its alert.
    ///
    /// # Errors
    /// [`HandshakeRefused`]; its `as_str` is the metric's label, its `Display` the line for the log.
    pub async fn handshake<S>(&self, stream: S) -> Result<(Secured<S>, ConnectionFacts), HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake_at(None, stream).await
    }

    /// The same, each step of it in its turn among those of the worker.
    ///
    /// # Errors
    /// As [`TlsContext::handshake`]; [`Refusal::Overload`] when too many whole handshakes wait.
    pub async fn handshake_at<S>(
        &self,
        gate: Option<&Rc<Gate>>,
        stream: S,
    ) -> Result<(Secured<S>, ConnectionFacts), HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Boxed: a connection's task lives on for days and must not keep room for its handshake.
        let paced = Box::pin(gate::paced(gate, |pass| self.shake(stream, pass)));
        let (result, claim) = noting(paced).await;
        result.map_err(|refused| HandshakeRefused { claim, ..refused })
    }

    async fn shake<S>(
        &self,
        mut stream: S,
        pass: Option<Rc<Pass>>,
    ) -> Result<(Secured<S>, ConnectionFacts), HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut chunk = Vec::with_capacity(CHUNK);
        match timeout(self.deadlines.first_byte, stream.read_buf(&mut chunk)).await {
            Ok(Ok(0)) => return Err(HandshakeRefused::of_io(&io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(HandshakeRefused::of_io(&error)),
            Err(_) => return Err(HandshakeRefused::new(Refusal::Silent, "the client sent nothing")),
        }
        let rest = async {
            let (bytes, offer) = hello(&mut stream, chunk).await?;
            let used = self.current();
            let choice = self.choose(&used, offer.as_ref());
            #[cfg(feature = "legacy-tls")]
            if let (Ok(Choice { kind, server: Server::Legacy }), Some(legacy)) = (choice, &used.legacy) {
                gate::turn(pass.as_deref(), || false, &mut stream).await?;
                let ticket = ticket(&bytes);
                let spent = ticket.as_ref().is_some_and(|ticket| self.spent.has(ticket));
                let begin = if spent { Begin::Whole } else { Begin::Resuming(ticket.as_deref()) };
                let stream = legacy.accept(kind, begin, bytes, stream).await?;
                let facts = self.legacy_facts(stream.ssl()).inspect_err(|_| {
                    ticket.iter().filter(|_| stream.resumed()).for_each(|ticket| self.spent.note(ticket));
                })?;
                return Ok((Secured::Legacy(Box::new(stream)), facts));
            }
            // Where there is nothing to choose, rustls finds that out too, and sends the alert.
            let config = match choice {
                Ok(Choice { kind, server: Server::Modern { tls13 } }) => used.configs.of(kind, tls13),
                _ => used.configs.of(SuiteKind::Encrypting, true),
            };
            let resumes = || ticket(&bytes).is_some_and(|ticket| config.ticketer.decrypt(&ticket).is_some());
            gate::turn(pass.as_deref(), resumes, &mut stream).await?;
            let accepted = match accept(&bytes) {
                Ok(accepted) => accepted,
                Err((refused, why)) => {
                    alert(&mut stream, &why).await;
                    return Err(refused);
                }
            };
            drop(bytes);
            let stream = StartHandshake::from_parts(accepted, stream)
                .into_stream(Arc::clone(config))
                .await
                .map_err(|error| HandshakeRefused::in_handshake(&error, choice.err()))?;
            let facts = self.facts(stream.get_ref().1)?;
            Ok((Secured::Modern(Box::new(stream)), facts))
        };
        match timeout_at(Instant::now() + self.deadlines.handshake, rest).await {
            Ok(done) => done,
            Err(_) => Err(HandshakeRefused::new(Refusal::Deadline, "the handshake was not finished in time")),
        }
    }

    /// A client that begins with these bytes, which may come in part, can only be served by a whole handshake.
    pub(crate) fn must_begin(&self, bytes: &[u8]) -> bool {
        let offer = match read(bytes) {
            Hello::Whole(offer) => offer,
            Hello::More => return false,
            Hello::Not => return true,
        };
        let Some(ticket) = ticket(bytes) else { return true };
        let used = self.current();
        match self.choose(&used, Some(&offer)) {
            Ok(Choice { kind, server: Server::Modern { tls13 } }) => {
                used.configs.of(kind, tls13).ticketer.decrypt(&ticket).is_none()
            }
            _ => true,
        }
    }

    /// With what a client is served (design §4, §6).
    fn choose(&self, used: &Built, offer: Option<&Offer>) -> Result<Choice, NoChoice> {
        // What cannot be read is rustls' to refuse.
        let offer = offer.ok_or(NoChoice::Version)?;
        let policy = cipher::choice::Policy {
            menu: used.menu,
            authenticated: self.source.authenticated(),
            legacy: used.serves_legacy(),
        };
        let (tls13, tls12) = (offer.speaks(TLS13), offer.speaks(TLS12));
        policy.choose(cipher::choice::Offer { suites: &offer.suites, tls13, tls12 })
    }

    /// What a finished handshake, resumed or not, proves under the policy that is in force now.
    pub(super) fn facts(&self, connection: &ServerConnection) -> Result<ConnectionFacts, HandshakeRefused> {
        let internal = |what| HandshakeRefused::new(Refusal::Internal, what);
        let suite =
            connection.negotiated_cipher_suite().ok_or_else(|| internal("no suite was negotiated"))?;
        let certificate = self
            .certificate(connection.peer_certificates().unwrap_or_default())
            .map_err(|e| HandshakeRefused::of_certificate(&e))?;
        self.proven(u16::from(suite.suite()), certificate)
    }

    /// The same of a handshake that the second acceptor made.
    #[cfg(feature = "legacy-tls")]
    fn legacy_facts(&self, session: &openssl::ssl::SslRef) -> Result<ConnectionFacts, HandshakeRefused> {
        let internal = |what: &str| HandshakeRefused::new(Refusal::Internal, what);
        let suite = session.current_cipher().ok_or_else(|| internal("no suite was negotiated"))?;
        let chain = super::legacy::client_chain(session).map_err(|e| internal(&e.to_string()))?;
        let certificate =
            self.legacy_certificate(&chain).map_err(|e| HandshakeRefused::of_certificate(&e))?;
        self.proven(u16::from_be_bytes(suite.protocol_id()), certificate)
    }

    fn proven(
        &self,
        suite: u16,
        certificate: Option<Arc<PeerCertificateFacts>>,
    ) -> Result<ConnectionFacts, HandshakeRefused> {
        let kind = cipher::suite(suite)
            .ok_or_else(|| HandshakeRefused::new(Refusal::Internal, "a suite of no menu was negotiated"))?
            .kind;
        Ok(ConnectionFacts { transport: Transport::Tls, suite_kind: kind, suite, certificate })
    }

    /// On resumption the certificate comes from the first handshake of the session (RFC 8446 §2.2), and
    /// nothing has checked it since.
    pub(super) fn certificate(
        &self,
        chain: &[CertificateDer<'_>],
    ) -> Result<Option<Arc<PeerCertificateFacts>>, Error> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Ok(None) };
        match &self.current().verifier {
            Some(verifier) => verifier.judge(leaf, intermediates, UnixTime::now()).map(Some),
            // Nothing is trusted any more: as if it had not been asked for.
            None => Ok(None),
        }
    }

    /// The same of an old phone's, whose chain may be weaker than rustls would judge.
    #[cfg(feature = "legacy-tls")]
    pub(super) fn legacy_certificate(
        &self,
        chain: &[CertificateDer<'_>],
    ) -> Result<Option<Arc<PeerCertificateFacts>>, Error> {
        self.certificate(chain).or_else(|verdict| {
            let used = self.current();
            let Some(legacy) = &used.legacy else { return Err(verdict) };
            let revoked = |der: &[u8]| used.verifier.as_ref()?.revocation(der, now());
            legacy.authorities.judge(chain, verdict, &revoked).map(|facts| Some(Arc::new(facts)))
        })
    }
}

fn same(one: &(Arc<Vec<Crl>>, bool), other: &(Arc<Vec<Crl>>, bool)) -> bool {
    Arc::ptr_eq(&one.0, &other.0) && one.1 == other.1
}

/// Builds a policy; what `old` has and the change does not touch stays: certificates that were judged good need
/// not be judged again because the server's own certificate is another one.
fn build(
    source: &Arc<dyn PolicySource>,
    known: &Arc<Known>,
    generation: u64,
    old: Option<&Built>,
    legacy: bool,
) -> Result<Built, PolicyError> {
    let (menu, certificates, own) = (source.menu(), source.certificates(), source.own());
    let crls = source.crls();
    let identity = match old.filter(|old| Arc::ptr_eq(&old.own, &own) && !old.is_stale()) {
        Some(old) => old.identity.clone(),
        None => authority::identity(&own, now())?,
    };
    let provider = policy::provider(menu)?;
    let kept = |old: &&Built| {
        old.menu == menu && Arc::ptr_eq(&old.certificates, &certificates) && same(&old.crls, &crls)
    };
    let kept = old.filter(kept);
    let (verifier, digest) = match kept {
        Some(old) => (old.verifier.clone(), old.trust),
        None => {
            let (trust, left_out) = ClientTrust::read(&certificates);
            for fault in left_out {
                tracing::error!("{fault}");
            }
            let by = RevokedBy { lists: &crls.0, refuse_expired: crls.1 };
            (DeviceVerifier::build(&trust, &provider, by, known)?, trust.digest())
        }
    };
    let keys = Arc::clone(source) as Arc<dyn TicketSource>;
    let ticketer: Arc<dyn ProducesTickets> = Arc::new(BoundTicketer::new(keys, digest));
    let configs = Configs::new(menu, &identity, verifier.as_ref(), &ticketer)?;
    #[cfg(feature = "legacy-tls")]
    let legacy = if legacy {
        let rsa = own.get(authority::OwnCertificate::CallManager.name()).map(|own| &own.material);
        let kept = kept.and_then(|old| old.legacy.as_ref());
        let serves = Serves {
            rsa,
            staple: identity.rsa.as_ref().and_then(|rsa| rsa.ocsp.as_deref()),
            tickets: source.ticket_keys(),
            trust: verifier.as_ref().map_or(digest, |verifier| verifier.digest()),
            ask: verifier.is_some(),
        };
        match super::legacy::Contexts::new(&serves, &certificates, kept) {
            Ok(made) => Some(made),
            Err(error) if old.is_none() => return Err(error.into()),
            // The others are served on; a change of trust must not wait for this.
            Err(error) => {
                tracing::error!(%error, "old phones are not served until this is corrected");
                None
            }
        }
    } else {
        None
    };
    #[cfg(not(feature = "legacy-tls"))]
    let _ = legacy;
    Ok(Built {
        generation,
        menu,
        certificates,
        crls,
        own,
        identity,
        configs,
        #[cfg(feature = "legacy-tls")]
        legacy,
        verifier,
        trust: digest,
    })
}
