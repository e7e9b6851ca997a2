//! The same server against OpenSSL's client, over a loopback address.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::identity::ChainedTo;
use keyline_domain::inventory::{CertificateRow, Purpose};
use keyline_domain::mode::SuiteKind;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

#[cfg(feature = "legacy-tls")]
use super::support::Holder;
use super::support::{Ca, PATIENT, Source, context, identity, own, row, runtime};
use crate::flow::ConnectionFacts;
use crate::tls::acceptor::TlsContext;
use crate::tls::refused::{HandshakeRefused, Refusal};

/// Runs `openssl s_client` once. What the server found, and what the client printed.
fn s_client(
    menu: TlsCiphers,
    rows: &[CertificateRow],
    args: &[&str],
) -> (Result<ConnectionFacts, HandshakeRefused>, String) {
    s_client_to(&Source::new(menu, rows), args)
}

fn s_client_to(source: &Arc<Source>, args: &[&str]) -> (Result<ConnectionFacts, HandshakeRefused>, String) {
    s_client_on(&context(source, PATIENT), args)
}

fn s_client_on(context: &TlsContext, args: &[&str]) -> (Result<ConnectionFacts, HandshakeRefused>, String) {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let client = thread::spawn(move || {
            let out = Command::new("openssl")
                .args(["s_client", "-connect", &address.to_string(), "-servername", "keyline.local"])
                .args(args)
                .stdin(Stdio::null())
                .output()
                .expect("the openssl program is there");
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
        });
        let (stream, _) = listener.accept().await.unwrap();
        let outcome = match context.handshake(stream).await {
            Ok((mut stream, facts)) => {
                let _ = stream.shutdown().await;
                Ok(facts)
            }
            Err(refused) => Err(refused),
        };
        (outcome, client.join().unwrap())
    })
}

fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    Path::to_str(&path).unwrap().to_owned()
}

#[test]
fn r006_a_phone_verifies_the_server_by_the_certificate_in_its_trust_list() {
    let dir = TempDir::new().unwrap();
    let (_, rsa, ec) = identity();
    let stranger = own("node", false).pem;
    for (menu, trusted) in [(TlsCiphers::AllRsaPreferred, rsa), (TlsCiphers::AllEcdsaPreferred, ec)] {
        let ca = file(&dir, "trusted.pem", trusted);
        let verify =
            ["-CAfile", &ca, "-partial_chain", "-verify_return_error", "-verify_hostname", "keyline.local"];
        let (outcome, said) = s_client(menu, &[], &verify);
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert_eq!(outcome.unwrap().suite, 0x1302);
        let ca = file(&dir, "stranger.pem", &stranger);
        let (outcome, _) = s_client(menu, &[], &["-CAfile", &ca, "-partial_chain", "-verify_return_error"]);
        assert_eq!(outcome.err().map(|r| r.why), Some(Refusal::PeerRefused));
    }
}

#[test]
fn r122_to_r127_the_menus_order_rules_over_openssls() {
    // OpenSSL's names, the least wanted of any menu first.
    const ALL: &str = "AES128-SHA:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:\
        ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384";
    const SMALL: &str = "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";
    for (menu, all, small) in [
        (TlsCiphers::StrongestRsaPreferred, 0xC030, None),
        (TlsCiphers::StrongestEcdsaPreferred, 0xC02C, None),
        (TlsCiphers::MediumRsaPreferred, 0xC030, Some(0xC02F)),
        (TlsCiphers::MediumEcdsaPreferred, 0xC02C, Some(0xC02B)),
        (TlsCiphers::AllRsaPreferred, 0xC030, Some(0xC02F)),
        (TlsCiphers::AllEcdsaPreferred, 0xC02C, Some(0xC02B)),
    ] {
        for (offer, wanted) in [(ALL, Some(all)), (SMALL, small)] {
            let (outcome, said) = s_client(menu, &[], &["-tls1_2", "-cipher", offer]);
            match (outcome, wanted) {
                (Ok(facts), Some(suite)) => assert_eq!(facts.suite, suite, "{menu:?}: {said}"),
                (Err(refused), None) => assert_eq!(refused.why, Refusal::CipherPolicy),
                (outcome, _) => panic!("{menu:?} {offer}: {outcome:?}"),
            }
        }
        let ciphers = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
        let (outcome, said) = s_client(menu, &[], &["-tls1_3", "-ciphersuites", ciphers]);
        assert_eq!(outcome.unwrap().suite, 0x1302, "{said}");
        let (outcome, _) = s_client(menu, &[], &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]);
        assert_eq!(outcome.err().map(|r| r.why), Some(Refusal::NoCommonSuite));
    }
}

