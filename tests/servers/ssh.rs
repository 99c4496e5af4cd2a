//! An OpenSSH server with a key of its own, and one key that may log in.

use super::{Server, Spot, free_port, pairs, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub fn spot(prefix: &str) -> Spot {
    static SERVER: OnceLock<(Server, PathBuf)> = OnceLock::new();
    let (server, place) = SERVER.get_or_init(|| {
        let (place, port) = (scratch("sshd"), free_port());
        prepare(port, &place);
        (start(port, &place), place)
    });
    spot_on(server.port, place, prefix)
}

pub fn spot_on(port: u16, place: &Path, prefix: &str) -> Spot {
    let (user, place) = (nix_user(), place.display());
    Spot {
        address: format!("sftp://{user}@127.0.0.1:{port}{place}/files/{prefix}"),
        options: pairs(&[("key", &format!("{place}/user")), ("known-hosts", "add")]),
        variables: Vec::new(),
        port,
    }
}

fn nix_user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

fn make_key(path: &Path) {
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(status.expect("ssh-keygen runs; tests/run installs it").success());
}

/// Keys and a configuration in `place`.
pub fn prepare(port: u16, place: &Path) {
    for key in ["host", "user"] {
        let _ = fs::remove_file(place.join(key));
        make_key(&place.join(key));
    }
    fs::copy(place.join("user.pub"), place.join("authorized_keys")).unwrap();
    fs::create_dir_all(place.join("files")).unwrap();
    let shown = place.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nPidFile {shown}/pid\n\
         AuthorizedKeysFile {shown}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nMaxStartups 200\nMaxSessions 200\n\
         Subsystem sftp internal-sftp\n"
    );
    fs::write(place.join("config"), config).unwrap();
    // The server wants it; where we may not make it, it is there.
    let _ = fs::create_dir_all("/run/sshd");
    // An earlier server on this port had another key.
    let forget = ["-R", &format!("[127.0.0.1]:{port}")];
    let _ = Command::new("ssh-keygen").args(forget).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

pub fn start(port: u16, place: &Path) -> Server {
    let mut command = Command::new("/usr/sbin/sshd");
    command.arg("-D").arg("-f").arg(place.join("config")).arg("-E").arg(place.join("log"));
    Server::start(port, &mut command)
}
