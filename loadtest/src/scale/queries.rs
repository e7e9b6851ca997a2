//! What administrators look for, kind by kind, and how many answers each must have at least.

use super::fleet::{FLEET, description, device, dn};

/// One kind of question.
pub(super) struct Kind {
    /// As it is printed.
    pub name: &'static str,
    /// The path of the `n`th question about that many phones.
    pub path: fn(u32, u32) -> String,
    /// How many pages are read on from the first one, each timed.
    pub pages: u32,
    /// Rows that the first page must have, exactly; `None`: at least one.
    pub rows: Option<usize>,
}

fn pick(n: u32, phones: u32) -> u32 {
    n.wrapping_mul(7919) % phones
}

/// A phone with a description, a little off the asked one.
fn described(n: u32, phones: u32) -> u32 {
    let at = pick(n, phones);
    if at % 10 == 9 { at - 1 } else { at }
}

/// The six digits in the description of a phone.
fn number_of(n: u32) -> String {
    let text = description(n);
    let end = text.find(',').unwrap_or(0);
    text[end.saturating_sub(6)..end].to_owned()
}

fn text(value: &str) -> String {
    value.replace(' ', "%20").replace(',', "%2C")
}

macro_rules! kind {
    ($name:literal, $path:expr) => {
        Kind { name: $name, path: $path, pages: 0, rows: None }
    };
    ($name:literal, $path:expr, rows $rows:literal) => {
        Kind { name: $name, path: $path, pages: 0, rows: Some($rows) }
    };
    ($name:literal, $path:expr, pages $pages:literal) => {
        Kind { name: $name, path: $path, pages: $pages, rows: Some(100) }
    };
}

