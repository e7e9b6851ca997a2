//! What an administrator orders: lamps of lines, and phones that shall restart or fetch their configuration.

use actix_web::{HttpRequest, HttpResponse, Resource, web};
use keyline_domain::ids::Dn;
use keyline_domain::subscription::MessageWaiting;
use serde_json::{Value, json};

use super::caller::caller;
use super::http::{Answer, other_method};
use super::node::NodeApi;
use super::problem::{Code, PROBLEM_JSON, Problem};

/// Largest body of an order, in bytes.
const BODY_MAX: usize = 4096;

type Node = web::Data<dyn NodeApi>;

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderRefused {
    /// No such line.
    #[error("there is no line {0}")]
    NoLine(String),
    /// No such phone.
    #[error("there is no phone {0}")]
    NoPhone(String),
    /// The phone is not registered, or cannot be reached.
    #[error("phone {0} is not registered: it takes its configuration when it comes back")]
    NotRegistered(String),
    /// The phone gave no answer.
    #[error("phone {0} did not answer")]
    Silent(String),
    /// The phone refused.
    #[error("phone {0} answered {1}")]
    Refused(String, u16),
    /// The node could not do it.
    #[error("{0}")]
    Fault(String),
}

impl OrderRefused {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoLine(_) => "line_not_found",
            Self::NoPhone(_) => "phone_not_found",
            Self::NotRegistered(_) => "phone_not_registered",
            Self::Silent(_) => "phone_silent",
            Self::Refused(..) => "phone_refused",
            Self::Fault(_) => "internal",
        }
    }
}

impl From<OrderRefused> for Problem {
    fn from(refused: OrderRefused) -> Self {
        let kind = match &refused {
            OrderRefused::NoLine(_) => Code::LineNotFound,
            OrderRefused::NoPhone(_) => Code::PhoneNotFound,
            OrderRefused::NotRegistered(_) => Code::ImportRunning,
            OrderRefused::Silent(_) | OrderRefused::Refused(..) | OrderRefused::Fault(_) => Code::Internal,
        };
        Problem::new(kind, refused.to_string()).narrower(refused.code().to_owned())
    }
}

/// What a phone is told.
pub use keyline_domain::rollout::Order as PhoneOrder;

/// Adds the orders to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(only("/lines/{dn}/message-waiting", web::put().to(messages), "PUT"))
        .service(only("/phones/{name}/reset", web::post().to(reset), "POST"))
        .service(only("/phones/{name}/restart", web::post().to(restart), "POST"))
        .service(only("/phones/{name}/apply", web::post().to(apply), "POST"));
}

fn only(path: &str, route: actix_web::Route, allow: &'static str) -> Resource {
    let other = move |request: HttpRequest| other_method(request, allow);
    web::resource(path)
        .app_data(web::PayloadConfig::new(BODY_MAX))
        .route(route)
        .default_service(web::to(other))
}

/// The orders as OpenAPI describes them: path, method, operation.
pub(super) fn operations() -> Vec<(&'static str, &'static str, Value)> {
    let problem = json!({ PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let count = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let name = |name: &str| json!([{ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }]);
    let answers = |failures: &[(&str, &str)]| {
        let mut out = json!({ "200": { "description": "Done", "content": { "application/json": {} } } });
        let always = [
            Code::BadRequest,
            Code::Unauthorized,
            Code::Forbidden,
            Code::NotAcceptable,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::TooManyAttempts,
            Code::Internal,
        ];
        for code in always {
            out[code.status().as_str()] = json!({ "description": code.as_str(), "content": problem });
        }
        for (status, codes) in failures {
            out[*status] = json!({ "description": codes, "content": problem });
        }
        out
    };
    let mut out = vec![(
        "/lines/{dn}/message-waiting",
        "put",
        json!({
            "summary": "Set the messages that wait for a line; done when it is committed",
            "operationId": "messagewaiting",
            "parameters": name("dn"),
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object", "required": ["new"], "additionalProperties": false,
                "properties": { "new": count, "old": count, "urgent_new": count, "urgent_old": count },
            } } } },
            "responses": answers(&[("400", "bad_request"), ("404", "line_not_found"), ("500", "internal")]),
        }),
    )];
    for (path, order, summary) in [
        ("/phones/{name}/reset", PhoneOrder::Reset, "Tell a phone to start anew; its answer comes back"),
        ("/phones/{name}/restart", PhoneOrder::Restart, "Tell a phone to register anew"),
        ("/phones/{name}/apply", PhoneOrder::Apply, "Tell a phone to fetch its configuration and apply it"),
    ] {
        let failures = [
            ("404", "phone_not_found"),
            ("409", "phone_not_registered"),
            ("500", "phone_silent, phone_refused"),
        ];
        let operation = json!({
            "summary": summary, "operationId": format!("phone{}", order.as_str()), "parameters": name("name"),
            "responses": answers(&failures),
        });
        out.push((path, "post", operation));
    }
    out
}

/// Sets the messages that wait for a line: `{"new": 2, "old": 1, "urgent_new": 0, "urgent_old": 0}`; `new` is
/// required. Done when it is committed.
async fn messages(node: Node, request: HttpRequest, dn: web::Path<String>, body: web::Bytes) -> Answer {
    let line = Dn::parse(&dn).map_err(|_| OrderRefused::NoLine(dn.to_string()))?;
    let waiting: MessageWaiting = serde_json::from_slice(&body)
        .map_err(|e| Problem::new(Code::BadRequest, format!("the body is no count of messages: {e}")))?;
    node.set_messages(line, waiting, caller(&request)).await?;
    Ok(HttpResponse::Ok().json(json!({ "line": *dn, "message_waiting": waiting })))
}

async fn reset(node: Node, request: HttpRequest, name: web::Path<String>) -> Answer {
    order(node, &request, &name, PhoneOrder::Reset).await
}

async fn restart(node: Node, request: HttpRequest, name: web::Path<String>) -> Answer {
    order(node, &request, &name, PhoneOrder::Restart).await
}

async fn apply(node: Node, request: HttpRequest, name: web::Path<String>) -> Answer {
    order(node, &request, &name, PhoneOrder::Apply).await
}

/// Tells the phone, and answers with its own answer.
async fn order(node: Node, request: &HttpRequest, name: &str, order: PhoneOrder) -> Answer {
    let status = node.order(name.to_owned(), order, caller(request)).await?;
    Ok(HttpResponse::Ok().json(json!({ "phone": name, "order": order.as_str(), "status": status })))
}
