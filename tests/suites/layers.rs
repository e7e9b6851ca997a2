//! The structure of the code is a rule like any other: arrows between crates, no circles inside one,
//! small files, no `unsafe`, no lock where packets pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folder, package, and the own packages that it may depend on (dev-dependencies included).
const CRATES: &[(&str, &str, &[&str])] = &[
    ("actors/domain", "keyline-domain", &[]),
    ("engine/wire", "keyline-wire", &[]),
    ("storage", "keyline-storage", &[]),
    ("actors", "keyline-actors", &["keyline-domain", "keyline-storage"]),
    ("engine", "keyline-engine", &["keyline-actors", "keyline-domain", "keyline-wire"]),
    ("loadtest", "keyline-loadtest", &["keyline-domain", "keyline-wire"]),
    ("benches", "keyline-benches", &["*"]),
    ("tests", "keyline-tests", &["*"]),
];

/// Heavy third-party crates and the only packages that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("rocksdb", &["keyline-storage"]),
    ("etcd-client", &["keyline-storage"]),
    ("actix", &["keyline-actors", "keyline-engine"]),
    ("actix-web", &["keyline-engine"]),
    ("openssl", &["keyline-benches", "keyline-engine"]),
    ("tokio-openssl", &["keyline-engine"]),
    ("rcgen", &["keyline-benches", "keyline-engine", "keyline-loadtest", "keyline-tests"]),
    ("quick-xml", &["keyline-engine"]),
    ("clap", &["keyline-engine", "keyline-loadtest"]),
    ("rustls", &["keyline-benches", "keyline-engine", "keyline-loadtest", "keyline-tests", "keyline-wire"]),
    ("tokio-rustls", &["keyline-engine", "keyline-loadtest"]),
    ("quinn", &["keyline-engine", "keyline-loadtest"]),
    ("hdrhistogram", &["keyline-loadtest"]),
    ("criterion", &["keyline-benches"]),
    ("ezk-sip-types", &["keyline-tests"]),
];

/// Packages in which time, threads, sockets and randomness are arguments.
const PURE: &[&str] = &["actors/domain", "engine/wire"];
const IMPURE: &[&str] = &[
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::fs",
    "SystemTime::now",
    "Instant::now",
    "std::thread::spawn",
    "getrandom",
    "tokio",
    "std::env",
];

/// File → why it may hold `unsafe`.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[(
    "engine/src/tls/legacy/tickets.rs",
    "keys of old phones' session tickets: one call of OpenSSL for which its crate has no safe function",
)];

/// Folders where packets pass: no `Mutex`, no `RwLock`.
const LOCK_FREE: &[&str] =
    &["engine/src/admission", "engine/src/tls/verify", "actors/src/board", "actors/domain/src/nonce"];
/// File → why it may hold a lock all the same.
const LOCKS_ALLOWED: &[(&str, &str)] = &[];

const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for e in entries.flatten() {
        let path = e.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target" && n != "fixtures") {
                rust_files(&path, out);
            }
        } else if path.extension().is_some_and(|x| x == "rs") {
            out.push(path);
        }
    }
}

fn all_files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for (dir, ..) in CRATES {
        rust_files(&root().join(dir), &mut paths);
    }
    let set: BTreeSet<_> = paths.into_iter().collect();
    set.into_iter()
        .map(|p| {
            let text = std::fs::read_to_string(&p).expect("a source file");
            (p.strip_prefix(root()).expect("under the root").to_string_lossy().into_owned(), text)
        })
        .collect()
}

