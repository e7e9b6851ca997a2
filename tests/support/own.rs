//! The node's own certificates signed by another authority, which is openssl; and requests to the control socket
//! that cost no process each.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::node::Node;

/// An authority that signs servers' requests, kept by openssl in a folder.
#[derive(Debug)]
pub struct ServerAuthority {
    folder: PathBuf,
}

/// Runs openssl.
///
/// # Panics
/// When it fails, with what it said.
pub fn openssl(arguments: &[&str]) -> String {
    let out = Command::new("openssl").args(arguments).output().expect("the openssl program");
    assert!(out.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

impl ServerAuthority {
    /// Makes one in a folder, which must be there.
    pub fn new(folder: &Path, name: &str) -> ServerAuthority {
        let own = folder.join(name);
        std::fs::create_dir_all(&own).expect("a folder");
        let authority = ServerAuthority { folder: own };
        let (key, pem) = (authority.path("ca.key"), authority.path("ca.pem"));
        let subject = format!("/CN={name}");
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &subject,
            "-keyout",
            text(&key),
            "-out",
            text(&pem),
        ]);
        authority
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Its certificate.
    pub fn pem_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        std::fs::read_to_string(self.pem_file()).expect("ca.pem")
    }

    /// Signs a request, with the extensions that it asks for; each has a serial number of its own.
    pub fn sign(&self, request: &str) -> String {
        let (csr, out) = (self.path("one.csr"), self.path("one.pem"));
        std::fs::write(&csr, request).expect("the request");
        openssl(&[
            "x509",
            "-req",
            "-in",
            text(&csr),
            "-CA",
            text(&self.pem_file()),
            "-CAkey",
            text(&self.path("ca.key")),
            "-CAcreateserial",
            "-days",
            "20",
            "-copy_extensions",
            "copy",
            "-out",
            text(&out),
        ]);
        std::fs::read_to_string(out).expect("the certificate")
    }
}

/// What a responder says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It stands.
    Good,
    /// It was revoked.
    Revoked,
}

impl ServerAuthority {
    /// A responder's certificate of this authority and its key, as files: charged with OCSP or not.
    pub fn responder(&self, charged: bool) -> (PathBuf, PathBuf) {
        let (key, csr) = (self.path("responder.key"), self.path("responder.csr"));
        let (kind, out) = (self.path("responder.ext"), self.path("responder.pem"));
        let usage = if charged { "OCSPSigning" } else { "serverAuth" };
        std::fs::write(&kind, format!("extendedKeyUsage={usage}\n")).expect("the extensions");
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        openssl(&[&new[..], &["-subj", "/CN=Responder", "-keyout", text(&key), "-out", text(&csr)]].concat());
        let (ca, ca_key) = (self.pem_file(), self.path("ca.key"));
        let sign = ["x509", "-req", "-days", "20", "-CAcreateserial", "-in", text(&csr)];
        let by = ["-CA", text(&ca), "-CAkey", text(&ca_key), "-extfile", text(&kind), "-out", text(&out)];
        openssl(&[&sign[..], &by].concat());
        (out, key)
    }

    /// What it says of a certificate, valid for a day: an OCSP response in DER. Signed by `responder`, else by
    /// itself.
    pub fn ocsp(&self, pem: &str, standing: Standing, responder: Option<&(PathBuf, PathBuf)>) -> Vec<u8> {
        let (one, index, out) = (self.path("asked.pem"), self.path("index.txt"), self.path("response.der"));
        std::fs::write(&one, pem).expect("the certificate");
        let serial = openssl(&["x509", "-in", text(&one), "-noout", "-serial"]);
        let serial = serial.trim().trim_start_matches("serial=");
        let (flag, since) = match standing {
            Standing::Good => ("V", ""),
            Standing::Revoked => ("R", "240101000000Z"),
        };
        let row = format!("{flag}\t491231235959Z\t{since}\t{serial}\tunknown\t/CN=one\n");
        std::fs::write(&index, row).expect("the index");
        let own = (self.pem_file(), self.path("ca.key"));
        let (signer, key) = responder.unwrap_or(&own);
        let about = ["ocsp", "-index", text(&index), "-CA", text(&own.0), "-issuer", text(&own.0)];
        let by = ["-cert", text(&one), "-rsigner", text(signer), "-rkey", text(key), "-noverify"];
        openssl(&[&about[..], &by, &["-ndays", "1", "-respout", text(&out)]].concat());
        std::fs::read(out).expect("the response")
    }
}

/// A connection to the control socket that is kept.
#[derive(Debug)]
pub struct Orders(BufReader<UnixStream>);

impl Orders {
    /// Connects.
    pub fn to(node: &Node) -> Orders {
        Orders(BufReader::new(UnixStream::connect(node.data().join("control.sock")).expect("the socket")))
    }

    /// Status and body of a request with a JSON body, or none where it is null; the path stands below `/api/v1`.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: node\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("a request");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(
                self.0.read_line(&mut line).expect("an answer") > 0,
                "the node closed the control socket"
            );
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|code| code.parse().ok()).expect("a status");
            }
            if let Some(rest) = line.strip_prefix("content-length:") {
                length = rest.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}