#[test]
fn r130_a_phone_in_authenticated_mode_is_refused_by_the_cipher_policy() {
    for menu in TlsCiphers::ALL[..4].iter() {
        let cipher = "ECDHE-RSA-NULL-SHA:ECDHE-ECDSA-NULL-SHA:NULL-SHA:@SECLEVEL=0";
        let (outcome, said) = s_client(*menu, &[], &["-tls1_2", "-cipher", cipher]);
        let refused = outcome.unwrap_err();
        assert_eq!(refused.as_str(), "cipher_policy");
        assert!(refused.to_string().contains("cipher policy"), "{refused}");
        assert!(said.contains("handshake failure"), "{said}");
    }
}

#[test]
fn an_old_version_is_named() {
    let args = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    let (outcome, said) = s_client(TlsCiphers::MediumRsaPreferred, &[], &args);
    let refused = outcome.unwrap_err();
    // That AES128-SHA would be served under another menu says more.
    assert_eq!(refused.why, Refusal::NoCommonVersion, "{said}");
    assert!(said.contains("alert"), "{said}");
}

/// Suite, certificate's key as OpenSSL prints it.
#[test]
fn r119_null_sha_with_an_ephemeral_key_against_openssl() {
    let source = Source::new(TlsCiphers::AllRsaPreferred, &[]);
    source.authenticated(true);
    for (cipher, suite, key) in [
        ("ECDHE-RSA-NULL-SHA", 0xC010, "RSA"),
        ("ECDHE-ECDSA-NULL-SHA", 0xC006, "ECDSA"),
        ("ECDHE-ECDSA-NULL-SHA:ECDHE-RSA-NULL-SHA", 0xC010, "RSA"),
    ] {
        let cipher = format!("{cipher}:@SECLEVEL=0");
        let (outcome, said) = s_client_to(&source, &["-tls1_2", "-cipher", &cipher]);
        let facts = outcome.unwrap();
        assert_eq!((facts.suite, facts.suite_kind), (suite, SuiteKind::IntegrityOnly), "{said}");
        assert!(said.contains(&format!("Peer signature type: {key}")), "{said}");
    }
    source.menu(TlsCiphers::AllEcdsaPreferred);
    let both = "ECDHE-RSA-NULL-SHA:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0";
    let (outcome, said) = s_client_to(&source, &["-tls1_2", "-cipher", both]);
    assert_eq!(outcome.unwrap().suite, 0xC006, "{said}");
    source.authenticated(false);
    let (outcome, said) = s_client_to(&source, &["-tls1_2", "-cipher", both]);
    assert_eq!(outcome.unwrap_err().why, Refusal::CipherPolicy, "{said}");
}

#[cfg(feature = "legacy-tls")]
#[test]
fn r156_old_phones_are_served_by_the_second_acceptor() {
    let source = Source::new(TlsCiphers::AllRsaPreferred, &[]);
    source.authenticated(true);
    for version in ["-tls1", "-tls1_1", "-tls1_2"] {
        for (cipher, suite, kind) in [
            ("AES128-SHA", 0x002F, SuiteKind::Encrypting),
            ("NULL-SHA", 0x0002, SuiteKind::IntegrityOnly),
            ("NULL-SHA:AES128-SHA", 0x002F, SuiteKind::Encrypting),
            ("AES256-SHA:AES128-SHA", 0x002F, SuiteKind::Encrypting),
        ] {
            let cipher = format!("{cipher}:@SECLEVEL=0");
            let (outcome, said) = s_client_to(&source, &[version, "-cipher", &cipher]);
            let facts = outcome.unwrap_or_else(|e| panic!("{version} {cipher}: {e}: {said}"));
            assert_eq!((facts.suite, facts.suite_kind), (suite, kind), "{version} {said}");
        }
        // Of no menu, and no phone's.
        let (outcome, said) = s_client_to(&source, &[version, "-cipher", "AES256-SHA:@SECLEVEL=0"]);
        assert!(
            matches!(outcome.unwrap_err().why, Refusal::NoCommonSuite | Refusal::NoCommonVersion),
            "{said}"
        );
    }
    for menu in &TlsCiphers::ALL[..4] {
        source.menu(*menu);
        for cipher in ["AES128-SHA:@SECLEVEL=0", "NULL-SHA:@SECLEVEL=0"] {
            let (outcome, said) = s_client_to(&source, &["-tls1_2", "-cipher", cipher]);
            assert_eq!(outcome.unwrap_err().why, Refusal::CipherPolicy, "{menu:?} {said}");
            assert!(said.contains("handshake failure"), "{said}");
        }
    }
}

