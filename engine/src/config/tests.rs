//! Every value, every error line.

use std::collections::HashMap;

use super::*;

const FILE: &str = "/etc/keyline/keyline.toml";

fn load_with(text: &str, env: &[(&str, &str)], data: Option<&str>) -> Result<Config, ConfigError> {
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    let lookup = |name: &str| env.get(name).map(OsString::from);
    let sources = Sources { file: None, data: data.map(Path::new), env: &lookup, cores: 3 };
    Config::from_text(Some(Path::new(FILE)), text, &sources)
}

fn load(text: &str) -> Config {
    load_with(text, &[], None).unwrap()
}

/// The lines of the refusal.
fn refusal(text: &str) -> String {
    load_with(text, &[], None).unwrap_err().to_string()
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = load("");
    assert_eq!(config.node.name, "keyline");
    assert_eq!(config.node.domain, "keyline.local");
    assert_eq!(config.node.data_dir, Path::new("/etc/keyline/keyline-data"));
    assert_eq!(config.node.key_file, Path::new("/etc/keyline/keyline-data/node.key"));
    assert_eq!(config.shards, 3);
    assert_eq!(config.storage, Storage { engine: Engine::RocksDb, durability: Durability::Process });
    assert!(!config.tls.legacy);
    assert_eq!(config.limits, Limits::default());
    let bound: Vec<String> =
        config.listen.bound().map(|(listener, address)| format!("{} {address}", listener.key())).collect();
    assert_eq!(
        bound,
        [
            "sip_udp 127.0.0.1:5060",
            "sip_tcp 127.0.0.1:5060",
            "sip_tls 127.0.0.1:5061",
            "sip_oauth 127.0.0.1:5090",
            "admin 127.0.0.1:8443",
            "metrics 127.0.0.1:9464",
        ]
    );
    assert_eq!(
        config.warnings,
        ["these listeners are not built in this version and bind nothing: sip_quic, sccp, sccp_tls, tftp, \
          http_config, https_config, https_config_oauth, capf, tvs"]
    );
}

