//! When a certificate is renewed.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use super::store::Found;

/// The authority is asked again neither sooner nor later (RFC 9773 §4.3.2).
const AGAIN: Range<Duration> = Duration::from_secs(60)..Duration::from_secs(86_400);
/// The same where it did not answer.
const UNANSWERED: Duration = Duration::from_secs(6 * 3600);

/// The authority's wish.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// The certificate that it is about.
    about: Vec<u8>,
    window: Option<Range<SystemTime>>,
    chosen: Option<SystemTime>,
    again: Option<SystemTime>,
}

impl Renewal {
    /// Whether it is time to ask about this one.
    pub(super) fn is_to_be_asked(&self, found: &Found) -> bool {
        self.about != *found.leaf || self.again.is_none_or(|again| SystemTime::now() >= again)
    }

    /// Whether the authority knows of this.
    pub(super) fn is_supported(&self) -> bool {
        self.window.is_some()
    }

    /// Notes the answer, and how long it holds.
    pub(super) fn note(&mut self, found: &Found, answer: Option<(Range<SystemTime>, Duration)>) {
        let now = SystemTime::now();
        self.about = found.leaf.to_vec();
        match answer {
            Some((window, again)) => {
                self.again = Some(now + again.clamp(AGAIN.start, AGAIN.end));
                if self.window.as_ref() != Some(&window) {
                    self.chosen = Some(within(&window, random()));
                    self.window = Some(window);
                }
            }
            // Its word from before holds.
            None => self.again = Some(now + UNANSWERED),
        }
    }

    /// When this one is to be renewed: when the authority says, else after two thirds of its time; and with a
    /// tenth of it left in any case.
    pub(super) fn due(&self, found: &Found) -> SystemTime {
        let life = found.end.duration_since(found.begin).unwrap_or_default();
        let last = found.begin + life.mul_f64(0.9);
        let chosen = self.chosen.filter(|_| self.about == *found.leaf);
        chosen.map_or(found.begin + life.mul_f64(2.0 / 3.0), |chosen| {
            chosen.min(last)
        })
    }
}

/// A moment in a window, so that not all clients of an authority come at once.
fn within(window: &Range<SystemTime>, part: f64) -> SystemTime {
    let length = window.end.duration_since(window.start).unwrap_or_default();
    window.start + length.mul_f64(part)
}

/// From 0 to 1; half where the system has no random numbers.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn found(begin: SystemTime, days: u32) -> Found {
        Found {
            leaf: vec![1].into(),
            names: Vec::new(),
            begin,
            end: begin + DAY * days,
            issued: true,
        }
    }

    #[test]
    fn without_a_word_of_the_authority_a_third_is_left() {
        let begin = SystemTime::UNIX_EPOCH;
        let due = Renewal::default().due(&found(begin, 90));
        let days = due.duration_since(begin).unwrap_or_default().as_secs() / 86_400;
        assert!((59..=60).contains(&days), "{days}");
    }

    #[test]
    fn the_authority_chooses_and_cannot_have_it_expire() {
        let now = SystemTime::now();
        let found = found(now, 90);
        let mut renewal = Renewal::default();
        assert!(renewal.is_to_be_asked(&found));
        renewal.note(&found, Some((now + DAY * 10..now + DAY * 12, DAY / 4)));
        let due = renewal.due(&found);
        assert!(now + DAY * 10 <= due && due <= now + DAY * 12);
        assert!(!renewal.is_to_be_asked(&found));
        // The same window is the same moment.
        renewal.note(&found, Some((now + DAY * 10..now + DAY * 12, DAY)));
        assert_eq!(renewal.due(&found), due);
        // It was revoked, say.
        renewal.note(&found, Some((now - DAY * 2..now - DAY, DAY)));
        assert!(renewal.due(&found) < now);
        renewal.note(&found, Some((now + DAY * 100..now + DAY * 200, DAY)));
        assert!(renewal.due(&found) < found.end);
        // A word about another certificate means nothing.
        let other = Found {
            leaf: vec![2].into(),
            ..found
        };
        assert!(renewal.is_to_be_asked(&other));
        assert_eq!(renewal.due(&other), Renewal::default().due(&other));
    }

    #[test]
    fn a_moment_is_within_its_window() {
        let start = SystemTime::UNIX_EPOCH;
        assert_eq!(within(&(start..start + DAY), 0.0), start);
        assert_eq!(within(&(start..start + DAY), 1.0), start + DAY);
        // From an authority that does not know which comes first.
        assert_eq!(within(&(start + DAY..start), 0.7), start + DAY);
    }
}