/// The same trust, judged by the same verifier; what that one has no algorithm for is judged by OpenSSL.
#[cfg(feature = "legacy-tls")]
#[test]
fn r052_old_phones_show_certificates_too() {
    let dir = TempDir::new().unwrap();
    let ca = Ca::new("Manufacturing");
    let lsc = ca.phone("SEP00AABBCCDD01");
    let (cert, key) = (file(&dir, "cert.pem", &lsc.pem), file(&dir, "key.pem", &lsc.key.serialize_pem()));
    let old = Weak::new(&dir);
    let rows = [row(Purpose::CallManagerTrust, &ca.pem), row(Purpose::CapfTrust, &old.ca)];
    let stranger = [row(Purpose::CallManagerTrust, &Ca::new("x").pem)];
    for version in ["-tls1", "-tls1_2"] {
        for (cert, key, chain) in
            [(&cert, &key, ChainedTo::CallManagerTrust), (&old.leaf, &old.key, ChainedTo::CapfTrust)]
        {
            let args = [version, "-cipher", "AES128-SHA:@SECLEVEL=0", "-cert", cert, "-key", key];
            let (outcome, said) = s_client(TlsCiphers::AllRsaPreferred, &rows, &args);
            let shown = outcome.unwrap_or_else(|e| panic!("{version}: {e}: {said}")).certificate.unwrap();
            assert_eq!(shown.chain, chain);
            assert_eq!(shown.ders.len(), 1);
            let (outcome, _) = s_client(TlsCiphers::AllRsaPreferred, &stranger, &args);
            assert_eq!(outcome.unwrap_err().why, Refusal::ClientCertificateUntrusted);
        }
    }
}

/// Where OpenSSL walks the chain, the lists are asked about all of it.
#[cfg(feature = "legacy-tls")]
#[test]
fn r052_an_old_phones_revoked_issuer_is_found_too() {
    let dir = TempDir::new().unwrap();
    let old = Weak::new(&dir);
    let args = |leaf: &str, key: &str, chain: &str| {
        let cipher = ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"];
        let own = ["-cert", leaf, "-key", key, "-cert_chain", chain];
        cipher.iter().chain(&own).map(|arg| (*arg).to_owned()).collect::<Vec<_>>()
    };
    let source = Source::new(TlsCiphers::AllRsaPreferred, &[row(Purpose::CapfTrust, &old.ca)]);
    let why = |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        s_client_to(&source, &args).0.map(drop).map_err(|refused| refused.why)
    };
    let (direct, below) = (args(&old.leaf, &old.key, &old.middle), args(&old.below, &old.key, &old.middle));
    assert_eq!((why(direct.clone()), why(below.clone())), (Ok(()), Ok(())));
    // The root's list: once the leaf that it issued itself, once the authority between. Only the signature is not
    // its own, which was looked at when the list came.
    let lister = Ca::new("Old CAPF");
    let revoked = Some(Refusal::ClientCertificateRevoked);
    for (one, direct_then, below_then) in [(&old.leaf, revoked, None), (&old.middle, None, revoked)] {
        let pem = std::fs::read_to_string(one).unwrap();
        let holder = Holder {
            chain: crate::pki::inspect::pem(&pem).unwrap(),
            key: rcgen::KeyPair::generate().unwrap(),
            pem,
        };
        source.crls(&[lister.revoke(&[&holder], -60, 86_400)], false);
        assert_eq!((why(direct.clone()).err(), why(below.clone()).err()), (direct_then, below_then), "{one}");
    }
    source.crls(&[lister.revoke(&[], -120, -60)], true);
    assert_eq!(why(direct), Err(Refusal::RevocationListExpired));
}

/// A session keeps the leaf alone. Where that is not enough the phone loses one connection, and not every one.
#[cfg(feature = "legacy-tls")]
#[test]
fn a_session_that_lacks_the_issuers_of_its_certificate_is_not_gone_on_with_twice() {
    let dir = TempDir::new().unwrap();
    let old = Weak::new(&dir);
    let source = Source::new(TlsCiphers::AllRsaPreferred, &[row(Purpose::CapfTrust, &old.ca)]);
    let session = dir.path().join("session.pem").to_str().unwrap().to_owned();
    let cipher = ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0", "-key", &old.key];
    let below = ["-cert", &old.below, "-cert_chain", &old.middle];
    let direct = ["-cert", &old.leaf];
    let context = context(&source, PATIENT);
    let run = |own: &[&str], memory: &str| {
        let (outcome, said) = s_client_on(&context, &[&cipher[..], own, &[memory, &session]].concat());
        (outcome.map(|facts| facts.certificate.unwrap().chain).map_err(|r| r.why), said.contains("Reused, "))
    };
    assert_eq!(run(&direct, "-sess_out"), (Ok(ChainedTo::CapfTrust), false));
    assert_eq!(run(&direct, "-sess_in"), (Ok(ChainedTo::CapfTrust), true));
    assert_eq!(run(&below, "-sess_out"), (Ok(ChainedTo::CapfTrust), false));
    let (refused, resumed) = run(&below, "-sess_in");
    assert!(refused.is_err() && resumed, "{refused:?}");
    assert_eq!(run(&below, "-sess_in"), (Ok(ChainedTo::CapfTrust), false));
}

