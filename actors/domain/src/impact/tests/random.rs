//! Random configurations, fleets and changes: what was answered is what admission and the classifier say once
//! the change was really done and applied.

use proptest::prelude::*;

use super::*;
use crate::admit::{
    BindingFacts, DeviceFacts, DigestOutcome, LastRegister, MethodKind, MicPolicy, Policy, RequestFacts,
    RightDigest, Verdict, decide,
};
use crate::class::class_of_call;
use crate::digest::Algorithm;
use crate::identity::PeerCertificate;
use crate::media::{LegMedia, StreamProtection};
use crate::mode::{DeviceSecurityMode, SecurityClass};
use crate::oauth::TokenOutcome;
use crate::phone;

const PHONES: usize = 6;
const PROFILES: [&str; 5] = ["Plain", "Digest", "Tcp", "Encrypted", "Authenticated"];
const USERS: [&str; 3] = ["ann", "bob", "cid"];

fn name(i: usize) -> String {
    format!("SEP00AABBCCDD{i:02}")
}

#[derive(Debug, Clone)]
struct Setup {
    profile: usize,
    user: Option<usize>,
    lines: Vec<usize>,
    came: Option<Came>,
}

fn came() -> impl Strategy<Value = Came> {
    let suites = prop_oneof![Just(SuiteKind::Encrypting), Just(SuiteKind::IntegrityOnly)];
    let over_tls =
        (suites, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(suite, digest, mic, has)| Came {
            transport: Transport::Tls,
            suite,
            digest,
            // The phone's own name is put in later.
            cn: has.then(|| if mic { "CP-8845-".to_owned() } else { String::new() }),
        });
    let plain = (any::<bool>(), any::<bool>()).prop_map(|(tcp, digest)| Came {
        transport: if tcp { Transport::Tcp } else { Transport::Udp },
        suite: SuiteKind::None,
        digest,
        cn: None,
    });
    prop_oneof![over_tls, plain]
}

fn setup() -> impl Strategy<Value = Setup> {
    (
        0..PROFILES.len(),
        prop::option::of(0..USERS.len()),
        prop::collection::btree_set(0..3_usize, 1..3),
        prop::option::weighted(0.8, came()),
    )
        .prop_map(|(profile, user, lines, came)| Setup {
            profile,
            user,
            lines: lines.into_iter().collect(),
            came,
        })
}

fn changes() -> impl Strategy<Value = Vec<Step>> {
    let mode = prop_oneof![Just("non_secure"), Just("authenticated"), Just("encrypted")];
    let one = prop_oneof![
        (0..PROFILES.len(), mode, any::<bool>()).prop_map(|(p, mode, digest)| merge(
            Kind::SecurityProfile,
            PROFILES[p],
            json!({"device_security_mode": mode, "digest_authentication": digest})
        )),
        (0..PHONES, 0..PROFILES.len()).prop_map(|(i, p)| merge(
            Kind::Phone,
            &name(i),
            json!({"security_profile": PROFILES[p]})
        )),
        (0..PHONES, prop::collection::btree_set(0..3_usize, 0..3)).prop_map(|(i, lines)| {
            let lines: Vec<String> = lines.into_iter().map(|l| format!("100{l}")).collect();
            merge(Kind::Phone, &name(i), json!({"lines": lines}))
        }),
        (0..USERS.len(), "[a-z]{3}1").prop_map(|(u, secret)| merge(
            Kind::EndUser,
            USERS[u],
            json!({"digest_credentials": secret})
        )),
        (0..PHONES, prop::option::of(0..USERS.len())).prop_map(|(i, u)| merge(
            Kind::Phone,
            &name(i),
            json!({"em_user": u.map(|u| USERS[u])})
        )),
        any::<bool>().prop_map(|on| merge(
            Kind::Parameter,
            "cluster_security_mode",
            json!({"value": if on { "mixed" } else { "non_secure" }})
        )),
        any::<bool>().prop_map(|on| merge(
            Kind::Parameter,
            "mic_tls_policy",
            json!({"value": if on { "refuse" } else { "warn" }})
        )),
    ];
    prop::collection::vec(one, 1..4)
}

