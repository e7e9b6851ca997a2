//! Changes of one object: the same words over the control socket, over HTTPS and into the store.

use keyline_domain::inventory::{Kind, PARAMETERS, Step, did_you_mean};
use serde_json::{Map, Value, json};

use super::args::{Cert, Delete, Fields, How, Place, Write};
use super::body::{self, Purpose};
use super::noun::{self, Noun};
use super::said::{self, Deed};
use super::source::{Order, Source};
use super::{Failure, World, ask, selected};
use crate::admin::control::{ControlError, Method};
use crate::config::Config;

/// Adds a new object.
pub(super) fn add(
    noun: &Noun,
    what: &Write,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let mut body = fields(noun, &what.fields, Purpose::Whole, world)?;
    noun.bear(&what.name, &mut body);
    let order = Order {
        method: Method::POST,
        path: noun.path().to_owned(),
        body: Some(Value::Object(body.clone())),
        step: Step::Create { kind: noun.kind, body: Value::Object(body) },
        how: &what.how,
    };
    finish(noun, Deed::Added, order, source, world)
}

/// Changes some fields.
pub(super) fn set(
    noun: &Noun,
    (name, given, how): (&str, &Fields, &How),
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let body = fields(noun, given, Purpose::Patch, world)?;
    if body.is_empty() {
        return Err(Failure::Usage("give at least one field=value to change".to_owned()));
    }
    let body = Value::Object(body);
    let order = Order {
        method: Method::PATCH,
        path: noun.path_of(name),
        body: Some(body.clone()),
        step: Step::Merge { kind: noun.kind, name: noun.canonical(name), body },
        how,
    };
    finish(noun, Deed::Changed, order, source, world)
}

/// Puts another object in its place.
pub(super) fn replace(
    noun: &Noun,
    (name, given, how): (&str, &Fields, &How),
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let body = Value::Object(fields(noun, given, Purpose::Whole, world)?);
    let order = Order {
        method: Method::PUT,
        path: noun.path_of(name),
        body: Some(body.clone()),
        step: Step::Replace { kind: noun.kind, name: noun.canonical(name), body },
        how,
    };
    finish(noun, Deed::Changed, order, source, world)
}

/// Deletes objects, each by itself, after asking once.
pub(super) fn delete(
    noun: &Noun,
    what: &Delete,
    (place, config): (&Place, &Config),
    world: &mut World<'_>,
) -> Result<(), Failure> {
    // What cannot be asked is refused before anything is opened.
    let unasked = what.yes || what.how.dry_run;
    ask::possible(unasked, world)?;
    let mut source = Source::changing(place, config, &what.how, world)?;
    let source = &mut source;
    if what.names.is_empty() {
        return selected::delete(noun, what, source, world);
    }
    if !unasked {
        ask::confirm(&question(noun, &what.names, source)?, world)?;
    }
    let all = what.names.len();
    let mut refused = 0;
    for name in &what.names {
        let order = Order {
            method: Method::DELETE,
            path: noun.path_of(name),
            body: None,
            step: Step::Remove { kind: noun.kind, name: noun.canonical(name) },
            how: &what.how,
        };
        match finish(noun, Deed::Deleted, order, source, world) {
            Ok(()) => {}
            Err(failure) if all == 1 => return Err(failure),
            Err(failure) => {
                refused += 1;
                let _ = failure.print(world.err);
            }
        }
    }
    match refused {
        0 => Ok(()),
        refused => Err(Failure::Some { refused, all }),
    }
}

/// What is asked before something is deleted: which, and how many phones it concerns.
fn question(noun: &Noun, names: &[String], source: &mut Source) -> Result<String, Failure> {
    let mut phones = 0;
    for name in names {
        let one = source.object(noun, name)?;
        phones += match (&one["phones"], &one["phone"]) {
            _ if noun.kind == Kind::Phone => 1,
            (Value::Number(n), _) => n.as_u64().unwrap_or(0),
            (Value::Array(all), _) => all.len() as u64,
            (_, Value::String(_)) => 1,
            _ => 0,
        };
    }
    let what = match names {
        [name] => format!("{} {name:?}", noun.word),
        names => format!("{} {}s", names.len(), noun.word),
    };
    let phones = match phones {
        0 => "no phone is concerned".to_owned(),
        1 => "1 phone is concerned".to_owned(),
        n => format!("{n} phones are concerned"),
    };
    Ok(format!("delete {what}? {phones}."))
}

/// Logs a user in on a phone, or out.
pub(super) fn log_in(
    name: &str,
    user: Option<&str>,
    how: &How,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let noun = &noun::PHONE;
    let verb = if user.is_some() { "login" } else { "logout" };
    let order = Order {
        method: Method::POST,
        path: format!("{}/{verb}", noun.path_of(name)),
        body: user.map(|user| json!({ "user": user })),
        step: Step::Merge { kind: noun.kind, name: noun.canonical(name), body: json!({ "em_user": user }) },
        how,
    };
    finish(noun, Deed::Changed, order, source, world)
}

