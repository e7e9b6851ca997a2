//! What Prometheus and Grafana are given: rules and dashboards against a node under load, by a real Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::wait;
use serde_json::Value;

use crate::common::{connect, registered};

fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana")
}

fn judged(program: &str, arguments: &[&str]) {
    let out = Command::new(program).args(arguments).current_dir(grafana()).output().expect(program);
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {said}");
}

/// Metrics that a node has only while there is something to tell: a certificate that carries an OCSP response.
const SOMETIMES: [&str; 1] = ["keyline_ocsp_expiry_seconds"];

/// A panel's title, its query, and whether it may show nothing.
struct Asked {
    place: String,
    query: String,
    may_be_empty: bool,
}

/// Every query of every dashboard, annotations included.
fn queries() -> Vec<Asked> {
    let mut all = Vec::new();
    let files = fs::read_dir(grafana().join("dashboards")).expect("dashboards");
    let mut files: Vec<_> = files.map(|f| f.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a dashboard");
        let board: Value = serde_json::from_str(&text).expect("JSON");
        let name = board["title"].as_str().expect("a title").to_owned();
        for panel in board["panels"].as_array().expect("panels") {
            let about = panel["description"].as_str().unwrap_or_default();
            for target in panel["targets"].as_array().into_iter().flatten() {
                all.push(Asked {
                    place: format!("{name}: {}", panel["title"]),
                    query: target["expr"].as_str().expect("a query").to_owned(),
                    may_be_empty: about.contains("Empty on purpose: "),
                });
            }
        }
        // A mark stands where something happened: nowhere, mostly.
        for mark in board["annotations"]["list"].as_array().expect("annotations") {
            all.push(Asked {
                place: format!("{name}: mark {}", mark["name"]),
                query: mark["expr"].as_str().expect("a query").to_owned(),
                may_be_empty: true,
            });
        }
    }
    all
}

/// Names of the node's metrics in a query.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    let own = words.filter(|w| w.starts_with("keyline_"));
    own.map(|w| ["_bucket", "_sum", "_count"].iter().find_map(|e| w.strip_suffix(e)).unwrap_or(w).to_owned())
        .collect()
}

struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn of(node: &Node) -> Prometheus {
        let folder = tempfile::Builder::new().prefix("keyline-prometheus-").tempdir().expect("a folder");
        let rules = grafana().join("alerts/keyline.rules.yml").canonicalize().expect("the rules");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  \
             - {{job_name: keyline, static_configs: [{{targets: [\"{}\"]}}]}}\n",
            rules.display(),
            node.address("metrics"),
        );
        fs::write(folder.path().join("prometheus.yml"), config).expect("its configuration");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus runs");
        Prometheus { child, address, _folder: folder }
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: test\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|e| e.to_string())?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).map_err(|e| format!("{e}: {answer}"))
    }

    /// Rules that it evaluates, with how that went.
    fn rules(&self) -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let body = self.get("rules").expect("rules");
        let groups = body["data"]["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules.map(|rule| (text(&rule["name"]), text(&rule["health"]) + &text(&rule["lastError"]))).collect()
    }

    /// Result of an instant query; the error's text when it is none.
    fn query(&self, text: &str) -> Result<Vec<Value>, String> {
        let escaped: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
        let body = self.get(&format!("query?query={escaped}"))?;
        match body["data"]["result"].as_array() {
            Some(result) if body["status"] == "success" => Ok(result.clone()),
            _ => Err(body.to_string()),
        }
    }
}

#[test]
fn rules_and_dashboards_pass_their_judges() {
    judged("promtool", &["check", "config", "prometheus.yml"]);
    judged("promtool", &["check", "rules", "alerts/keyline.rules.yml"]);
    judged("promtool", &["test", "rules", "alerts/keyline.test.yml"]);
    judged("python3", &["build.py", "--check"]);
    let rules = fs::read_to_string(grafana().join("alerts/keyline.rules.yml")).expect("the rules");
    let book = fs::read_to_string(grafana().join("../docs/RUNBOOK.md")).expect("the runbook");
    let tested = fs::read_to_string(grafana().join("alerts/keyline.test.yml")).expect("their tests");
    let alerts: Vec<&str> = rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        let page = format!("docs/RUNBOOK.md#{}", alert.to_ascii_lowercase());
        assert!(rules.contains(&page), "{alert} names no page");
        assert!(book.contains(&format!("\n## {alert}\n")), "{alert} has no page");
        assert!(tested.contains(&format!("alertname=\"{alert}\"")), "{alert} is not tested");
    }
}

#[test]
fn every_panel_shows_what_a_node_under_load_does() {
    let mut inventory = Inventory::new();
    for n in 1..=4u32 {
        inventory.digest_phone(&format!("SEP{n:012X}"), &(1000 + n).to_string());
    }
    let node = Builder::new().shards(2).inventory(&inventory).start();
    let prometheus = Prometheus::of(&node);
    let seen = |query: &str| prometheus.query(query).is_ok_and(|r| !r.is_empty()).then_some(());
    wait::until("the first scrape", || seen("up{job=\"keyline\"} == 1"));
    wait::run(async {
        let mut phones = Vec::new();
        for n in 1..=4u32 {
            let transport = if n % 2 == 0 { Transport::Udp } else { Transport::Tcp };
            phones.push(
                registered(node.digest_phone(transport, &format!("SEP{n:012X}"), &(1000 + n).to_string()))
                    .await,
            );
        }
        let _call = connect(&phones[0], &phones[1]).await;
        wait::until("some scrapes", || {
            seen("(count_over_time(up[1m]) >= 5) and on () (sum(keyline_call_answered_calls) == 1)")
        });
        // While the call is up.
        judge(&node, &prometheus);
    });
}

/// Every query answers, every metric is shown and told of.
fn judge(node: &Node, prometheus: &Prometheus) {
    let exported = node.http_get("/metrics");
    let of_type = exported.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    let exported: BTreeSet<String> = of_type
        .filter_map(|l| l.split(' ').next())
        .filter(|n| n.starts_with("keyline_"))
        .map(str::to_owned)
        .collect();
    let mut shown = BTreeSet::new();
    let mut faults = Vec::new();
    for Asked { place, query, may_be_empty } in queries() {
        shown.extend(metrics_in(&query));
        let query =
            query.replace("$job", "keyline").replace("$instance", ".*").replace("$__rate_interval", "15s");
        match prometheus.query(&query) {
            Err(error) => faults.push(format!("{place}: {query}: {error}")),
            Ok(result) if result.is_empty() && !may_be_empty => {
                faults.push(format!("{place} shows nothing: {query}"))
            }
            Ok(_) => {}
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let rules = fs::read_to_string(grafana().join("alerts/keyline.rules.yml")).expect("the rules");
    let used: BTreeSet<String> = shown.iter().cloned().chain(metrics_in(&rules)).collect();
    // `keyline-records` and the like are no metrics.
    let known = |m: &str| m.contains(':') || SOMETIMES.contains(&m);
    let unknown: Vec<_> = used.difference(&exported).filter(|m| !known(m)).collect();
    assert!(unknown.is_empty(), "queried and not exported: {unknown:?}");
    let unseen: Vec<_> = exported.difference(&used).collect();
    assert!(unseen.is_empty(), "exported and on no dashboard: {unseen:?}");
    let table = fs::read_to_string(grafana().join("README.md")).expect("the table of metrics");
    let untold: Vec<_> = exported.iter().filter(|m| !table.contains(&format!("| `{m}` |"))).collect();
    assert!(untold.is_empty(), "exported and not in the table: {untold:?}");
    // A node that is well alerts nobody, and the recording rules record.
    assert_eq!(prometheus.query("ALERTS{alertstate=\"firing\"}"), Ok(Vec::new()));
    for record in [
        "keyline:registers:rate5m",
        "keyline:calls_encrypted:ratio",
        "keyline:storage_trip:p99_5m",
        "keyline:register:p99_5m > 0",
        "keyline:call_setup:p99_5m > 0",
        "keyline_phone_register_seconds_count == 4",
        "keyline_call_setup_seconds_count == 1",
    ] {
        assert!(prometheus.query(record).is_ok_and(|r| r.len() == 1), "{record}");
    }
    let rules = prometheus.rules();
    assert!(rules.len() > 20 && rules.iter().all(|(_, health)| health == "ok"), "{rules:?}");
}
