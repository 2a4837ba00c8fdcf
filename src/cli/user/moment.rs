//! Moments as people say them.

use jiff::{ToSpan, Zoned, civil::Weekday};

use crate::config::duration;

/// As the users file has it: a date, which counts to its end in UTC, or a time.
pub(super) fn moment(text: &str, now: &Zoned) -> Option<String> {
    if let Some(from_now) = text.strip_prefix('+') {
        let from_now = duration(from_now).ok()?;
        let moment = now.timestamp().checked_add(from_now).ok()?;
        return Some(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let day = days.iter().find(|(day, _)| day.eq_ignore_ascii_case(text));
    if let Some((_, day)) = day {
        // Today, on that day.
        let yesterday = now.date().checked_sub(1.day()).ok()?;
        return Some(yesterday.nth_weekday(1, *day).ok()?.to_string());
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() == 10
    {
        return Some(date.to_string());
    }
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn moments_are_said_in_several_ways() {
        // A Friday.
        let now: Timestamp = "2026-11-27T11:00:00Z".parse().unwrap();
        let now = now.to_zoned(jiff::tz::TimeZone::UTC);
        for (text, expected) in [
            ("2026-12-31", Some("2026-12-31")),
            ("2026-12-31T18:00:00+01:00", Some("2026-12-31T17:00:00Z")),
            ("+7d", Some("2026-12-04T11:00:00Z")),
            ("+1h 30m", Some("2026-11-27T12:30:00Z")),
            ("friday", Some("2026-11-27")),
            ("Monday", Some("2026-11-30")),
            ("Thursday", Some("2026-12-03")),
            ("soon", None),
            ("2026-02-30", None),
            ("+", None),
            ("", None),
        ] {
            assert_eq!(moment(text, &now).as_deref(), expected, "{text}");
        }
    }
}