/// RSA with 1024 bits, signed with SHA-1: what phones of twenty years ago have. File names but for the authority.
#[cfg(feature = "legacy-tls")]
struct Weak {
    ca: String,
    leaf: String,
    key: String,
    /// An authority below the first one, and a certificate of the same key that it issued.
    middle: String,
    below: String,
}

#[cfg(feature = "legacy-tls")]
impl Weak {
    fn new(dir: &TempDir) -> Self {
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let run = |args: &[&str]| {
            let done = Command::new("openssl").args(args).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let new = ["req", "-newkey", "rsa:1024", "-nodes", "-sha1"];
        let request = |cn: &str, name: &str| {
            let (key, request) = (path(&format!("{name}.key")), path(&format!("{name}.csr")));
            run(&[&new[..], &["-subj", &format!("/CN={cn}"), "-keyout", &key, "-out", &request]].concat());
            request
        };
        let leaf_kind = file(dir, "leaf.ext", "basicConstraints=CA:FALSE\n");
        let issuer_kind = file(dir, "issuer.ext", "basicConstraints=critical,CA:TRUE\n");
        let sign = |request: &str, kind: &str, issuer: &str, serial: &str, name: &str| {
            let out = path(&format!("{name}.pem"));
            let (ca, key) = (path(&format!("{issuer}.pem")), path(&format!("{issuer}.key")));
            let what = ["x509", "-req", "-sha1", "-days", "30", "-in", request, "-extfile", kind];
            run(&[&what[..], &["-CA", &ca, "-CAkey", &key, "-set_serial", serial, "-out", &out]].concat());
            out
        };
        let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
        let root = ["-x509", "-days", "30", "-subj", "/CN=Old CAPF", "-keyout", &ca_key, "-out", &ca];
        run(&[&new[..], &root].concat());
        let phone = request("SEP00AABBCCDD02", "phone");
        let leaf = sign(&phone, &leaf_kind, "ca", "7", "leaf");
        let middle = sign(&request("Old Middle", "middle"), &issuer_kind, "ca", "8", "middle");
        let below = sign(&phone, &leaf_kind, "middle", "9", "below");
        let ca = std::fs::read_to_string(&ca).unwrap();
        Self { ca, leaf, key: path("phone.key"), middle, below }
    }
}

#[test]
fn r052_r055_client_certificates_from_openssl() {
    let dir = TempDir::new().unwrap();
    let (ca, vendor) = (Ca::new("Manufacturing"), own("vendor phone", true));
    let lsc = ca.phone("SEP00AABBCCDD01");
    let rows = [row(Purpose::CallManagerTrust, &ca.pem), row(Purpose::VendorTrust, &vendor.pem)];
    for version in ["-tls1_2", "-tls1_3"] {
        for (holder, chain) in [(&lsc, ChainedTo::CallManagerTrust), (&vendor, ChainedTo::VendorTrust)] {
            let cert = file(&dir, "cert.pem", &holder.pem);
            let key = file(&dir, "key.pem", &holder.key.serialize_pem());
            let args = [version, "-cert", &cert, "-key", &key];
            let (outcome, said) = s_client(TlsCiphers::AllRsaPreferred, &rows, &args);
            assert_eq!(outcome.unwrap().certificate.map(|c| c.chain), Some(chain), "{said}");
            let (outcome, said) =
                s_client(TlsCiphers::AllRsaPreferred, &[row(Purpose::CapfTrust, &Ca::new("x").pem)], &args);
            assert_eq!(outcome.err().map(|r| r.why), Some(Refusal::ClientCertificateUntrusted), "{said}");
            // In TLS 1.3 the client is done before the server has seen its certificate, and may be gone.
            assert!(version == "-tls1_3" || said.contains("unknown ca"), "{said}");
        }
    }
}
