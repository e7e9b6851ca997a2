//! From the fields that somebody wrote to the settings in force, by what [`options`] says.

use crate::mode::Protocol;
use crate::model::Model;

use super::super::ProfileSettings;
use super::field::{Chosen, Field, Value};
use super::options::{FieldOption, Values, options};
use super::{ProfileError, ProfileFields};

/// The settings in force for the given fields, or the first broken rule.
pub fn resolve(
    fields: &ProfileFields,
    model: &Model,
    protocol: Protocol,
) -> Result<ProfileSettings, ProfileError> {
    if !model.protocols.has(protocol) {
        return Err(ProfileError::Protocol { model: model.name.to_string(), protocol });
    }
    let offered = options(model, protocol);
    for field in Field::ALL {
        let (Some(given), Err(absent)) = (fields.get(field), offered.field(field)) else { continue };
        if absent.accepts != Some(given) {
            return Err(refuse_absent(model, protocol, field, absent.value));
        }
    }
    let mut chosen = Chosen([Value::Bool(false); Field::ALL.len()]);
    for field in Field::ALL {
        chosen.0[field as usize] = match (offered.field(field), fields.get(field)) {
            (Err(absent), _) => absent.value,
            (Ok(option), Some(given)) if option.values.has(given) => given,
            (Ok(option), Some(given)) => return Err(refuse_value(model, option, given)),
            (Ok(option), None) => default(option, &chosen),
        };
    }
    for option in offered.fields() {
        let broken = broken(option, chosen.of(option.field), &chosen);
        if !broken.is_empty() {
            return Err(refuse_combination(option, &chosen, &broken));
        }
    }
    Ok(chosen.settings())
}

/// What is broken of the conditions of a value: fields with the values that they have.
fn broken(option: &FieldOption, value: Value, chosen: &Chosen) -> Vec<(Field, Value)> {
    let about = option.conditions.iter().filter(|c| c.values.contains(&value));
    about
        .flat_map(|c| c.needs)
        .map(|(field, allowed)| (*field, chosen.of(*field), allowed))
        .filter(|(_, value, allowed)| !allowed.contains(value))
        .map(|(field, value, _)| (field, value))
        .collect()
}

/// The default, or the first choice whose conditions hold; a field's conditions name earlier ones only.
fn default(option: &FieldOption, chosen: &Chosen) -> Value {
    if broken(option, option.default, chosen).is_empty() {
        return option.default;
    }
    let Values::Choice(all) = &option.values else { return option.default };
    let mut fitting =
        all.iter().map(|text| Value::Text(text)).filter(|v| broken(option, *v, chosen).is_empty());
    fitting.next().unwrap_or(option.default)
}

fn refuse_absent(model: &Model, protocol: Protocol, field: Field, value: Value) -> ProfileError {
    let model = model.name.to_string();
    match field {
        Field::DeviceSecurityMode => ProfileError::Mode { model, allowed: value.text().to_owned() },
        _ => ProfileError::Unsupported { model, protocol, field: field.as_str() },
    }
}

fn refuse_value(model: &Model, option: &FieldOption, given: Value) -> ProfileError {
    let allowed = option.values.in_words();
    let field = option.field.as_str();
    match (option.field, given) {
        (Field::DeviceSecurityMode, _) => ProfileError::Mode { model: model.name.to_string(), allowed },
        (Field::Transport, _) => ProfileError::Transport { given: given.text(), allowed },
        (_, Value::Number(value)) => ProfileError::Range { field, value, allowed },
        _ => ProfileError::Choice { model: model.name.to_string(), field, given: given.text(), allowed },
    }
}

fn refuse_combination(option: &FieldOption, chosen: &Chosen, broken_by: &[(Field, Value)]) -> ProfileError {
    if option.field == Field::Transport {
        let all = if let Values::Choice(all) = &option.values { all.as_slice() } else { &[] };
        let fits = |text: &&'static str| broken(option, Value::Text(text), chosen).is_empty();
        let allowed: Vec<_> = all.iter().copied().filter(fits).collect();
        let given = chosen.of(Field::Transport).text();
        return ProfileError::Transport { given, allowed: allowed.join(", ") };
    }
    let in_words = |(field, value): &(Field, Value)| match value {
        Value::Bool(on) => format!("{} is {}", field.as_str(), if *on { "on" } else { "off" }),
        Value::Text(text) => format!("{} is {text}", field.as_str()),
        Value::Number(n) => format!("{} is {n}", field.as_str()),
    };
    ProfileError::Oauth { broken: broken_by.iter().map(in_words).collect::<Vec<_>>().join(", ") }
}
