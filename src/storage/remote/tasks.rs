//! Touches the world. Threads on which the requests of stores are made.
//!
//! Stores that speak HTTP share some, which last as long as the process: a store may be dropped anywhere. One that
//! goes by SSH has its own, and ends them with itself: only when what runs on them is dropped do its connections end,
//! and with them an `ssh` process each that would otherwise stay when ours is gone.

use std::io;
use std::ops::Deref;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

static SHARED: LazyLock<io::Result<Runtime>> = LazyLock::new(make);

/// Longer than it takes to tell an `ssh` process to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// As long as that usually takes.
const MOMENT: Duration = Duration::from_millis(500);

/// Where the futures of a store run.
pub(super) enum Tasks {
    /// Beside those of other stores.
    Shared(&'static Runtime),
    /// By themselves, until the store is dropped.
    Own(Option<Runtime>),
}

fn make() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("keepstone-net").enable_all().build()
}

impl Tasks {
    /// Threads that all stores share.
    pub(super) fn shared() -> Result<Tasks, String> {
        SHARED.as_ref().map(Tasks::Shared).map_err(ToString::to_string)
    }

    /// Threads of one store.
    pub(super) fn own() -> Result<Tasks, String> {
        make().map(|runtime| Tasks::Own(Some(runtime))).map_err(|error| error.to_string())
    }
}

impl Deref for Tasks {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        match self {
            Tasks::Shared(runtime) => runtime,
            Tasks::Own(runtime) => runtime.as_ref().expect("it is taken only when this is dropped"),
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let Tasks::Own(runtime) = self else { return };
        match runtime.take() {
            // Where futures run nobody may wait for them.
            Some(runtime) if Handle::try_current().is_ok() => runtime.shutdown_background(),
            Some(runtime) => {
                // Connections that are just saying goodbye are let do so.
                let patience = Instant::now() + MOMENT;
                while runtime.metrics().num_alive_tasks() > 0 && Instant::now() < patience {
                    std::thread::sleep(Duration::from_millis(5));
                }
                runtime.shutdown_timeout(FAREWELL);
            }
            None => {}
        }
    }
}
