//! The same explanation in three forms: the API's JSON, an operator's text, the value phones read.

use std::fmt::Write as _;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::{Criterion, Explained, Finding};
use crate::ids::DeviceName;
use crate::mode::SecurityClass;

/// Class of a call with the reasons: the body of `/calls/{id}/security`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallSecurity {
    /// The class of the call.
    pub class: SecurityClass,
    /// `lock`, `shield` or `none` (R058): what every phone on the call shows.
    pub icon: &'static str,
    /// The answered legs, in the order given.
    pub legs: Vec<LegSecurity>,
}

/// Class of one leg with the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LegSecurity {
    /// The device.
    pub device: DeviceName,
    /// Its own class; the call's may be lower.
    pub class: SecurityClass,
    /// Trusted, signaling, media.
    pub criteria: [Criterion; 3],
}

impl LegSecurity {
    /// Ties an explanation to its device.
    pub fn new(device: DeviceName, explained: Explained) -> Self {
        Self { device, class: explained.class, criteria: explained.criteria }
    }
}

impl CallSecurity {
    /// Value of `security=` in Call-Info for this call.
    pub fn call_info(&self) -> &'static str {
        call_info_security(Some(self.class))
    }
}

/// Value of `security=` in Cisco's Call-Info. `None`: not known yet, the call is not connected.
pub fn call_info_security(class: Option<SecurityClass>) -> &'static str {
    match class {
        None => "Unknown",
        Some(SecurityClass::NonSecure) => "NotAuthenticated",
        Some(SecurityClass::Authenticated) => "Authenticated",
        Some(SecurityClass::Encrypted) => "Encrypted",
    }
}

/// What `keyline explain call ID` prints: the verdict, then every leg and criterion, and under a failing
/// one each cause with the setting behind it.
pub fn explain_text(call: &str, security: &CallSecurity) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = render(&mut text, call, security);
    text
}

fn render(out: &mut String, call: &str, security: &CallSecurity) -> std::fmt::Result {
    let count = security.legs.len();
    write!(out, "call {call}: {}, icon {}", security.class.as_str(), security.icon)?;
    match count {
        0 => writeln!(out, " (no leg is answered yet)")?,
        1 => writeln!(out, " (its only answered leg)")?,
        _ => writeln!(out, " (lowest of {count} answered legs)")?,
    }
    for leg in &security.legs {
        let decides = if leg.class == security.class && leg.class != SecurityClass::Encrypted {
            " <- keeps the call at this class"
        } else {
            ""
        };
        writeln!(out, "  {}: {}{decides}", leg.device, leg.class.as_str())?;
        for criterion in &leg.criteria {
            let verdict = if criterion.pass() { "pass" } else { "FAIL" };
            write!(out, "    {:<9}  {verdict}", criterion.name.as_str())?;
            for (i, finding) in criterion.findings.iter().enumerate() {
                // Later causes stand below the first one.
                let gap = if i == 0 { 2 } else { 4 + 9 + 2 + 4 + 2 };
                writeln!(out, "{:gap$}{} ({})", "", finding.cause, finding.setting)?;
            }
            if criterion.pass() {
                writeln!(out)?;
            }
        }
    }
    Ok(())
}

/// `{name, pass, cause, setting}`, and `also: [{cause, setting}]` when more than one cause was found.
impl Serialize for Criterion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (first, rest) = match self.findings.split_first() {
            Some((first, rest)) => (Some(first), rest),
            None => (None, &[][..]),
        };
        let fields = if rest.is_empty() { 4 } else { 5 };
        let mut out = serializer.serialize_struct("Criterion", fields)?;
        out.serialize_field("name", &self.name)?;
        out.serialize_field("pass", &self.pass())?;
        out.serialize_field("cause", &first.map(|finding| finding.cause.to_string()))?;
        out.serialize_field("setting", &first.map(|finding| &finding.setting))?;
        if !rest.is_empty() {
            out.serialize_field("also", rest)?;
        }
        out.end()
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 2)?;
        out.serialize_field("cause", &self.cause.to_string())?;
        out.serialize_field("setting", &self.setting)?;
        out.end()
    }
}
