//! The admin API held against its own description by schemathesis.

use keyline_tests::client::schemathesis;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::Builder;
use serde_json::json;

#[test]
fn the_api_is_as_it_describes_itself() {
    let mut inventory = Inventory::new();
    inventory.plain_phone("SEP000000000001", "1001").digest_phone("SEP000000000002", "1002");
    inventory.row(json!({"kind": "common_phone_profile", "name": "Lobby"}));
    // Many cases go without a token, or faster than a person would ask.
    let mut node = Builder::new()
        .shards(1)
        .inventory(&inventory)
        .setting("limits", "admin_wrong_tokens_per_minute = 1000000")
        .setting("limits", "admin_requests_per_token = 1000000")
        .setting("limits", "admin_requests_per_source = 1000000")
        .start();
    let mut judge = schemathesis::judge(&node, 3);
    let code = judge.ends_within(std::time::Duration::from_secs(240));
    let text = judge.output();
    assert_eq!(code, Some(0), "it found something");
    assert!(text.contains("No issues found") || text.contains("passed"), "{text}");
    assert!(node.is_alive());
    assert_eq!(node.metric("keyline_actor_restarts_total", ""), 0.0);
}