/// A file's lines without comments, strings kept.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|l| !l.starts_with("//"))
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        if let Some(t) = manifest.get(section).and_then(|d| d.as_table()) {
            names.extend(t.keys().cloned());
        }
    }
    names
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let workspace: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))
        .expect("workspace manifest")
        .parse()
        .expect("toml");
    let members: BTreeSet<_> = workspace["workspace"]["members"]
        .as_array()
        .expect("members")
        .iter()
        .filter_map(|m| m.as_str().map(str::to_owned))
        .collect();
    assert_eq!(members, CRATES.iter().map(|(d, ..)| (*d).to_owned()).collect(), "a crate without arrows");
    let mut faults = Vec::new();
    for (dir, package, may) in CRATES {
        let text = std::fs::read_to_string(root().join(dir).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("toml");
        for d in dependencies(&manifest) {
            if d.starts_with("keyline-") && !may.contains(&"*") && !may.contains(&d.as_str()) {
                faults.push(format!("{package} → {d}"));
            }
            if let Some((_, homes)) = HOMES.iter().find(|(n, _)| *n == d)
                && !homes.contains(package)
                && *package != "keyline-benches"
            {
                faults.push(format!("{package} uses {d}, whose home is {homes:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_fuzz_targets_stand_apart_and_see_wire_only() {
    let text = std::fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = text.parse().expect("toml");
    assert!(manifest.contains_key("workspace"), "stable builds must not need libFuzzer");
    let names = dependencies(&manifest);
    let own: Vec<_> = names.iter().filter(|d| d.starts_with("keyline-")).collect();
    assert_eq!(own, ["keyline-wire"]);
}

#[test]
fn pure_crates_touch_no_clock_socket_file_or_thread() {
    let mut faults = Vec::new();
    for (path, text) in all_files() {
        if PURE.iter().any(|p| path.starts_with(&format!("{p}/src"))) && !path.contains("tests") {
            let body = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code(body) {
                for word in IMPURE {
                    if line.contains(word) {
                        faults.push(format!("{path}: {line}"));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn top_level_modules_form_no_circle() {
    for (dir, package, _) in CRATES.iter().filter(|(d, ..)| !matches!(*d, "tests" | "benches")) {
        let src = root().join(dir).join("src");
        let mut files = Vec::new();
        rust_files(&src, &mut files);
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for f in &files {
            let relative = f.strip_prefix(&src).expect("under src");
            let first = relative.components().next().expect("a name").as_os_str().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            if matches!(module.as_str(), "lib" | "main") {
                continue;
            }
            let text = std::fs::read_to_string(f).expect("a source file");
            let body = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_test = relative.components().any(|c| c.as_os_str().to_string_lossy().starts_with("tests"));
            if is_test {
                continue;
            }
            for line in code(body) {
                for (at, _) in line.match_indices("crate::") {
                    let rest = &line[at + 7..];
                    let names: Vec<String> = if let Some(group) = rest.strip_prefix('{') {
                        group
                            .split([',', '}'])
                            .map(|s| s.trim().split("::").next().unwrap_or_default().to_owned())
                            .collect()
                    } else {
                        vec![
                            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                                .next()
                                .unwrap_or_default()
                                .to_owned(),
                        ]
                    };
                    for n in names {
                        let exists = src.join(format!("{n}.rs")).exists() || src.join(&n).is_dir();
                        if n != module && exists {
                            arrows.entry(module.clone()).or_default().insert(n);
                        }
                    }
                }
            }
        }
        if let Some(circle) = find_circle(&arrows) {
            panic!("{package}: import circle {}", circle.join(" → "));
        }
    }
}

fn find_circle(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        arrows: &BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(i) = path.iter().position(|p| p == at) {
            let mut circle = path[i..].to_vec();
            circle.push(at.to_owned());
            return Some(circle);
        }
        if !done.contains(at) {
            path.push(at.to_owned());
            for next in arrows.get(at).into_iter().flatten() {
                if let Some(c) = visit(next, arrows, path, done) {
                    return Some(c);
                }
            }
            path.pop();
            done.insert(at.to_owned());
        }
        None
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|m| visit(m, arrows, &mut Vec::new(), &mut done))
}

#[test]
fn a_circle_would_be_found() {
    let arrows: BTreeMap<String, BTreeSet<String>> = [("a", "b"), ("b", "c"), ("c", "a")]
        .into_iter()
        .map(|(x, y)| (x.to_owned(), BTreeSet::from([y.to_owned()])))
        .collect();
    assert_eq!(find_circle(&arrows).map(|c| c.len()), Some(4));
}

#[test]
fn files_stay_small() {
    let large: Vec<_> = all_files()
        .into_iter()
        .filter_map(|(path, text)| {
            let n = text.lines().count();
            (n > LINES_MAX).then(|| format!("{path}: {n} lines, at most {LINES_MAX}"))
        })
        .collect();
    assert!(large.is_empty(), "{large:#?}");
}

#[test]
fn unsafe_and_locks_only_where_a_reason_is_given() {
    let mut faults = Vec::new();
    for (path, text) in all_files() {
        if path.starts_with("tests/suites/layers") {
            continue;
        }
        let allowed = UNSAFE_ALLOWED.iter().any(|(p, _)| *p == path);
        if !allowed && code(&text).any(|l| l.contains("unsafe ") && !l.contains("unsafe_code")) {
            faults.push(format!("{path}: unsafe"));
        }
        let body = text.split("#[cfg(test)]").next().unwrap_or_default();
        if LOCK_FREE.iter().any(|p| path.starts_with(p))
            && !LOCKS_ALLOWED.iter().any(|(p, _)| *p == path)
            && code(body).any(|l| l.contains("Mutex") || l.contains("RwLock"))
        {
            faults.push(format!("{path}: a lock where packets pass"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
