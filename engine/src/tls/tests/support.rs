//! Authorities, phones and a source of policies that tests change.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use keyline_actors::board::{TicketKey, TicketKeys};
use keyline_actors::catalog::Crl;
use keyline_actors::keyring::{Own, OwnCertificates};
use keyline_domain::cipher::TlsCiphers;
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{CertificateRow, Purpose};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use crate::flow::ConnectionFacts;
use crate::pki::authority::{self, OwnCertificate, ServerIdentity, self_signed};
use crate::pki::{crl, inspect};
use crate::tls::acceptor::{Deadlines, TlsContext};
use crate::tls::refused::HandshakeRefused;
use crate::tls::resume::TicketSource;
use crate::tls::source::PolicySource;
use crate::tls::stream::Secured;
use crate::tls::verify::known::Known;

pub type Versions = &'static [&'static SupportedProtocolVersion];
pub const TLS12: Versions = &[&rustls::version::TLS12];
pub const TLS13: Versions = &[&rustls::version::TLS13];

/// A policy that a test changes.
pub struct Source {
    generation: AtomicU64,
    state: Mutex<(TlsCiphers, Arc<Vec<CertificateRow>>)>,
    own: Mutex<Arc<OwnCertificates>>,
    authenticated: AtomicBool,
    crls: Mutex<(Arc<Vec<Crl>>, bool)>,
}

impl Source {
    pub fn new(menu: TlsCiphers, rows: &[CertificateRow]) -> Arc<Self> {
        Arc::new(Self {
            generation: AtomicU64::new(0),
            state: Mutex::new((menu, Arc::new(rows.to_vec()))),
            own: Mutex::new(Arc::new(own_certificates().clone())),
            authenticated: AtomicBool::new(false),
            crls: Mutex::default(),
        })
    }

    pub fn crls(&self, lists: &[Crl], refuse_expired: bool) {
        *self.crls.lock().unwrap() = (Arc::new(lists.to_vec()), refuse_expired);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub fn own(&self, own: OwnCertificates) {
        *self.own.lock().unwrap() = Arc::new(own);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether some applied profile is authenticated.
    pub fn authenticated(&self, yes: bool) {
        self.authenticated.store(yes, Ordering::Release);
    }

    pub fn trust(&self, rows: &[CertificateRow]) {
        self.state.lock().unwrap().1 = Arc::new(rows.to_vec());
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub fn menu(&self, menu: TlsCiphers) {
        self.state.lock().unwrap().0 = menu;
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl TicketSource for Source {
    fn ticket_keys(&self) -> TicketKeys {
        let secret = zeroize::Zeroizing::new([9; 32]);
        TicketKeys::new([Arc::new(TicketKey { id: 1, since: UnixMillis(0), secret })])
    }
}

impl PolicySource for Source {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn menu(&self) -> TlsCiphers {
        self.state.lock().unwrap().0
    }

    fn certificates(&self) -> Arc<Vec<CertificateRow>> {
        Arc::clone(&self.state.lock().unwrap().1)
    }

    fn crls(&self) -> (Arc<Vec<Crl>>, bool) {
        self.crls.lock().unwrap().clone()
    }

    fn own(&self) -> Arc<OwnCertificates> {
        Arc::clone(&self.own.lock().unwrap())
    }

    fn authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Acquire)
    }
}

pub const PATIENT: Deadlines =
    Deadlines { first_byte: Duration::from_secs(60), handshake: Duration::from_secs(60) };

pub fn context(source: &Arc<Source>, deadlines: Deadlines) -> Arc<TlsContext> {
    let source = Arc::clone(source) as Arc<dyn PolicySource>;
    TlsContext::with_source(source, deadlines, Known::new(64), true).unwrap()
}

/// The node's identity, and its two certificates as PEM: RSA, EC.
pub fn identity() -> &'static (ServerIdentity, String, String) {
    static MADE: OnceLock<(ServerIdentity, String, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let own = own_certificates();
        let pem = |name: &str| own[name].material.certificate_pem.clone();
        (authority::identity(own, UnixMillis(0)).unwrap(), pem("CallManager"), pem("CallManager-EC"))
    })
}

/// The node's own certificates, made once.
pub fn own_certificates() -> &'static OwnCertificates {
    static MADE: OnceLock<OwnCertificates> = OnceLock::new();
    MADE.get_or_init(|| {
        [OwnCertificate::CallManager, OwnCertificate::CallManagerEc]
            .into_iter()
            .map(|which| (which.name().into(), made(which)))
            .collect()
    })
}

/// A new self-signed certificate with its key.
pub fn made(which: OwnCertificate) -> Arc<Own> {
    let hosts = ["keyline.local".to_owned(), "127.0.0.1".to_owned()];
    let material = self_signed(which, "node", &hosts, [7; 16], now()).unwrap();
    Arc::new(Own { material, pending: None, ocsp: None })
}

fn now() -> i64 {
    UnixTime::now().as_secs() as i64
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Holder {
    pub chain: Vec<CertificateDer<'static>>,
    pub pem: String,
    pub key: KeyPair,
}

impl Holder {
    pub fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        Arc::new(CertifiedKey::from_der(self.chain.clone(), key, &aws_lc_rs::default_provider()).unwrap())
    }
}

