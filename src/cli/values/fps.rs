//! How often progress is shown.

use std::str::FromStr;
use std::time::Duration;

use super::BadValue;

/// How often a second progress is shown: over 0, at most 60; `0.1` is every ten seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FramesPerSecond(f64);

impl FramesPerSecond {
    /// Time between two looks.
    pub fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

impl FromStr for FramesPerSecond {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<f64>() {
            // Once a day is slow enough, and keeps the interval finite.
            Ok(fps) if (1.0 / 86_400.0..=60.0).contains(&fps) => Ok(FramesPerSecond(fps)),
            _ => Err(BadValue::expected("a number over 0, at most 60, such as 10 or 0.1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_the_second() {
        let interval = |text: &str| text.parse().map(FramesPerSecond::interval);
        assert_eq!(interval("0.1"), Ok(Duration::from_secs(10)));
        assert_eq!(interval("50"), Ok(Duration::from_millis(20)));
        for text in ["", "0", "-1", "61", "inf", "NaN", "1e-300", "ten"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
