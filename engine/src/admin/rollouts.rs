//! Roll-outs: Apply Config, Restart and Reset for the phones of a profile (R102, R183, R184, R206).

use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use keyline_actors::profile::{CHOSEN_MAX, RolloutFacts, RolloutOrder, RolloutRefused, RolloutWanted};
use keyline_domain::audit::Who;
use keyline_domain::ids::DeviceName;
use keyline_domain::rollout::{Gate, Order, PER_SECOND_MAX, Rollout, RolloutId, WINDOW_MAX_S};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Node, PREFIX};
use super::caller::caller;
use super::http::{Answer, Pairs, object, other_method, readable};
use super::lists::{LIMIT_MAX, List, Query, Row, Shape, page_of, rows_of};
use super::node::BoxFuture;
use super::problem::{Code, PROBLEM_JSON, Problem};
use super::views::Timestamp;

/// Pace of a roll-out that names none, in phones a second.
pub const PER_SECOND: u32 = 50;

/// What `/rollouts` knows.
pub(super) static SHAPE: Shape =
    Shape { name: "rollouts", key: "id", filters: &["profile", "order", "state", "by"], sorts: &["id"] };

/// The roll-outs of the node.
pub trait RolloutApi: Send + Sync {
    /// Those that are open and the last ones that ended.
    fn list(&self) -> Vec<Arc<Rollout>>;
    /// One of them.
    fn get(&self, id: RolloutId) -> Option<Arc<Rollout>>;
    /// What a roll-out would be about now.
    fn facts(
        &self,
        profile: String,
        chosen: Option<Vec<DeviceName>>,
    ) -> BoxFuture<Result<RolloutFacts, RolloutRefused>>;
    /// Begins one. Done when the audit has it.
    fn begin(&self, wanted: RolloutWanted, who: Who) -> BoxFuture<Result<Rollout, RolloutRefused>>;
    /// Holds one, lets it go on, or ends it. Done when the audit has it.
    fn order(
        &self,
        id: RolloutId,
        order: RolloutOrder,
        who: Who,
    ) -> BoxFuture<Result<Rollout, RolloutRefused>>;
    /// A short text that only this node makes of another, and always the same while it runs.
    fn seal(&self, text: &str) -> String;
}

/// What may be asked for; all of it may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    per_second: Option<u32>,
    gate: Option<Gate>,
    phones: Option<Vec<String>>,
    filter: Option<Vec<String>>,
    confirm: Option<String>,
}

impl From<RolloutRefused> for Problem {
    fn from(refused: RolloutRefused) -> Self {
        let code = match &refused {
            RolloutRefused::NoProfile(_) => Code::SecurityProfileNotFound,
            RolloutRefused::NoRollout(_) => Code::RolloutNotFound,
            RolloutRefused::NotOfProfile(_) | RolloutRefused::Chosen(_) => Code::RolloutRefused,
            RolloutRefused::Changed => Code::ConfirmationRequired,
            RolloutRefused::Open(_) => Code::RolloutOpen,
            RolloutRefused::NotNow(_) => Code::RolloutNotNow,
            _ => Code::Internal,
        };
        let problem = Problem::new(code, refused.to_string());
        match refused {
            RolloutRefused::Open(id) => problem.with("rollout", id),
            _ => problem,
        }
    }
}

/// A roll-out as it is shown.
fn show(rollout: &Rollout) -> Value {
    let (c, f) = (&rollout.counts, &rollout.failures);
    json!({
        "id": rollout.id,
        "profile": rollout.profile_name,
        "version": rollout.applied.version.0,
        "order": rollout.order,
        "state": rollout.state,
        "reason": rollout.reason,
        "per_second": rollout.per_second,
        "gate": rollout.gate,
        "chosen": rollout.chosen,
        "by": rollout.by,
        "started": Timestamp(rollout.started),
        "ended": rollout.ended.map(Timestamp),
        "phones": {
            "total": c.total,
            "reached": c.reached(f),
            "left": rollout.left(),
            "unregistered": c.unregistered,
            "signalled": c.signalled,
            "confirmed": c.confirmed,
            "failed": c.failed,
            "waiting": rollout.waiting(),
            "unknown": c.unknown,
            "skipped": c.skipped,
            "deferred": rollout.deferred.len(),
        },
        "failures": f,
        "failed_phones": rollout.failed_phones,
    })
}

impl Row for Arc<Rollout> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            // Its place in the list; as a number it would come in the order of its digits.
            "id" => each(&format!("{:020}", self.id.0)),
            "profile" => each(&self.profile_name),
            "order" => each(self.order.as_str()),
            "state" => each(self.state.as_str()),
            "by" => each(&self.by),
            _ => {}
        }
    }
}