/// All kinds. Where nothing else is said a page has 100 rows.
pub(super) const KINDS: &[Kind] = &[
    kind!("first page, by name", |_, _| "/phones".to_owned(), rows 100),
    kind!("name begins, all of a maker", |_, _| "/phones?filter=name:begins:SEP02AA".to_owned(), rows 100),
    kind!("name begins, some 16", |n, p| {
        let name = device(pick(n, p));
        format!("/phones?filter=name:begins:{}", &name[..name.len() - 3])
    }),
    kind!("name is_exactly, lower case", |n, p| {
        format!("/phones?filter=name:is_exactly:{}", device(pick(n, p)).to_lowercase())
    }, rows 1),
    kind!("name contains, rare", |n, p| {
        format!("/phones?filter=name:contains:{}", &device(pick(n, p))[9..].to_lowercase())
    }),
    kind!("name ends, rare", |n, p| format!("/phones?filter=name:ends:{}", &device(pick(n, p))[9..])),
    kind!("name contains, none", |_, _| "/phones?filter=name:contains:ZZZZ".to_owned(), rows 0),
    kind!("description contains, one", |n, p| {
        format!("/phones?filter=description:contains:{}", number_of(described(n, p)).to_lowercase())
    }),
    kind!("description contains, common", |_, _| "/phones?filter=description:contains:meeting".to_owned(), rows 100),
    kind!("description contains, none", |n, _| format!("/phones?filter=description:contains:nowhere{n}"), rows 0),
    kind!("description begins", |n, p| {
        let all = description(described(n, p));
        format!("/phones?filter=description:begins:{}", text(&all[..all.len().min(14)]))
    }),
    kind!("description ends, common", |_, _| "/phones?filter=description:ends:floor%2017".to_owned(), rows 100),
    kind!("description is_exactly", |n, p| {
        format!("/phones?filter=description:is_exactly:{}", text(&description(described(n, p))))
    }),
    kind!("description is_empty", |_, _| "/phones?filter=description:is_empty".to_owned(), rows 100),
    kind!("description is_not_empty", |_, _| "/phones?filter=description:is_not_empty".to_owned(), rows 100),
    kind!("common_phone_profile is_not_empty, none", |_, _| {
        "/phones?filter=common_phone_profile:is_not_empty".to_owned()
    }, rows 0),
    kind!("line is_exactly", |n, p| format!("/phones?filter=line:is_exactly:{}", dn(pick(n, p))), rows 1),
    kind!("line ends", |n, p| format!("/phones?filter=line:ends:{}", &dn(pick(n, p))[2..])),
    kind!("digest_user is_exactly", |n, p| {
        format!("/phones?filter=digest_user:is_exactly:user{}", dn(pick(n, p)))
    }, rows 1),
    kind!("two criteria, one rare", |n, p| {
        let rare = number_of(described(n, p));
        format!("/phones?filter=description:contains:{rare}&filter=name:begins:SEP")
    }),
    kind!("three criteria that exclude each other", |_, _| {
        "/phones?filter=description:contains:lab&filter=name:ends:7&filter=security_profile:is_exactly:Nobody"
            .to_owned()
    }, rows 0),
    kind!("profile is_exactly, 9 of 10 phones", |_, _| {
        format!("/phones?filter=security_profile:is_exactly:{FLEET}")
    }, rows 100),
    kind!("profile begins, 1 of 10 phones", |_, _| {
        "/phones?filter=security_profile:begins:branch".to_owned()
    }, rows 100),
    kind!("profile is_exactly and description rare", |n, p| {
        let at = described(n, p) / 10 * 10 + 3;
        let rare = number_of(if at < p { at } else { 3 });
        format!("/phones?filter=security_profile:begins:Branch&filter=description:contains:{rare}")
    }),
    kind!("model is_exactly", |_, _| "/phones?filter=model:is_exactly:Cisco%207841".to_owned(), rows 100),
    kind!("registered is_exactly true, none", |_, _| "/phones?filter=registered:is_exactly:true".to_owned(), rows 0),
    kind!("sort name", |_, _| "/phones?sort=name".to_owned(), pages 3),
    kind!("sort -name", |_, _| "/phones?sort=-name".to_owned(), pages 3),
    kind!("sort description", |_, _| "/phones?sort=description".to_owned(), pages 3),
    kind!("sort -description", |_, _| "/phones?sort=-description".to_owned(), pages 3),
    kind!("sort description, contains", |_, _| {
        "/phones?sort=description&filter=name:contains:7F".to_owned()
    }, pages 3),
    kind!("sort model", |_, _| "/phones?sort=model".to_owned(), pages 3),
    kind!("sort -model", |_, _| "/phones?sort=-model".to_owned(), pages 3),
    kind!("sort protocol", |_, _| "/phones?sort=protocol".to_owned(), pages 3),
    kind!("sort -protocol", |_, _| "/phones?sort=-protocol".to_owned(), pages 3),
    kind!("sort security_profile", |_, _| "/phones?sort=security_profile".to_owned(), pages 3),
    kind!("sort -security_profile", |_, _| "/phones?sort=-security_profile".to_owned(), pages 3),
    kind!("sort device_security_mode", |_, _| "/phones?sort=device_security_mode".to_owned(), pages 3),
    kind!("sort -device_security_mode", |_, _| "/phones?sort=-device_security_mode".to_owned(), pages 3),
    kind!("1000 rows a page", |_, _| "/phones?limit=1000".to_owned(), rows 1000),
    kind!("lines, ends", |n, p| format!("/lines?filter=dn:ends:{}", &dn(pick(n, p))[2..])),
    // Rare ones may come on a later page: users are looked through for 60 ms a page.
    kind!("end users, contains, common", |_, _| "/end-users?filter=id:contains:7".to_owned(), rows 100),
    kind!("dependencies of the profile", |_, _| {
        format!("/security-profiles/{FLEET}/dependencies")
    }, pages 3),
    kind!("dependencies of a model", |_, _| "/phone-models/Cisco%208845/dependencies".to_owned(), pages 3),
    kind!("dependencies of a line", |n, p| format!("/lines/{}/dependencies", dn(pick(n, p))), rows 1),
    kind!("one phone", |n, p| format!("/phones/{}", device(pick(n, p)))),
];
