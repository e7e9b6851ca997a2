//! What a change did, as JSON, and why nothing was changed, as a problem.

use keyline_actors::catalog::{ChangeError, Changed};
use keyline_domain::inventory::{Kind, RowError};
use keyline_domain::profile::ProfileError;
use serde_json::Value;

use super::super::problem::{Code, Problem};

/// A change as it is told: never a secret.
pub fn told(changed: &Changed, dry_run: bool) -> Value {
    with_dry_run(changed.document(), dry_run)
}

/// Says with it whether it was done.
pub(super) fn with_dry_run(mut told: Value, dry_run: bool) -> Value {
    told["dry_run"] = dry_run.into();
    told
}

/// The answer to a change that was asked for without a node.
///
/// # Errors
/// Why nothing was changed.
pub fn answer(result: Result<Changed, ChangeError>, dry_run: bool) -> Result<Value, Problem> {
    match result {
        Ok(changed) => Ok(told(&changed, dry_run)),
        Err(ChangeError::Done(earlier)) => Ok(with_dry_run(*earlier, false)),
        Err(error) => Err(refusal(&error)),
    }
}

/// Why nothing was changed.
pub fn refusal(error: &ChangeError) -> Problem {
    let detail = error.to_string();
    match error {
        ChangeError::Refused { step, error } => broken_rule(error).with("step", step),
        ChangeError::Expected { now, .. } => {
            let now = (now != "none").then_some(now);
            Problem::new(Code::PreconditionFailed, detail).with("etag", now)
        }
        ChangeError::Steps(_) => Problem::new(Code::BadRequest, detail),
        ChangeError::TooLarge(_) => {
            Problem::new(Code::BodyTooLarge, detail).narrower("change_too_large".to_owned())
        }
        ChangeError::KeyReused => Problem::new(Code::IdempotencyKeyReused, detail),
        ChangeError::Store(_) => Problem::new(Code::Internal, detail).narrower("storage_failed".to_owned()),
        _ => Problem::new(Code::Internal, detail),
    }
}

/// The problem of a rule that a row or a removal breaks: its stable code, and the field that is wrong.
pub fn broken_rule(error: &RowError) -> Problem {
    let kind = match error {
        RowError::NotFound { kind, .. } => match not_found(*kind) {
            Some(code) => return Problem::new(code, error.to_string()),
            None => Code::NotFound,
        },
        RowError::InUse { .. }
        | RowError::Exists { .. }
        | RowError::ProfilePredefined { .. }
        | RowError::ModelBuiltin { .. }
        | RowError::DigestUserShared { .. }
        | RowError::LoggedInElsewhere { .. }
        | RowError::UserInOtherStore { .. }
        | RowError::CredentialsInUse { .. }
        | RowError::Full(_) => Code::Conflict,
        RowError::Json { .. } => Code::BadRequest,
        RowError::TooLong { .. } => Code::BodyTooLarge,
        _ => Code::RuleBroken,
    };
    let problem = Problem::new(kind, error.to_string()).narrower(error.code().to_owned());
    match field(error) {
        Some(field) => problem.with("field", field),
        None => problem,
    }
}

/// What is said when an object of this kind is not there; the same as when it is read.
fn not_found(kind: Kind) -> Option<Code> {
    super::super::lists::List::of(kind).map(super::super::lists::List::not_found)
}

/// The field that is wrong.
fn field(error: &RowError) -> Option<&str> {
    Some(match error {
        RowError::FieldUnknown { field, .. }
        | RowError::FieldMissing { field, .. }
        | RowError::Field { field, .. } => field,
        RowError::ParameterUnknown { .. } => "name",
        RowError::ParameterValue { .. } => "value",
        RowError::Profile { error, .. } => match error {
            ProfileError::Name(_) => "name",
            ProfileError::DescriptionTooLong { .. } | ProfileError::DescriptionCharacter { .. } => {
                "description"
            }
            ProfileError::Protocol { .. } => "protocol",
            ProfileError::Mode { .. } => "device_security_mode",
            ProfileError::Transport { .. } => "transport",
            ProfileError::Unsupported { field, .. }
            | ProfileError::Choice { field, .. }
            | ProfileError::Range { field, .. } => field,
            ProfileError::Oauth { .. } => "oauth_authentication",
        },
        RowError::CertificateMode { .. } => "phone",
        RowError::WeakKey { .. } => "rsa_key_size",
        RowError::SwitchMeaningless { .. } => "hardening",
        RowError::ProfileIdentity { .. } => "model",
        RowError::ProfileOfOtherModel { .. } => "security_profile",
        RowError::PhoneProtocol { .. } => "protocol",
        RowError::DigestUserWithoutCredentials { .. } | RowError::DigestUserShared { .. } => "digest_user",
        RowError::CredentialsInUse { .. } => "digest_credentials",
        RowError::LoggedInElsewhere { .. } => "em_user",
        RowError::CapfSettingsMissing { .. } => "capf.authentication_string",
        RowError::CapfUnsupported { .. } => "capf.operation",
        RowError::CapfCertificateUnknown { .. } => "capf.authentication_mode",
        RowError::CertificateSubject { .. } => "subject",
        _ => return None,
    })
}
