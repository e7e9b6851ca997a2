//! Wherever a change is cut off: the old state or the new one, and the audit tells of exactly what is there.

use std::cell::Cell;
use std::sync::{Arc, Barrier};

use keyline_domain::audit::Who;
use keyline_domain::ids::DeviceName;
use keyline_domain::inventory::{CertificateFacts, Kind, Step};
use keyline_storage::seal::NodeKey;
use keyline_storage::{Commit, MemoryStore, Outcome, Store, StoreError};
use prometheus::Registry;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Catalog, ChangeError, ChangeRequest, Committer, Inspect, TokenChange, Tools};
use crate::audit::AuditReader;
use crate::board::{Role, Token};
use crate::outlet::{Emission, Outlet};
use crate::system::{Engine, OpenOptions, TreeOptions, open};

const PHONE: &str = "SEP00AABBCCDD01";

struct Blind;

impl Inspect for Blind {
    fn inspect(&self, pem: &str) -> Result<CertificateFacts, String> {
        let text = format!(r#"{{"subject":"CN={pem}","fingerprint":"{}"}}"#, "ab".repeat(32));
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }
}

/// The process ends at the commit of this number, before or after it is written.
struct Ending<'a> {
    store: &'a MemoryStore,
    left: Cell<u32>,
    written: bool,
}

impl Committer for Ending<'_> {
    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome> {
        let one = |commit: &Commit| {
            let left = self.left.get();
            self.left.set(left.saturating_sub(1));
            match left {
                0 => Outcome::Unknown(StoreError::Closed),
                1 if self.written => {
                    self.store.commit(commit);
                    Outcome::Unknown(StoreError::Closed)
                }
                1 => Outcome::Unknown(StoreError::Closed),
                _ => self.store.commit(commit),
            }
        };
        commits.iter().map(one).collect()
    }
}

fn key() -> Arc<NodeKey> {
    Arc::new(NodeKey::from_bytes(Zeroizing::new([7; 32])))
}

fn tools(committer: &dyn Committer) -> Tools<'_> {
    Tools {
        committer,
        inspect: &Blind,
        has_certificate: &|_| true,
        live: &(),
        now: keyline_domain::ids::UnixMillis(0),
        offline: None,
    }
}

fn request(steps: Vec<Step>) -> ChangeRequest {
    ChangeRequest { steps, who: Who::token("ops", "admin", "192.0.2.1", None), ..ChangeRequest::default() }
}

fn create(kind: Kind, body: Value) -> Step {
    Step::Create { kind, body }
}

/// A phone with a profile, a line and a user.
fn begun() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let committer: &dyn Store = &*store;
    let mut catalog = Catalog::load(&*store, key(), "node").unwrap();
    let profile = json!({"name": "Digest", "model": "Cisco 8845", "digest_authentication": true});
    let phone = json!({"name": PHONE, "model": "Cisco 8845", "security_profile": "Digest", "lines": ["1001"],
                       "digest_user": "alice"});
    let steps = vec![
        create(Kind::Line, json!({"dn": "1001"})),
        create(Kind::EndUser, json!({"id": "alice", "digest_credentials": "secret1"})),
        create(Kind::SecurityProfile, profile),
        create(Kind::Phone, phone),
    ];
    catalog.change(&request(steps), tools(&committer)).unwrap();
    store
}

/// Everything that a start would know: rows with secrets, tokens, and the audit's length.
fn state(store: &Arc<MemoryStore>) -> (Vec<String>, Vec<Box<str>>, u64) {
    let catalog = Catalog::load(&**store, key(), "node").unwrap();
    let audit = AuditReader::new(Arc::clone(store) as Arc<dyn Store>, &key());
    let verified = audit.verify(None).unwrap();
    let rows = catalog.inventory().export(true).collect();
    (rows, catalog.tokens().map(|t| t.name.clone()).collect(), verified.entries)
}

type Doing = fn(&mut Catalog, &dyn Committer) -> bool;

fn change(catalog: &mut Catalog, committer: &dyn Committer, steps: Vec<Step>) -> bool {
    catalog.change(&request(steps), tools(committer)).is_ok()
}

fn named(kind: Kind, name: &str) -> Step {
    Step::Remove { kind, name: name.to_owned() }
}

