//! The log: what helps whoever looks for a fault, on stderr, above the bars.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::environment::Environment;
use super::exit::Failure;
use super::render::printable;
use super::{Volume, progress};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Begins to log, as `KEEPSTONE_LOG` or else `-q` and `-v` say.
pub fn start(volume: Volume, environment: &Environment) -> Result<(), Failure> {
    let filter = match environment.text("KEEPSTONE_LOG")? {
        Some(text) => parse(&text)?,
        None => EnvFilter::new(usual(volume)),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Above).with_target(false);
    // Tests begin more than once in one process; the first one stands.
    let _ = subscriber.try_init();
    Ok(())
}

/// Other people's code is heard only when it warns; of a connection that breaks our own errors tell.
fn usual(volume: Volume) -> &'static str {
    match volume {
        Volume::Quiet => "error,openssh=off",
        Volume::Normal => "warn,openssh=off",
        Volume::Verbose(1) => "warn,keepstone=info",
        Volume::Verbose(2) => "warn,keepstone=debug",
        Volume::Verbose(_) => "warn,keepstone=trace",
    }
}

fn parse(text: &str) -> Result<EnvFilter, Failure> {
    let bad = || {
        let levels = LEVELS.join(", ");
        Failure::usage(format!(
            "invalid value '{text}' for KEEPSTONE_LOG: expected a level ({levels}), or module=level"
        ))
    };
    // A word alone would also be read as a module's name, and a mistyped level would silence everything.
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
    if !text.split(',').all(|directive| directive.contains(['=', ']']) || is_level(directive)) {
        return Err(bad());
    }
    EnvFilter::builder().parse(text).map_err(|_| bad())
}

/// Stderr, above the bars; nothing that is logged can steer a terminal.
struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text: Vec<String> = bytes.split_inclusive(|&byte| byte == b'\n').map(shown).collect();
        progress::above(|| io::stderr().write_all(text.concat().as_bytes()))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(line: &[u8]) -> String {
    match line.strip_suffix(b"\n") {
        Some(line) => printable(line) + "\n",
        None => printable(line),
    }
}

impl<'a> MakeWriter<'a> for Above {
    type Writer = Above;
    fn make_writer(&'a self) -> Above {
        Above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_is_levels_and_modules() {
        for text in ["debug", "WARN", "warn,keepstone::repo=trace", "off"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["verbose", "keepstone", "keepstone=loud", "info,"] {
            let failure = parse(text).unwrap_err();
            assert!(failure.message.contains("KEEPSTONE_LOG") && failure.message.contains("debug"), "{text}");
        }
    }

    #[test]
    fn a_logged_line_steers_no_terminal() {
        assert_eq!(shown(b"name \x1b[2J\n"), "name \\x1b[2J\n");
    }
}
