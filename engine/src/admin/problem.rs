//! Problem documents (RFC 9457): every answer of the admin API that is not a success.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The kinds of problem. Codes never change their meaning; new ones may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// A parameter or path part cannot be used.
    BadRequest,
    /// No valid bearer token.
    Unauthorized,
    /// No such path.
    NotFound,
    /// No such call, or it ended long ago.
    CallNotFound,
    /// No own certificate of this name.
    CertificateNotFound,
    /// A certificate that may not be served; nothing was changed.
    CertificateRefused,
    /// The path is right, the method is not.
    MethodNotAllowed,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// Another import is running.
    ImportRunning,
    /// Rows of an import are wrong; nothing was stored.
    ImportRefused,
    /// No such phone.
    PhoneNotFound,
    /// No such security profile.
    SecurityProfileNotFound,
    /// No such user in this store.
    UserNotFound,
    /// No such line.
    LineNotFound,
    /// No such parameter.
    ParameterNotFound,
    /// No such phone model.
    PhoneModelNotFound,
    /// No such SIP realm.
    SipRealmNotFound,
    /// No such trunk security profile.
    TrunkSecurityProfileNotFound,
    /// No such trunk.
    TrunkNotFound,
    /// No such package.
    PackageNotFound,
    /// No such gateway type.
    GatewayNotFound,
    /// No such feature.
    FeatureNotFound,
    /// No such hardening template.
    TemplateNotFound,
    /// The token is good, its role is not enough.
    Forbidden,
    /// `Accept` names no form that the path has.
    NotAcceptable,
    /// A body where none is taken, or of another type.
    UnsupportedMediaType,
    /// Too many wrong tokens from this address; none is looked at for a while.
    TooManyAttempts,
    /// As many traces run as may.
    TooManyTraces,
    /// The catalog gave no answer in time, as during a large import.
    Busy,
    /// No such common phone profile.
    CommonPhoneProfileNotFound,
    /// What is asked does not go with what there is: in use, there already, predefined.
    Conflict,
    /// A rule is broken; nothing was changed.
    RuleBroken,
    /// `If-Match` names another state of the object.
    PreconditionFailed,
    /// The credentials that were entered twice differ.
    CredentialsMismatch,
    /// Another request had this `Idempotency-Key`.
    IdempotencyKeyReused,
    /// `dependency_records` is switched off (R187).
    DependencyRecordsOff,
    /// What was confirmed is not what would be deleted.
    ConfirmationStale,
    /// Too many requests of this token, or of this address.
    RateLimited,
    /// No such token.
    TokenNotFound,
    /// The token cannot be made as asked for.
    TokenRefused,
    /// No such roll-out.
    RolloutNotFound,
    /// A roll-out of this profile is open.
    RolloutOpen,
    /// The roll-out is not in a state for that.
    RolloutNotNow,
    /// The chosen phones cannot be taken.
    RolloutRefused,
    /// It touches many phones: say that it is meant.
    ConfirmationRequired,
    /// The node could not do it.
    Internal,
}

