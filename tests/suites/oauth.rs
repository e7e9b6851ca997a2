//! SIP OAuth (R166 to R168, RFC 8898): who registers on the OAuth port, with which token, and what his calls are.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyline_loadtest::phone::{Phone, PhoneConfig, PhoneError, Srtp, Transport};
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::{CALLEE, CALLER, connect, refused_with, registered};

/// A soft client, and its number.
const JABBER: (&str, u32) = ("Cisco Unified Client Services Framework", 503);
const ANNA: &str = "CSFANNA";
const BERT: &str = "CSFBERT";
const DESK: &str = "SEP00AABBCCDD31";
const PASSWORD_PHONE: &str = "SEP00AABBCCDD32";

/// Two soft clients with OAuth, a desk phone with a certificate, one with a password.
fn inventory(authority: &Authority) -> Inventory {
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    let fields =
        json!({"device_security_mode": "encrypted", "transport": "tls", "oauth_authentication": true});
    inventory.profile("Soft", JABBER.0, fields).end_user("anna", "secret");
    let of = |user: Option<&str>| json!({"security_profile": "Soft", "digest_user": user});
    inventory.phone(ANNA, JABBER.0, &[CALLER], of(Some("anna")));
    inventory.phone(BERT, JABBER.0, &[CALLEE], json!({"security_profile": "Soft"}));
    inventory.encrypted_phone(DESK, "1003").digest_phone(PASSWORD_PHONE, "1004");
    inventory
}

fn builder(authority: &Authority) -> Builder {
    Builder::new().inventory(&inventory(authority)).setting("listen", "sip_oauth = \"127.0.0.1:0\"")
}

/// A soft client on the OAuth port.
fn soft(node: &Node, device: &str, dn: &str) -> PhoneConfig {
    let mut config =
        node.phone(Transport::Tls(Box::new(node.tls_options(None))), device, dn).srtp(Srtp::savp());
    config.server = node.address("sip_oauth");
    config.model = Some(JABBER.1);
    config
}

