//! Azurite, which stands for Azure Blob Storage.

use super::{Server, Spot, free_port, pairs, script, target};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The account and the key that Azurite has, as its documentation gives them.
pub(super) const ACCOUNT: &str = "devstoreaccount1";
pub(super) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

pub fn spot(prefix: &str) -> Spot {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = start(free_port(), None);
        make_container(server.port);
        server
    });
    spot_on(server.port, prefix)
}

pub fn spot_on(port: u16, prefix: &str) -> Spot {
    Spot {
        address: format!("azblob://bucket/{prefix}"),
        options: pairs(&[("endpoint", &format!("http://127.0.0.1:{port}/{ACCOUNT}"))]),
        variables: pairs(&[("AZURE_STORAGE_ACCOUNT", ACCOUNT), ("AZURE_STORAGE_KEY", KEY)]),
        port,
    }
}

/// The same place for somebody who has these permissions.
pub fn with_token(spot: &Spot, permissions: &str) -> Spot {
    let token = script("azure_sas.py", &[ACCOUNT, KEY, permissions]);
    let mut spot = spot.clone();
    spot.variables = pairs(&[("AZURE_STORAGE_ACCOUNT", ACCOUNT), ("AZURE_STORAGE_SAS_TOKEN", token.trim())]);
    spot
}

/// A server that keeps its data in memory, or in a place.
pub fn start(port: u16, place: Option<&Path>) -> Server {
    let program = std::env::var_os("KEEPSTONE_AZURITE")
        .map_or_else(|| target().join("node/node_modules/.bin/azurite-blob"), PathBuf::from);
    let mut command = Command::new(program);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--silent"]);
    command.args(["--disableTelemetry", "--skipApiVersionCheck"]);
    match place {
        Some(place) => command.arg("--location").arg(place),
        None => command.arg("--inMemoryPersistence"),
    };
    Server::start(port, &mut command)
}

pub fn make_container(port: u16) {
    script("make_container.py", &[&port.to_string(), ACCOUNT, KEY]);
}
