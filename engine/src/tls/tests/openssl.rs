//! The same server against OpenSSL's client, over a loopback address.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use keyline_domain::cipher::TlsCiphers;
use keyline_domain::identity::ChainedTo;
use keyline_domain::inventory::{CertificateRow, Purpose};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::support::{Ca, PATIENT, Source, context, identity, own, row, runtime};
use crate::flow::ConnectionFacts;
use crate::tls::refused::{HandshakeRefused, Refusal};

/// Runs `openssl s_client` once. What the server found, and what the client printed.
fn s_client(
    menu: TlsCiphers,
    rows: &[CertificateRow],
    args: &[&str],
) -> (Result<ConnectionFacts, HandshakeRefused>, String) {
    runtime().block_on(async {
        let context = context(&Source::new(menu, rows), PATIENT);
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
                (Err(refused), None) => assert_eq!(refused.why, Refusal::NoCommonSuite),
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
        assert_eq!(refused.as_str(), "no_common_suite");
        assert!(refused.to_string().contains("cipher policy"), "{refused}");
        assert!(said.contains("handshake failure"), "{said}");
    }
}

#[test]
fn an_old_version_is_named() {
    let (outcome, said) =
        s_client(TlsCiphers::AllRsaPreferred, &[], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert_eq!(outcome.err().map(|r| r.why), Some(Refusal::NoCommonVersion), "{said}");
    assert!(said.contains("alert"), "{said}");
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