impl Code {
    /// All kinds.
    pub const ALL: [Self; 46] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::NotFound,
        Self::CallNotFound,
        Self::CertificateNotFound,
        Self::CertificateRefused,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::ImportRunning,
        Self::ImportRefused,
        Self::PhoneNotFound,
        Self::SecurityProfileNotFound,
        Self::UserNotFound,
        Self::LineNotFound,
        Self::ParameterNotFound,
        Self::PhoneModelNotFound,
        Self::PackageNotFound,
        Self::GatewayNotFound,
        Self::FeatureNotFound,
        Self::TemplateNotFound,
        Self::Forbidden,
        Self::NotAcceptable,
        Self::UnsupportedMediaType,
        Self::TooManyAttempts,
        Self::TooManyTraces,
        Self::Busy,
        Self::CommonPhoneProfileNotFound,
        Self::SipRealmNotFound,
        Self::TrunkSecurityProfileNotFound,
        Self::TrunkNotFound,
        Self::Conflict,
        Self::RuleBroken,
        Self::PreconditionFailed,
        Self::CredentialsMismatch,
        Self::IdempotencyKeyReused,
        Self::DependencyRecordsOff,
        Self::ConfirmationStale,
        Self::RateLimited,
        Self::TokenNotFound,
        Self::TokenRefused,
        Self::RolloutNotFound,
        Self::RolloutOpen,
        Self::RolloutNotNow,
        Self::RolloutRefused,
        Self::ConfirmationRequired,
        Self::Internal,
    ];

    /// Stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::CallNotFound => "call_not_found",
            Self::CertificateNotFound => "certificate_not_found",
            Self::CertificateRefused => "certificate_refused",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::ImportRunning => "import_running",
            Self::ImportRefused => "import_refused",
            Self::PhoneNotFound => "phone_not_found",
            Self::SecurityProfileNotFound => "security_profile_not_found",
            Self::UserNotFound => "user_not_found",
            Self::LineNotFound => "line_not_found",
            Self::ParameterNotFound => "parameter_not_found",
            Self::PhoneModelNotFound => "phone_model_not_found",
            Self::PackageNotFound => "package_not_found",
            Self::GatewayNotFound => "gateway_not_found",
            Self::FeatureNotFound => "feature_not_found",
            Self::TemplateNotFound => "template_not_found",
            Self::Forbidden => "forbidden",
            Self::NotAcceptable => "not_acceptable",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TooManyAttempts => "too_many_attempts",
            Self::TooManyTraces => "too_many_traces",
            Self::Busy => "busy",
            Self::CommonPhoneProfileNotFound => "common_phone_profile_not_found",
            Self::SipRealmNotFound => "sip_realm_not_found",
            Self::TrunkSecurityProfileNotFound => "trunk_security_profile_not_found",
            Self::TrunkNotFound => "trunk_not_found",
            Self::Conflict => "conflict",
            Self::RuleBroken => "rule_broken",
            Self::PreconditionFailed => "precondition_failed",
            Self::CredentialsMismatch => "credentials_mismatch",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::DependencyRecordsOff => "dependency_records_off",
            Self::ConfirmationStale => "confirmation_stale",
            Self::RateLimited => "rate_limited",
            Self::TokenNotFound => "token_not_found",
            Self::TokenRefused => "token_refused",
            Self::RolloutNotFound => "rollout_not_found",
            Self::RolloutOpen => "rollout_open",
            Self::RolloutNotNow => "rollout_not_now",
            Self::RolloutRefused => "rollout_refused",
            Self::ConfirmationRequired => "confirmation_required",
            Self::Internal => "internal",
        }
    }

    /// HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound
            | Self::CallNotFound
            | Self::CertificateNotFound
            | Self::PhoneNotFound
            | Self::SecurityProfileNotFound
            | Self::UserNotFound
            | Self::LineNotFound
            | Self::ParameterNotFound
            | Self::PhoneModelNotFound
            | Self::CommonPhoneProfileNotFound
            | Self::SipRealmNotFound
            | Self::TrunkSecurityProfileNotFound
            | Self::TrunkNotFound
            | Self::PackageNotFound
            | Self::GatewayNotFound
            | Self::FeatureNotFound
            | Self::TemplateNotFound
            | Self::TokenNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ImportRunning | Self::Conflict | Self::DependencyRecordsOff | Self::ConfirmationStale => {
                StatusCode::CONFLICT
            }
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::ImportRefused
            | Self::CertificateRefused
            | Self::TokenRefused
            | Self::RuleBroken
            | Self::CredentialsMismatch
            | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyAttempts | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::TooManyTraces | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::RolloutNotFound => StatusCode::NOT_FOUND,
            Self::RolloutOpen | Self::RolloutNotNow => StatusCode::CONFLICT,
            Self::RolloutRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ConfirmationRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be understood",
            Self::Unauthorized => "A bearer token is needed",
            Self::NotFound => "There is nothing at this path",
            Self::CallNotFound => "There is no such call",
            Self::CertificateNotFound => "There is no such certificate",
            Self::CertificateRefused => "The certificate was not taken; nothing was changed",
            Self::MethodNotAllowed => "The method does not fit the path",
            Self::BodyTooLarge => "The body is too large",
            Self::ImportRunning => "An import is already running",
            Self::ImportRefused => "The import was refused; nothing was stored",
            Self::PhoneNotFound => "There is no such phone",
            Self::SecurityProfileNotFound => "There is no such security profile",
            Self::UserNotFound => "There is no such user",
            Self::LineNotFound => "There is no such line",
            Self::ParameterNotFound => "There is no such parameter",
            Self::PhoneModelNotFound => "There is no such phone model",
            Self::PackageNotFound => "There is no such package",
            Self::GatewayNotFound => "There is no such gateway type",
            Self::FeatureNotFound => "There is no such feature",
            Self::TemplateNotFound => "There is no such hardening template",
            Self::Forbidden => "The token's role does not allow it",
            Self::NotAcceptable => "No form of the answer is acceptable",
            Self::UnsupportedMediaType => "The body is of the wrong type",
            Self::TooManyAttempts => "Too many wrong tokens",
            Self::TooManyTraces => "Too many traces run",
            Self::Busy => "The node is busy",
            Self::CommonPhoneProfileNotFound => "There is no such common phone profile",
            Self::SipRealmNotFound => "There is no such SIP realm",
            Self::TrunkSecurityProfileNotFound => "There is no such trunk security profile",
            Self::TrunkNotFound => "There is no such trunk",
            Self::Conflict => "It does not go with what there is; nothing was changed",
            Self::RuleBroken => "A rule is broken; nothing was changed",
            Self::PreconditionFailed => "The object was changed meanwhile",
            Self::CredentialsMismatch => "The credentials differ; nothing was changed",
            Self::IdempotencyKeyReused => "The idempotency key belongs to another request",
            Self::DependencyRecordsOff => "Dependency records are switched off",
            Self::ConfirmationStale => "Nothing was deleted; what was confirmed has changed",
            Self::RateLimited => "Too many requests",
            Self::TokenNotFound => "There is no such token",
            Self::TokenRefused => "The token was not made",
            Self::RolloutNotFound => "There is no such roll-out",
            Self::RolloutOpen => "A roll-out of this profile is open",
            Self::RolloutNotNow => "The roll-out is not in a state for that",
            Self::RolloutRefused => "The chosen phones cannot be taken",
            Self::ConfirmationRequired => "This must be confirmed",
            Self::Internal => "The node could not do it",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    /// Replaces the stable code where the node gives a narrower one.
    narrower: Option<String>,
    extra: Map<String, Value>,
}

