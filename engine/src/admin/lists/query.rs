//! What a list is asked for: `limit`, `cursor`, `filter` and `sort` (R176, R178).

pub use keyline_domain::find::Pattern;

use super::cursor::{CURSOR_MAX, Position};
use crate::admin::problem::{Code, Problem};

/// Most rows of a page.
pub const LIMIT_MAX: usize = 1000;

/// Rows of a page if none is asked for.
pub const LIMIT_DEFAULT: usize = 100;

/// Most filters of a query.
pub const FILTERS_MAX: usize = 8;

/// Longest text of a filter, in bytes.
pub const FILTER_TEXT_MAX: usize = 256;

/// What a list knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its path below `/api/v1`.
    pub name: &'static str,
    /// The field that names a row.
    pub key: &'static str,
    /// Fields that can be filtered by.
    pub filters: &'static [&'static str],
    /// Fields that can be sorted by, the default first.
    pub sorts: &'static [&'static str],
}

/// One criterion; all of a query must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Field.
    pub field: &'static str,
    /// How to compare.
    pub pattern: Pattern,
    /// With what.
    pub text: String,
}

/// Something that can be listed.
pub trait Row {
    /// Calls `each` with every value of a field; with none where it is empty.
    fn values(&self, field: &str, each: &mut dyn FnMut(&str));

    /// First value of a field, for sorting.
    fn first(&self, field: &str) -> String {
        let mut first = None;
        self.values(field, &mut |value| {
            first.get_or_insert_with(|| value.to_owned());
        });
        first.unwrap_or_default()
    }
}

impl Filter {
    fn parse(shape: &Shape, text: &str) -> Result<Self, Problem> {
        let bad = |detail: String| Err(refusal("filter", detail));
        let mut parts = text.splitn(3, ':');
        let (name, pattern) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let value = parts.next();
        let Some(field) = shape.filters.iter().find(|f| **f == name) else {
            return bad(format!("there is no field {name:?}; filter by {}", shape.filters.join(", ")));
        };
        let Some((_, pattern)) = Pattern::ALL.into_iter().find(|(name, _)| *name == pattern) else {
            let all: Vec<_> = Pattern::ALL.iter().map(|(name, _)| *name).collect();
            return bad(format!("write field:pattern:text; {pattern:?} is none of {}", all.join(", ")));
        };
        let alone = matches!(pattern, Pattern::IsEmpty | Pattern::IsNotEmpty);
        match value.unwrap_or_default() {
            "" if !alone => bad(format!("{text:?} has no text to compare with")),
            value if alone && !value.is_empty() => bad(format!("{text:?}: this pattern takes no text")),
            value if value.len() > FILTER_TEXT_MAX => {
                bad(format!("the text has {} bytes; at most {FILTER_TEXT_MAX}", value.len()))
            }
            value => Ok(Self { field, pattern, text: value.to_owned() }),
        }
    }

    /// Some value of the row's field fits.
    pub fn admits(&self, row: &impl Row) -> bool {
        let (mut some, mut fits) = (false, false);
        row.values(self.field, &mut |value| {
            some |= !value.is_empty();
            fits |= self.pattern.holds(value, &self.text);
        });
        match self.pattern {
            Pattern::IsEmpty => !some,
            Pattern::IsNotEmpty => some,
            _ => fits,
        }
    }
}

/// A whole query, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Most rows.
    pub limit: usize,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Field that rows are sorted by.
    pub sort: &'static str,
    /// From the last to the first.
    pub backwards: bool,
    /// Behind this row.
    pub after: Option<Position>,
    scope: String,
}

impl Query {
    /// From the parameters of a request, in their order.
    pub fn parse(shape: &'static Shape, parameters: &[(String, String)]) -> Result<Self, Problem> {
        let (mut limit, mut cursor, mut sort, mut filters) = (None, None, None, Vec::new());
        for (name, value) in parameters {
            let once = match name.as_str() {
                "limit" => limit.replace(value),
                // `after` is the name that the first version gave it.
                "cursor" | "after" => cursor.replace(value),
                "sort" => sort.replace(value),
                "filter" if filters.len() < FILTERS_MAX => {
                    filters.push(Filter::parse(shape, value)?);
                    None
                }
                "filter" => {
                    return Err(refusal("filter", format!("at most {FILTERS_MAX} filters are taken")));
                }
                other => {
                    return Err(refusal(other, format!("{other:?} is none of limit, cursor, filter, sort")));
                }
            };
            if once.is_some() {
                return Err(refusal(name, format!("{name} stands there twice")));
            }
        }
        let limit = match limit.map(|text| text.parse::<usize>().map_err(|_| text)) {
            None => LIMIT_DEFAULT,
            Some(Ok(limit @ 1..=LIMIT_MAX)) => limit,
            Some(Ok(other)) => {
                return Err(refusal("limit", format!("limit is {other}; use 1 to {LIMIT_MAX}")));
            }
            Some(Err(text)) => {
                return Err(refusal("limit", format!("limit is {text:?}; use 1 to {LIMIT_MAX}")));
            }
        };
        let asked = sort.map_or("", String::as_str);
        let (backwards, name) = match asked.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, asked),
        };
        let found =
            if sort.is_none() { shape.sorts.first() } else { shape.sorts.iter().find(|s| **s == name) };
        let Some(sort) = found.copied() else {
            let all = shape.sorts.join(", ");
            return Err(refusal("sort", format!("{asked:?} cannot be sorted by; use {all}, or - before it")));
        };
        let mut scope = format!("{}\n{sort}{backwards}", shape.name);
        for f in &filters {
            scope.push_str(&format!("\n{}:{:?}:{}", f.field, f.pattern, f.text));
        }
        let after = match cursor {
            None => None,
            Some(cursor) => Some(Position::decode(cursor, &scope).ok_or_else(|| {
                let detail = "this cursor is not the `next` of a page of the same query; ask without it";
                let long = if cursor.len() > CURSOR_MAX { " (it is too long)" } else { "" };
                refusal("cursor", format!("{detail}{long}"))
            })?),
        };
        Ok(Self { limit, filters, sort, backwards, after, scope })
    }

    /// All filters admit the row.
    pub fn admits(&self, row: &impl Row) -> bool {
        self.filters.iter().all(|f| f.admits(row))
    }

    /// The text that a field must be or begin with, if some filter says so.
    pub fn prefix(&self, field: &str) -> Option<&str> {
        let narrow =
            |f: &&Filter| f.field == field && matches!(f.pattern, Pattern::Begins | Pattern::IsExactly);
        self.filters.iter().find(narrow).map(|f| f.text.as_str())
    }

    /// The place that a cursor of this query stands for.
    pub fn position(&self, cursor: &str) -> Option<Position> {
        Position::decode(cursor, &self.scope)
    }

    /// The cursor behind a row.
    pub fn cursor(&self, position: &Position) -> String {
        position.encode(&self.scope)
    }
}

