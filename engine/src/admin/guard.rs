//! Who may ask: bearer tokens (RFC 6750) and their roles.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, web};
use keyline_actors::board::Role;

use super::api::{Node, PREFIX};
use super::attempts::Attempts;
use super::caller;
use super::problem::{Code, Problem};
use super::rates::Rates;
use super::token::{AdminToken, Presented};
use crate::limits::Limit;

/// What is served without a token: what a load balancer, a client generator, and whoever checks tokens of ours need.
const OPEN: [&str; 4] = ["/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json", "/api/v1/oauth/keys"];

/// What the guard knows.
pub(super) struct Guard {
    /// The administrator's token of the data directory.
    pub(super) admin: AdminToken,
    /// Wrong tokens.
    pub(super) attempts: Attempts,
    /// Requests of each source and of each token.
    pub(super) rates: Arc<Rates>,
}

/// Who asks.
struct Caller {
    token: String,
    role: Role,
}

/// What an operator may do beside reading: the path's parts below the prefix, `*` for any one.
const ORDERS: [&[&str]; 12] = [
    &["phones", "*", "login"],
    &["phones", "*", "logout"],
    &["phones", "*", "reset"],
    &["phones", "*", "restart"],
    &["phones", "*", "apply"],
    &["lines", "*", "message-waiting"],
    &["security-profiles", "*", "apply"],
    &["security-profiles", "*", "restart"],
    &["security-profiles", "*", "reset"],
    &["rollouts", "*", "pause"],
    &["rollouts", "*", "resume"],
    &["rollouts", "*", "stop"],
];

/// The role that a request needs, by the path as the router reads it. What is not listed needs the least to be
/// read (an unknown path is a 404 to everybody) and the most to be changed.
fn needs(method: &Method, path: &str) -> Role {
    let parts: Vec<_> = path.strip_prefix(PREFIX).unwrap_or_default().split('/').skip(1).collect();
    let is = |known: &&[&str]| {
        known.len() == parts.len() && known.iter().zip(&parts).all(|(k, p)| *k == "*" || k == p)
    };
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS if parts.first() == Some(&"trace") => Role::Operator,
        // An export keeps the catalog busy, so it is not for whoever may read.
        Method::GET | Method::HEAD | Method::OPTIONS
            if matches!(parts.first(), Some(&"tokens" | &"export")) =>
        {
            Role::Admin
        }
        Method::GET | Method::HEAD | Method::OPTIONS => Role::ReadOnly,
        _ if ORDERS.iter().any(is) => Role::Operator,
        _ => Role::Admin,
    }
}

/// Lets a request pass that carries a token of a sufficient role, or asks for one of the open paths.
/// Everything else, known or not, is refused: a new path is closed until it is listed.
pub(super) async fn authorize<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if OPEN.contains(&request.path()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    match judge(&request) {
        Ok(caller) => {
            let (method, path) = (request.method().clone(), request.path().to_owned());
            let id = caller::note(&request, &caller.token, caller.role.as_str());
            let mut answer = next.call(request).await?;
            let status = answer.status().as_u16();
            let (token, role) = (&caller.token, caller.role.as_str());
            // Changes stand in the audit; a client that reads all day would fill the log.
            match method.is_safe() {
                true => tracing::debug!(token, role, %method, path, status, request = &*id, "admin API"),
                false => tracing::info!(token, role, %method, path, status, request = &*id, "admin API"),
            }
            caller::mark(answer.headers_mut(), &id);
            Ok(answer.map_into_left_body())
        }
        Err(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

fn judge(request: &ServiceRequest) -> Result<Caller, Problem> {
    let internal = || Problem::new(Code::Internal, "the API has no guard");
    let guard = request.app_data::<web::Data<Guard>>().ok_or_else(internal)?;
    let node = request.app_data::<Node>().ok_or_else(internal)?;
    let source = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    if let Some(seconds) = guard.attempts.blocked(source) {
        node.limited(Limit::AdminWrongTokens);
        let detail = format!("too many wrong tokens came from {source}; ask again in {seconds} s");
        return Err(Problem::new(Code::TooManyAttempts, detail).with("retry_after_s", seconds));
    }
    guard.rates.source(source).map_err(|seconds| {
        node.limited(Limit::AdminRequestsPerSource);
        limited("admin_requests_per_source", seconds)
    })?;
    // Two headers are no credential (RFC 9110 §5.3 allows a list only where the field is one).
    let mut given = request.headers().get_all(AUTHORIZATION);
    let (first, second) = (given.next(), given.next());
    let Some(value) = first else {
        let detail = "send Authorization: Bearer with the token in admin.token of the data directory, or one of \
                      `keyline token create`";
        return Err(Problem::new(Code::Unauthorized, detail));
    };
    let presented = value.to_str().ok().filter(|_| second.is_none()).and_then(Presented::of);
    let caller = presented.and_then(|p| match guard.admin.is(&p) {
        true => Some(Caller { token: super::TOKEN_FILE.to_owned(), role: Role::Admin }),
        false => node.role(&p).map(|(token, role)| Caller { token, role }),
    });
    let Some(caller) = caller else {
        guard.attempts.wrong(source);
        return Err(Problem::new(Code::Unauthorized, "this token is not good, or no longer"));
    };
    guard.rates.token(&caller.token).map_err(|seconds| {
        node.limited(Limit::AdminRequestsPerToken);
        limited("admin_requests_per_token", seconds)
    })?;
    // Escapes are undone as the router does it, or `%74race` would be another path here than there.
    let needed = needs(request.method(), request.match_info().as_str());
    if caller.role < needed {
        let detail = format!("token {} has the role {}; this needs {needed}", caller.token, caller.role);
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(caller)
}

fn limited(limit: &str, seconds: u64) -> Problem {
    let detail = format!("more requests came than [limits] {limit} allows; ask again in {seconds} s");
    Problem::new(Code::RateLimited, detail).with("retry_after_s", seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_may_be_read_by_all_and_changed_by_administrators() {
        use Role::{Admin, Operator, ReadOnly};
        for (method, path, role) in [
            (Method::GET, "/api/v1/phones", ReadOnly),
            (Method::GET, "/api/v1/nothing", ReadOnly),
            (Method::GET, "/api/v1/trace/phones/x", Operator),
            (Method::GET, "/api/v1/tokens", Admin),
            (Method::GET, "/api/v1/export", Admin),
            (Method::POST, "/api/v1/import", Admin),
            (Method::OPTIONS, "/api/v1/phones", ReadOnly),
            (Method::POST, "/api/v1/phones", Admin),
            (Method::POST, "/api/v1/phones/SEP1/apply", Operator),
            (Method::POST, "/api/v1/phones/SEP1/login", Operator),
            (Method::PATCH, "/api/v1/phones/SEP1/capf", Admin),
            (Method::POST, "/api/v1/phones/SEP1/apply/", Admin),
            (Method::PUT, "/api/v1/lines/1001/message-waiting", Operator),
            (Method::POST, "/api/v1/security-profiles/x/apply", Operator),
            (Method::POST, "/api/v1/security-profiles/x/copy", Admin),
            (Method::DELETE, "/api/v1/phones/apply", Admin),
            (Method::POST, "/api/v1/nothing", Admin),
            (Method::POST, "/phones/x/apply", Admin),
            (Method::PUT, "", Admin),
        ] {
            assert_eq!(needs(&method, path), role, "{method} {path}");
        }
    }
}
