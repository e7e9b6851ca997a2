//! The audit, for whoever may read: pages, single entries, and whether it is whole. The same functions answer over
//! HTTPS, over the control socket, and to the command line when no node runs.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpRequest, HttpResponse, web};
use keyline_actors::audit::{AuditReader, Found, ReadError};
use keyline_domain::audit::{Entry, Happened, Hash, Mark};
use serde_json::{Value, json};

use super::api::Node;
use super::http::{Answer, Pairs, object, page as body, readable};
use super::lists::{Position, Query, Row, Shape, refusal};
use super::problem::{Code, Problem};
use super::views::Timestamp;

/// What `/audit` knows.
pub(super) static SHAPE: Shape = Shape {
    name: "audit",
    key: "seq",
    filters: &[
        "seq",
        "at",
        "who",
        "role",
        "source",
        "request",
        "operation",
        "kind",
        "name",
        "result",
        "code",
    ],
    sorts: &["seq"],
};

/// Entries that one page looks at, at 5 µs each.
const SCAN_MAX: usize = 5000;

/// Adds the audit to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(readable("/audit", list))
        .service(readable("/audit/verify", verification))
        .service(readable("/audit/{seq}", one));
}

/// An entry that can be filtered.
struct Shown<'a>(&'a Entry);

impl Row for Shown<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        let entry = self.0;
        match field {
            "seq" => each(&entry.seq.to_string()),
            "at" => each(&Timestamp(entry.at).to_string()),
            "who" => each(&entry.who.name),
            "role" => each(&entry.who.role),
            "source" => each(&entry.who.source),
            "request" => entry.who.request.iter().for_each(|id| each(id)),
            "operation" => each(&entry.operation),
            "kind" => each(&entry.kind),
            "name" => {
                each(&entry.name);
                // What was written with it is found by its own name too.
                entry.also.iter().filter_map(|o| o.split_once('/')).for_each(|(_, name)| each(name));
            }
            "result" => each(entry.result.as_str()),
            "code" => code(&entry.result).iter().for_each(|code| each(code)),
            _ => {}
        }
    }
}

fn code(result: &Happened) -> Option<&str> {
    match result {
        Happened::Done => None,
        Happened::Refused(code) => Some(code),
    }
}

fn show(entry: &Entry, hash: &Hash) -> Value {
    json!({
        "seq": entry.seq,
        "at": Timestamp(entry.at),
        "who": entry.who.name,
        "role": entry.who.role,
        "source": entry.who.source,
        "request": entry.who.request,
        "operation": entry.operation,
        "kind": entry.kind,
        "name": entry.name,
        "before": entry.before,
        "after": entry.after,
        "also": entry.also,
        "result": entry.result.as_str(),
        "code": code(&entry.result),
        "hash": hash.to_string(),
    })
}

/// An entry that is there and says nothing: shown, so that nobody overlooks it.
fn unreadable(seq: u64, reason: &str) -> Value {
    json!({
        "seq": seq, "at": null, "who": "", "role": "", "source": "", "request": null, "operation": "unreadable",
        "kind": "", "name": reason, "before": null, "after": null, "also": [], "result": "unreadable",
        "code": null, "hash": "",
    })
}

/// From when on, and until when (not included).
#[derive(Default)]
struct Span {
    from: Option<String>,
    to: Option<String>,
}

impl Span {
    /// Takes `from` and `to` out of the parameters.
    fn take(pairs: &mut Vec<(String, String)>) -> Result<Self, Problem> {
        let mut span = Self::default();
        let mut rest = Vec::with_capacity(pairs.len());
        for (name, value) in pairs.drain(..) {
            let place = match name.as_str() {
                "from" => &mut span.from,
                "to" => &mut span.to,
                _ => {
                    rest.push((name, value));
                    continue;
                }
            };
            if place.replace(instant(&name, &value)?).is_some() {
                return Err(refusal(&name, format!("{name} stands there twice")));
            }
        }
        *pairs = rest;
        Ok(span)
    }

    /// Instants have one form and one length up to the seconds: their order is that of their texts.
    fn has(&self, entry: &Entry) -> bool {
        let at = Timestamp(entry.at).to_string();
        self.from.as_ref().is_none_or(|from| *at >= **from) && self.to.as_ref().is_none_or(|to| *at < **to)
    }
}