/// Adds the roll-outs to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    for (order, what) in [(Order::Apply, "apply"), (Order::Restart, "restart"), (Order::Reset, "reset")] {
        let ask = move |node: Node, request: HttpRequest, name: web::Path<String>, body: web::Bytes| {
            begin(node, request, name.into_inner(), order, body)
        };
        config.service(
            web::resource(format!("/security-profiles/{{name}}/{what}"))
                .route(web::post().to(ask))
                .default_service(web::to(|r: HttpRequest| other_method(r, "POST"))),
        );
    }
    for (order, what) in
        [(RolloutOrder::Pause, "pause"), (RolloutOrder::Resume, "resume"), (RolloutOrder::Stop, "stop")]
    {
        let ask = move |node: Node, request: HttpRequest, id: web::Path<String>| {
            ordered(node, request, id.into_inner(), order)
        };
        config.service(
            web::resource(format!("/rollouts/{{id}}/{what}"))
                .route(web::post().to(ask))
                .default_service(web::to(|r: HttpRequest| other_method(r, "POST"))),
        );
    }
    config.service(readable("/rollouts", list)).service(readable("/rollouts/{id}", one));
}

async fn list(node: Node, pairs: Pairs) -> Answer {
    let query = Query::parse(&SHAPE, &pairs)?;
    let all = node.rollouts().list().into_iter();
    Ok(HttpResponse::Ok().json(rows_of(&query, &SHAPE, all, |r| show(r)).body()))
}

fn id_of(text: &str) -> Result<RolloutId, Problem> {
    text.parse().map(RolloutId).map_err(|_| no_rollout(text))
}

fn no_rollout(id: &str) -> Problem {
    Problem::new(Code::RolloutNotFound, format!("there is no roll-out {id:?}"))
}

async fn one(node: Node, id: web::Path<String>, request: HttpRequest) -> Answer {
    let rollout = node.rollouts().get(id_of(&id)?).ok_or_else(|| no_rollout(&id))?;
    object(&request, &show(&rollout))
}

async fn ordered(node: Node, request: HttpRequest, id: String, order: RolloutOrder) -> Answer {
    let rollout = node.rollouts().order(id_of(&id)?, order, caller(&request)).await?;
    Ok(HttpResponse::Ok().json(show(&rollout)))
}

/// Without `confirm` nothing begins: the answer says how many phones there are, and the text to confirm with.
async fn begin(node: Node, request: HttpRequest, name: String, order: Order, body: web::Bytes) -> Answer {
    let asked: Asked = if body.is_empty() {
        Asked::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|e| Problem::new(Code::BadRequest, format!("this describes no roll-out: {e}")))?
    };
    let per_second = asked.per_second.unwrap_or(PER_SECOND);
    let gate = asked.gate.unwrap_or_default();
    check(per_second, &gate)?;
    let chosen = chosen(&node, &name, &asked).await?;
    let facts = node.rollouts().facts(name.clone(), chosen.clone()).await?;
    let confirm = node.rollouts().seal(&format!("{order:?} {per_second} {gate:?} {facts:?} {chosen:?}"));
    if asked.confirm.as_deref() != Some(&*confirm) {
        let phones = facts.phones;
        let detail = format!(
            "{} of profile {name:?} goes to {phones} phones; repeat the request with `confirm` to begin",
            order.as_str()
        );
        return Err(Problem::new(Code::ConfirmationRequired, detail)
            .with("phones", phones)
            .with("version", facts.applied.version.0)
            .with("order", order)
            .with("confirm", confirm));
    }
    let who = caller(&request);
    let wanted = RolloutWanted {
        profile: name,
        chosen,
        order,
        per_second,
        gate,
        by: who.name.clone(),
        confirmed: facts,
    };
    let rollout = node.rollouts().begin(wanted, who).await?;
    let place = format!("{PREFIX}/rollouts/{}", rollout.id);
    Ok(HttpResponse::Accepted().insert_header((LOCATION, place)).json(show(&rollout)))
}

fn check(per_second: u32, gate: &Gate) -> Result<(), Problem> {
    let bad = |detail: String| Err(Problem::new(Code::BadRequest, detail));
    if !(1..=PER_SECOND_MAX).contains(&per_second) {
        return bad(format!("per_second is {per_second}; use 1 to {PER_SECOND_MAX}"));
    }
    if gate.failed_percent > 100 {
        return bad(format!("gate.failed_percent is {}; use 0 to 100", gate.failed_percent));
    }
    if gate.window_s > WINDOW_MAX_S {
        return bad(format!("gate.window_s is {}; use 0 to {WINDOW_MAX_S}", gate.window_s));
    }
    Ok(())
}