/// Changes a phone's CAPF settings and order.
pub(super) fn capf(what: &Write, source: &mut Source, world: &mut World<'_>) -> Result<(), Failure> {
    let noun = &noun::PHONE;
    let mut fields = fields(noun, &what.fields, Purpose::Patch, world)?;
    // The secret of a phone stands in its capf, which is what is changed here.
    if let Some(Value::Object(inner)) = fields.remove("capf") {
        fields.extend(inner);
    }
    if fields.is_empty() {
        return Err(Failure::Usage("give at least one field=value to change".to_owned()));
    }
    let body = Value::Object(fields);
    let order = Order {
        method: Method::PATCH,
        path: format!("{}/capf", noun.path_of(&what.name)),
        body: Some(body.clone()),
        step: Step::Merge {
            kind: noun.kind,
            name: noun.canonical(&what.name),
            body: json!({ "capf": body }),
        },
        how: &what.how,
    };
    finish(noun, Deed::Changed, order, source, world)
}

/// Copies a profile.
pub(super) fn copy(
    name: &str,
    to: &str,
    what: (&Fields, &How),
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let noun = &noun::PROFILE;
    let fields = fields(noun, what.0, Purpose::Patch, world)?;
    let mut body = fields.clone();
    body.insert("name".to_owned(), to.into());
    let order = Order {
        method: Method::POST,
        path: format!("{}/copy", noun.path_of(name)),
        body: Some(Value::Object(body)),
        step: Step::Copy { name: name.to_owned(), to: to.to_owned(), body: Value::Object(fields) },
        how: what.1,
    };
    finish(noun, Deed::CopiedFrom(name), order, source, world)
}

/// Gives a profile another name.
pub(super) fn rename(
    name: &str,
    to: &str,
    how: &How,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let noun = &noun::PROFILE;
    let order = Order {
        method: Method::POST,
        path: format!("{}/rename", noun.path_of(name)),
        body: Some(json!({ "name": to })),
        step: Step::Rename { name: name.to_owned(), to: to.to_owned() },
        how,
    };
    finish(noun, Deed::RenamedFrom(name), order, source, world)
}

/// Gives a parameter a value.
pub(super) fn set_parameter(
    name: &str,
    value: &str,
    how: &How,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let noun = &noun::PARAMETER;
    let body = json!({ "value": body::parameter(name, value) });
    let order = Order {
        method: Method::PATCH,
        path: noun.path_of(name),
        body: Some(body.clone()),
        step: Step::Merge { kind: noun.kind, name: name.to_owned(), body },
        how,
    };
    finish(noun, Deed::Changed, order, source, world).map_err(|failure| nearest_parameter(name, failure))
}

/// Names the parameter that was meant, perhaps.
fn nearest_parameter(name: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Control(ControlError::Refused(mut problem)) if problem["code"] == "parameter_not_found" => {
            let hint = did_you_mean(name, PARAMETERS.iter().map(|spec| spec.name));
            let detail = problem["detail"].as_str().unwrap_or_default();
            problem["detail"] = format!("{detail}{hint}").into();
            Failure::Control(ControlError::Refused(problem))
        }
        other => other,
    }
}

/// Trusts a certificate.
pub(super) fn add_certificate(
    what: &Cert,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let Cert::Add { purpose, pem, phone, subject, how } = what else { return Ok(()) };
    let noun = &noun::CERTIFICATE;
    let mut body = json!({ "purpose": purpose, "pem": ask::text(pem, world)?.as_str() });
    for (field, value) in [("phone", phone), ("subject", subject)] {
        if let Some(value) = value {
            body[field] = value.as_str().into();
        }
    }
    let order = Order {
        method: Method::POST,
        path: noun.path().to_owned(),
        body: Some(body.clone()),
        step: Step::Create { kind: noun.kind, body },
        how,
    };
    finish(noun, Deed::Added, order, source, world)
}

fn finish(
    noun: &Noun,
    deed: Deed<'_>,
    order: Order<'_>,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let (json, body) = (order.how.json, order.body.clone());
    let answer = source.change(order)?;
    match json {
        true => said::whole(&answer, world),
        false => said::change(noun, deed, body.as_ref(), &answer, world),
    }
}

/// The fields that are given: of the file, then the pairs above them, then the secret.
fn fields(
    noun: &Noun,
    given: &Fields,
    purpose: Purpose,
    world: &mut World<'_>,
) -> Result<Map<String, Value>, Failure> {
    let mut fields = match &given.file {
        Some(file) => ask::object(file, world)?,
        None => Map::new(),
    };
    body::fill(&mut fields, &given.pairs, purpose).map_err(Failure::Usage)?;
    if given
        .pairs
        .iter()
        .any(|p| p.starts_with("digest_credentials=") && p.len() > "digest_credentials=".len())
    {
        let _ = writeln!(
            world.err,
            "keyline: warning: a secret on the command line is seen by every user of this machine in its list of \
             processes; use --secret-file or --ask-secret"
        );
    }
    if given.secret_file.is_none() && !given.ask_secret {
        return Ok(fields);
    }
    let Some(path) = noun.secret() else {
        return Err(Failure::Usage(format!("a {} has no secret", noun.word)));
    };
    let secret = match &given.secret_file {
        Some(file) => ask::secret_of(file, world)?,
        None => ask::secret(path.last().copied().unwrap_or_default(), world)?,
    };
    let mut inner = &mut fields;
    for name in &path[..path.len() - 1] {
        let place = inner.entry(*name).or_insert_with(|| json!({}));
        let Some(object) = place.as_object_mut() else {
            return Err(Failure::Usage(format!("field {name:?} is no object")));
        };
        inner = object;
    }
    if let Some(name) = path.last() {
        inner.insert((*name).to_owned(), secret.as_str().into());
    }
    Ok(fields)
}