/// What the command line issues.
fn issue(node: &Node, arguments: &[&str]) -> String {
    let out = node.run(&[&["oauth", "issue"], arguments].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Status and reason of a refused registration.
async fn refused(config: PhoneConfig) -> (u16, String) {
    let phone = Phone::start(config).await.expect("the phone starts");
    match phone.register().await {
        Err(PhoneError::Refused { status, reason, .. }) => (status, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r167_a_token_opens_the_oauth_port_for_its_phone_and_nothing_else_does() {
    let authority = Authority::new("Test CAPF");
    let node = builder(&authority).start();
    wait::run(async {
        let (annas, berts) = (issue(&node, &["--phone", ANNA]), issue(&node, &["--phone", BERT]));
        let anna = registered(soft(&node, ANNA, CALLER).token(&annas)).await;
        assert_eq!(node.registered(ANNA)["transport"], "oauth");
        let shown = node.ask("GET", &format!("/phones/{ANNA}"), None).expect(200);
        assert!(shown.to_string().contains("oauth"), "{shown}");
        // Her user's token is as good, and so is one that a plain RFC 8898 client shows.
        anna.unregister().await.unwrap();
        let mut plain = soft(&node, ANNA, CALLER).token(&issue(&node, &["--user", "anna"]));
        plain.device = None;
        let plain = registered(plain).await;
        assert_eq!(node.registered(ANNA)["transport"], "oauth");
        plain.unregister().await.unwrap();

        // Nobody else's, none at all, not for other lines, and not on the TLS port.
        let (status, reason) = refused(soft(&node, ANNA, CALLER).token(&berts)).await;
        assert_eq!(status, 403, "{reason}");
        assert!(reason.contains("of another device"), "{reason}");
        assert_eq!(refused(soft(&node, ANNA, CALLER)).await.0, 407);
        assert_eq!(refused(soft(&node, BERT, CALLEE).token(&issue(&node, &["--user", "anna"]))).await.0, 403);
        let mut off = soft(&node, ANNA, CALLER).token(&annas);
        off.server = node.tls();
        let phone = Phone::start(off).await.unwrap();
        let header = [("Authorization", &*format!("Bearer {annas}"))];
        let error = phone.register_line(CALLER, 3600, &header).await.unwrap_err().to_string();
        assert!(error.contains("403") && error.contains("port Mismatch"), "{error}");

        // Phones without OAuth: their certificate, their password and a token that somebody made them do not help.
        let identity = authority.issue(DESK);
        let mut desk = node.phone(Transport::Tls(Box::new(node.tls_options(Some(&identity)))), DESK, "1003");
        desk.server = node.address("sip_oauth");
        let (status, reason) = refused(desk.token(&issue(&node, &["--phone", DESK]))).await;
        assert!(status == 403 && reason.contains("OAuth is not enabled"), "{status} {reason}");
        let transport = Transport::Tls(Box::new(node.tls_options(None)));
        let mut digest = node
            .digest_phone(transport, PASSWORD_PHONE, "1004")
            .login(&user_of("1004"), &password_of("1004"));
        digest.server = node.address("sip_oauth");
        assert_eq!(refused(digest).await.0, 403);

        for (cause, verdict) in [
            ("token_required", "challenge"),
            ("token_of_other_device", "refuse"),
            ("token_of_other_user", "refuse"),
            ("oauth_not_enabled", "refuse"),
            ("token_off_oauth_port", "refuse"),
        ] {
            let label = format!("cause=\"{cause}\",verdict=\"{verdict}\"");
            assert!(node.metric("keyline_admission_verdicts_total", &label) >= 1.0, "{label}");
        }
        assert!(node.metric("keyline_oauth_tokens_total", "result=\"ok\"") >= 3.0);
        let log = node.stderr();
        for token in [&annas, &berts] {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!log.contains(signature), "tokens are never logged");
        }
        let audit = node.ask("GET", "/audit?filter=operation:is_exactly:oauth_issue", None).expect(200);
        assert!(audit["items"].as_array().is_some_and(|items| items.len() >= 5), "{audit}");
        assert!(!audit.to_string().contains(annas.rsplit('.').next().unwrap()));
    });
}

#[test]
fn the_challenge_is_what_cisco_and_rfc_8898_clients_expect() {
    let authority = Authority::new("Test CAPF");
    let node = builder(&authority).setting("oauth", "authz_server = \"https://login.example/oauth\"").start();
    let got = |headers: &str, contact: &str| {
        let request = format!(
            "REGISTER sip:keyline.local SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5090;branch=z9hG4bK-oauth\r\n\
             From: <sip:{CALLER}@keyline.local>;tag=1\r\nTo: <sip:{CALLER}@keyline.local>\r\nCall-ID: one\r\n\
             CSeq: 1 REGISTER\r\nContact: <sip:{CALLER}@127.0.0.1:5090;transport=tls>{contact}\r\n{headers}\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        s_client(&node, &request)
    };
    let answer = got("", "");
    assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
    let challenge = "WWW-Authenticate: Bearer realm=\"ccmsipline\", authz_server=\"https://login.example/oauth\", scope=\"sip\"\r\n";
    assert!(answer.contains(challenge), "{answer}");
    let answer = got("Authorization: Bearer a.b.c\r\n", "");
    assert!(
        answer.starts_with("SIP/2.0 401 ") && answer.contains("scope=\"sip\", error=\"invalid_token\"\r\n"),
        "{answer}"
    );
    for (headers, contact) in
        [("User-Agent: Cisco-CSF\r\n", ""), ("", ";+u.sip!devicename.ccm.cisco.com=\"CSFANNA\"")]
    {
        let answer = got(headers, contact);
        assert!(answer.starts_with("SIP/2.0 407 "), "{answer}");
        assert!(answer.contains("Proxy-Authenticate: Bearer realm=\"ccmsipline\""), "{answer}");
    }
}

/// Sends a request through `openssl s_client`, which is told to show no certificate, and gives the first answer.
fn s_client(node: &Node, request: &str) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &node.address("sip_oauth").to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut input = client.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    let mut output = std::io::BufReader::new(client.stdout.take().unwrap());
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        let read = std::io::BufRead::read_line(&mut output, &mut answer).unwrap();
        assert!(read > 0, "closed after {answer:?}");
    }
    drop(input);
    let _ = client.kill();
    let _ = client.wait();
    answer
}

#[test]
fn the_oauth_port_asks_for_no_certificate_and_encrypts() {
    let authority = Authority::new("Test CAPF");
    let node = builder(&authority).start();
    let handshake = |listener: &str, more: &[&str]| {
        let out = Command::new("openssl")
            .args(["s_client", "-connect", &node.address(listener).to_string()])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = handshake("sip_oauth", &[version]);
        assert!(shown.contains("No client certificate CA names sent"), "{shown}");
        assert!(shown.contains("GCM") || shown.contains("AES"), "{shown}");
        assert!(!shown.contains("Client Certificate Types"), "{shown}");
    }
    assert!(
        handshake("sip_tls", &["-tls1_2"]).contains("Client Certificate Types"),
        "the judge sees the difference"
    );
    let weak = handshake("sip_oauth", &["-tls1_2", "-cipher", "NULL-SHA256:ECDHE-RSA-NULL-SHA:@SECLEVEL=0"]);
    assert!(weak.contains("Cipher is (NONE)"), "{weak}");
}

#[test]
fn a_call_of_token_phones_is_encrypted_and_needs_no_token_of_its_own() {
    let authority = Authority::new("Test CAPF");
    let node = builder(&authority).start();
    wait::run(async {
        let anna = registered(soft(&node, ANNA, CALLER).token(&issue(&node, &["--phone", ANNA]))).await;
        let bert = registered(soft(&node, BERT, CALLEE).token(&issue(&node, &["--phone", BERT]))).await;
        let challenges = node.metric("keyline_sip_responses_sent_total", "class=\"4xx\"");
        let (out, inn) = connect(&anna, &bert).await;
        assert_eq!(
            node.metric("keyline_sip_responses_sent_total", "class=\"4xx\""),
            challenges,
            "no challenge"
        );
        let id = node.answered_call();
        let security = wait::until("class encrypted", || {
            let security = node.call_security(&id);
            (security["class"] == "encrypted").then_some(security)
        });
        assert_eq!(security["icon"], "lock");
        out.shows("Encrypted").await.unwrap();
        inn.shows("Encrypted").await.unwrap();
        out.hang_up().await.unwrap();
        // What the connection rests on is a token, not the connection: another phone is not believed on it.
        let spoofed = [(
            "Contact",
            "<sip:1002@127.0.0.1:5090;transport=tls>;+u.sip!devicename.ccm.cisco.com=\"CSFBERT\"",
        )];
        let error = anna.register_line(CALLEE, 3600, &spoofed).await.unwrap_err().to_string();
        assert!(error.contains("403") && error.contains("another device"), "{error}");
    });
}

#[test]
fn a_connection_is_worth_nothing_once_its_token_has_run_out() {
    let authority = Authority::new("Test CAPF");
    let node = builder(&authority).setting("oauth", "skew_s = 0").start();
    wait::run(async {
        let bert = registered(soft(&node, BERT, CALLEE).token(&issue(&node, &["--phone", BERT]))).await;
        let anna =
            registered(soft(&node, ANNA, CALLER).token(&issue(&node, &["--phone", ANNA, "--expires", "2s"])))
                .await;
        until_refused(&anna).await;
        let call = anna.invite(CALLEE).unwrap();
        assert_eq!(refused_with(&call).await, 407, "the token that she has is no good any more");
        // A new one on the same connection, and everything goes on.
        anna.show_token(&issue(&node, &["--phone", ANNA]));
        anna.register().await.unwrap();
        let (out, _inn) = connect(&anna, &bert).await;
        out.hang_up().await.unwrap();
        let expired = "cause=\"token_expired\",verdict=\"challenge\"";
        assert!(node.metric("keyline_admission_verdicts_total", expired) >= 1.0);
    });
}

#[test]
fn keys_rotate_and_no_phone_is_lost() {
    let authority = Authority::new("Test CAPF");
    let mut node = builder(&authority).start();
    let rotate = |node: &Node| {
        let out = node.run(&["oauth", "rotate", "--yes"]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let keys: Value = serde_json::from_slice(&out.stdout).unwrap();
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|k| k["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (token, first) = wait::run(async {
        let token = issue(&node, &["--phone", ANNA]);
        let anna = registered(soft(&node, ANNA, CALLER).token(&token)).await;
        let before: Value = serde_json::from_slice(&node.run(&["oauth", "keys"]).stdout).unwrap();
        let first = before["keys"][0]["kid"].as_str().unwrap().to_owned();
        let kids = rotate(&node);
        assert_eq!((kids.len(), &kids[1]), (2, &first), "the old key is still published");
        anna.refresh().await.expect("the old token serves on");
        let newer = registered(soft(&node, BERT, CALLEE).token(&issue(&node, &["--phone", BERT]))).await;
        newer.refresh().await.unwrap();
        (token, first)
    });
    // Keys and tokens outlive the end of the process.
    node.kill9_and_restart();
    wait::run(async {
        let anna = registered(soft(&node, ANNA, CALLER).token(&token)).await;
        let kids = rotate(&node);
        assert!(!kids.contains(&first), "the third key pushes the first out");
        let error = anna.refresh().await.unwrap_err().to_string();
        assert!(error.contains("407"), "{error}");
        anna.show_token(&issue(&node, &["--phone", ANNA]));
        anna.refresh().await.expect("a new token on the same connection");
        // The set is there for whoever checks tokens, without any token of his own.
        let open = node.admin("/oauth/keys", &["-H", "Authorization:"]);
        assert_eq!(open.status, 200);
        assert_eq!(open.json()["keys"].as_array().map(Vec::len), Some(2));
        assert!(!open.body.contains("\"d\""), "public keys only");
    });
}

/// Registers again and again until that is refused.
async fn until_refused(phone: &Phone) {
    let begin = Instant::now();
    while phone.register().await.is_ok() {
        assert!(begin.elapsed() < wait::PATIENCE, "the phone is still served");
    }
}

/// An issuer made of OpenSSL alone: RSA keys, and tokens signed with them.
struct OutsideIssuer<'a>(&'a Path);

impl OutsideIssuer<'_> {
    fn openssl(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "openssl {arguments:?}");
        out.stdout
    }

    /// Makes a key and gives it as a JWK, without `alg` as many issuers write it.
    fn key(&self, kid: &str) -> Value {
        self.openssl(&["genrsa", "-out", kid, "2048"], b"");
        let modulus = self.openssl(&["rsa", "-in", kid, "-noout", "-modulus"], b"");
        let modulus = String::from_utf8(modulus).unwrap();
        let hex = modulus.trim().strip_prefix("Modulus=").unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        json!({"kty": "RSA", "kid": kid, "use": "sig", "n": base64url(&bytes), "e": "AQAB"})
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = self.openssl(&["dgst", "-sha256", "-sign", kid], signed.as_bytes());
        format!("{signed}.{}", base64url(&signature))
    }
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
            (0..=chunk.len()).map(move |i| ALPHABET[(word >> (18 - 6 * i) & 63) as usize] as char)
        })
        .collect()
}

