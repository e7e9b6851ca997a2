//! What a change would do, asked of the running node: slice by slice, so that changes, looks and roll-outs come in
//! between however many phones it is about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Handler, Message};

use super::impact::Asked;
use super::{CatalogActor, ChangeError, ChangeRequest};

/// Look at one more slice; the first time, judge the change itself.
#[derive(Message)]
#[rtype(result = "Result<Box<Asked>, ChangeError>")]
pub(crate) struct AskChange {
    pub(crate) request: Arc<ChangeRequest>,
    pub(crate) asked: Option<Box<Asked>>,
}

impl Handler<AskChange> for CatalogActor {
    type Result = Result<Box<Asked>, ChangeError>;

    fn handle(&mut self, AskChange { request, asked }: AskChange, _: &mut Self::Context) -> Self::Result {
        let step = catch_unwind(AssertUnwindSafe(|| {
            self.tooled(|catalog, tools| {
                let mut asked = match asked {
                    Some(asked) => asked,
                    None => Box::new(catalog.ask(&request, tools)?),
                };
                catalog.ask_on(&request, tools, &mut asked)?;
                Ok(asked)
            })
        }));
        step.unwrap_or_else(|_| {
            self.panicked();
            Err(ChangeError::Internal("the catalog failed and was restarted; ask again".to_owned()))
        })
    }
}
