//! What all pages share: style, escaping, tables.

/// Text colours reach 4.5 : 1 on both grounds; lines 3 : 1.
const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#ffffff;--fg:#1b1f24;--dim:#57606a;--grid:#d8dee4;--card:#f6f8fa;\
--c0:#0b6bcb;--c1:#a8480a;--c2:#1a7f37;--c3:#a0267e;--c4:#6639ba;--c5:#7a6200;--bad:#b3261e}\
@media (prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e6eaef;--dim:#9aa5b1;--grid:#323a44;--card:#1b2129;\
--c0:#6cb2ff;--c1:#ffa45c;--c2:#5bd27a;--c3:#ff8ad8;--c4:#b79bff;--c5:#e2c541;--bad:#ff8a80}}\
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1360px;padding:24px}\
h1{font-size:24px;margin:0 0 12px}h2{font-size:19px;margin:28px 0 4px}small{color:var(--dim);font-weight:400}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:0}dt{color:var(--dim)}dd{margin:0}\
code{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}p{margin:4px 0}.fault{color:var(--bad)}\
table{border-collapse:collapse;margin:10px 0;font-variant-numeric:tabular-nums}\
th,td{padding:3px 14px;text-align:right;border-bottom:1px solid var(--grid)}th{color:var(--dim);font-weight:500}\
th:first-child,td:first-child{text-align:left;padding-left:0}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,560px),1fr));gap:16px;margin-top:12px}\
figure{margin:0;background:var(--card);border-radius:8px;padding:8px}svg{display:block;width:100%;height:auto}\
svg text{fill:var(--fg);font-family:system-ui,sans-serif;font-size:12px}svg .title{font-size:14px;font-weight:600}\
svg .tick,svg .unit{fill:var(--dim)}.grid{stroke:var(--grid);stroke-width:1}\
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}svg .name{font-weight:600}\
.line.c0{stroke:var(--c0)}.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}\
.line.c4{stroke:var(--c4)}.line.c5{stroke:var(--c5)}\
.dot.c0,svg .t0{fill:var(--c0)}.dot.c1,svg .t1{fill:var(--c1)}.dot.c2,svg .t2{fill:var(--c2)}\
.dot.c3,svg .t3{fill:var(--c3)}.dot.c4,svg .t4{fill:var(--c4)}.dot.c5,svg .t5{fill:var(--c5)}\
.better{color:var(--c2)}.worse{color:var(--bad)}";

/// A whole page.
pub(super) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>\n"
    )
}

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Rows of plain text; empty without any.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<String> = rows
        .map(|row| row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect::<String>())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let head: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
    format!("<table><tr>{head}</tr><tr>{}</tr></table>", rows.join("</tr><tr>"))
}
