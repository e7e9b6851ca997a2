//! Changes of the configuration over the API: what is asked becomes one request to the catalog, which judges,
//! commits and publishes it; what it did, or why not, becomes the answer.
//!
//! Whoever adds an order that changes something makes [`Step`]s and calls [`carry_out`].

mod answer;
mod asked;
mod bulk;
mod dependencies;
mod packages;
mod phones;
mod profiles;
mod select;

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, HttpResponseBuilder, Resource, Responder, guard, web,
};
use futures_util::FutureExt as _;
use keyline_actors::catalog::{ChangeError, ChangeRequest};
use keyline_domain::inventory::{Kind, RowError, Step};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{Node, PREFIX};
use super::control::escape;
use super::http::{Answer, other_method};
use super::lists::List;
use super::problem::{Code, Problem};

pub use answer::{answer as answered, refusal, told};
pub(super) use asked::Asked;
pub use asked::repeatable_as;
pub use bulk::{OPERATIONS_MAX, bulk_steps};
pub use dependencies::dependencies;
pub(super) use dependencies::{SHAPE as DEPENDENCIES, lists as dependency_lists};
pub(crate) use packages::{package_of, package_signers};
pub use select::SELECTED_MAX;

/// Name of the one object of its kind.
pub(crate) const ENTERPRISE: &str = "enterprise_phone";

const OF_LIST: &str = "GET, HEAD, POST, OPTIONS";
const OF_CLOSED_LIST: &str = "GET, HEAD, OPTIONS";
const OF_OBJECT: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";

/// A list's own path: read a page, add an object.
pub(super) fn collection<H, Args>(list: List, read: H) -> Resource
where
    H: Handler<Args>,
    Args: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    let resource = web::resource(format!("/{}", list.shape().name));
    match list.kind() {
        Some(kind) if list.is_open() => with_reads(
            resource.route(web::post().to(move |node: Node, asked: Asked| create(kind, node, asked))),
            read,
            OF_LIST,
        ),
        _ if list == List::Packages => {
            with_reads(resource.route(web::post().to(packages::install)), read, OF_LIST)
        }
        _ => with_reads(resource, read, OF_CLOSED_LIST),
    }
}

/// The path of one object: read it, put another in its place, change some of it, delete it.
pub(super) fn single<H, Args>(list: List, read: H) -> Resource
where
    H: Handler<Args>,
    Args: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    let key = match list {
        List::Certificates => "{purpose}/{fingerprint}",
        _ => "{key}",
    };
    let path = format!("/{}/{key}", list.shape().name);
    match list.kind() {
        // A package is changed by a newer version of it only.
        Some(kind) if list == List::Packages => {
            let remove = move |node: Node, request: HttpRequest, asked: Asked| async move {
                asked.nothing()?;
                answer(node, asked, Step::Remove { kind, name: key_of(list, &request)? }).await
            };
            let resource = web::resource(path).route(web::delete().to(remove));
            with_reads(resource, read, "GET, HEAD, DELETE, OPTIONS")
        }
        Some(kind) => {
            with_reads(changeable(&path, kind, move |request| key_of(list, request)), read, OF_OBJECT)
        }
        None => with_reads(web::resource(path), read, OF_CLOSED_LIST),
    }
}

/// The switches of the enterprise level: one object.
pub(super) fn enterprise<H, Args>(read: H) -> Resource
where
    H: Handler<Args>,
    Args: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    let name = |_: &HttpRequest| Ok(ENTERPRISE.to_owned());
    with_reads(changeable("/enterprise-phone", Kind::EnterprisePhone, name), read, OF_OBJECT)
}

fn changeable(
    path: &str,
    kind: Kind,
    name: impl Fn(&HttpRequest) -> Result<String, Problem> + Copy + 'static,
) -> Resource {
    web::resource(path)
        .route(web::put().to(move |node: Node, request: HttpRequest, asked: Asked| async move {
            let step = Step::Replace { kind, name: name(&request)?, body: asked.object(kind)? };
            answer(node, asked, step).await
        }))
        .route(web::patch().to(move |node: Node, request: HttpRequest, asked: Asked| async move {
            let step = Step::Merge { kind, name: name(&request)?, body: asked.patch(kind)? };
            answer(node, asked, step).await
        }))
        .route(web::delete().to(move |node: Node, request: HttpRequest, asked: Asked| async move {
            asked.nothing()?;
            answer(node, asked, Step::Remove { kind, name: name(&request)? }).await
        }))
}

/// The key of an object in a request's path, as it is kept.
pub(super) fn key_of(list: List, request: &HttpRequest) -> Result<String, Problem> {
    Ok(list.canonical(&match list {
        List::Certificates => {
            let (purpose, fingerprint): (String, String) = parts(request)?;
            format!("{purpose}/{fingerprint}")
        }
        _ => parts(request)?,
    }))
}

/// The variable parts of a request's path, escapes undone.
fn parts<T: DeserializeOwned + 'static>(request: &HttpRequest) -> Result<T, Problem> {
    match web::Path::<T>::extract(request).now_or_never() {
        Some(Ok(parts)) => Ok(parts.into_inner()),
        Some(Err(e)) => Err(Problem::new(Code::BadRequest, format!("path: {e}"))),
        None => Err(Problem::new(Code::Internal, "the path was not read")),
    }
}

