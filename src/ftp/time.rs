//! The time-val of RFC 3659 §2.3: `YYYYMMDDHHMMSS[.fraction]`, always in UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::text::{digit, digits};

/// Reads a time-val. Only dates that exist are taken, and a leap second where one can be.
pub fn parse_time_val(text: &str) -> Result<Timestamp, TimeError> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, nanoseconds(fraction)?),
        None => (text, 0),
    };
    if whole.len() != 14 {
        return Err(TimeError);
    }
    let field =
        |from: usize, to: usize| whole.get(from..to).and_then(digits::<i8>).ok_or(TimeError);
    let year = whole.get(..4).and_then(digits::<i16>).ok_or(TimeError)?;
    let (month, day) = (field(4, 6)?, field(6, 8)?);
    let (hour, minute, second) = (field(8, 10)?, field(10, 12)?, field(12, 14)?);
    // RFC 3659 §2.3: "60" may appear when a leap second is indicated. POSIX time has none; it is
    // the second that follows.
    let (second, leap) = match (hour, minute, second) {
        (23, 59, 60) => (59, SignedDuration::from_secs(1)),
        _ => (second, SignedDuration::ZERO),
    };
    DateTime::new(year, month, day, hour, minute, second, fraction)
        .and_then(|time| TimeZone::UTC.to_timestamp(time))
        .and_then(|time| time.checked_add(leap))
        .map_err(|_| TimeError)
}

/// Writes a time-val of whole seconds, as MDTM and the `modify` fact show it.
pub fn format_time_val(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(14);
    // Rounds down, also before 1970.
    push_time_val(
        &mut out,
        time.as_nanosecond().div_euclid(1_000_000_000) as i64,
    );
    String::from_utf8_lossy(&out).into_owned()
}

/// Up to nine digits of a fraction; the rest is less than what any file system keeps.
fn nanoseconds(fraction: &str) -> Result<i32, TimeError> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeError);
    }
    let padded = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    Ok(padded.fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0')))
}

/// The whole seconds since 1970 of a file's time, rounded down.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(error) => {
            let before = error.duration();
            let part = i64::from(before.subsec_nanos() > 0);
            i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds - part)
        }
    }
}

/// The time of a file as a timestamp; times that no calendar of four digits has are brought to its
/// first or last.
pub fn timestamp(time: SystemTime) -> Timestamp {
    let nearest = if time < UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::try_from(time).unwrap_or(nearest)
}

/// A timestamp as the time of a file.
pub fn system_time(time: Timestamp) -> SystemTime {
    let since = time.as_duration();
    let length = since.unsigned_abs();
    let before = since.is_negative();
    let found = if before {
        UNIX_EPOCH.checked_sub(length)
    } else {
        UNIX_EPOCH.checked_add(length)
    };
    found.unwrap_or(UNIX_EPOCH)
}

/// A date and time of UTC, with a year of four digits.
pub(super) struct Civil {
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

/// The first second of the year 0 and the last of 9999.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// The proleptic Gregorian calendar, for listings of many thousand entries.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`: years begin
/// in March, so that the leap day comes last.
pub(super) fn civil(seconds: i64) -> Civil {
    // Counted from the year -400, so that everything is positive.
    let seconds = (seconds.clamp(FIRST, LAST) - FIRST) as u64 + 146_097 * 86_400;
    let (days, time) = (seconds / 86_400 - 60, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    Civil {
        year: era * 400 + year_of_era + u64::from(month <= 2) - 400,
        month,
        day: day_of_year - (153 * shifted + 2) / 5 + 1,
        hour: time / 3600,
        minute: time / 60 % 60,
        second: time % 60,
    }
}

/// Appends a time-val of whole seconds.
pub(super) fn push_time_val(out: &mut Vec<u8>, seconds: i64) {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = civil(seconds);
    let tens = |value: u64| digit(value / 10 % 10);
    let ones = |value: u64| digit(value % 10);
    out.extend_from_slice(&[
        tens(year / 100),
        ones(year / 100),
        tens(year),
        ones(year),
        tens(month),
        ones(month),
        tens(day),
        ones(day),
        tens(hour),
        ones(hour),
        tens(minute),
        ones(minute),
        tens(second),
        ones(second),
    ]);
}

/// A text is no time-val (501).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeError;

impl fmt::Display for TimeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Not a time of the form YYYYMMDDHHMMSS[.fraction]")
    }
}

