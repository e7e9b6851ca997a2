//! The metrics listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use super::fake::Fake;
use crate::admin::{Setup, StartError, start};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn setup(metrics: SocketAddr) -> Setup {
    Setup { metrics: Some(metrics), api: None, control: None }
}

#[test]
fn metrics_and_health_are_served_in_the_open_and_nothing_else() {
    let running = start(Arc::new(Fake::default()), setup("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = running.metrics.unwrap();
    let metrics = get(address, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("text/plain; version=0.0.4"));
    assert!(metrics.ends_with("keyline_phone_registered_devices 250\n"));
    assert!(get(address, "/health").contains("\"storage_ok\":true"));
    assert!(get(address, "/ready").contains("\"ready\":true"));
    for closed in ["/api/v1/calls", "/api/v1/registrations", "/export", "/certificates/CallManager"] {
        let answer = get(address, closed);
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("application/problem+json"));
    }
    running.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_address_is_named_with_its_key() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let error = start(Arc::new(Fake::default()), setup(address)).unwrap_err();
    assert!(matches!(error, StartError::Bind { listener: "metrics", .. }));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("[listen] metrics"), "{text}");
}
