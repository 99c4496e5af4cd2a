//! How fast it goes, and how long it will take.

use std::time::Duration;

/// What counts is the last while: after so long, a change of speed shows by two thirds.
const WHILE: Duration = Duration::from_secs(15);

/// A rate that follows changes and is not upset by each of them: an exponential average.
#[derive(Debug, Default)]
pub(super) struct Pace {
    elapsed: Duration,
    bytes: u64,
    average: f64,
}

impl Pace {
    /// After `elapsed`, `bytes` are done.
    pub(super) fn note(&mut self, elapsed: Duration, bytes: u64) {
        let step = elapsed.saturating_sub(self.elapsed).as_secs_f64();
        if step > 0.0 {
            let now = bytes.saturating_sub(self.bytes) as f64 / step;
            self.average += (now - self.average) * share(step);
        }
        (self.elapsed, self.bytes) = (elapsed, bytes);
    }

    /// Since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> f64 {
        // The average begins at zero; what that weighs is known, and taken out.
        match share(self.elapsed.as_secs_f64()) {
            0.0 => 0.0,
            weight => self.average / weight,
        }
    }

    /// How long the rest of `total` takes at this rate; `None` if that cannot be said.
    pub(super) fn remaining(&self, total: u64) -> Option<Duration> {
        let seconds = total.saturating_sub(self.bytes) as f64 / self.rate();
        Duration::try_from_secs_f64(seconds).ok()
    }
}

fn share(seconds: f64) -> f64 {
    -(-seconds / WHILE.as_secs_f64()).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_pace_is_told_from_the_first_moment() {
        let mut pace = Pace::default();
        for second in 1..=3u64 {
            pace.note(Duration::from_secs(second), second * 100);
            assert!((pace.rate() - 100.0).abs() < 1e-6);
        }
        let left = pace.remaining(1300).unwrap();
        assert!((left.as_secs_f64() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn a_stop_shows_after_a_while() {
        let mut pace = Pace::default();
        pace.note(Duration::from_secs(100), 10_000);
        pace.note(Duration::from_secs(115), 10_000);
        assert!((30.0..45.0).contains(&pace.rate()), "{}", pace.rate());
    }

    #[test]
    fn nothing_done_promises_nothing() {
        let mut pace = Pace::default();
        assert_eq!(pace.remaining(10), None);
        pace.note(Duration::from_secs(1), 0);
        assert_eq!((pace.rate(), pace.remaining(10)), (0.0, None));
        pace.note(Duration::from_secs(1), 0);
        assert_eq!(pace.remaining(0), None);
    }
}
