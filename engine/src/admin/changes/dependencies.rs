//! Dependency records: what names an object, from the inventory's indexes (R186, R187).

use actix_web::{HttpRequest, HttpResponse, web};
use keyline_domain::inventory::{Dependents, DependentsPlace, Kind};
use serde_json::{Value, json};

use super::super::api::Node;
use super::super::http::{Answer, Pairs, readable};
use super::super::lists::{List, Position, Query, Shape, World};
use super::super::problem::{Code, Problem};
use super::key_of;

/// Those that a refusal names.
const NAMED_MAX: usize = 10;

/// Lists whose objects something may name.
const LISTS: [List; 6] = [
    List::SecurityProfiles,
    List::CommonPhoneProfiles,
    List::PhoneModels,
    List::EndUsers,
    List::ApplicationUsers,
    List::Lines,
];

/// What a page of dependency records knows: they come in the order in which phones were added.
pub(in crate::admin) static SHAPE: Shape =
    Shape { name: "dependencies", key: "place", filters: &["name"], sorts: &["place"] };

/// The lists, for the description.
pub(in crate::admin) fn lists() -> impl Iterator<Item = List> {
    LISTS.into_iter()
}

/// Adds a path for each list to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    for list in LISTS {
        let read = move |node: Node, request: HttpRequest, pairs: Pairs| page(list, node, request, pairs);
        config.service(readable(&format!("/{}/{{key}}/dependencies", list.shape().name), read));
    }
}

async fn page(list: List, node: Node, request: HttpRequest, pairs: Pairs) -> Answer {
    let key = key_of(list, &request)?;
    let pairs = pairs.into_inner();
    let read = move |world: &World<'_>| dependencies(list, world, &key, &pairs);
    Ok(HttpResponse::Ok().json(node.read(Box::new(read)).await?))
}

/// A page of what names an object.
///
/// # Errors
/// There is no such object, the records are off, or what is asked is no place in them.
pub fn dependencies(
    list: List,
    world: &World<'_>,
    key: &str,
    pairs: &[(String, String)],
) -> Result<Value, Problem> {
    let query = Query::parse(&SHAPE, pairs)?;
    if !query.filters.is_empty() || query.backwards {
        let detail = "dependency records have one order and no filter".to_owned();
        return Err(super::super::lists::refusal("filter", detail));
    }
    list.one(world, key)?;
    if !world.inventory.parameters().dependency_records {
        return Err(off());
    }
    let after = query.after.as_ref().and_then(|p| place(&p.key));
    let found = match list.kind() {
        Some(kind) => world.inventory.dependents(kind, key, after, query.limit),
        None => Dependents::default(),
    };
    let next = found.next.map(|(group, rank)| query.cursor(&Position::key(format!("{group}.{rank}"))));
    let mut body = told(&found);
    body["next"] = json!(next);
    Ok(body)
}

fn place(key: &str) -> Option<DependentsPlace> {
    let (group, rank) = key.split_once('.')?;
    Some((group.parse().ok()?, rank.parse().ok()?))
}

fn off() -> Problem {
    let detail = "dependency records are off; switch on the enterprise parameter dependency_records first. \
                  Elsewhere that is said to cost much CPU; here an index is kept either way";
    Problem::new(Code::DependencyRecordsOff, detail).with("parameter", "dependency_records")
}

fn told(found: &Dependents) -> Value {
    let items: Vec<_> =
        found.items.iter().map(|(kind, name)| json!({ "kind": kind.as_str(), "name": name })).collect();
    json!({ "count": found.count, "items": items })
}

/// Adds to the refusal of a deletion what stands in its way, where the switch allows it.
pub(super) async fn explain(node: &Node, problem: Problem, kind: Kind, name: String) -> Problem {
    let read = move |world: &World<'_>| {
        if !world.inventory.parameters().dependency_records {
            return Ok(Value::Null);
        }
        Ok(told(&world.inventory.dependents(kind, &name, None, NAMED_MAX)))
    };
    match node.read(Box::new(read)).await {
        Ok(Value::Null) | Err(_) => problem,
        Ok(found) => problem.with("dependencies", found),
    }
}
