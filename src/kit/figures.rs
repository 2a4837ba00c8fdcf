//! The figures of many calls.

use std::time::Duration;

/// The least, the middle and the nearly greatest of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The least.
    pub min: Duration,
    /// Half of them took no longer.
    pub median: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

impl Figures {
    /// All zero where there are none.
    #[must_use]
    pub fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        let rank = |percent: usize| {
            let rank = (taken.len() * percent).div_ceil(100).saturating_sub(1);
            taken.get(rank).copied().unwrap_or_default()
        };
        Self {
            min: rank(0),
            median: rank(50),
            p99: rank(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let of = |range: std::ops::RangeInclusive<u64>| {
            let figures = Figures::of(range.rev().map(Duration::from_micros).collect());
            [figures.min, figures.median, figures.p99].map(|taken| taken.as_micros())
        };
        assert_eq!(of(1..=1), [1, 1, 1]);
        assert_eq!(of(1..=100), [1, 50, 99]);
        assert_eq!(of(1..=1000), [1, 500, 990]);
        assert_eq!(Figures::of(Vec::new()), Figures::default());
    }
}
