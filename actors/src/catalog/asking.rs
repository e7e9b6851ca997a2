//! What a change would do, asked of the running node: slice by slice, so that changes, looks and roll-outs come in
//! between however many phones it is about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Handler, Message};

use super::impact::{Asked, AskedLists, NodeLive};
use super::{CatalogActor, ChangeError, ChangeRequest};
use crate::board::Crl;
use crate::clock::now;

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

/// Look at one more slice of the phones whose certificates other revocation lists may refuse.
#[derive(Message)]
#[rtype(result = "Result<Box<AskedLists>, ChangeError>")]
pub(crate) struct AskLists {
    pub(crate) lists: Arc<Vec<Crl>>,
    pub(crate) asked: Box<AskedLists>,
}

impl Handler<AskLists> for CatalogActor {
    type Result = Result<Box<AskedLists>, ChangeError>;

    fn handle(&mut self, AskLists { lists, mut asked }: AskLists, _: &mut Self::Context) -> Self::Result {
        let step = catch_unwind(AssertUnwindSafe(|| {
            let (boards, inspect) = (&*self.boards, &*self.inspect);
            self.catalog.ask_lists(&NodeLive { boards, inspect, now: now(), lists: &lists }, &mut asked);
            Ok(asked)
        }));
        step.unwrap_or_else(|_| {
            self.panicked();
            Err(ChangeError::Internal("the catalog failed and was restarted; ask again".to_owned()))
        })
    }
}