/// An authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: CertificateDer<'static>,
}

fn params(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    params
}

fn ca_params(cn: &str) -> CertificateParams {
    let mut params = params(cn);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Ca {
    pub fn new(cn: &str) -> Self {
        let key = key();
        let params = ca_params(cn);
        let made = params.self_signed(&key).unwrap();
        Self { pem: made.pem(), der: made.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// An authority below this one.
    pub fn below(&self, cn: &str) -> Self {
        let key = key();
        let params = ca_params(cn);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Self { pem: made.pem(), der: made.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A revocation list, valid from and until so many seconds from now.
    pub fn revoke(&self, holders: &[&Holder], from: i64, until: i64) -> Crl {
        let at = |s| time::OffsetDateTime::from_unix_timestamp(now() + s).unwrap();
        let serial = |holder: &&Holder| {
            let (_, certificate) = x509_parser::parse_x509_certificate(&holder.chain[0]).unwrap();
            SerialNumber::from_slice(certificate.raw_serial())
        };
        let revoked = |holder| RevokedCertParams {
            serial_number: serial(holder),
            revocation_time: at(from),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: at(from),
            next_update: at(until),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: holders.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der: Arc<[u8]> = params.signed_by(&self.issuer).unwrap().der().as_ref().into();
        Crl { name: crl::facts(&der).unwrap().name.into(), der }
    }

    /// A phone's certificate, valid from and until so many seconds from now.
    pub fn issue(&self, cn: &str, from: i64, until: i64) -> Holder {
        let key = key();
        let mut params = params(cn);
        let at = |s| time::OffsetDateTime::from_unix_timestamp(now() + s).unwrap();
        (params.not_before, params.not_after) = (at(from), at(until));
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Holder { chain: vec![made.der().clone()], pem: made.pem(), key }
    }

    pub fn phone(&self, cn: &str) -> Holder {
        self.issue(cn, -3600, 86_400)
    }
}

/// A phone's own self-signed certificate.
pub fn own(cn: &str, is_ca: bool) -> Holder {
    let key = key();
    let made = if is_ca { ca_params(cn) } else { params(cn) }.self_signed(&key).unwrap();
    Holder { chain: vec![made.der().clone()], pem: made.pem(), key }
}

/// A row as the catalog publishes it.
pub fn row(purpose: Purpose, pem: &str) -> CertificateRow {
    let facts = inspect::row_facts(pem).ok();
    CertificateRow { tag: Default::default(), purpose, pem: pem.into(), phone: None, subject: None, facts }
}

#[derive(Debug)]
struct TrustAnybody;

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A phone's TLS: suites in its own order, and its certificate.
pub fn phone(
    versions: Versions,
    suites: &[SupportedCipherSuite],
    holder: Option<&Holder>,
) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = suites.to_vec();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnybody));
    Arc::new(match holder {
        None => builder.with_no_client_auth(),
        Some(h) => builder
            .with_client_auth_cert(h.chain.clone(), PrivateKeyDer::Pkcs8(h.key.serialize_der().into()))
            .unwrap(),
    })
}

/// The same with all suites in rustls' own order.
pub fn stock(versions: Versions, holder: Option<&Holder>) -> Arc<ClientConfig> {
    phone(versions, aws_lc_rs::ALL_CIPHER_SUITES, holder)
}

pub type ClientStream = tokio_rustls::client::TlsStream<DuplexStream>;
pub type ServerStream = Secured<DuplexStream>;

/// Both ends of a connection.
pub struct Connected {
    pub client: ClientStream,
    pub server: ServerStream,
    pub facts: ConnectionFacts,
}

impl Connected {
    /// Sends something each way: brings tickets of TLS 1.3 to the client too.
    pub async fn talk(&mut self) {
        let mut got = [0; 2];
        self.server.write_all(b"hi").await.unwrap();
        self.server.flush().await.unwrap();
        self.client.read_exact(&mut got).await.unwrap();
        self.client.write_all(b"ho").await.unwrap();
        self.client.flush().await.unwrap();
        self.server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ho");
    }

    pub fn resumed(&self) -> bool {
        self.server.resumed()
    }

    /// Certificate that the server showed.
    pub fn shown(&self) -> &CertificateDer<'static> {
        &self.client.get_ref().1.peer_certificates().unwrap()[0]
    }
}

/// Connects a phone to the server side.
pub async fn connect(context: &TlsContext, phone: &Arc<ClientConfig>) -> Result<Connected, HandshakeRefused> {
    let (near, far) = duplex(64 << 10);
    let name = ServerName::try_from("keyline.local").unwrap();
    let client = async {
        let mut stream = TlsConnector::from(Arc::clone(phone)).connect(name, near).await?;
        // A refused client of TLS 1.3 believes that it is done until it reads.
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    };
    let (client, server) = tokio::join!(client, context.handshake(far));
    let (server, facts) = server?;
    Ok(Connected { client: client.unwrap(), server, facts })
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
