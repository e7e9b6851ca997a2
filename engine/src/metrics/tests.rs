//! Names, labels and zeros.

use std::collections::BTreeMap;

use keyline_domain::admit::Refusal;

use super::*;

/// Every series of a family with its value: labels joined by commas.
fn series(registry: &Registry, name: &str) -> BTreeMap<String, f64> {
    let families = registry.gather();
    let family = families.iter().find(|f| f.name() == name).unwrap_or_else(|| panic!("no family {name}"));
    let labels = |m: &prometheus::proto::Metric| {
        m.get_label().iter().map(|l| l.value().to_owned()).collect::<Vec<_>>().join(",")
    };
    family.get_metric().iter().map(|m| (labels(m), m.get_counter().get_value())).collect()
}

#[test]
fn every_series_exists_before_the_first_event() {
    let registry = Registry::new();
    EngineMetrics::new(&registry).unwrap();
    for (name, count) in [
        ("keyline_sip_messages_received_total", 6),
        ("keyline_sip_requests_received_total", METHODS.len()),
        ("keyline_sip_requests_sent_total", METHODS.len()),
        ("keyline_sip_responses_sent_total", 6),
        ("keyline_sip_parse_rejects_total", REJECTS.len()),
        ("keyline_admission_verdicts_total", 4 * (Cause::ALL.len() + 1)),
        ("keyline_admission_events_total", EVENTS.len()),
        ("keyline_sip_shed_total", SHED.len()),
        ("keyline_overload_dropped_total", overload::DROPPED.len()),
        ("keyline_udp_receive_lost_total", 1),
        ("keyline_connection_closed_total", CLOSED.len()),
        ("keyline_limits_refused_total", Limit::ALL.len()),
        ("keyline_connection_open", 6),
        ("keyline_tls_handshakes_total", HANDSHAKES.len()),
        ("keyline_tls_connections_total", VERSIONS.len()),
        ("keyline_tls_completed_total", COMPLETED.len()),
        ("keyline_tls_suites_total", 11),
        ("keyline_tls_weak_total", 3),
        ("keyline_tls_revoked_total", 5),
        ("keyline_worker_inbox_dropped_total", 1),
        ("keyline_udp_receive_errors_total", 1),
    ] {
        let found = series(&registry, name);
        assert_eq!(found.len(), count, "{name}");
        assert!(found.values().all(|value| *value == 0.0), "{name}");
    }
}

#[test]
fn names_follow_one_pattern() {
    let registry = Registry::new();
    EngineMetrics::new(&registry).unwrap().worker_gauges(0, 1, 2, 3);
    for family in registry.gather() {
        let name = family.name();
        assert!(name.starts_with("keyline_"), "{name}");
        let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        assert_eq!(counter, name.ends_with("_total"), "{name}");
        assert!(!family.help().is_empty(), "{name}");
    }
}

#[test]
fn causes_stand_in_the_order_of_their_declaration() {
    for (place, cause) in Cause::ALL.iter().enumerate() {
        assert_eq!(*cause as usize, place, "{}", cause.as_str());
    }
}

#[test]
fn each_event_moves_its_own_series_only() {
    let registry = Registry::new();
    let metrics = EngineMetrics::new(&registry).unwrap();
    metrics.message(Transport::Tls);
    metrics.request("PUBLISH");
    metrics.request("WHATEVER");
    metrics.response(603);
    metrics.response(0);
    metrics.response(999);
    metrics.parse_reject(&ParseError::Version);
    metrics.parse_reject(&ParseError::Empty);
    metrics.handshake("client_certificate_expired");
    metrics.handshake("never heard of");
    metrics.tls_session("1.2", 0xC02F);
    metrics.tls_session("1.1", 0x0002);
    metrics.verdict(&Verdict::Challenge { stale: false, cause: Cause::DigestAbsent });
    metrics.verdict(&Verdict::Challenge { stale: true, cause: Cause::NonceExpired });
    metrics.verdict(&Verdict::Refuse(Refusal {
        status: 403,
        reason: "Forbidden",
        cause: Cause::NotOnItsFlow,
        event: Some(Event::UnprovenMove),
    }));
    let moved = |name: &str| -> Vec<(String, f64)> {
        series(&registry, name).into_iter().filter(|(_, value)| *value > 0.0).collect()
    };
    let once = |labels: &[&str]| labels.iter().map(|l| ((*l).to_owned(), 1.0)).collect::<Vec<_>>();
    assert_eq!(moved("keyline_sip_messages_received_total"), once(&["tls"]));
    assert_eq!(moved("keyline_sip_requests_received_total"), once(&["PUBLISH", "other"]));
    assert_eq!(moved("keyline_sip_responses_sent_total"), [("1xx".to_owned(), 1.0), ("6xx".to_owned(), 2.0)]);
    assert_eq!(moved("keyline_sip_parse_rejects_total"), once(&["400", "505"]));
    assert_eq!(moved("keyline_tls_handshakes_total"), once(&["client_certificate_expired", "other"]));
    assert_eq!(moved("keyline_tls_connections_total"), once(&["1.1", "1.2"]));
    let suites = once(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_NULL_SHA"]);
    assert_eq!(moved("keyline_tls_suites_total"), suites);
    let weak = once(&["not_encrypted", "static_rsa", "version_before_1_2"]);
    assert_eq!(moved("keyline_tls_weak_total"), weak);
    // Labels come in alphabetical order of their names: cause, verdict.
    let verdicts = once(&["digest_absent,challenge", "nonce_expired,stale", "not_on_its_flow,refuse"]);
    assert_eq!(moved("keyline_admission_verdicts_total"), verdicts);
    assert_eq!(moved("keyline_admission_events_total"), once(&["unproven_move"]));
}

#[test]
fn a_registry_takes_the_engine_once() {
    let registry = Registry::new();
    EngineMetrics::new(&registry).unwrap();
    assert!(EngineMetrics::new(&registry).is_err());
}

#[test]
fn each_limit_counts_under_its_own_name() {
    let registry = Registry::new();
    let metrics = EngineMetrics::new(&registry).unwrap();
    for limit in Limit::ALL {
        metrics.limit(*limit);
        assert_eq!(series(&registry, "keyline_limits_refused_total")[limit.as_str()], 1.0, "{limit:?}");
    }
}
