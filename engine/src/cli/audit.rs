//! The audit: listing, showing, verifying.

use super::args::{Audit, Place};
use super::source::{Pairs, Source};
use super::{Failure, World, listing, show};
use crate::admin::audit;
use crate::config::Config;

pub(super) fn execute(
    what: &Audit,
    place: &Place,
    config: &Config,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let mut source = Source::any(place, config, world)?;
    match what {
        Audit::List { from, to, form } => {
            let span = [("from", from), ("to", to)];
            let span: Pairs =
                span.into_iter().filter_map(|(name, at)| Some((name.to_owned(), at.clone()?))).collect();
            listing::list_with(&mut source, &listing::AUDIT, form, &span, world)
        }
        Audit::Show { number, form } => show::one(&mut source, "audit", &number.to_string(), form, world),
        Audit::Verify { expect, form } => {
            // What is no mark is found before anything is read.
            let mark = expect.as_deref().map(audit::mark).transpose().map_err(super::source::refused)?;
            let found = source.verified(mark)?;
            if form.json {
                show::print(&found, form, world)?;
            }
            if found["whole"] != true {
                let fault = found["fault"]["detail"].as_str().unwrap_or("it is not whole");
                return Err(Failure::Refused(format!("the audit is not whole: {fault}")));
            }
            if found["mark_found"] == false {
                let _ = writeln!(
                    world.err,
                    "keyline: warning: the noted entry was taken away by now, so it was not compared"
                );
            }
            if form.json {
                return Ok(());
            }
            let line = match found["mark"].as_str() {
                Some(mark) => {
                    let (first, last) = (&found["first"], &found["last"]);
                    format!("the audit is whole: entries {first} to {last}; its mark is {mark}")
                }
                None => "the audit is whole: it has no entries yet".to_owned(),
            };
            writeln!(world.out, "{line}").map_err(Failure::output)
        }
    }
}