/// The beginning of an instant as we write it, without the `Z`: from a year to milliseconds.
fn instant(name: &str, text: &str) -> Result<String, Problem> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddd";
    let begins = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let fits = begins.len() >= 4
        && begins.len() <= FORM.len()
        && begins.bytes().zip(FORM).all(|(b, f)| if *f == b'd' { b.is_ascii_digit() } else { b == *f });
    match fits {
        true => Ok(begins.to_owned()),
        false => {
            let detail =
                format!("{name} is {text:?}; write an instant in UTC, as 2026-01-31 or 2026-01-31T08:30:00Z");
            Err(refusal(name, detail))
        }
    }
}

/// A page of entries, newest first unless asked otherwise.
///
/// # Errors
/// What a parameter has wrong; [`Code::Internal`] when the store cannot be read.
pub fn page(audit: &AuditReader, mut pairs: Vec<(String, String)>) -> Result<Value, Problem> {
    let span = Span::take(&mut pairs)?;
    if !pairs.iter().any(|(name, _)| name == "sort") {
        pairs.push(("sort".to_owned(), "-seq".to_owned()));
    }
    let query = Query::parse(&SHAPE, &pairs)?;
    let after = query.after.as_ref().and_then(|p| p.key.parse().ok());
    let mut items = Vec::new();
    let mut take = |seq: u64, found: Found| {
        match found {
            Ok((entry, hash)) => {
                if span.has(&entry) && query.admits(&Shown(&entry)) {
                    items.push(show(&entry, &hash));
                }
            }
            Err(reason) => items.push(unreadable(seq, &reason)),
        }
        if items.len() >= query.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let next = audit.walk(after, query.backwards, SCAN_MAX, &mut take).map_err(|e| failed(&e))?;
    Ok(body(items, next.map(|seq| query.cursor(&Position::key(seq.to_string())))))
}

/// One entry.
///
/// # Errors
/// [`Code::NotFound`] where there is none (any more); [`Code::Internal`].
pub fn entry(audit: &AuditReader, seq: &str) -> Result<Value, Problem> {
    let found = match seq.parse::<u64>() {
        Ok(seq) => {
            audit.entry(seq).map_err(|e| Problem::new(Code::Internal, e.to_string()))?.map(|f| (seq, f))
        }
        Err(_) => None,
    };
    match found {
        Some((_, Ok((entry, hash)))) => Ok(show(&entry, &hash)),
        Some((seq, Err(reason))) => Ok(unreadable(seq, &reason)),
        None => Err(Problem::new(Code::NotFound, format!("the audit has no entry {seq:?}, or no longer"))
            .narrower("audit_entry_not_found".to_owned())),
    }
}

/// Walks the whole audit: whether it is whole, else the first thing that is wrong.
///
/// # Errors
/// [`Code::Internal`] when the store cannot be read.
pub fn verify(audit: &AuditReader, expect: Option<Mark>) -> Result<Value, Problem> {
    match audit.verify(expect) {
        Ok(verified) => {
            let head = verified.head;
            let mark = (head.tip.seq > 0).then(|| head.tip.to_string());
            Ok(json!({
                "whole": true, "entries": verified.entries, "first": head.base.seq + 1, "last": head.tip.seq,
                "mark": mark, "mark_found": expect.map(|_| verified.mark_found), "fault": null,
            }))
        }
        Err(ReadError::Fault(fault)) => Ok(json!({
            "whole": false, "entries": null, "first": null, "last": null, "mark": null, "mark_found": null,
            "fault": { "code": fault.code(), "entry": fault.entry(), "detail": fault.to_string() },
        })),
        Err(error) => Err(failed(&error)),
    }
}

/// A mark as `verify` gave it, and as somebody kept it.
///
/// # Errors
/// What is wrong with it.
pub fn mark(text: &str) -> Result<Mark, Problem> {
    text.parse()
        .map_err(|()| refusal("expect", format!("{text:?} is no mark: write NUMBER:HASH as verify gives it")))
}

fn failed(error: &ReadError) -> Problem {
    Problem::new(Code::Internal, format!("the audit cannot be read: {error}"))
}

async fn list(node: Node, pairs: Pairs) -> Answer {
    let (audit, pairs) = (node.audit(), pairs.into_inner());
    Ok(HttpResponse::Ok().json(apart(move || page(&audit, pairs)).await?))
}

async fn one(node: Node, request: HttpRequest, seq: web::Path<String>) -> Answer {
    let audit = node.audit();
    object(&request, &apart(move || entry(&audit, &seq)).await?)
}

/// One at a time: it reads everything.
static VERIFYING: AtomicBool = AtomicBool::new(false);

struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        VERIFYING.store(false, Ordering::Release);
    }
}

