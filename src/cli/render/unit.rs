//! Quantities for people.

use std::time::Duration;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Bytes in IEC units: "512 B", "1.5 GiB", "150 GiB". Cut rather than rounded up, so that something is said
/// to be full only when it is.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let unit = 1u128 << (10 * power);
    let tenths = u128::from(bytes) * 10 / unit;
    let name = UNITS[power as usize - 1];
    match tenths {
        1000.. => format!("{} {name}", tenths / 10),
        _ => format!("{}.{} {name}", tenths / 10, tenths % 10),
    }
}

/// A stretch of time: "7 s", "3:07 min", "26:03:07 h".
pub fn duration(time: Duration) -> String {
    let secs = time.as_secs();
    let (hours, minutes) = (secs / 3600, secs / 60 % 60);
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{minutes}:{:02} min", secs % 60),
        _ => format!("{hours}:{minutes:02}:{:02} h", secs % 60),
    }
}

/// How much of the whole: "42 %"; "100 %" only when nothing is left.
pub fn percent(done: u64, total: u64) -> String {
    match total {
        0 => "100 %".into(),
        _ => format!("{} %", (u128::from(done) * 100 / u128::from(total)).min(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_iec_units() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, told) in cases {
            assert_eq!(size(bytes), told);
        }
    }

    #[test]
    fn times_are_told_by_their_length() {
        let cases = [(0, "0 s"), (59, "59 s"), (60, "1:00 min"), (3599, "59:59 min"), (93_787, "26:03:07 h")];
        for (secs, told) in cases {
            assert_eq!(duration(Duration::from_secs(secs)), told);
        }
    }

    #[test]
    fn a_hundred_percent_is_all_of_it() {
        assert_eq!(percent(999, 1000), "99 %");
        assert_eq!(percent(1000, 1000), "100 %");
        assert_eq!(percent(u64::MAX, 1), "100 %");
        assert_eq!(percent(0, 0), "100 %");
    }
}
