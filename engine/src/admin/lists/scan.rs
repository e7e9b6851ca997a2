//! Pages of what may be a million. Phones are found in the index, beside the catalog: its thread hands out a view
//! that stands still, the search runs on a thread of the pool, and the catalog shows the few rows that were found
//! as they are then. Users and lines are walked in slices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyline_actors::board::Boards;
use keyline_domain::find::{
    Criterion, Field, Found, PhoneIndex, Place, ProfileField, Search, Sort, TextField,
};
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use serde_json::{Value, json};

use super::live::Status;
use super::phones::{Phone, short};
use super::{List, Live, Page, Position, Query, World};
use crate::admin::node::NodeApi;
use crate::admin::problem::{Code, Problem};

/// A request that has looked for so long gives what it has; the client asks on.
const ENOUGH: Duration = Duration::from_millis(60);

/// A page of any list.
///
/// # Errors
/// The problem that says why there is none.
pub async fn page_of(node: &dyn NodeApi, list: List, query: Query) -> Result<Value, Problem> {
    match list {
        List::Phones => phones(node, query).await,
        List::Lines | List::EndUsers | List::ApplicationUsers => slices(node, list, query).await,
        _ => node.read(Box::new(move |world| Ok(list.page(world, &query).body()))).await,
    }
}

async fn phones(node: &dyn NodeApi, query: Query) -> Result<Value, Problem> {
    let lost = || Problem::new(Code::Internal, "the search gave no answer");
    let (sender, view) = tokio::sync::oneshot::channel();
    let look = move |world: &World<'_>| {
        // Whoever asked may have gone.
        let _ = sender.send(View::of(world));
        Ok(Value::Null)
    };
    node.read(Box::new(look)).await?;
    let view = view.await.map_err(|_| lost())?;
    let search = tokio::task::spawn_blocking(move || {
        let found = view.find(&query);
        (query, found)
    });
    let (query, found) = search.await.map_err(|_| lost())?;
    node.read(Box::new(move |world| Ok(shown(world, &query, &found).body()))).await
}

/// Slice by slice, changes and other readers in between, until the page is full or the time is over.
async fn slices(node: &dyn NodeApi, list: List, mut query: Query) -> Result<Value, Problem> {
    let (begun, mut items) = (Instant::now(), Vec::new());
    loop {
        let slice = query.clone();
        let mut page = node.read(Box::new(move |world| Ok(list.page(world, &slice).body()))).await?;
        if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
            query.limit -= more.len().min(query.limit);
            items.extend(more);
        }
        let next = page["next"].as_str().and_then(|next| query.position(next));
        if next.is_none() || query.limit == 0 || begun.elapsed() > ENOUGH {
            return Ok(json!({ "items": items, "next": page["next"] }));
        }
        query.after = next;
    }
}

/// The same at once, where nobody waits: for a store that no node holds.
pub(super) fn page(world: &World<'_>, query: &Query) -> Page {
    shown(world, query, &View::of(world).find(query))
}

/// What a search reads; nobody changes it.
struct View {
    index: PhoneIndex,
    live: Option<(Arc<Boards>, UnixMillis)>,
}

impl View {
    fn of(world: &World<'_>) -> Self {
        let live = world.live.map(|live| (Arc::clone(live.boards), live.at));
        Self { index: world.find.clone(), live }
    }

    fn find(&self, query: &Query) -> Found {
        let begun = Instant::now();
        let criteria: Vec<Criterion> = query
            .filters
            .iter()
            .filter_map(|f| {
                let (field, text) = (field(f.field)?, f.text.clone());
                Some(Criterion { field, pattern: f.pattern, text })
            })
            .collect();
        // What the index does not know stands on the boards, phone by phone.
        let others: Vec<_> = query.filters.iter().filter(|f| field(f.field).is_none()).collect();
        let live = self.live.as_ref().map(|(boards, at)| Live { boards, domain: "", at: *at, trunks: None });
        let mut keep = |index: DeviceIndex| {
            let status = live.as_ref().and_then(|live| Status::of(live, index));
            others.iter().all(|f| {
                let value = status.as_ref().and_then(|s| s.value(f.field));
                f.pattern.admits(value.into_iter(), &f.text)
            })
        };
        let mut found = Found::default();
        let mut after = query.after.as_ref().map(|p| Place { value: p.value.clone(), key: p.key.clone() });
        loop {
            let search = Search {
                criteria: &criteria,
                sort: sort(query.sort),
                backwards: query.backwards,
                after: after.as_ref(),
                limit: query.limit - found.phones.len(),
            };
            let part = match others.is_empty() {
                true => self.index.search(&search, None),
                false => self.index.search(&search, Some(&mut keep)),
            };
            found.phones.extend(part.phones);
            found.next = part.next;
            let over = found.phones.len() >= query.limit || begun.elapsed() > ENOUGH;
            match found.next.clone().filter(|_| !over) {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    }
}

/// Rows of what was found, as they are now; what went away or does not fit any more is left out.
fn shown(world: &World<'_>, query: &Query, found: &Found) -> Page {
    let views = found.phones.iter().filter_map(|index| world.inventory.phone_view(*index));
    let items = views
        .map(|view| Phone { view, world })
        .filter(|phone| query.admits(phone))
        .map(|phone| short(&phone))
        .collect();
    let next = found.next.as_ref();
    let next = next.map(|p| query.cursor(&Position { value: p.value.clone(), key: p.key.clone() }));
    Page { items, next }
}

/// A field that the index knows.
fn field(name: &str) -> Option<Field> {
    Some(match name {
        "name" => Field::Text(TextField::Name),
        "description" => Field::Text(TextField::Description),
        "line" => Field::Text(TextField::Line),
        "digest_user" => Field::Text(TextField::DigestUser),
        "em_user" => Field::Text(TextField::EmUser),
        "common_phone_profile" => Field::Text(TextField::Common),
        "security_profile" => Field::Profile(ProfileField::Name),
        "model" => Field::Profile(ProfileField::Model),
        "protocol" => Field::Profile(ProfileField::Protocol),
        "device_security_mode" => Field::Profile(ProfileField::Mode),
        _ => return None,
    })
}

fn sort(name: &str) -> Sort {
    match name {
        "description" => Sort::Description,
        "security_profile" => Sort::Profile(ProfileField::Name),
        "model" => Sort::Profile(ProfileField::Model),
        "protocol" => Sort::Profile(ProfileField::Protocol),
        "device_security_mode" => Sort::Profile(ProfileField::Mode),
        _ => Sort::Name,
    }
}
