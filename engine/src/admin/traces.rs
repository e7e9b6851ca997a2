//! Live traces as NDJSON, for operators.

use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;

use super::api::Node;
use super::http::{Answer, Pairs};
use super::lists::refusal;
use super::problem::{Code, Problem};

/// What is traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceOf {
    /// A phone, by name.
    Phone(String),
    /// A call, by id.
    Call(String),
}

/// Longest trace that may be asked for, in seconds: a day.
const SECONDS_MAX: u64 = 86_400;

fn seconds(pairs: &Pairs) -> Result<Option<Duration>, Problem> {
    let mut found = None;
    for (name, value) in pairs.iter() {
        let seconds = value.parse().ok().filter(|s| (1..=SECONDS_MAX).contains(s));
        match (name.as_str(), seconds) {
            ("seconds", Some(s)) => found = Some(Duration::from_secs(s)),
            ("seconds", None) => {
                return Err(refusal("seconds", format!("seconds is {value:?}; use 1 to {SECONDS_MAX}")));
            }
            (other, _) => return Err(refusal(other, format!("{other:?} is not seconds"))),
        }
    }
    Ok(found)
}

fn answer(node: &Node, of: TraceOf, pairs: &Pairs) -> Answer {
    let time = seconds(pairs)?;
    let trace = node.trace(of)?;
    let trace = match time {
        Some(time) => trace.lasting(time),
        None => trace,
    };
    let lines = stream::unfold(trace, |mut trace| async move {
        let lines = trace.next().await?;
        Some((Ok::<Bytes, std::io::Error>(lines), trace))
    });
    let mut answer = HttpResponse::Ok();
    Ok(answer.insert_header((CONTENT_TYPE, "application/x-ndjson")).streaming(Box::pin(lines)))
}

pub(super) async fn phone(node: Node, name: web::Path<String>, pairs: Pairs) -> Answer {
    answer(&node, TraceOf::Phone(name.into_inner()), &pairs)
}

pub(super) async fn call(node: Node, id: web::Path<String>, pairs: Pairs) -> Answer {
    answer(&node, TraceOf::Call(id.into_inner()), &pairs)
}

/// No phone, no call, or no room for one more.
pub fn none(of: &TraceOf) -> Problem {
    match of {
        TraceOf::Phone(name) => Problem::new(Code::PhoneNotFound, format!("there is no phone {name:?}")),
        TraceOf::Call(id) => Problem::new(Code::CallNotFound, format!("call {id:?} is not in progress")),
    }
}