/// The verdict of the admission table on the phone's REGISTER, put together here from the fleet's own facts.
fn verdict(
    inventory: &Inventory,
    i: usize,
    setup: &Setup,
    settings: &crate::profile::ProfileSettings,
    owner: Option<(&str, &str)>,
) -> Option<Verdict> {
    let came = setup.came.as_ref()?;
    let view = inventory.phone_named(&name(i))?;
    let cn = came.cn.as_ref().map(|front| facts(&format!("{front}{}", name(i))));
    let source: SocketAddr = "192.0.2.7:5060".parse().unwrap();
    let lines: Vec<String> = setup.lines.iter().map(|l| format!("100{l}")).collect();
    let aors: Vec<&str> = lines.iter().map(String::as_str).collect();
    let request = RequestFacts {
        method: MethodKind::Register,
        in_dialog: false,
        standby_keepalive: false,
        to_server: false,
        transport: came.transport,
        suite: came.suite,
        certificate: cn.as_ref().map(|facts| PeerCertificate { facts, chain: ChainedTo::CapfTrust }),
        token: TokenOutcome::Absent,
        source,
        stream: None,
        aors: &aors,
        call_id: "call",
        cseq: 2,
        merely_extends: true,
    };
    let flow = match came.transport {
        Transport::Udp => Flow::Udp { local: source, remote: source },
        transport => Flow::Lost { transport, remote: source },
    };
    let last = LastRegister { call_id: "call", cseq: 1, nonce_id: None, nc: 0 };
    let device = DeviceFacts {
        name: view.name,
        model: &view.model.name,
        preferred_vendor: false,
        shared_certificate: false,
        websocket: false,
        profile_name: &view.profile.name,
        settings,
        previous: None,
        lines: view.lines,
        digest_user: view.digest_user,
        em_user: view.em_user,
        uploaded_certificate: None,
        binding: Some(BindingFacts { flow, source, live: flow.is_live(), last }),
    };
    let p = inventory.parameters();
    let mic = if p.mic_tls_policy == inventory::Policy::Refuse { MicPolicy::Refuse } else { MicPolicy::Warn };
    let policy = Policy { cluster: p.cluster_security_mode, mic, allow_unproven_move: false };
    // The phone answers with the user and the password that it got before the change.
    let expected = device.expected_user().map(|u| u.as_str());
    let outcome = match owner.filter(|_| came.digest) {
        _ if expected.is_none() => DigestOutcome::Wrong,
        None => DigestOutcome::Absent,
        Some((user, secret)) => {
            let now = inventory.user(user).and_then(|u| u.credentials);
            match now.is_some_and(|s| s.expose() == secret) {
                false => DigestOutcome::Wrong,
                true => DigestOutcome::Right(RightDigest {
                    nonce_id: 9,
                    nc: 1,
                    algorithm: Algorithm::Sha256,
                    of_expected_user: expected == Some(user),
                    of_this_start: true,
                    replayed: false,
                }),
            }
        }
    };
    Some(decide(&request, Some(&device), &policy, outcome, false))
}

fn served(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Admit(_))
}