impl Problem {
    /// A problem with its detail: what was wrong here and what to do, on one line.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), narrower: None, extra: Map::new() }
    }

    /// With a code of the node's own instead of the kind's.
    pub fn narrower(mut self, code: String) -> Self {
        self.narrower = Some(code);
        self
    }

    /// With a member of its own (RFC 9457 §3.2).
    pub fn with<T: Serialize>(mut self, name: &str, value: T) -> Self {
        self.extra.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// The document.
    pub fn document(&self) -> Value {
        let code = self.narrower.as_deref().unwrap_or(self.code.as_str());
        let mut out = self.extra.clone();
        for (name, value) in [
            ("type", Value::from(format!("urn:keyline:problem:{code}"))),
            ("title", Value::from(self.code.title())),
            ("status", Value::from(self.code.status().as_u16())),
            ("detail", Value::from(self.detail.as_str())),
            ("code", Value::from(code)),
        ] {
            out.insert(name.to_owned(), value);
        }
        Value::Object(out)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.narrower.as_deref().unwrap_or(self.code.as_str()))
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        match self.code {
            Code::Unauthorized => {
                answer
                    .insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keyline\"")));
            }
            Code::TooManyAttempts | Code::RateLimited | Code::TooManyTraces | Code::Busy => {
                let after = self.extra.get("retry_after_s").and_then(Value::as_u64).unwrap_or(5);
                answer.insert_header((RETRY_AFTER, after));
            }
            Code::MethodNotAllowed => {
                let allowed = self.extra.get("allow").and_then(Value::as_str).unwrap_or("GET, HEAD");
                answer.insert_header((ALLOW, allowed));
            }
            _ => {}
        }
        answer.body(self.document().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_a_stable_code() {
        let problem = Problem::new(Code::ImportRefused, "line 3: no kind").with("more", 2);
        let document = problem.document();
        assert_eq!(document["type"], "urn:keyline:problem:import_refused");
        assert_eq!(document["status"], 422);
        assert_eq!(document["code"], "import_refused");
        assert_eq!(document["detail"], "line 3: no kind");
        assert_eq!(document["more"], 2);
        assert!(document["title"].as_str().is_some_and(|t| !t.is_empty()));
        assert_eq!(problem.error_response().headers().get(CONTENT_TYPE).unwrap(), PROBLEM_JSON);
    }

    #[test]
    fn an_extra_member_never_replaces_a_fixed_one() {
        let document = Problem::new(Code::Internal, "x").with("status", 200).with("code", "ok").document();
        assert_eq!((document["status"].as_u64(), document["code"].as_str()), (Some(500), Some("internal")));
    }

    /// docs/PROBLEMS.md has a row for every kind with its status, and a row for every narrower code that the
    /// rules of the inventory give; the rules are read from where they say their code.
    #[test]
    fn every_code_is_documented() {
        let text = include_str!("../../../docs/PROBLEMS.md");
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(rows.iter().any(|line| line.starts_with(&row)), "{row}");
        }
        assert_eq!(rows.len(), Code::ALL.len());
        let sources = [
            include_str!("../../../actors/domain/src/inventory/error.rs"),
            include_str!("../../../actors/domain/src/profile/rules/mod.rs"),
        ];
        let mut rules = std::collections::BTreeSet::new();
        for source in sources {
            let body = source.split_once("fn code(&self)").expect("a function that gives codes").1;
            let body = body.split_once("\n    }\n").expect("its end").0;
            rules.extend(body.lines().filter_map(|line| line.split_once("=> \"")?.1.split('"').next()));
        }
        assert!(rules.len() > 30, "{rules:?}");
        for rule in rules {
            let found = text.lines().any(|line| line.split('|').nth(2) == Some(&*format!(" `{rule}` ")));
            let kind = Code::ALL.iter().any(|code| code.as_str() == rule);
            assert!(found || kind, "{rule} is not documented");
        }
    }

    #[test]
    fn codes_are_unique_and_say_failure() {
        let codes: std::collections::HashSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|c| c.status().is_client_error() || c.status().is_server_error()));
    }

    #[test]
    fn refusals_say_how_to_ask_rightly() {
        let unauthorized = Problem::new(Code::Unauthorized, "no token").error_response();
        assert!(unauthorized.headers().contains_key(WWW_AUTHENTICATE));
        let method = Problem::new(Code::MethodNotAllowed, "POST").with("allow", "POST").error_response();
        assert_eq!(method.headers().get(ALLOW).unwrap(), "POST");
    }
}
