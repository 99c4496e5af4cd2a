//! Apache's mod_dav, behind a password.

use super::{Server, Spot, free_port, pairs, scratch};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

pub fn spot(prefix: &str) -> Spot {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let (place, port) = (scratch("apache"), free_port());
        prepare(port, &place);
        start(port, &place)
    });
    spot_on(server.port, prefix)
}

pub fn spot_on(port: u16, prefix: &str) -> Spot {
    Spot {
        address: format!("webdav+http://me@127.0.0.1:{port}/{prefix}"),
        options: Vec::new(),
        variables: pairs(&[("KEEPSTONE_WEBDAV_PASSWORD", "hush-hush-secret")]),
        port,
    }
}

const MODULES: [&str; 9] =
    ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs", "dir"];

/// Directories, a password and a configuration in `place`.
pub fn prepare(port: u16, place: &Path) {
    let hash = Command::new("openssl").args(["passwd", "-apr1", "hush-hush-secret"]).output().expect("openssl runs");
    fs::write(place.join("users"), format!("me:{}", String::from_utf8(hash.stdout).unwrap())).unwrap();
    for dir in ["", "files", "run", "lock"] {
        fs::create_dir_all(place.join(dir)).unwrap();
        // As root, the server works as somebody else.
        fs::set_permissions(place.join(dir), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let modules: String = MODULES
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let shown = place.display();
    let config = format!(
        "ServerRoot {shown}\nServerName 127.0.0.1\nListen 127.0.0.1:{port}\nPidFile {shown}/run/pid\n\
         ErrorLog {shown}/run/log\nUser www-data\nGroup www-data\n{modules}\
         DocumentRoot {shown}/files\nDavLockDB {shown}/lock/dav\n<Directory {shown}/files>\nDav On\n\
         AuthType Basic\nAuthName dav\nAuthUserFile {shown}/users\nRequire valid-user\n</Directory>\n"
    );
    fs::write(place.join("config"), config).unwrap();
}

pub fn start(port: u16, place: &Path) -> Server {
    let mut command = Command::new("/usr/sbin/apache2");
    command.arg("-f").arg(place.join("config")).arg("-DFOREGROUND");
    Server::start(port, &mut command)
}