/// Adds the other changes to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    phones::configure(config);
    profiles::configure(config);
    dependencies::configure(config);
    select::configure(config);
    bulk::configure(config);
}

/// A path with one method that changes something.
pub(super) fn only(path: &str, route: actix_web::Route, allow: &'static str) -> Resource {
    web::resource(path)
        .route(route)
        .default_service(web::to(move |request: HttpRequest| other_method(request, allow)))
}

/// GET and HEAD of a path that can be changed too; `allow` lists all its methods.
pub(super) fn with_reads<H, Args>(resource: Resource, handler: H, allow: &'static str) -> Resource
where
    H: Handler<Args>,
    Args: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    resource
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(move |request: HttpRequest| other_method(request, allow)))
}

async fn create(kind: Kind, node: Node, asked: Asked) -> Answer {
    let body = asked.object(kind)?;
    created(node, asked, Step::Create { kind, body }).await
}

/// Carries out one step that makes a new object, and says where that is (201).
async fn created(node: Node, asked: Asked, step: Step) -> Answer {
    let done = carry_out(&node, asked, vec![step]).await?;
    let mut answer = if done.dry_run { HttpResponse::Ok() } else { HttpResponse::Created() };
    // Packages are made by their own path, not by rows.
    let kind = done.told["kind"].as_str();
    let kind = Kind::LOAD_ORDER.into_iter().find(|k| Some(k.as_str()) == kind);
    if let (false, Some(kind), Some(name)) = (done.dry_run, kind, done.told["name"].as_str()) {
        answer.insert_header(("Location", location(kind, name)));
    }
    Ok(done.answer(&mut answer))
}

/// Carries out one step on an object that is there.
async fn answer(node: Node, asked: Asked, step: Step) -> Answer {
    Ok(carry_out(&node, asked, vec![step]).await?.answer(&mut HttpResponse::Ok()))
}

/// A change that was carried out.
pub(super) struct Done {
    /// What it did: [`told`].
    pub(super) told: Value,
    /// It was only asked what it would do.
    pub(super) dry_run: bool,
    /// It was done before, and this is the answer of that time.
    pub(super) replayed: bool,
}

impl Done {
    /// The answer, with the ETag that the object has now.
    pub(super) fn answer(self, answer: &mut HttpResponseBuilder) -> HttpResponse {
        if let Some(etag) = self.told["etag"].as_str() {
            answer.insert_header(("ETag", etag));
        }
        if self.replayed {
            answer.insert_header(("Idempotent-Replayed", "true"));
        }
        answer.json(self.told)
    }
}

/// Carries out steps as one change: all of them or nothing.
///
/// # Errors
/// The problem that says which rule is broken.
pub(super) async fn carry_out(node: &Node, asked: Asked, steps: Vec<Step>) -> Result<Done, Problem> {
    let Asked { dry_run, forced, expect, who, repeatable, .. } = asked;
    perform(node, ChangeRequest { steps, dry_run, expect, forced, who, repeatable, adopted_max: None }).await
}

/// Carries out a request to the catalog. A deletion that is refused is told what stands in its way.
async fn perform(node: &Node, request: ChangeRequest) -> Result<Done, Problem> {
    let dry_run = request.dry_run;
    match node.change(request).await {
        Ok(changed) => Ok(Done { told: told(&changed, dry_run), dry_run, replayed: false }),
        Err(ChangeError::Done(earlier)) => {
            Ok(Done { told: answer::with_dry_run(*earlier, false), dry_run: false, replayed: true })
        }
        Err(error) => {
            let problem = refusal(&error);
            match error {
                ChangeError::Refused { error: RowError::InUse { kind, name, .. }, .. } => {
                    Err(dependencies::explain(node, problem, kind, name).await)
                }
                _ => Err(problem),
            }
        }
    }
}

/// Where an object stands.
pub(super) fn location(kind: Kind, name: &str) -> String {
    match (List::of(kind), kind) {
        (_, Kind::EnterprisePhone) => format!("{PREFIX}/enterprise-phone"),
        // Its name is `purpose/fingerprint`, which are two parts of the path.
        (_, Kind::Certificate) => format!("{PREFIX}/certificates/{name}"),
        (Some(list), _) => format!("{PREFIX}/{}/{}", list.shape().name, escape(name)),
        (None, _) => PREFIX.to_owned(),
    }
}

/// The digest credentials of a body are given twice, if the second ones are there (R204).
fn same_twice(body: &mut Value) -> Result<(), Problem> {
    let Some(object) = body.as_object_mut() else { return Ok(()) };
    match object.remove("digest_credentials_confirm") {
        Some(again) if object.get("digest_credentials") != Some(&again) => Err(Problem::new(
            Code::CredentialsMismatch,
            "digest_credentials and digest_credentials_confirm differ; enter both again",
        )
        .with("field", "digest_credentials_confirm")),
        _ => Ok(()),
    }
}
