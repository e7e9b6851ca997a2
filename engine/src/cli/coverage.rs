//! Every operation of the admin API has a subcommand: the table that docs/CLI.md shows, held against the API's
//! description, the commands and the document.

use std::collections::BTreeSet;

use clap::CommandFactory as _;

use super::args::Arguments;
use crate::admin::description;

/// Method, path below `/api/v1`, and the subcommand that asks it; two where an object has two ways.
const TABLE: &[(&str, &str, &str)] = &[
    ("GET", "/health", "health"),
    ("GET", "/ready", "health"),
    ("GET", "/openapi.json", "openapi"),
    ("GET", "/nodes", "nodes"),
    ("GET", "/calls", "calls"),
    ("GET", "/calls/{id}", "call show"),
    ("GET", "/calls/{id}/security", "explain call"),
    ("GET", "/registrations", "registrations"),
    ("GET", "/trace/phones/{name}", "trace phone"),
    ("GET", "/trace/calls/{id}", "trace call"),
    ("POST", "/bulk", "bulk"),
    ("POST", "/import", "import"),
    ("GET", "/export", "export"),
    ("GET", "/tokens", "token list"),
    ("POST", "/tokens", "token create"),
    ("GET", "/tokens/{name}", "token show"),
    ("DELETE", "/tokens/{name}", "token revoke"),
    ("GET", "/oauth/keys", "oauth keys"),
    ("POST", "/oauth/tokens", "oauth issue"),
    ("POST", "/oauth/rotate", "oauth rotate"),
    ("GET", "/audit", "audit list"),
    ("GET", "/audit/{seq}", "audit show"),
    ("GET", "/audit/verify", "audit verify"),
    ("GET", "/phones", "phone list"),
    ("POST", "/phones", "phone add"),
    ("GET", "/phones/{key}", "phone show"),
    ("PUT", "/phones/{key}", "phone replace"),
    ("PATCH", "/phones/{key}", "phone set"),
    ("DELETE", "/phones/{key}", "phone delete"),
    ("POST", "/phones/{key}/login", "phone login"),
    ("POST", "/phones/{key}/logout", "phone logout"),
    ("PATCH", "/phones/{key}/capf", "phone capf"),
    ("GET", "/phones/{key}/setup", "phone setup"),
    ("POST", "/phones/delete", "phone delete"),
    ("POST", "/phones/{name}/reset", "phone reset"),
    ("POST", "/phones/{name}/restart", "phone restart"),
    ("POST", "/phones/{name}/apply", "phone apply"),
    ("GET", "/security-profiles", "profile list"),
    ("POST", "/security-profiles", "profile add"),
    ("GET", "/security-profiles/{key}", "profile show"),
    ("PUT", "/security-profiles/{key}", "profile replace"),
    ("PATCH", "/security-profiles/{key}", "profile set"),
    ("DELETE", "/security-profiles/{key}", "profile delete"),
    ("POST", "/security-profiles/delete", "profile delete"),
    ("GET", "/security-profiles/{key}/dependencies", "profile dependencies"),
    ("POST", "/security-profiles/{key}/copy", "profile copy"),
    ("POST", "/security-profiles/{key}/rename", "profile rename"),
    ("POST", "/security-profiles/{name}/apply", "profile apply"),
    ("POST", "/security-profiles/{name}/restart", "profile restart"),
    ("POST", "/security-profiles/{name}/reset", "profile reset"),
    ("GET", "/rollouts", "rollout list"),
    ("GET", "/rollouts/{id}", "rollout show"),
    ("POST", "/rollouts/{id}/pause", "rollout pause"),
    ("POST", "/rollouts/{id}/resume", "rollout resume"),
    ("POST", "/rollouts/{id}/stop", "rollout stop"),
    ("GET", "/end-users", "user list"),
    ("POST", "/end-users", "user add"),
    ("GET", "/end-users/{key}", "user show"),
    ("PUT", "/end-users/{key}", "user replace"),
    ("PATCH", "/end-users/{key}", "user set"),
    ("DELETE", "/end-users/{key}", "user delete"),
    ("POST", "/end-users/delete", "user delete"),
    ("GET", "/end-users/{key}/dependencies", "user dependencies"),
    ("GET", "/application-users", "user list --application"),
    ("POST", "/application-users", "user add --application"),
    ("GET", "/application-users/{key}", "user show --application"),
    ("PUT", "/application-users/{key}", "user replace --application"),
    ("PATCH", "/application-users/{key}", "user set --application"),
    ("DELETE", "/application-users/{key}", "user delete --application"),
    ("POST", "/application-users/delete", "user delete --application"),
    ("GET", "/application-users/{key}/dependencies", "user dependencies --application"),
    ("GET", "/lines", "line list"),
    ("POST", "/lines", "line add"),
    ("GET", "/lines/{key}", "line show"),
    ("PUT", "/lines/{key}", "line replace"),
    ("PATCH", "/lines/{key}", "line set"),
    ("DELETE", "/lines/{key}", "line delete"),
    ("POST", "/lines/delete", "line delete"),
    ("GET", "/lines/{key}/dependencies", "line dependencies"),
    ("PUT", "/lines/{dn}/message-waiting", "line messages"),
    ("GET", "/parameters", "parameter list"),
    ("GET", "/parameters/{key}", "parameter show"),
    ("PUT", "/parameters/{key}", "parameter set"),
    ("PATCH", "/parameters/{key}", "parameter set"),
    ("DELETE", "/parameters/{key}", "parameter delete"),
    ("GET", "/common-phone-profiles", "common-profile list"),
    ("POST", "/common-phone-profiles", "common-profile add"),
    ("GET", "/common-phone-profiles/{key}", "common-profile show"),
    ("PUT", "/common-phone-profiles/{key}", "common-profile replace"),
    ("PATCH", "/common-phone-profiles/{key}", "common-profile set"),
    ("DELETE", "/common-phone-profiles/{key}", "common-profile delete"),
    ("POST", "/common-phone-profiles/delete", "common-profile delete"),
    ("GET", "/common-phone-profiles/{key}/dependencies", "common-profile dependencies"),
    ("GET", "/enterprise-phone", "enterprise show"),
    ("PUT", "/enterprise-phone", "enterprise replace"),
    ("PATCH", "/enterprise-phone", "enterprise set"),
    ("DELETE", "/enterprise-phone", "enterprise delete"),
    ("GET", "/phone-models", "model list"),
    ("POST", "/phone-models", "model add"),
    ("GET", "/phone-models/{key}", "model show"),
    ("PUT", "/phone-models/{key}", "model replace"),
    ("PATCH", "/phone-models/{key}", "model set"),
    ("DELETE", "/phone-models/{key}", "model delete"),
    ("GET", "/packages", "package list"),
    ("POST", "/packages", "package install"),
    ("GET", "/packages/{key}", "package show"),
    ("DELETE", "/packages/{key}", "package delete"),
    ("GET", "/features", "feature list"),
    ("GET", "/features/{key}", "feature show"),
    ("GET", "/gateways", "gateway list"),
    ("GET", "/gateways/{key}", "gateway show"),
    ("GET", "/hardening-templates", "hardening-template list"),
    ("GET", "/hardening-templates/{key}", "hardening-template show"),
    ("GET", "/security-profile-options", "options"),
    ("GET", "/help", "help-text"),
    ("POST", "/phone-models/delete", "model delete"),
    ("GET", "/phone-models/{key}/dependencies", "model dependencies"),
    ("GET", "/reports/mic", "phone list --filter"),
    ("GET", "/sip-realms", "sip-realm list"),
    ("POST", "/sip-realms", "sip-realm add"),
    ("GET", "/sip-realms/{key}", "sip-realm show"),
    ("PUT", "/sip-realms/{key}", "sip-realm replace"),
    ("PATCH", "/sip-realms/{key}", "sip-realm set"),
    ("DELETE", "/sip-realms/{key}", "sip-realm delete"),
    ("POST", "/sip-realms/delete", "sip-realm delete"),
    ("GET", "/trunk-security-profiles", "trunk-profile list"),
    ("POST", "/trunk-security-profiles", "trunk-profile add"),
    ("GET", "/trunk-security-profiles/{key}", "trunk-profile show"),
    ("PUT", "/trunk-security-profiles/{key}", "trunk-profile replace"),
    ("PATCH", "/trunk-security-profiles/{key}", "trunk-profile set"),
    ("DELETE", "/trunk-security-profiles/{key}", "trunk-profile delete"),
    ("POST", "/trunk-security-profiles/delete", "trunk-profile delete"),
    ("GET", "/trunks", "trunk list"),
    ("POST", "/trunks", "trunk add"),
    ("GET", "/trunks/{key}", "trunk show"),
    ("PUT", "/trunks/{key}", "trunk replace"),
    ("PATCH", "/trunks/{key}", "trunk set"),
    ("DELETE", "/trunks/{key}", "trunk delete"),
    ("POST", "/trunks/delete", "trunk delete"),
    ("GET", "/certificates", "cert list"),
    ("POST", "/certificates", "cert add"),
    ("GET", "/certificates/{purpose}/{fingerprint}", "cert show"),
    ("PUT", "/certificates/{purpose}/{fingerprint}", "cert replace"),
    ("PATCH", "/certificates/{purpose}/{fingerprint}", "cert set"),
    ("DELETE", "/certificates/{purpose}/{fingerprint}", "cert delete"),
    ("POST", "/certificates/delete", "cert delete"),
    ("GET", "/revocation-lists", "cert crl list"),
    ("POST", "/revocation-lists", "cert crl add"),
    ("DELETE", "/revocation-lists/{name}", "cert crl delete"),
    ("GET", "/own-certificates", "cert own"),
    ("GET", "/own-certificates/{name}", "cert own"),
    ("PUT", "/own-certificates/{name}", "cert install"),
    ("POST", "/own-certificates/{name}/csr", "cert csr"),
    ("PUT", "/own-certificates/{name}/ocsp", "cert staple"),
    ("DELETE", "/own-certificates/{name}/ocsp", "cert staple"),
    ("POST", "/own-certificates/{name}/regenerate", "cert regenerate"),
];