#[test]
fn another_issuer_is_believed_by_its_key_set_and_may_rotate() {
    const ISSUER: &str = "https://issuer.example";
    let authority = Authority::new("Test CAPF");
    let node = builder(&authority)
        .setting("oauth", "key_set = \"keys.json\"")
        .setting("oauth", &format!("key_set_issuer = \"{ISSUER}\""))
        .setting("oauth", "device_claim = \"jabber\"")
        .prepare();
    let mut node = node;
    let folder = tempfile::tempdir().unwrap();
    let issuer = OutsideIssuer(folder.path());
    let file = node.folder().join("keys.json");
    let publish = |keys: &[&Value]| std::fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
    let (one, two) = (issuer.key("one"), issuer.key("two"));
    publish(&[&one]);
    node.start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": ISSUER, "aud": "keyline", "exp": now + 600, "scope": "openid sip", "sub": "7", "jabber": [ANNA]});
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    wait::run(async {
        let anna = registered(soft(&node, ANNA, CALLER).token(&issuer.token("one", &claims))).await;
        for (claims, status, cause) in [
            (with("exp", (now - 120).into()), 407, "token_expired"),
            (with("nbf", (now + 600).into()), 407, "token_not_yet_valid"),
            (with("aud", "others".into()), 407, "token_audience"),
            (with("iss", "https://stranger.example".into()), 407, "token_issuer"),
            (with("iss", "https://keyline.local".into()), 407, "token_key_unknown"),
            (with("scope", "openid".into()), 403, "token_scope"),
            (with("jabber", BERT.into()), 403, "token_of_other_device"),
        ] {
            let got = refused(soft(&node, ANNA, CALLER).token(&issuer.token("one", &claims))).await;
            assert_eq!(got.0, status, "{cause}: {got:?}");
            let verdict = if status == 403 { "refuse" } else { "challenge" };
            let label = format!("cause=\"{cause}\",verdict=\"{verdict}\"");
            assert_eq!(node.metric("keyline_admission_verdicts_total", &label), 1.0, "{label}");
        }
        // Signed by a key that nobody has published, under the name of one that is: and unsigned.
        let (_, forged) = (issuer.key("thief"), issuer.token("thief", &claims));
        let (payload, signature) = forged.split_once('.').unwrap().1.split_once('.').unwrap();
        let header = |alg: &str| base64url(json!({"alg": alg, "kid": "one"}).to_string().as_bytes());
        for token in [
            format!("{}.{payload}.{signature}", header("RS256")),
            format!("{}.{payload}.{signature}", header("none")),
            format!("{}.{payload}.", header("none")),
            format!("{}.{payload}.{signature}", header("HS256")),
        ] {
            assert_eq!(refused(soft(&node, ANNA, CALLER).token(&token)).await.0, 407);
        }
        // Its key rotates: the file has both, then the new one alone. The first token with it has the set read again.
        publish(&[&one, &two]);
        let new = issuer.token("two", &with("jabber", BERT.into()));
        let bert = Phone::start(soft(&node, BERT, CALLEE).token(&new)).await.unwrap();
        let begin = Instant::now();
        // 503 while the set is being read; then the new key serves.
        while let Err(error) = bert.register().await {
            assert!(matches!(error, PhoneError::Refused { status: 503, .. }), "{error}");
            assert!(begin.elapsed() < wait::PATIENCE, "the set is not read again");
        }
        assert_eq!(node.registered(BERT)["transport"], "oauth");
        anna.refresh().await.expect("a key that is still published serves on");
        publish(&[&two]);
        node.signal(Signal::SIGHUP);
        wait::until("the key set without the old key", || {
            (node.metric("keyline_oauth_keys", "source=\"outside\"") == 1.0).then_some(())
        });
        assert!(anna.refresh().await.unwrap_err().to_string().contains("407"), "its key was withdrawn");
        bert.refresh().await.unwrap();
        // A set that cannot be read changes nothing.
        std::fs::write(&file, "{").unwrap();
        node.signal(Signal::SIGHUP);
        wait::until("the failed read", || {
            (node.metric("keyline_oauth_key_set_reads_total", "result=\"failed\"") >= 1.0).then_some(())
        });
        bert.refresh().await.unwrap();
        assert_eq!(node.metric("keyline_oauth_keys", "source=\"outside\""), 1.0);
    });
}