#[test]
fn a_full_file_is_taken() {
    let config = load(
        r#"
        [node]
        name = "k1"
        data_dir = "/var/lib/keyline"
        domain = "Voice.Example.COM"
        aliases = ["sip.example.com", "10.0.0.1"]
        key_file = "keys/node.key"
        [listen]
        sip_udp = "10.0.0.1:5062"
        sip_tcp = 5063
        sip_tls = ":0"
        admin = "[::1]:0"
        metrics = ""
        [shards]
        count = 8
        [storage]
        engine = "memory"
        durability = "power"
        [tls]
        legacy = true
        [limits]
        handshake_s = 5
        "#,
    );
    assert_eq!(config.node.domain, "voice.example.com");
    assert_eq!(config.node.aliases, ["sip.example.com", "10.0.0.1"]);
    assert_eq!(config.node.data_dir, Path::new("/var/lib/keyline"));
    assert_eq!(config.node.key_file, Path::new("/etc/keyline/keys/node.key"));
    let at = |listener| config.listen.get(listener).map(|address| address.to_string());
    assert_eq!(at(Listener::SipUdp).as_deref(), Some("10.0.0.1:5062"));
    assert_eq!(at(Listener::SipTcp).as_deref(), Some("127.0.0.1:5063"));
    assert_eq!(at(Listener::SipTls).as_deref(), Some("127.0.0.1:0"));
    assert_eq!(at(Listener::Admin).as_deref(), Some("[::1]:0"));
    assert_eq!(at(Listener::Metrics), None);
    assert_eq!(config.shards, 8);
    assert_eq!(config.storage, Storage { engine: Engine::Memory, durability: Durability::Power });
    assert!(config.tls.legacy);
    assert_eq!(config.limits.handshake_s, 5);
    assert_eq!(
        config.warnings.len(),
        2 + usize::from(!cfg!(feature = "legacy-tls")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn a_listener_that_is_not_built_binds_nothing() {
    let config = load("[listen]\nsccp = \"127.0.0.1:2001\"\n");
    assert_eq!(config.listen.get(Listener::Sccp), None);
    assert_eq!(config.warnings.len(), 1);
    let off: String = Listener::ALL.iter().map(|listener| format!("{} = \"\"\n", listener.key())).collect();
    let config = load(&format!("[listen]\n{off}"));
    assert_eq!((config.listen.bound().count(), config.warnings.len()), (0, 0));
}

#[test]
fn a_sip_listener_takes_several_addresses() {
    let config = load("[listen]\nsip_udp = [\"127.0.0.1:5060\", \"[::1]:5060\"]\nsip_tls = \"[::1]:5061\"\n");
    let all = |listener| config.listen.all(listener).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(all(Listener::SipUdp), ["127.0.0.1:5060", "[::1]:5060"]);
    assert_eq!(all(Listener::SipTls), ["[::1]:5061"]);
    assert_eq!((config.listen.get(Listener::SipWs), config.listen.get(Listener::SipWss)), (None, None));
    let config =
        load("[listen]\nsip_ws = [\"0.0.0.0:0\", \"[::]:80\"]\nsip_tcp = [\"0.0.0.0:80\"]\nsip_udp = []\n");
    assert_eq!((config.listen.all(Listener::SipWs).len(), config.listen.get(Listener::SipUdp)), (2, None));
    // In the environment: separated by commas.
    let config = load_with("", &[("KEYLINE_LISTEN_SIP_UDP", "10.0.0.1:5060, [fd00::1]:5060")], None).unwrap();
    assert_eq!(config.listen.all(Listener::SipUdp).len(), 2);
    for (line, reason) in [
        ("sip_udp = \"::1:5060\"", "has an IPv6 address without brackets; write \"[::1]:5060\""),
        ("admin = [\"127.0.0.1:1\", \"[::1]:1\"]", "takes one address; only the SIP listeners take a list"),
        ("sip_udp = [\"127.0.0.1:7\", \"127.0.0.1:7\"]", "listen.sip_udp has that port already"),
        ("sip_udp = [\"127.0.0.1:7\", \"\"]", "is no listen address"),
    ] {
        let refused = refusal(&format!("[listen]\n{line}\n"));
        assert!(refused.contains(reason), "{line}: {refused}");
    }
}

#[test]
fn browsers_need_origins() {
    let config = load("[listen]\nsip_ws = \"127.0.0.1:80\"\n");
    assert!(
        config.warnings.iter().any(|w| w.starts_with("websocket.origins is empty")),
        "{:?}",
        config.warnings
    );
    let config = load(
        "[listen]\nsip_wss = 443\n[websocket]\norigins = [\"https://Phone.example.com\", \"http://10.0.0.1:8080\", \"null\"]\n",
    );
    assert_eq!(config.websocket.origins, ["https://phone.example.com", "http://10.0.0.1:8080", "null"]);
    assert!(!config.warnings.iter().any(|w| w.contains("websocket")), "{:?}", config.warnings);
    for wrong in ["phone.example.com", "https://", "https://a.example/page", "ftp://a.example"] {
        let refused = refusal(&format!("[websocket]\norigins = [\"{wrong}\"]\n"));
        assert!(refused.contains("is no origin"), "{refused}");
    }
}

#[test]
fn one_address_moves_every_listener() {
    let config = load("[listen]\naddress = \"0.0.0.0\"\nsip_udp = 5070\nsip_tcp = \"0.0.0.0:5071\"\n");
    let bound: Vec<String> = config.listen.bound().map(|(_, address)| address.to_string()).collect();
    assert_eq!(
        bound,
        ["0.0.0.0:5070", "0.0.0.0:5071", "0.0.0.0:5061", "0.0.0.0:5090", "0.0.0.0:8443", "0.0.0.0:9464"]
    );
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    let config = load("[listen]\naddress = \"::1\"\nadmin = \"127.0.0.1:8443\"\n");
    assert_eq!(config.listen.get(Listener::Admin).unwrap().to_string(), "[::1]:8443");
    assert_eq!(
        config.warnings[0],
        "listen.admin names 127.0.0.1, but listen.address puts every listener on ::1; remove one of the two"
    );
}

#[test]
fn the_environment_beats_the_file_and_the_command_line_beats_both() {
    let text =
        "[node]\ndata_dir = \"a\"\naliases = [\"x\"]\n[listen]\nsip_udp = \"\"\n[tls]\nlegacy = true\n";
    let env = [
        ("KEYLINE_LISTEN_SIP_UDP", "127.0.0.1:0"),
        ("KEYLINE_NODE_DATA_DIR", "b"),
        ("KEYLINE_NODE_ALIASES", "one.example, two.example"),
        ("KEYLINE_SHARDS_COUNT", "2"),
        ("KEYLINE_TLS_LEGACY", "false"),
        ("KEYLINE_LIMITS_MESSAGE_S", "7"),
        ("KEYLINE_STORAGE_DURABILITY", "power"),
        ("KEYLINE_NODE_COLOUR", "ignored"),
        ("KEYLINE_HOME", "ignored"),
    ];
    let config = load_with(text, &env, None).unwrap();
    assert_eq!(config.node.data_dir, Path::new("b"), "not beside the file");
    assert_eq!(config.node.aliases, ["one.example", "two.example"]);
    assert_eq!((config.shards, config.tls.legacy, config.limits.message_s), (2, false, 7));
    assert_eq!(config.storage.durability, Durability::Power);
    assert_eq!(config.listen.get(Listener::SipUdp).unwrap().port(), 0);
    let config = load_with(text, &env, Some("c")).unwrap();
    assert_eq!(config.node.data_dir, Path::new("c"));
    assert_eq!(config.node.key_file, Path::new("c/node.key"));
    let error = load_with("", &[("KEYLINE_SHARDS_COUNT", "many")], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable KEYLINE_SHARDS_COUNT: shards.count = \"many\": is not a whole number from 1 to 256"
    );
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    for (text, expected) in [
        ("[listen]\nsip_upd = \"\"", ":2: unknown key listen.sip_upd; did you mean listen.sip_udp?"),
        ("\n\n[listn]\nsip_udp = \"\"", ":3: unknown section [listn]; did you mean [listen]?"),
        ("[listen]\ndata_dir = \"x\"", ":2: unknown key listen.data_dir; did you mean node.data_dir?"),
        ("sip_udp = \"\"", ":1: unknown key sip_udp; did you mean listen.sip_udp?"),
        ("[node]\nDomain = \"x\"", ":2: unknown key node.Domain; did you mean node.domain?"),
        ("[limits]\nconnection = 1", ":2: unknown key limits.connection; did you mean limits.connections?"),
        ("node = 1", ":1: node is a section; write [node] on a line of its own and its keys below"),
        (
            "[[tls]]\nlegacy = true",
            ":1: tls is a section; write [tls] on a line of its own and its keys below",
        ),
    ] {
        assert_eq!(refusal(text), format!("{FILE}{expected}"));
    }
}

#[test]
fn wrong_values_are_refused_with_the_reason_and_what_to_do() {
    let listen = "is no listen address; write \"IP:PORT\", \"PORT\" or \"\" to switch it off";
    for (section, line, reason) in [
        ("listen", "sip_udp = \"127.0.0.1\"", listen),
        ("listen", "sip_udp = \"127.0.0.1:70000\"", listen),
        ("listen", "sip_udp = \"+5060\"", listen),
        ("listen", "sip_udp = 70000", listen),
        ("listen", "sip_udp = true", listen),
        (
            "listen",
            "sip_udp = \"localhost:5060\"",
            "names the host \"localhost\"; write its IP address instead",
        ),
        (
            "listen",
            "address = \"host\"",
            "is no IP address; write one such as \"0.0.0.0\" or \"::\", without port",
        ),
        ("storage", "engine = \"etcd\"", "is not available in this version; use \"rocksdb\""),
        (
            "storage",
            "engine = \"sqlite\"",
            "is no storage engine; use \"rocksdb\", or \"memory\" for a trial",
        ),
        (
            "storage",
            "durability = \"disk\"",
            "is no durability; use \"process\" (survives kill -9) or \"power\" (synced to disk before each answer)",
        ),
        ("tls", "legacy = \"yes\"", "is neither true nor false"),
        ("tls", "legacy = 1", "is neither true nor false"),
        ("shards", "count = 0", "is not a whole number from 1 to 256"),
        ("shards", "count = 257", "is not a whole number from 1 to 256"),
        ("shards", "count = -1", "is not a whole number from 1 to 256"),
        ("limits", "handshake_s = 0", "is not a whole number from 1 to 120"),
        ("node", "name = \"a b\"", "is no node name; use 1 to 64 letters, digits, '-', '_' and '.'"),
        ("node", "name = 7", "is not a text; write it in quotes"),
        (
            "node",
            "domain = \"sip:x\"",
            "is no host name; write one such as \"keyline.example.com\", without port",
        ),
        ("node", "domain = \"\"", "is no host name; write one such as \"keyline.example.com\", without port"),
        ("node", "data_dir = \"\"", "is empty; write a path"),
        (
            "node",
            "aliases = [\"ok\", \"not ok\"]",
            "\"not ok\" is no host name; write one such as \"keyline.example.com\", without port",
        ),
        ("node", "aliases = 5", "is no list of host names; write [\"a.example\", \"b.example\"]"),
    ] {
        let expected = format!("{FILE}:3: {section}.{line}: {reason}");
        assert_eq!(refusal(&format!("# comment\n[{section}]\n{line}\n")), expected);
    }
    assert_eq!(
        refusal("[shards]\ncount = 1.5"),
        format!("{FILE}:2: shards.count = a float: is not a whole number from 1 to 256")
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    let lines = refusal("[node]\nnam = 1\n[listen]\nadmin = \"x\"\n[shards]\ncount = 0\n");
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

#[test]
fn two_listeners_cannot_share_a_port() {
    assert_eq!(
        refusal("[listen]\nsip_tls = \"127.0.0.1:5060\"\n"),
        format!(
            "{FILE}:2: listen.sip_tls = \"127.0.0.1:5060\": listen.sip_tcp has that port already; \
             give one of them another port"
        )
    );
    assert!(refusal("[listen]\nadmin = \"0.0.0.0:9464\"\n").contains("listen.metrics = \"127.0.0.1:9464\""));
    load("[listen]\nsip_udp = 5061\nadmin = 0\nmetrics = 0\n");
}

#[test]
fn broken_toml_names_its_line() {
    for (text, line) in [
        ("[node]\nname = \"a\"\nname = \"b\"\n", 3),
        ("[node]\nname = \n", 2),
        ("[node\nname = 1\n", 1),
        ("[listen]\nsip_udp = 127.0.0.1:5060\n", 2),
    ] {
        let refused = refusal(text);
        let first = refused.lines().next().unwrap();
        assert!(first.starts_with(&format!("{FILE}:{line}: ")), "{refused}");
        assert!(first.len() > FILE.len() + 5, "{refused}");
    }
}

#[test]
fn long_values_are_cut() {
    let refused = refusal(&format!("[tls]\nlegacy = \"{}\"\n", "é".repeat(5_000)));
    assert!(refused.chars().count() < 250, "{refused}");
}

#[test]
fn the_token_of_the_administrator_is_never_shown() {
    let env = [(ADMIN_TOKEN_VARIABLE, "0123456789abcdef-secret")];
    let config = load_with("", &env, None).unwrap();
    assert_eq!(config.admin_token.as_ref().unwrap().expose(), "0123456789abcdef-secret");
    assert!(!format!("{config:?}").contains("secret"));
    let short = load_with("", &[(ADMIN_TOKEN_VARIABLE, "short-one")], None).unwrap();
    assert_eq!((short.warnings.len(), format!("{short:?}").contains("short-one")), (2, false));
    let error = load_with("", &[(ADMIN_TOKEN_VARIABLE, "short secret")], None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("short"), "{error}");
    assert!(error.to_string().contains("must be 1 to 512 visible ASCII characters"), "{error}");
}

#[test]
fn files_are_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let sources = Sources { file: Some(&path), data: None, env: &|_| None, cores: 1_000 };
    let refused = Config::load(&sources).unwrap_err().to_string();
    assert_eq!(refused, format!("{}: no such file; name an existing one with --config", path.display()));
    std::fs::write(&path, "[node]\ndata_dir = \"d\"\n").unwrap();
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.node.data_dir, folder.path().join("d"));
    assert_eq!((config.file.as_deref(), config.shards), (Some(path.as_path()), 256));
    std::fs::write(&path, b"[node]\n# \xff\n").unwrap();
    let refused = Config::load(&sources).unwrap_err().to_string();
    assert!(refused.ends_with("line 2 is not UTF-8; save the file as UTF-8"), "{refused}");
    std::fs::write(&path, "#".repeat(FILE_MAX as usize + 1)).unwrap();
    assert!(Config::load(&sources).unwrap_err().to_string().contains("larger than 1048576 bytes"));
    let folder_itself = Sources { file: Some(folder.path()), ..sources };
    assert!(Config::load(&folder_itself).unwrap_err().to_string().contains("cannot be read"));
}
