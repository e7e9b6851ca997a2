//! linphonec 5, told what to do on its standard input.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::Program;

/// An account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Directory number.
    pub dn: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// The node's listener.
    pub server: SocketAddr,
    /// Digest user and password.
    pub login: Option<(String, String)>,
    /// Client certificate and key, PEM files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Certificates that the server's is checked against, PEM file.
    pub roots: Option<PathBuf>,
    /// SRTP is demanded; else plain RTP.
    pub srtp: bool,
    /// Calls are answered by themselves.
    pub answer: bool,
}

/// A running linphonec.
#[derive(Debug)]
pub struct Linphone {
    /// The process.
    pub program: Program,
    folder: TempDir,
}

impl Account {
    /// A line without login that answers calls.
    pub fn new(dn: &str, transport: &'static str, server: SocketAddr) -> Account {
        Account {
            dn: dn.into(),
            transport,
            server,
            login: None,
            certificate: None,
            roots: None,
            srtp: false,
            answer: true,
        }
    }

    /// Sets the login.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Account {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// The server's chain is verified; its name is not, since mbed TLS knows no addresses among the
    /// alternative names.
    fn config(&self) -> String {
        let Account { dn, transport, server, .. } = self;
        let port = |own: &str| if *transport == own { -1 } else { 0 };
        let (udp, tcp, tls) = (port("udp"), port("tcp"), port("tls"));
        let media = if self.srtp { "srtp" } else { "none" };
        let mut text = format!(
            "[sip]\nsip_port={udp}\nsip_tcp_port={tcp}\nsip_tls_port={tls}\nguess_hostname=0\n\
             contact=sip:{dn}@127.0.0.1\nuse_ipv6=0\nipv6_migration_done=1\nregister_only_when_network_is_up=0\n\
             default_proxy=0\nmedia_encryption={media}\nmedia_encryption_mandatory={}\n\
             verify_server_certs=1\nverify_server_cn=0\nauto_net_state_mon=1\n",
            i32::from(self.srtp)
        );
        if let Some(roots) = &self.roots {
            text.push_str(&format!("root_ca={}\n", roots.display()));
        }
        if let Some((certificate, key)) = &self.certificate {
            let (certificate, key) = (certificate.display(), key.display());
            text.push_str(&format!("client_cert_chain={certificate}\nclient_cert_key={key}\n"));
        }
        text.push_str(&format!(
            "[proxy_0]\nreg_proxy=<sip:{server};transport={transport}>\nreg_identity=<sip:{dn}@keyline.local>\n\
             reg_route=<sip:{server};transport={transport};lr>\nreg_expires=600\nreg_sendregister=1\npublish=0\n\
             [sound]\nplayback_dev_id=\nremote_ring=\nlocal_ring=\n[video]\nenabled=0\ncapture=0\ndisplay=0\n\
             [net]\nfirewall_policy=0\n[misc]\nuser_certificates_path=/nonexistent\n"
        ));
        if let Some((user, password)) = &self.login {
            text.push_str(&format!(
                "[auth_info_0]\nusername={dn}\nuserid={user}\npasswd={password}\nrealm=ccmsipline\n\
                 domain=keyline.local\n"
            ));
        }
        text
    }

    /// Starts linphonec with this account.
    pub fn start(&self) -> Linphone {
        let folder = tempfile::Builder::new().prefix("linphone-").tempdir().expect("a folder");
        // Without a place for its database linphone has no listening point either.
        for own in [".local/share/linphone", ".config/linphone"] {
            std::fs::create_dir_all(folder.path().join(own)).expect("a folder");
        }
        let rc = folder.path().join("linphonerc");
        std::fs::write(&rc, self.config()).expect("a configuration file");
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "-eL", "linphonec", "-c"]).arg(&rc);
        if self.answer {
            command.arg("-a");
        }
        command.args(["-d", "6", "-l"]).arg(folder.path().join("log"));
        command.env("HOME", folder.path()).env("XDG_RUNTIME_DIR", folder.path());
        let mut program = Program::start(&format!("linphonec {}", self.dn), &mut command);
        program.say("soundcard use files");
        Linphone { program, folder }
    }
}

impl Linphone {
    /// Calls a directory number.
    pub fn dial(&mut self, uri: &str) {
        self.program.say(&format!("call {uri}"));
    }

    /// Hangs up.
    pub fn hang_up(&mut self) {
        self.program.say("terminate all");
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let told = log.lines().filter(|l| !l.contains("mediastreamer") && !l.contains("soundcard"));
            let lines: Vec<&str> = told.collect();
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