/// What a parameter has wrong.
pub fn refusal(parameter: &str, detail: String) -> Problem {
    Problem::new(Code::BadRequest, detail).with("parameter", parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    static SHAPE: Shape =
        Shape { name: "things", key: "name", filters: &["name", "line"], sorts: &["name", "model"] };

    struct Thing(&'static [&'static str]);

    impl Row for Thing {
        fn values(&self, _: &str, each: &mut dyn FnMut(&str)) {
            self.0.iter().for_each(|v| each(v));
        }
    }

    fn parse(text: &[(&str, &str)]) -> Result<Query, Problem> {
        let all: Vec<_> = text.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Query::parse(&SHAPE, &all)
    }

    #[test]
    fn r176_patterns_compare_as_they_are_named() {
        for (filter, value, fits) in [
            ("begins:sep", "SEP001", true),
            ("begins:ep0", "SEP001", false),
            ("contains:p00", "SEP001", true),
            ("contains:p01", "SEP001", false),
            ("ends:001", "SEP001", true),
            ("ends:00", "SEP001", false),
            ("is_exactly:sep001", "SEP001", true),
            ("is_exactly:SEP00", "SEP001", false),
            ("begins:SEP0011", "SEP001", false),
            ("is_exactly:a:b", "a:b", true),
            ("is_empty", "", true),
            ("is_empty", "x", false),
            ("is_not_empty:", "x", true),
            ("is_not_empty", "", false),
            ("contains:é", "Café", true),
        ] {
            let query = parse(&[("filter", &format!("name:{filter}"))]).unwrap();
            assert_eq!(
                query.admits(&Thing(if value.is_empty() { &[] } else { Box::leak(Box::new([value])) })),
                fits,
                "{filter} {value}"
            );
        }
    }

    #[test]
    fn r176_several_filters_combine_with_and() {
        let query = parse(&[("filter", "name:begins:a"), ("filter", "line:ends:z")]).unwrap();
        assert!(query.admits(&Thing(&["az"])));
        assert!(query.admits(&Thing(&["a", "z"])), "a field with several values fits with one of them");
        assert!(
            !query.admits(&Thing(&["ab"])) && !query.admits(&Thing(&["bz"])) && !query.admits(&Thing(&[]))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (parameter, value) in [
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "-1"),
            ("limit", "x"),
            ("limit", ""),
            ("filter", ""),
            ("filter", "name"),
            ("filter", "name:begins"),
            ("filter", "name:begins:"),
            ("filter", "name:is:x"),
            ("filter", "password:begins:x"),
            ("filter", "name:is_empty:x"),
            ("sort", ""),
            ("sort", "-"),
            ("sort", "line"),
            ("sort", "--name"),
            ("cursor", ""),
            ("cursor", "AAAA"),
            ("nonsense", "1"),
        ] {
            let problem = parse(&[(parameter, value)]).unwrap_err().document();
            assert_eq!(
                (&problem["code"], &problem["parameter"]),
                (&"bad_request".into(), &parameter.into()),
                "{value}"
            );
        }
        let long = format!("name:contains:{}", "x".repeat(FILTER_TEXT_MAX + 1));
        assert!(parse(&[("filter", &long)]).is_err());
        assert!(parse(&[("filter", "name:ends:x"); FILTERS_MAX]).is_ok());
        assert!(parse(&[("filter", "name:ends:x"); FILTERS_MAX + 1]).is_err());
        assert!(parse(&[("limit", "1"), ("limit", "2")]).is_err());
    }

    #[test]
    fn a_cursor_serves_its_own_query_only() {
        let query = parse(&[("sort", "-model"), ("limit", "5")]).unwrap();
        let cursor = query.cursor(&Position { value: "m".to_owned(), key: "k".to_owned() });
        let again = parse(&[("cursor", &cursor), ("sort", "-model"), ("limit", "9")]).unwrap();
        assert_eq!(again.after.unwrap().key, "k");
        assert!(parse(&[("cursor", &cursor), ("sort", "model")]).is_err());
        assert!(parse(&[("cursor", &cursor), ("sort", "-model"), ("filter", "name:ends:x")]).is_err());
    }
}