async fn verification(node: Node, pairs: Pairs) -> Answer {
    let expect = match pairs.as_slice() {
        [] => None,
        [(name, value)] if name == "expect" => Some(mark(value)?),
        [(name, _), ..] => return Err(refusal(name, "the only parameter is expect, once".to_owned())),
    };
    if VERIFYING.swap(true, Ordering::AcqRel) {
        let detail = "the audit is being verified for somebody else; ask again later";
        return Err(Problem::new(Code::Busy, detail).with("retry_after_s", 1));
    }
    let turn = Turn;
    let audit = node.audit();
    let verified = apart(move || {
        let _turn = turn;
        verify(&audit, expect)
    });
    Ok(HttpResponse::Ok().json(verified.await?))
}

/// On a thread that may wait for the disk.
async fn apart(work: impl FnOnce() -> Result<Value, Problem> + Send + 'static) -> Result<Value, Problem> {
    let done = web::block(work).await;
    done.unwrap_or_else(|_| {
        Err(Problem::new(Code::Internal, "the node is stopping, or failed; its log says which"))
    })
}

#[cfg(test)]
mod tests {
    use keyline_domain::audit::{Draft, Who};
    use keyline_domain::ids::UnixMillis;

    use super::*;

    #[test]
    fn instants_are_compared_as_they_are_written() {
        let of = |at: &str| instant("from", at).map_err(|p| p.document()["parameter"].clone());
        for good in ["2026", "2026-01", "2026-01-31", "2026-01-31T08:30Z", "2026-01-31T08:30:00.123Z"] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in
            ["", "202", "2026-1-31", "yesterday", "2026-01-31T08:30:00+01:00", "2026-01-31T08:30:00.1234Z"]
        {
            assert_eq!(of(bad), Err("from".into()), "{bad}");
        }
        // 2026-11-23T14:00:00.500Z
        let draft = Draft::new(&Who::default(), "merge", "line", "1", Happened::Done);
        let entry = draft.placed(1, UnixMillis(1_795_442_400_500));
        for (from, to, has) in [
            ("2026", "2027", true),
            ("2026-11-23T14:00:00Z", "2026-11-23T14:00:01Z", true),
            ("2026-11-23T14:00:00.500Z", "2026-11-23T14:00:00.501Z", true),
            ("2026-11-23T14:00:00.501Z", "2027", false),
            ("2026", "2026-11-23T14:00:00.500Z", false),
            ("2026", "2026-11-23T14:00:00Z", false),
        ] {
            let mut pairs = vec![("from".to_owned(), from.to_owned()), ("to".to_owned(), to.to_owned())];
            let span = Span::take(&mut pairs).unwrap();
            assert!(pairs.is_empty());
            assert_eq!(span.has(&entry), has, "{from} {to} {}", Timestamp(entry.at));
        }
    }

    #[test]
    fn an_empty_audit_is_whole_and_what_is_wrong_is_named() {
        let audit = AuditReader::of(Vec::new());
        let listed = page(&audit, Vec::new()).unwrap();
        assert_eq!(listed, json!({ "items": [], "next": null }));
        assert_eq!(entry(&audit, "1").unwrap_err().document()["code"], "audit_entry_not_found");
        assert_eq!(entry(&audit, "x").unwrap_err().document()["code"], "audit_entry_not_found");
        assert_eq!(verify(&audit, None).unwrap()["whole"], true);
        let noted = mark(&format!("3:{}", "ab".repeat(32))).unwrap();
        assert_eq!(verify(&audit, Some(noted)).unwrap()["fault"]["code"], "mark_gone");
        assert!(mark("3").is_err());
        for (name, value) in
            [("sort", "at"), ("filter", "password:begins:x"), ("from", "x"), ("since", "2026")]
        {
            let refused = page(&audit, vec![(name.to_owned(), value.to_owned())]).unwrap_err();
            assert_eq!(refused.document()["parameter"], name);
        }
    }
}