impl std::error::Error for TimeError {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("19700101000000", "1970-01-01T00:00:00Z"),
            ("20240229235959", "2024-02-29T23:59:59Z"),
            ("20000229000000", "2000-02-29T00:00:00Z"),
            ("19980615100045.014", "1998-06-15T10:00:45.014Z"),
            ("19980615100045.5", "1998-06-15T10:00:45.5Z"),
            (
                "19980615100045.1234567899999",
                "1998-06-15T10:00:45.123456789Z",
            ),
            ("20161231235960", "2017-01-01T00:00:00Z"),
            ("20161231235960.5", "2017-01-01T00:00:00.5Z"),
            ("19010101000000", "1901-01-01T00:00:00Z"),
        ] {
            assert_eq!(
                parse_time_val(text).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn regression_dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "2024",
            "202402291200",
            "2024022912000",
            "202402291200000",
            "20230229120000",
            "19000229120000",
            "20240431120000",
            "20241301120000",
            "20240001120000",
            "20240100120000",
            "20240101240000",
            "20240101126000",
            "20240101120060",
            "20240101120061",
            "20240101235961",
            "20240101120000.",
            "20240101120000.x",
            "20240101120000.+1",
            "20240101120000.1.2",
            "+2024010112000",
            "2024010112000 ",
            " 20240101120000",
            "20240101120000Z",
            "2024-01-01T12:0",
            "２０２４０１",
            "é2024010112000",
        ] {
            assert_eq!(parse_time_val(text), Err(TimeError), "{text:?}");
        }
    }

    #[test]
    fn times_are_written_in_whole_seconds() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", "19700101000000"),
            ("2024-02-29T23:59:59.999Z", "20240229235959"),
            ("1969-12-31T23:59:59.5Z", "19691231235959"),
            ("0001-01-01T00:00:00Z", "00010101000000"),
            ("-000001-01-01T00:00:00Z", "00000101000000"),
        ] {
            assert_eq!(format_time_val(time.parse().unwrap()), expected);
        }
    }

    #[test]
    fn the_calendar_agrees_with_jiff() {
        // About every 22 hours over all years, at changing times of the day.
        let mut seconds = FIRST;
        while seconds < Timestamp::MAX.as_second() {
            let time = Timestamp::from_second(seconds).unwrap();
            let expected = TimeZone::UTC.to_datetime(time);
            let found = civil(seconds);
            let date = (found.year as i16, found.month as i8, found.day as i8);
            assert_eq!(date, (expected.year(), expected.month(), expected.day()));
            let clock = (found.hour as i8, found.minute as i8, found.second as i8);
            assert_eq!(
                clock,
                (expected.hour(), expected.minute(), expected.second())
            );
            seconds += 79_999;
        }
    }

    #[test]
    fn times_of_files_are_never_out_of_range() {
        let far = Duration::from_secs(1 << 50);
        for (time, expected) in [
            (UNIX_EPOCH, "19700101000000"),
            (UNIX_EPOCH - Duration::from_millis(1), "19691231235959"),
            (UNIX_EPOCH - Duration::from_secs(1), "19691231235959"),
            (UNIX_EPOCH - far, "00000101000000"),
            (UNIX_EPOCH + far, "99991231235959"),
        ] {
            let mut out = Vec::new();
            push_time_val(&mut out, unix_seconds(time));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        assert_eq!(timestamp(UNIX_EPOCH - far), Timestamp::MIN);
        assert_eq!(timestamp(UNIX_EPOCH + far), Timestamp::MAX);
    }

    #[test]
    fn timestamps_and_file_times_are_the_same_moments() {
        for text in [
            "1969-12-31T23:59:59.5Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T01:02:03.004Z",
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(timestamp(system_time(time)), time);
        }
    }
}