/// Changes of several records each.
fn doings() -> [(&'static str, Doing); 8] {
    [
        ("create with all it needs", |catalog, c| {
            let phone = json!({"name": "SEP00AABBCCDD02", "model": "Cisco 8845", "lines": ["1001", "1002"]});
            change(catalog, c, vec![create(Kind::Line, json!({"dn": "1002"})), create(Kind::Phone, phone)])
        }),
        ("rename of an assigned profile", |catalog, c| {
            change(catalog, c, vec![Step::Rename { name: "Digest".to_owned(), to: "Lobby".to_owned() }])
        }),
        ("another setting of an assigned profile", |catalog, c| {
            let body = json!({"nonce_validity_s": 77});
            change(
                catalog,
                c,
                vec![Step::Merge { kind: Kind::SecurityProfile, name: "Digest".to_owned(), body }],
            )
        }),
        ("a CAPF setting that makes a profile", |catalog, c| {
            let body = json!({"capf": {"key_order": "ec_only", "ec_key_size": 256}});
            change(catalog, c, vec![Step::Merge { kind: Kind::Phone, name: PHONE.to_owned(), body }])
        }),
        ("delete with what it leaves behind", |catalog, c| {
            let all = [(Kind::Phone, PHONE), (Kind::SecurityProfile, "Digest"), (Kind::Line, "1001")];
            change(catalog, c, all.map(|(kind, name)| named(kind, name)).to_vec())
        }),
        ("another secret", |catalog, c| {
            let body = json!({"digest_credentials": "secret2"});
            change(catalog, c, vec![Step::Merge { kind: Kind::EndUser, name: "alice".to_owned(), body }])
        }),
        ("what is refused", |catalog, c| !change(catalog, c, vec![named(Kind::Line, "1001")])),
        ("a token", |catalog, c| {
            let token = Token {
                name: "nightly".into(),
                role: Role::Operator,
                created: keyline_domain::ids::UnixMillis(1),
                expires: None,
                hash: [1; 32],
            };
            catalog.change_token(TokenChange::Create(token), &Who::default(), c).is_ok()
        }),
    ]
}

#[test]
fn a_change_and_its_entry_are_there_together_or_not_at_all() {
    for (what, doing) in doings() {
        let old = state(&begun());
        let new = {
            let store = begun();
            let mut catalog = Catalog::load(&*store, key(), "node").unwrap();
            let whole: &dyn Store = &*store;
            assert!(doing(&mut catalog, &whole), "{what}");
            state(&store)
        };
        assert!(new.2 > old.2, "{what}: it has an entry");
        for written in [false, true] {
            // However many commits it should ever take.
            for at in 1..=3 {
                let store = begun();
                let mut catalog = Catalog::load(&*store, key(), "node").unwrap();
                let ending = Ending { store: &store, left: Cell::new(at), written };
                doing(&mut catalog, &ending);
                let now = state(&store);
                let expected = if at > 1 || written { &new } else { &old };
                assert_eq!(&now, expected, "{what}: cut off at commit {at}, written {written}");
            }
        }
    }
}

#[test]
fn an_entry_says_what_was_before_and_after_without_the_secret() {
    let store = begun();
    let mut catalog = Catalog::load(&*store, key(), "node").unwrap();
    let whole: &dyn Store = &*store;
    for (what, doing) in doings().into_iter().skip(3).take(3).chain(doings().into_iter().skip(1).take(1)) {
        // The profile is gone by then, so is its name.
        let _ = (what, doing(&mut catalog, &whole));
    }
    let audit = AuditReader::new(Arc::clone(&store) as Arc<dyn Store>, &key());
    let mut entries = Vec::new();
    let all = audit.walk(None, false, 1000, |_, found| {
        entries.push(found.unwrap().0);
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(all.unwrap(), None);
    let find = |operation: &str, kind: &str, name: &str| {
        let fits = |e: &&keyline_domain::audit::Entry| {
            (&*e.operation, &*e.kind, &*e.name) == (operation, kind, name)
        };
        entries.iter().rev().find(fits).unwrap_or_else(|| panic!("{operation} {kind} {name}: {entries:#?}"))
    };
    let capf = find("merge", "phone", PHONE);
    let profile = |row: &Option<Value>| row.as_ref().unwrap()["security_profile"].clone();
    assert_eq!((profile(&capf.before), profile(&capf.after)), (json!("Digest"), json!("Digest EC-256")));
    assert_eq!(capf.also.iter().map(|o| &**o).collect::<Vec<_>>(), ["security_profile/Digest EC-256"]);
    let made = find("create", "end_user", "alice");
    assert_eq!((&made.before, &made.after.as_ref().unwrap()["digest_credentials"]), (&None, &json!("set")));
    let secret = find("merge", "end_user", "alice");
    assert_eq!(secret.after.as_ref().unwrap()["digest_credentials"], "changed");
    let gone = find("remove", "security_profile", "Digest");
    assert_eq!((gone.before.as_ref().unwrap()["nonce_validity_s"].clone(), &gone.after), (json!(600), &None));
    let refused = find("rename", "security_profile", "Digest");
    assert_eq!(refused.result, keyline_domain::audit::Happened::refused("security_profile_not_found"));
    assert!(!format!("{entries:?}").contains("secret1") && !format!("{entries:?}").contains("secret2"));
}

struct Nowhere;

impl Outlet for Nowhere {
    fn emit(&self, _: u16, _: Vec<Emission>) {}
}

const ROUNDS: usize = 1000;
const PHONES: usize = 200;

fn device(n: usize) -> String {
    format!("SEP{:012X}", 0x0011_2233_0000 + n)
}

/// Two hundred assignments, all under way at once from two threads, race the delete of their profile from a third, in the
/// running catalog, a thousand times: either all of them are refused, since the profile is gone, or the delete is,
/// since it is in use.
#[test]
fn r101_a_profile_is_deleted_or_assigned_never_both() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        node: "node".to_owned(),
        data_dir: folder.path().to_owned(),
        key_file: folder.path().join("node.key"),
        engine: Engine::Memory,
        power_safe: false,
    };
    let mut rows = String::new();
    for n in 0..PHONES {
        rows +=
            &format!("{}\n", json!({"kind": "phone", "name": device(n), "model": "Cisco 8845", "lines": []}));
    }
    let mut opened = open(options, &Blind).unwrap();
    opened.import(rows.as_bytes(), &Who::default(), &Blind).unwrap();
    let tree = TreeOptions {
        shards: 1,
        queue: 1 << 16,
        calls_per_shard: 1,
        allow_unproven_move: false,
        nonce_key_s: 86_400,
        oauth_key_s: 86_400,
        ticket_key_s: 21_600,
        phone_idle_ms: 1000,
        subscriptions_per_phone: 1,
    };
    actix::System::new().block_on(async move {
        let loaded = opened.load().unwrap();
        let handle = loaded.start(tree, Arc::new(Nowhere), Arc::new(Blind), &Registry::new()).unwrap();
        let barrier = Arc::new(Barrier::new(3));
        let assign = |from: usize, to: usize| {
            let (handle, barrier) = (handle.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                actix::System::new().block_on(async move {
                    let mut done = Vec::new();
                    for round in 0..ROUNDS {
                        let steps: Vec<_> = (from..to)
                            .map(|n| {
                                let body = json!({"security_profile": format!("Race {round}")});
                                Step::Merge { kind: Kind::Phone, name: device(n), body }
                            })
                            .collect();
                        barrier.wait();
                        let ask = |step| {
                            let handle = handle.clone();
                            actix::spawn(async move { handle.change(request(vec![step])).await })
                        };
                        let asked: Vec<_> = steps.into_iter().map(ask).collect();
                        let mut taken = 0;
                        for answer in asked {
                            match answer.await.unwrap() {
                                Ok(_) => taken += 1,
                                Err(ChangeError::Refused { .. }) => {}
                                Err(other) => panic!("{other}"),
                            }
                        }
                        done.push(taken);
                        barrier.wait();
                    }
                    done
                })
            })
        };
        let (half, rest) = (assign(0, PHONES / 2), assign(PHONES / 2, PHONES));
        let mut deleted = Vec::new();
        for round in 0..ROUNDS {
            let name = format!("Race {round}");
            let body = json!({"name": name, "model": "Cisco 8845", "digest_authentication": true});
            handle.change(request(vec![create(Kind::SecurityProfile, body)])).await.unwrap();
            barrier.wait();
            // Now earlier, now later among the assignments.
            for _ in 0..round % 10 * 4000 {
                std::hint::spin_loop();
            }
            let gone = handle.change(request(vec![named(Kind::SecurityProfile, &name)])).await;
            barrier.wait();
            let (dangling, using, there) = handle
                .look(move |catalog| {
                    let inventory = catalog.inventory();
                    let all = (0..PHONES)
                        .map(|n| inventory.device(&DeviceName::parse(&device(n)).unwrap()).unwrap());
                    let profiles: Vec<_> =
                        all.map(|v| inventory.profile(v.profile).map(|p| p.name.clone())).collect();
                    let using = profiles.iter().flatten().filter(|p| **p == name).count();
                    (
                        profiles.iter().filter(|p| p.is_none()).count(),
                        using,
                        inventory.profile_id(&name).is_some(),
                    )
                })
                .await
                .unwrap();
            assert_eq!(dangling, 0, "round {round}");
            assert_eq!(
                (gone.is_ok(), using),
                if there { (false, PHONES) } else { (true, 0) },
                "round {round}"
            );
            if let Err(error) = &gone {
                assert_eq!(error.code(), "in_use", "round {round}");
            }
            deleted.push(gone.is_ok());
        }
        let (half, rest) = (half.join().unwrap(), rest.join().unwrap());
        for (round, gone) in deleted.iter().enumerate() {
            assert_eq!(half[round] + rest[round], if *gone { 0 } else { PHONES }, "round {round}");
        }
        let gone = deleted.iter().filter(|d| **d).count();
        println!("{ROUNDS} rounds: {gone} profiles deleted first, {} assigned first", ROUNDS - gone);
        // Each of the requests has its entry.
        let verified = handle.audit().verify(None).unwrap();
        assert_eq!(verified.head.tip.seq, (1 + ROUNDS * (PHONES + 2)) as u64);
        handle.close();
    });
}
