//! The admin API, asked by curl over HTTPS.

use std::process::Command;

use serde_json::Value;

use crate::node::Node;
use crate::wait;

/// An answer of the admin API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

/// An answer with its headers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body, if the status is that.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// The answer is this problem; its document.
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.expect(status);
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()), "{problem}");
        problem
    }
}

impl Node {
    /// Any request below `/api/v1` with the administrator's token; a body is JSON.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.ask_with(method, path, body, &[])
    }

    /// The same with further headers; one of the same name stands in place of a usual one.
    pub fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let token = self.token();
        let text = body.map(Value::to_string);
        let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut all: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        if !has("authorization") {
            all.push(format!("Authorization: Bearer {token}"));
        }
        if text.is_some() && !has("content-type") {
            all.push("Content-Type: application/json".to_owned());
        }
        all.push("Expect:".to_owned());
        let mut arguments = vec!["-i", "-X", method];
        for header in &all {
            arguments.extend(["-H", header]);
        }
        if let Some(text) = &text {
            arguments.extend(["--data-binary", text]);
        }
        let answer = self.admin(path, &arguments);
        let (head, body) = answer.body.split_once("\r\n\r\n").expect("an empty line");
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        Reply {
            status: answer.status,
            headers: headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    /// The administrator's token as first initialisation wrote it.
    pub fn token(&self) -> String {
        let text = std::fs::read_to_string(self.data().join("admin.token")).expect("admin.token");
        text.trim().to_owned()
    }

    /// GET below `/api/v1`, with the token; the server's certificate is checked.
    pub fn admin_get(&self, path: &str) -> Answer {
        let token = format!("Authorization: Bearer {}", self.token());
        self.admin(path, &["-H", &token])
    }

    /// GET below `/api/v1` with these arguments for curl.
    pub fn admin(&self, path: &str, arguments: &[&str]) -> Answer {
        let roots = self.folder().join("server.pem");
        if !roots.exists() {
            std::fs::write(&roots, self.server_certificates()).expect("a PEM file");
        }
        let address = self.address("admin");
        let out = Command::new("curl")
            .args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "--cacert"])
            .arg(&roots)
            .args(arguments)
            .arg(format!("https://{address}/api/v1{path}"))
            .output()
            .expect("curl runs");
        assert!(out.status.success(), "curl: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).expect("text");
        let (body, status) = text.rsplit_once('\n').expect("a status line");
        Answer { status: status.trim().parse().expect("a status"), body: body.to_owned() }
    }

    /// Rows of `/registrations`.
    pub fn registrations(&self) -> Vec<Value> {
        let page = self.admin_get("/registrations?limit=1000").json();
        page["items"].as_array().cloned().unwrap_or_default()
    }

    /// The rows of a device.
    pub fn registrations_of(&self, device: &str) -> Vec<Value> {
        self.registrations().into_iter().filter(|row| row["device"] == device).collect()
    }

    /// Waits until a device has a binding, and gives its row.
    pub fn registered(&self, device: &str) -> Value {
        wait::until(&format!("binding of {device}"), || self.registrations_of(device).into_iter().next())
    }

    /// Calls in progress.
    pub fn calls(&self) -> Vec<Value> {
        self.admin_get("/calls").json()["items"].as_array().cloned().unwrap_or_default()
    }

    /// Id of the only call in progress that is answered.
    pub fn answered_call(&self) -> String {
        wait::until("answered call", || {
            let call = self.calls().into_iter().find(|c| !c["class"].is_null())?;
            call["id"].as_str().map(str::to_owned)
        })
    }

    /// `/calls/{id}/security` of a call.
    pub fn call_security(&self, id: &str) -> Value {
        let answer = self.admin_get(&format!("/calls/{id}/security"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}
