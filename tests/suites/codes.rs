//! docs/SECURITY-NOTES.md lists every code that a refusal or a warning has, and none that there is not.

use std::collections::BTreeSet;
use std::path::Path;

/// Where codes stand: the heading of their list, and files with the type whose function gives them.
type Sources = &'static [(&'static str, &'static str, &'static str)];

const LISTS: &[(&str, Sources)] = &[
    (
        "## Codes of refused changes",
        &[
            ("actors/domain/src/inventory/error.rs", "impl RowError", "fn code"),
            ("actors/domain/src/profile/rules/mod.rs", "impl ProfileError", "fn code"),
            ("actors/domain/src/model/package/mod.rs", "impl PackageError", "fn code"),
            ("engine/src/pki/inspect/mod.rs", "impl InspectError", "fn code"),
        ],
    ),
    ("## Codes of warnings", &[("actors/domain/src/inventory/report.rs", "impl WarningCode", "fn as_str")]),
    (
        "## Codes of refused or challenged requests",
        &[("actors/domain/src/admit/cause.rs", "impl Cause", "fn as_str")],
    ),
    (
        "## Codes of what keeps a call from being secure",
        &[("actors/domain/src/class/cause.rs", "impl Cause", "fn as_str")],
    ),
    ("## Codes of refused TLS handshakes", &[("engine/src/tls/refused.rs", "impl Refusal", "fn as_str")]),
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The texts that a function of a type gives.
fn given(file: &str, of: &str, function: &str) -> BTreeSet<String> {
    let text = read(file);
    let start = text.find(&format!("{of} {{")).unwrap_or_else(|| panic!("{file}: no {of}"));
    let start = start + text[start..].find(function).unwrap_or_else(|| panic!("{file}: no {function}"));
    let end = start + text[start..].find("\n    }\n").expect("its end");
    let arms = text[start..end].split("=>").skip(1);
    let found: BTreeSet<_> = arms.filter_map(|arm| arm.split('"').nth(1)).map(str::to_owned).collect();
    assert!(found.len() > 1 || file.contains("inspect"), "{file}: {found:?}");
    found
}

/// The codes of a list of the document.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let start = document.find(heading).unwrap_or_else(|| panic!("no {heading}")) + heading.len();
    let end = document[start..].find("\n## ").map_or(document.len(), |at| start + at);
    let rows = document[start..end].lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect()
}

#[test]
fn r009_r191_every_code_is_listed_and_none_that_there_is_not() {
    let document = read("docs/SECURITY-NOTES.md");
    for (heading, sources) in LISTS {
        let given: BTreeSet<_> =
            sources.iter().flat_map(|(file, of, function)| given(file, of, function)).collect();
        let listed = listed(&document, heading);
        let missing: Vec<_> = given.difference(&listed).collect();
        assert!(missing.is_empty(), "docs/SECURITY-NOTES.md lacks under {heading:?}: {missing:?}");
        let gone: Vec<_> = listed.difference(&given).collect();
        assert!(gone.is_empty(), "docs/SECURITY-NOTES.md has too many under {heading:?}: {gone:?}");
    }
}

/// Codes that the scenarios of the document name exist.
#[test]
fn r009_the_scenarios_name_codes_that_there_are() {
    let document = read("docs/SECURITY-NOTES.md");
    let known: BTreeSet<_> = LISTS.iter().flat_map(|(heading, _)| listed(&document, heading)).collect();
    let scenarios = &document[..document.find("## Codes of refused changes").expect("the lists")];
    let named = scenarios.split("(`").skip(1).filter_map(|rest| rest.split('`').next());
    let unknown: Vec<_> = named.filter(|code| !known.contains(*code)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
