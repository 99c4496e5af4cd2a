//! Ctrl-C and SIGTERM: the first asks an operation to end tidily, the second ends the process at once.
//!
//! SIGHUP keeps its default, so that `nohup` works.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

use super::exit::{Exit, Failure};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static WAITING_FOR_WORDS: AtomicBool = AtomicBool::new(false);

/// From now on the signals are caught.
pub fn catch() -> io::Result<()> {
    let code = i32::from(Exit::Interrupted.code());
    // Nobody polls while we wait for a password. Ctrl-C is a key there, which the prompt itself handles.
    register_conditional_shutdown(SIGTERM, code, &WAITING_FOR_WORDS)?;
    for signal in [SIGINT, SIGTERM] {
        // The order matters: only a signal that finds the flag up ends the process.
        register_conditional_shutdown(signal, code, &INTERRUPTED)?;
        register(signal, &INTERRUPTED)?;
    }
    Ok(())
}

/// Whether the user wants us to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(SeqCst)
}

/// What operations poll; they stand below this module and are handed the flag.
pub fn flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// `Err` once the user wants us to end.
pub fn go_on() -> Result<(), Failure> {
    if interrupted() { Err(Failure::interrupted()) } else { Ok(()) }
}

/// Runs `ask`, which waits for a person; SIGTERM ends the process meanwhile.
pub fn while_waiting<T>(ask: impl FnOnce() -> T) -> T {
    WAITING_FOR_WORDS.store(true, SeqCst);
    let answer = ask();
    WAITING_FOR_WORDS.store(false, SeqCst);
    answer
}
