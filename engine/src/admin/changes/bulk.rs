//! Many changes in one request: each by itself with a report, or all of them or none.

use actix_web::{HttpResponse, web};
use keyline_actors::catalog::{ChangeRequest, Repeatable, STEPS_MAX};
use keyline_domain::inventory::{Kind, Step};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::api::Node;
use super::super::http::Answer;
use super::super::problem::{Code, Problem};
use super::asked::misfit;
use super::{Asked, carry_out, only, perform, same_twice};

/// Most operations of a request whose parts are changes of their own.
pub const OPERATIONS_MAX: usize = 1000;

/// Adds the path to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.service(only("/bulk", web::post().to(bulk), "POST, OPTIONS"));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    operations: Vec<Operation>,
    #[serde(default)]
    atomic: bool,
}

impl Body {
    fn steps(self) -> Result<Vec<Step>, Problem> {
        let Self { operations, atomic } = self;
        let most = if atomic { STEPS_MAX } else { OPERATIONS_MAX };
        if !(1..=most).contains(&operations.len()) {
            let detail = format!("there are {} operations; 1 to {most} are taken at once", operations.len());
            return Err(Problem::new(Code::BadRequest, detail).with("field", "operations"));
        }
        let step = |(at, operation): (usize, Operation)| operation.step().map_err(|p| p.with("step", at));
        operations.into_iter().enumerate().map(step).collect()
    }
}

/// The steps of a body of `/bulk`, for whoever carries them out without a node.
///
/// # Errors
/// The body is none, or one of its operations cannot be one; the problem says which.
pub fn bulk_steps(body: &Value) -> Result<Vec<Step>, Problem> {
    Body::deserialize(body).map_err(|e| misfit(&e))?.steps()
}

/// What is done with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Create,
    Replace,
    Merge,
    Delete,
    Rename,
    Copy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    op: Verb,
    kind: String,
    name: Option<String>,
    to: Option<String>,
    body: Option<Value>,
}

impl Operation {
    fn step(self) -> Result<Step, Problem> {
        let wrong = |field: &str, detail: String| {
            Err(Problem::new(Code::BadRequest, detail).with("field", field.to_owned()))
        };
        let Some(kind) = Kind::parse(&self.kind) else {
            let known: Vec<_> = Kind::rows().map(Kind::as_str).collect();
            return wrong("kind", format!("{:?} is none of {}", self.kind, known.join(", ")));
        };
        if matches!(self.op, Verb::Rename | Verb::Copy) && kind != Kind::SecurityProfile {
            return wrong("op", "only security profiles are copied and renamed".to_owned());
        }
        let bodied = matches!(self.op, Verb::Create | Verb::Replace | Verb::Merge | Verb::Copy);
        let mut body = match (self.body, self.op) {
            (Some(body @ Value::Object(_)), _) if bodied => body,
            (Some(_), _) => return wrong("body", "a body is an object, and not every op has one".to_owned()),
            (None, Verb::Copy) => json!({}),
            (None, _) if bodied => return wrong("body", "this op needs the object as `body`".to_owned()),
            (None, _) => Value::Null,
        };
        same_twice(&mut body)?;
        let name = match (self.name, self.op) {
            (None, Verb::Create) => String::new(),
            (Some(_), Verb::Create) => {
                return wrong("name", "a new object has its name in its body".to_owned());
            }
            (Some(name), _) => {
                super::super::lists::List::of(kind).map_or(name.clone(), |l| l.canonical(&name))
            }
            (None, _) if kind == Kind::EnterprisePhone => super::ENTERPRISE.to_owned(),
            (None, _) => return wrong("name", "this op needs the `name` of the object".to_owned()),
        };
        let to = match (self.to, self.op) {
            (Some(to), Verb::Rename | Verb::Copy) => to,
            (None, Verb::Rename | Verb::Copy) => {
                return wrong("to", "this op needs the new name as `to`".to_owned());
            }
            (Some(_), _) => return wrong("to", "only copy and rename have `to`".to_owned()),
            (None, _) => String::new(),
        };
        Ok(match self.op {
            Verb::Create => Step::Create { kind, body },
            Verb::Replace => Step::Replace { kind, name, body },
            Verb::Merge => Step::Merge { kind, name, body },
            Verb::Delete => Step::Remove { kind, name },
            Verb::Rename => Step::Rename { name, to },
            Verb::Copy => Step::Copy { name, to, body },
        })
    }
}

async fn bulk(node: Node, asked: Asked) -> Answer {
    let body: Body = asked.shape()?;
    asked.unconditional()?;
    let atomic = body.atomic;
    let steps = body.steps()?;
    let dry_run = asked.dry_run;
    if atomic {
        let count = steps.len();
        let done = carry_out(&node, asked, steps).await?;
        let replayed = done.replayed;
        let mut answer = HttpResponse::Ok();
        if replayed {
            answer.insert_header(("Idempotent-Replayed", "true"));
        }
        return Ok(answer.json(json!({
            "dry_run": dry_run, "atomic": true, "done": count, "refused": 0,
            "results": [{ "step": 0, "status": 200, "changed": done.told, "problem": null, "replayed": replayed }],
        })));
    }
    Ok(HttpResponse::Ok().json(one_by_one(&node, &asked, steps).await))
}

/// Carries out each step as a change of its own and reports all of them. Under an idempotency key each step has
/// its own answer, so that a request that was cut off can be sent again.
pub(super) async fn one_by_one(node: &Node, asked: &Asked, steps: Vec<Step>) -> Value {
    let (mut results, mut refused) = (Vec::with_capacity(steps.len()), 0);
    for (at, step) in steps.into_iter().enumerate() {
        let made = matches!(step, Step::Create { .. } | Step::Copy { .. }) && !asked.dry_run;
        let part = |whole: &Repeatable| Repeatable { key: format!("{}#{at}", whole.key).into(), ..*whole };
        let request = ChangeRequest {
            steps: vec![step],
            dry_run: asked.dry_run,
            expect: None,
            forced: asked.forced,
            who: asked.who.clone(),
            repeatable: asked.repeatable.as_ref().map(part),
            adopted_max: None,
        };
        results.push(match perform(node, request).await {
            Ok(done) => {
                let status = if made { 201 } else { 200 };
                json!({
                    "step": at, "status": status, "changed": done.told, "problem": null, "replayed": done.replayed,
                })
            }
            Err(problem) => {
                refused += 1;
                let problem = problem.document();
                json!({
                    "step": at, "status": problem["status"], "changed": null, "problem": problem, "replayed": false,
                })
            }
        });
    }
    json!({
        "dry_run": asked.dry_run, "atomic": false, "done": results.len() - refused, "refused": refused,
        "results": results,
    })
}