/// The operations that the API describes.
fn described() -> BTreeSet<(String, String)> {
    let document = description();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, operations)| {
            let path = path.strip_prefix("/api/v1").unwrap();
            operations.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.to_owned()))
        })
        .collect()
}

#[test]
fn every_operation_of_the_api_has_a_subcommand() {
    let table: BTreeSet<_> = TABLE.iter().map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(table.len(), TABLE.len(), "an operation stands there twice");
    let described = described();
    let missing: Vec<_> = described.difference(&table).collect();
    assert!(missing.is_empty(), "give each a subcommand and a line of TABLE: {missing:#?}");
    let gone: Vec<_> = table.difference(&described).collect();
    assert!(gone.is_empty(), "the API has these no more: {gone:#?}");
}

#[test]
fn every_subcommand_of_the_table_can_be_typed() {
    for (_, _, typed) in TABLE {
        let mut command = Arguments::command();
        for word in typed.split(' ') {
            match word.strip_prefix("--") {
                None => {
                    let inner = command.find_subcommand(word).cloned();
                    command = inner.unwrap_or_else(|| panic!("there is no {word:?} of `keyline {typed}`"));
                }
                // An option of the noun holds for its verbs.
                Some(option) => {
                    let noun = typed.split(' ').next().unwrap();
                    let all = Arguments::command();
                    let noun = all.find_subcommand(noun).unwrap();
                    let known = noun.get_arguments().chain(command.get_arguments());
                    assert!(known.into_iter().any(|a| a.get_long() == Some(option)), "{typed}");
                }
            }
        }
    }
}

#[test]
fn the_document_lists_every_operation_with_its_subcommand() {
    let text = include_str!("../../../docs/CLI.md");
    for (method, path, typed) in TABLE {
        let row = format!("| `{method} {path}` | `keyline {typed}` |");
        assert!(text.lines().any(|line| line == row), "docs/CLI.md lacks {row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains("` | `keyline ")).count();
    assert_eq!(rows, TABLE.len(), "docs/CLI.md has a row too many");
}
