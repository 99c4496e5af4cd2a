//! How much of the packs a check reads.

use std::num::NonZeroU32;
use std::str::FromStr;

use super::{BadValue, Size};

/// Which of the packs a check reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadDataSubset {
    /// The `part`th of `of` parts, counted from 1: over `of` runs, every pack.
    Part {
        /// 1 to `of`.
        part: NonZeroU32,
        /// How many parts there are.
        of: NonZeroU32,
    },
    /// So many percent of the packs, chosen at random; over 0, at most 100.
    Percent(f64),
    /// Packs of about so many bytes, chosen at random.
    Size(Size),
}

impl FromStr for ReadDataSubset {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        parse(text).ok_or_else(|| {
            BadValue::expected("n/t (the n-th of t parts), x% (over 0, at most 100) or a size such as 500M")
        })
    }
}

fn parse(text: &str) -> Option<ReadDataSubset> {
    if let Some((part, of)) = text.split_once('/') {
        let (part, of) = (part.parse().ok()?, of.parse().ok()?);
        return (part <= of).then_some(ReadDataSubset::Part { part, of });
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim_end().parse().ok()?;
        return (percent > 0.0 && percent <= 100.0).then_some(ReadDataSubset::Percent(percent));
    }
    let size: Size = text.parse().ok()?;
    (size.bytes() > 0).then_some(ReadDataSubset::Size(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_a_part_a_percentage_or_a_size() {
        let number = |number| NonZeroU32::new(number).unwrap();
        let cases = [
            ("1/7", ReadDataSubset::Part { part: number(1), of: number(7) }),
            ("7/7", ReadDataSubset::Part { part: number(7), of: number(7) }),
            ("2.5%", ReadDataSubset::Percent(2.5)),
            ("100 %", ReadDataSubset::Percent(100.0)),
            ("500M", ReadDataSubset::Size("500M".parse().unwrap())),
        ];
        for (text, subset) in cases {
            assert_eq!(text.parse(), Ok(subset), "{text}");
        }
        for text in ["", "0/7", "8/7", "1/0", "1/2/3", "0%", "101%", "NaN%", "-1%", "0", "some"] {
            assert!(text.parse::<ReadDataSubset>().is_err(), "{text}");
        }
    }
}
