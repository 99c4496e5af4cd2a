//! Servers that keep their data when they are killed, and come back.

use super::{Kind, Server, Spot, apache, azure, free_port, s3, scratch, ssh};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server of one's own, up or down.
pub struct Lasting {
    pub spot: Spot,
    kind: Kind,
    place: PathBuf,
    server: Option<Server>,
}

impl Lasting {
    /// A server of this kind; not all kinds have one that keeps anything.
    pub fn of(kind: Kind) -> Lasting {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let place = scratch(&format!("lasting-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let port = free_port();
        let spot = match kind {
            Kind::S3Strict => s3::s3_spot(port, "repo"),
            Kind::Azblob => azure::spot_on(port, "repo"),
            Kind::Sftp => ssh::spot_on(port, &place, "repo"),
            Kind::Webdav => apache::spot_on(port, "repo"),
            Kind::S3 | Kind::Ceph | Kind::Gcs => panic!("{kind:?} keeps nothing"),
        };
        match kind {
            Kind::Sftp => ssh::prepare(port, &place),
            Kind::Webdav => apache::prepare(port, &place),
            _ => {}
        }
        let mut lasting = Lasting { spot, kind, place, server: None };
        lasting.start();
        if kind == Kind::Azblob {
            azure::make_container(port);
        }
        lasting
    }

    pub fn start(&mut self) {
        let (port, place) = (self.spot.port, &self.place);
        self.server = Some(match self.kind {
            Kind::S3Strict => s3::start_strict(port, place),
            Kind::Azblob => azure::start(port, Some(place)),
            Kind::Sftp => ssh::start(port, place),
            _ => apache::start(port, place),
        });
    }

    /// As if its process had met its end; what was durable stays.
    pub fn kill(&mut self) {
        let server = self.server.take().expect("it runs");
        match self.kind {
            // It says that it has an object before that is on its disk; only a goodbye brings it there.
            Kind::Azblob => server.stop(),
            _ => server.kill(),
        }
    }
}
