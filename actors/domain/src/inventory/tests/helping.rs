//! Help for everything that an administrator sees (R036, R209).

use super::super::{Kind, PARAMETERS};
use crate::help;

/// A new field of a row needs a line in `actors/domain/src/help/`.
#[test]
fn r036_every_field_of_every_kind_has_help() {
    for kind in Kind::rows() {
        let Some(known) = help::of_kind(kind.as_str()) else {
            panic!("kind {kind} has no help; add it in actors/domain/src/help/")
        };
        for field in kind.fields() {
            let found = help::of(kind.as_str(), field);
            assert!(found.is_some(), "{kind}.{field} has no help; add it in actors/domain/src/help/");
        }
        let strange: Vec<_> =
            known.fields.iter().map(|h| h.field).filter(|f| !kind.fields().contains(f)).collect();
        assert!(strange.is_empty(), "help for fields that {kind} does not have: {strange:?}");
    }
}

#[test]
fn r209_every_parameter_has_help_of_its_own() {
    let mut texts = std::collections::HashSet::new();
    for spec in PARAMETERS {
        assert!(spec.help.len() > 20 && texts.insert(spec.help), "{}", spec.name);
    }
}