fn leg(inventory: &Inventory, i: usize, mode: DeviceSecurityMode) -> LegFacts {
    let view = inventory.phone_named(&name(i)).unwrap();
    LegFacts {
        device: view.name.clone(),
        model: view.model.name.as_ref().into(),
        trusted: view.model.trusted,
        transport: Transport::Tls,
        suite: SuiteKind::Encrypting,
        proof: PeerProof::Certificate,
        profile: view.profile.name.as_str().into(),
        applied_mode: mode,
        digest_authentication: false,
        cluster: inventory.parameters().cluster_security_mode,
        answered: true,
        media: LegMedia { streams: [StreamProtection::Sdes].into_iter().collect(), ..LegMedia::default() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_answer_is_what_then_happens(
        fleet in prop::collection::vec(setup(), PHONES),
        cluster_mixed in any::<bool>(),
        steps in changes(),
    ) {
        let mut fleet = fleet;
        // Nobody has shown a right digest who has no user.
        for setup in &mut fleet {
            if let (None, Some(came)) = (setup.user, &mut setup.came) {
                came.digest = false;
            }
        }
        let mut rows = vec![
            json!({"kind": "parameter", "name": "allow_shared_digest_user", "value": true}),
            line("1000"), line("1001"), line("1002"), user("ann"), user("bob"), user("cid"),
            profile("Plain", "non_secure", false), profile("Digest", "non_secure", true),
            profile("Encrypted", "encrypted", false), profile("Authenticated", "authenticated", true),
            json!({"kind": "security_profile", "name": "Tcp", "model": "Cisco 8845", "protocol": "sip", "transport": "tcp"}),
        ];
        if cluster_mixed {
            rows.push(mixed());
        }
        for (i, s) in fleet.iter().enumerate() {
            let lines: Vec<String> = s.lines.iter().map(|l| format!("100{l}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            rows.push(phone(&name(i), Some(PROFILES[s.profile]), s.user.map(|u| USERS[u]), &lines));
        }
        let mut inventory = inventory(&rows);
        let mut world = World::default();
        for (i, s) in fleet.iter().enumerate() {
            if let Some(came) = &s.came {
                let cn = came.cn.as_ref().map(|front| format!("{front}{}", name(i)));
                world.register(&inventory, &name(i), &Came { cn, ..came.clone() });
            }
        }
        let mode_of = |inventory: &Inventory, i: usize| {
            inventory.phone_named(&name(i)).unwrap().profile.settings.device_security_mode
        };
        // Everybody talks to the next one.
        let before: Vec<_> = (0..PHONES).map(|i| mode_of(&inventory, i)).collect();
        for i in 0..PHONES - 1 {
            let legs = vec![leg(&inventory, i, before[i]), leg(&inventory, i + 1, before[i + 1])];
            world.calls.push((format!("c{i}"), legs));
        }
        let old: Vec<_> = (0..PHONES)
            .map(|i| inventory.phone_named(&name(i)).unwrap().profile.settings.clone())
            .collect();
        let owners: Vec<Option<(String, String)>> = fleet
            .iter()
            .map(|s| s.user.map(|u| (USERS[u].to_owned(), format!("{}secret", USERS[u]))))
            .collect();
        let owner = |i: usize| owners[i].as_ref().map(|(u, s)| (u.as_str(), s.as_str()));
        let was: Vec<_> = fleet
            .iter()
            .enumerate()
            .map(|(i, s)| verdict(&inventory, i, s, &old[i], owner(i)))
            .collect();

        let impact = ask(&mut inventory, &world, &steps);

        // Now it is really done, and applied to every phone: the row says by what it is judged then.
        let _ = change(&mut inventory, &steps);
        let mut fails = BTreeSet::new();
        let mut asked = BTreeSet::new();
        let mut modes = BTreeSet::new();
        for (i, s) in fleet.iter().enumerate() {
            let view = inventory.phone_named(&name(i)).unwrap();
            let saved = AppliedVersion { profile: view.profile.id, version: view.profile.version };
            if let Some(row) = world.phones.get(&view.index).and_then(|p| p.row.as_deref()) {
                let step = phone::apply(row, saved, NOW, 0);
                let applied = step.row.as_ref().map_or(row.applied, |r| r.applied);
                prop_assert_eq!(applied, saved);
            }
            let settings = view.profile.settings.clone();
            if settings.device_security_mode != before[i] {
                modes.insert(name(i));
            }
            let (Some(now), Some(was)) = (verdict(&inventory, i, s, &settings, owner(i)), &was[i]) else {
                continue;
            };
            match now {
                Verdict::Challenge { cause: crate::admit::Cause::DigestAbsent, .. } if now != *was => {
                    asked.insert(name(i));
                }
                _ if !served(&now) && now != *was => {
                    fails.insert(name(i));
                }
                _ => {}
            }
        }
        let named = |names: Vec<String>| names.into_iter().collect::<BTreeSet<String>>();
        let told = impact.would_fail.first.iter().map(|f| f.phone.to_string()).collect();
        // Admission does not see the menu of suites; it is not changed here.
        prop_assert_eq!(named(told), fails);
        prop_assert_eq!(named(impact.asked_for_digest.first.iter().map(|n| n.to_string()).collect()), asked);
        prop_assert_eq!(named(impact.mode_changes.first.iter().map(|m| m.phone.to_string()).collect()), modes);
        let mut lost = BTreeSet::new();
        for (call, legs) in &world.calls {
            let after: Vec<LegFacts> = legs
                .iter()
                .map(|l| {
                    let i = (0..PHONES).find(|i| name(*i) == l.device.as_str()).unwrap();
                    leg(&inventory, i, mode_of(&inventory, i))
                })
                .collect();
            let (from, to) = (class_of_call(legs).class, class_of_call(&after).class);
            if from > SecurityClass::NonSecure && to < from {
                lost.insert(call.clone());
            }
        }
        prop_assert_eq!(named(impact.calls_losing_class.first.iter().map(|c| c.call.clone()).collect()), lost);
    }
}
