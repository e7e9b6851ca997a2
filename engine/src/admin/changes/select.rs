//! Deleting several objects of a list: those that are named, those that filters find, or all that can be
//! configured (R188). First the answer says how many that would be and gives a word to repeat.

use std::sync::OnceLock;

use actix_web::{HttpResponse, web};
use keyline_domain::inventory::Step;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::api::Node;
use super::super::http::Answer;
use super::super::lists::{LIMIT_MAX, List, Query, page_of};
use super::super::problem::{Code, Problem};
use super::bulk::one_by_one;
use super::{Asked, only};

/// Most objects that one request deletes; of more the first ones, and the answer says so.
pub const SELECTED_MAX: usize = 1000;

/// Names that the question shows.
const EXAMPLES: usize = 10;

/// Adds a path for each list to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    for list in List::ALL.into_iter().filter(|list| list.is_open() && list.kind().is_some()) {
        let path = format!("/{}/delete", list.shape().name);
        let delete = move |node: Node, asked: Asked| selected(list, node, asked);
        config.service(only(&path, web::post().to(delete), "POST, OPTIONS"));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    names: Option<Vec<String>>,
    filter: Option<Vec<String>>,
    #[serde(default)]
    all: bool,
    confirm: Option<String>,
}

async fn selected(list: List, node: Node, asked: Asked) -> Answer {
    let body: Body = asked.shape()?;
    asked.unconditional()?;
    asked.once()?;
    let wrong = |detail: &str| Err(Problem::new(Code::BadRequest, detail));
    let (names, more) = match (body.names, body.filter, body.all) {
        (Some(names), None, false) => {
            if !(1..=SELECTED_MAX).contains(&names.len()) {
                return wrong(&format!("{} names; 1 to {SELECTED_MAX} are taken", names.len()));
            }
            let mut names: Vec<_> = names.iter().map(|name| list.canonical(name)).collect();
            names.sort_unstable();
            names.dedup();
            (names, false)
        }
        (None, Some(filters), false) if !filters.is_empty() => found(list, &node, &filters).await?,
        (None, None, true) => found(list, &node, &[]).await?,
        _ => return wrong("give one of `names`, `filter` (not empty) and `all`: true"),
    };
    let word = word(list, &names);
    let told = |code, detail: &str| {
        let problem = Problem::new(code, detail).with("count", names.len()).with("more", more);
        Err(problem.with("examples", &names[..names.len().min(EXAMPLES)]).with("confirm", &word))
    };
    match body.confirm {
        _ if asked.dry_run => {}
        Some(given) if given == word => {}
        None => return told(Code::ConfirmationRequired, "send it again with `confirm` to delete these"),
        Some(_) => {
            return told(
                Code::ConfirmationStale,
                "what would be deleted is not what was confirmed; look again",
            );
        }
    }
    let Some(kind) = list.kind() else { return wrong("nothing here can be deleted") };
    let steps = names.into_iter().map(|name| Step::Remove { kind, name }).collect();
    let mut report: Value = one_by_one(&node, &asked, steps).await;
    report["more"] = json!(more);
    Ok(HttpResponse::Ok().json(report))
}

/// Names of what filters find and may be deleted, in order; whether there are more of them.
async fn found(list: List, node: &Node, filters: &[String]) -> Result<(Vec<String>, bool), Problem> {
    let (mut names, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut pairs: Vec<_> = filters.iter().map(|f| ("filter".to_owned(), f.clone())).collect();
        pairs.push(("limit".to_owned(), LIMIT_MAX.to_string()));
        pairs.extend(cursor.take().map(|c| ("cursor".to_owned(), c)));
        let query = Query::parse(list.shape(), &pairs)?;
        let page = page_of(&***node, list, query).await?;
        let rows = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        names.extend(rows.iter().filter(|row| configurable(row)).filter_map(|row| name(list, row)));
        if names.len() > SELECTED_MAX {
            names.truncate(SELECTED_MAX);
            return Ok((names, true));
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok((names, false)),
        }
    }
}

/// Predefined profiles, built-in models and the node's own certificates are not to be deleted (R188).
fn configurable(row: &Value) -> bool {
    row["predefined"] != true && row["built_in"] != true && row["purpose"] != "own"
}

fn name(list: List, row: &Value) -> Option<String> {
    if list == List::Certificates {
        return Some(format!("{}/{}", row["purpose"].as_str()?, row["fingerprint"].as_str()?));
    }
    row[list.shape().key].as_str().map(str::to_owned)
}

/// The word that confirms exactly these names. It is worth nothing to another process.
fn word(list: List, names: &[String]) -> String {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        // Without randomness the word is still one for these names; it keeps from mistakes, not from attacks.
        let _ = getrandom::fill(&mut key);
        key
    });
    let mut sum = Sha256::new().chain_update(key).chain_update(list.shape().name);
    for name in names {
        sum.update([0]);
        sum.update(name);
    }
    sum.finalize().iter().take(12).map(|b| format!("{b:02x}")).collect()
}
