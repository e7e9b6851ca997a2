//! One TLS connection: the handshake, then standard input to the peer and the peer to standard output.
//!
//! usage: keyline-peer-openssl ADDRESS [-tls1 | -tls1_1 | -tls1_2 | -tls1_3] [-cipher LIST] [-ciphersuites LIST]
//!        [-groups LIST] [-cert FILE] [-key FILE] [-CAfile FILE]
//!
//! Options mean what they mean to `openssl s_client`; the security level is 0. Writes
//! `<version> <suite> <OpenSSL's version>` to standard error once the handshake is done. With `-CAfile` the server
//! must be one of the certificates in it or below one; without it any server is believed. Ends when the peer closes.
//! Exit code 0: the handshake succeeded. 1: it was refused; the reason is on standard error. 2: wrong use.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslFiletype, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509VerifyFlags;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((address, options)) = arguments.split_first() else { return wrong("no address is given") };
    let context = match context(options) {
        Ok(context) => context,
        Err(error) => return wrong(&error.to_string()),
    };
    match connect(address, context) {
        Ok(mut stream) => {
            let ssl = stream.ssl();
            let suite = ssl.current_cipher().map_or("none", |c| c.standard_name().unwrap_or(c.name()));
            eprintln!("{} {suite} {}", ssl.version_str(), openssl::version::version());
            exchange(&mut stream);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("refused: {error}");
            ExitCode::from(1)
        }
    }
}

fn wrong(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

fn context(options: &[String]) -> Result<SslContextBuilder, Failure> {
    let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
    context.set_security_level(0);
    context.set_min_proto_version(Some(SslVersion::TLS1))?;
    context.set_verify(SslVerifyMode::NONE);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let only = match option.as_str() {
            "-tls1" => Some(SslVersion::TLS1),
            "-tls1_1" => Some(SslVersion::TLS1_1),
            "-tls1_2" => Some(SslVersion::TLS1_2),
            "-tls1_3" => Some(SslVersion::TLS1_3),
            _ => None,
        };
        if only.is_some() {
            context.set_min_proto_version(only)?;
            context.set_max_proto_version(only)?;
            continue;
        }
        let value = rest.next().ok_or_else(|| format!("{option} wants a value, or is not known"))?;
        match option.as_str() {
            "-cipher" => context.set_cipher_list(value)?,
            "-ciphersuites" => context.set_ciphersuites(value)?,
            "-groups" => context.set_groups_list(value)?,
            "-cert" => context.set_certificate_chain_file(value)?,
            "-key" => context.set_private_key_file(value, SslFiletype::PEM)?,
            "-CAfile" => {
                context.set_ca_file(value)?;
                // The node's own certificates are their own roots, and need be no authorities.
                context.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
                context.set_verify(SslVerifyMode::PEER);
            }
            other => return Err(format!("{other} is not known").into()),
        }
    }
    Ok(context)
}

fn connect(address: &str, context: SslContextBuilder) -> Result<SslStream<TcpStream>, Failure> {
    let stream = TcpStream::connect(address)?;
    let mut ssl = Ssl::new(&context.build())?;
    ssl.set_hostname("keyline.local")?;
    Ok(ssl.connect(stream)?)
}

/// Standard input first, to its end; then what the peer says until it closes. Nothing to say: nothing to hear.
fn exchange(stream: &mut SslStream<TcpStream>) {
    let mut said = Vec::new();
    if std::io::stdin().read_to_end(&mut said).is_err() || said.is_empty() || stream.write_all(&said).is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    loop {
        match stream.ssl_read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                let mut out = std::io::stdout();
                if out.write_all(&buffer[..length]).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
            Err(error) => {
                if error.code() != ErrorCode::ZERO_RETURN {
                    eprintln!("closed: {error}");
                }
                return;
            }
        }
    }
}
