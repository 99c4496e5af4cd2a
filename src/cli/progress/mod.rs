//! Touches the world: clock, terminal. Progress: a thread looks at an operation's counters now and then,
//! and shows what it saw: bars on a terminal, a plain line now and then where there is none, JSON for programs, nothing with `-q`.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::out::Out;
use super::render::printable;
use super::{Context, Form, Volume};
use crate::ops::progress::{Seen, Watched};

mod pace;
mod words;

use pace::Pace;

const WITHOUT_TOTAL: &str = "{prefix} {spinner} {wide_msg}";
const WITH_TOTAL: &str = "{prefix} [{bar:16}] {wide_msg}";
const BESIDE: &str = "  {wide_msg}";

/// All bars of the process, so that anyone can write above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Runs `write`, which writes to the terminal, while no bar is drawn. `write` must not use
/// [`Out`] or come back here.
pub fn above<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Shows an operation while it runs; dropping it ends that, and leaves nothing on the screen.
#[derive(Debug)]
pub struct Progress {
    watching: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows `counters` under the name of the operation ("backup"), as the context wants it shown.
    pub fn watch(context: &Context, operation: &'static str, counters: Arc<impl Watched + 'static>) -> Self {
        match Face::of(context) {
            Some((face, interval)) => Progress { watching: start(face, interval, operation, counters) },
            None => Progress { watching: None },
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.watching.take() {
            drop(stop);
            // It only draws; if it panicked, the operation is none the worse.
            let _ = thread.join();
        }
    }
}

fn start(
    mut face: Face,
    interval: Duration,
    operation: &'static str,
    counters: Arc<impl Watched + 'static>,
) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = bounded::<()>(0);
    let begun = Instant::now();
    let watch = move || {
        let mut pace = Pace::default();
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            let seen = words::believable(counters.look());
            pace.note(begun.elapsed(), seen.bytes_done);
            face.show(operation, &seen, &pace);
        }
        face.leave();
    };
    // A machine that has no thread left can still do the work unseen.
    let thread = thread::Builder::new().name("progress".into()).spawn(watch).ok()?;
    Some((stop, thread))
}

/// How progress is shown.
enum Face {
    Bars { bar: ProgressBar, current: ProgressBar, has_total: bool },
    Lines,
    Json(Arc<Out>),
}

impl Face {
    /// What the context wants, and how often.
    fn of(context: &Context) -> Option<(Face, Duration)> {
        let wished = context.settings().progress_fps.map(|fps| fps.interval());
        let output = context.output();
        if output.volume == Volume::Quiet {
            return None;
        }
        Some(match output.form {
            Form::Json => (Face::Json(context.shared_out()), wished.unwrap_or(Duration::from_secs(1))),
            Form::Human if is_drawable(context) => (Face::bars(), wished.unwrap_or(Duration::from_millis(100))),
            // Whoever sets the rate for a terminal does not want a log of fifty lines a second.
            Form::Human => (Face::Lines, wished.unwrap_or(Duration::from_secs(60)).max(Duration::from_secs(1))),
        })
    }

    fn bars() -> Face {
        let bar = BARS.add(ProgressBar::new(1).with_style(style(WITHOUT_TOTAL)));
        let current = BARS.add(ProgressBar::new(1).with_style(style(BESIDE)));
        Face::Bars { bar, current, has_total: false }
    }

    fn show(&mut self, operation: &'static str, seen: &Seen, pace: &Pace) {
        match self {
            Face::Bars { bar, current, has_total } => {
                let fraction = words::fraction(seen);
                if fraction.is_some() != *has_total {
                    *has_total = fraction.is_some();
                    bar.set_style(style(if *has_total { WITH_TOTAL } else { WITHOUT_TOTAL }));
                }
                if let Some((done, total)) = fraction {
                    bar.set_length(total);
                    bar.set_position(done);
                }
                bar.set_prefix(operation);
                bar.set_message(words::main(seen, pace).join(", "));
                bar.tick();
                let beside = words::beside(seen).join(", ");
                current.set_message(format!("{beside} {}", printable(&seen.current)));
            }
            Face::Lines => {
                let line = words::line(operation, seen, pace);
                // Nobody is left to read it; the work goes on.
                let _ = writeln!(io::stderr(), "{line}");
            }
            // A closed output is met by the operation's own results, which decide about it.
            Face::Json(out) => {
                let _ = out.json(&words::status(seen, pace)).and_then(|()| out.flush());
            }
        }
    }

    fn leave(&self) {
        if let Face::Bars { bar, current, .. } = self {
            for bar in [current, bar] {
                bar.finish_and_clear();
                BARS.remove(bar);
            }
        }
    }
}

fn is_drawable(context: &Context) -> bool {
    let dumb = context.environment().raw("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// No colours in them, so there is nothing for `NO_COLOR` to switch off.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("our templates are tested").progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::out::tests::Paper;
    use super::super::tests::context;
    use super::*;
    use crate::ops::progress::BackupCounters;

    #[test]
    fn the_templates_are_right() {
        for template in [WITHOUT_TOTAL, WITH_TOTAL, BESIDE] {
            style(template);
        }
        let mut face = Face::bars();
        let seen = Seen { done: 1, total: Some(2), ..Seen::default() };
        face.show("backup", &seen, &Pace::default());
        face.leave();
    }

    #[test]
    fn json_gets_a_status_line_now_and_then_and_quiet_none() {
        let shown = |words: &str| {
            let paper = Paper::default();
            let context = context(words, &[("KEEPSTONE_PROGRESS_FPS", "50")], paper.clone());
            let counters = Arc::new(BackupCounters::default());
            counters.files_done.store(3, Relaxed);
            let progress = Progress::watch(&context, "backup", counters);
            thread::sleep(Duration::from_millis(500));
            drop(progress);
            paper.text()
        };
        let text = shown("--json version");
        assert!(text.lines().count() >= 2, "{text}");
        for line in text.lines() {
            assert!(line.starts_with(r#"{"message_type":"status""#) && line.contains(r#""files_done":3"#), "{line}");
        }
        assert_eq!(shown("--json -q version"), "");
    }

    #[test]
    fn ending_does_not_wait_for_the_next_look() {
        let context = context("version", &[("KEEPSTONE_PROGRESS_FPS", "0.001")], Paper::default());
        let begun = Instant::now();
        drop(Progress::watch(&context, "check", Arc::new(BackupCounters::default())));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