/// The chosen phones: those named, or those of the profile that all filters admit.
async fn chosen(node: &Node, profile: &str, asked: &Asked) -> Result<Option<Vec<DeviceName>>, Problem> {
    let mut names = match (&asked.phones, &asked.filter) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Problem::new(Code::BadRequest, "give phones or filter, not both"));
        }
        (Some(names), None) => {
            if names.len() > CHOSEN_MAX {
                return Err(RolloutRefused::Chosen(names.len()).into());
            }
            let parsed = names.iter().map(|name| {
                DeviceName::parse(name).map_err(|e| Problem::new(Code::BadRequest, format!("phones: {e}")))
            });
            parsed.collect::<Result<Vec<_>, _>>()?
        }
        (None, Some(filters)) => filtered(node, profile, filters).await?,
    };
    names.sort_unstable();
    names.dedup();
    Ok(Some(names))
}

async fn filtered(node: &Node, profile: &str, filters: &[String]) -> Result<Vec<DeviceName>, Problem> {
    let mut names = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut pairs = vec![
            ("limit".to_owned(), LIMIT_MAX.to_string()),
            ("filter".to_owned(), format!("security_profile:is_exactly:{profile}")),
        ];
        pairs.extend(filters.iter().map(|f| ("filter".to_owned(), f.clone())));
        pairs.extend(cursor.take().map(|c| ("cursor".to_owned(), c)));
        let query = Query::parse(List::Phones.shape(), &pairs)?;
        let page = page_of(&***node, List::Phones, query).await?;
        let items = page["items"].as_array().into_iter().flatten();
        names.extend(items.filter_map(|row| DeviceName::parse(row["name"].as_str()?).ok()));
        if names.len() > CHOSEN_MAX {
            return Err(RolloutRefused::Chosen(names.len()).into());
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(names),
        }
    }
}

/// The roll-outs as OpenAPI describes them: path, method, operation.
pub(super) fn operations() -> Vec<(String, &'static str, Value)> {
    let problem = |code: Code| {
        json!({ "description": code.as_str(), "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" } } } })
    };
    let rollout = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Rollout" } } });
    let parameter = |name: &str| json!([{ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }]);
    let answers = |status: &str, codes: &[Code]| {
        let mut out = json!({ status: { "description": "Done", "content": rollout } });
        let always =
            [Code::Unauthorized, Code::Forbidden, Code::TooManyAttempts, Code::NotAcceptable, Code::Internal];
        for code in codes.iter().chain(&always) {
            out[code.status().as_str()] = problem(*code);
        }
        out
    };
    let body = json!({ "required": false, "content": { "application/json": { "schema": {
        "type": "object", "additionalProperties": false,
        "properties": {
            "per_second": { "type": "integer", "minimum": 1, "maximum": PER_SECOND_MAX, "default": PER_SECOND },
            "gate": { "type": "object", "additionalProperties": false, "properties": {
                "failed_percent": { "type": "integer", "minimum": 0, "maximum": 100, "default": 5 },
                "of_at_least": { "type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 20 },
                "window_s": { "type": "integer", "minimum": 0, "maximum": WINDOW_MAX_S, "default": 0,
                    "description": "Seconds in which a phone must be back; 0: parameter apply_grace_s" },
            } },
            "phones": { "type": "array", "maxItems": CHOSEN_MAX, "items": { "type": "string" } },
            "filter": { "type": "array", "items": { "type": "string" },
                "description": "As of /phones; together with the profile" },
            "confirm": { "type": "string", "description": "`confirm` of the 428 before" },
        },
    } } } });
    let mut out = Vec::new();
    for (what, summary) in [
        (
            "apply",
            "Bring the saved version of a profile to its phones: each is told to apply its configuration",
        ),
        ("restart", "Bring the saved version of a profile to its phones: each is told to register anew"),
        ("reset", "Bring the saved version of a profile to its phones: each is told to start anew"),
    ] {
        let codes = [
            Code::BadRequest,
            Code::SecurityProfileNotFound,
            Code::RolloutOpen,
            Code::RolloutRefused,
            Code::ConfirmationRequired,
            Code::Busy,
        ];
        let mut responses = answers("202", &codes);
        responses["202"]["description"] = "It is stored and begins".into();
        responses["202"]["headers"] =
            json!({ "Location": { "description": "The roll-out", "schema": { "type": "string" } } });
        let operation = json!({
            "summary": summary, "operationId": format!("rollout_{what}"), "parameters": parameter("name"),
            "description": "Without `confirm` the answer is 428 with the number of phones and the text to confirm with.",
            "requestBody": body, "responses": responses,
        });
        out.push((format!("/security-profiles/{{name}}/{what}"), "post", operation));
    }
    for (what, summary) in [
        ("pause", "Hold a roll-out"),
        ("resume", "Let a roll-out go on that was held or stopped by itself"),
        ("stop", "End a roll-out; phones that were not reached stay as they are"),
    ] {
        let operation = json!({
            "summary": summary, "operationId": format!("rollout_{what}_one"), "parameters": parameter("id"),
            "responses": answers("200", &[Code::BadRequest, Code::RolloutNotFound, Code::RolloutNotNow]),
        });
        out.push((format!("/rollouts/{{id}}/{what}"), "post", operation));
    }
    out
}
