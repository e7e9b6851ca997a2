//! The control socket: what the command line asks of a running node. Its file's mode is the access
//! control: only the user that the node runs as can connect, so no token is asked for.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

use super::api::{self, Node};
use super::http;
use super::problem::{Code, Problem};
use super::tokens;

/// File in the data folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Longest path that fits into a socket address on every system (`sun_path` of 104 bytes on some).
const SUN_PATH_MAX: usize = 100;

/// A way to name a file in a folder whose path is too long for a socket address: through the open folder.
#[derive(Debug)]
pub(super) struct ShortPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl ShortPath {
    pub(super) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().as_bytes().len() <= SUN_PATH_MAX {
            return Ok(Self { path, _folder: None });
        }
        use std::os::fd::AsRawFd;
        let open = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
        Ok(Self { path, _folder: Some(open) })
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// Binds the control socket of a data folder. Whatever lies there is replaced: the caller holds the
/// folder's lock, so a socket that is there belongs to nobody.
///
/// It is bound inside a folder that only we may enter, given its mode, and then moved to its place, so
/// that there is no instant at which another user could connect.
pub(super) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    const NURSERY: &str = ".control";
    let nursery = data_dir.join(NURSERY);
    match std::fs::remove_dir_all(&nursery) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let young = ShortPath::of(&nursery, "s")?;
    let listener = UnixListener::bind(young.as_path())?;
    std::fs::set_permissions(young.as_path(), Permissions::from_mode(0o600))?;
    std::fs::rename(young.as_path(), data_dir.join(CONTROL_SOCKET))?;
    std::fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// Adds what only the control socket has, in front of the read API.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .configure(super::inventory::configure)
        .service(
            web::resource("/tokens")
                .route(web::get().to(tokens::list))
                .route(web::post().to(tokens::create))
                .default_service(web::to(|r: HttpRequest| http::other_method(r, "GET, POST"))),
        )
        .service(
            web::resource("/tokens/{name}")
                .route(web::get().to(tokens::one))
                .route(web::delete().to(tokens::revoke))
                .default_service(web::to(|r: HttpRequest| http::other_method(r, "GET, DELETE"))),
        )
        .service(http::readable("/backup", super::backup::backup))
        .service(http::readable("/certificates/{name}", certificate));
    #[cfg(feature = "faults")]
    config.route("/faults", web::post().to(faults));
    api::configure(config);
}

/// Arms faults on purpose; an empty body disarms all. Only in a binary that is built for it.
#[cfg(feature = "faults")]
async fn faults(orders: String) -> Result<HttpResponse, Problem> {
    match keyline_actors::faults::arm(&orders) {
        Ok(()) => Ok(HttpResponse::NoContent().finish()),
        Err(wrong) => Err(Problem::new(Code::BadRequest, wrong.to_string())),
    }
}

async fn certificate(node: Node, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    match node.certificate(&name) {
        Some(pem) => Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/x-pem-file")).body(pem)),
        None => Err(Problem::new(
            Code::CertificateNotFound,
            format!("the node has no own certificate named {:?}", name.as_str()),
        )),
    }
}
