//! Who may ask: bearer tokens and their roles.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, web};

use super::problem::{Code, Problem};
use super::token::AdminToken;

/// What is served without a token: what a load balancer and a client generator need.
const OPEN: [&str; 3] = ["/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json"];

/// Lets a request pass that carries the token, or asks for one of the open paths. Everything else, known
/// or not, is refused: a new path is closed until it is listed.
pub(super) async fn authorize<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let admitted = OPEN.contains(&request.path())
        || request.app_data::<web::Data<AdminToken>>().is_some_and(|token| {
            // Two headers are no credential (RFC 9110 §5.3 allows a list only where the field is one).
            let mut given = request.headers().get_all(AUTHORIZATION);
            let first = given.next().and_then(|value| value.to_str().ok());
            first.is_some_and(|value| token.admits(value)) && given.next().is_none()
        });
    if admitted {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let detail = "send Authorization: Bearer with the token in admin.token of the data directory";
    let problem = Problem::new(Code::Unauthorized, detail);
    Ok(request.error_response(problem).map_into_right_body())
}
