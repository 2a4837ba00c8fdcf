//! The day or the moment from which on a user is not let in any more.

/// Seconds since 1970 of `2026-12-31`, which counts to its end in UTC, or of an RFC 3339 time such as
/// `2026-12-31T18:00:00Z`: the first second at which the user stays out.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (date, time) = match text.split_at_checked(10)? {
        (date, "") => return midnight(date)?.checked_add(86_400),
        (date, time) => (date, time.strip_prefix(['T', 't', ' '])?),
    };
    let end = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(end)?;
    let clock = clock.split('.').next()?;
    let [hours, minutes, seconds] = numbers(clock, ':')?;
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (sign, zone) = zone.split_at_checked(1)?;
            let [hours, minutes] = numbers(zone, ':')?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = i64::from(hours * 3600 + minutes * 60);
            if sign == "-" { -offset } else { offset }
        }
    };
    let moment = midnight(date)?.checked_add(u64::from(hours * 3600 + minutes * 60 + seconds))?;
    moment.checked_add_signed(-offset)
}

/// The beginning of a day in UTC, from 1970 on.
fn midnight(date: &str) -> Option<u64> {
    let [year, month, day] = numbers(date, '-')?;
    let leap = |year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let length = |month: u32| match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap(year) => 29,
        2 => 28,
        _ => 31,
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if day == 0 || day > length(month) {
        return None;
    }
    let years: u32 = (1970..year).map(|year| 365 + u32::from(leap(year))).sum();
    let months: u32 = (1..month).map(length).sum();
    Some(u64::from(years + months + day - 1) * 86_400)
}

/// Reads `N` numbers with a sign between them.
fn numbers<const N: usize>(text: &str, between: char) -> Option<[u32; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for place in &mut found {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *place = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_and_moments_are_exact() {
        for (text, seconds) in [
            ("1970-01-01", 86_400),
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-27", 1_795_824_000),
            ("2026-11-27T12:00:00Z", 1_795_780_800),
            ("2026-11-27T12:00:00.5+02:00", 1_795_773_600),
            ("2026-11-27 12:00:00-01:30", 1_795_786_200),
            ("2024-02-29", 1_709_251_200),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "soon",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "26-01-01",
            "2026-01-01T",
            "2026-01-01T12:00:00",
            "2026-01-01T25:00:00Z",
            "2026-01-01T12:00Z",
            "2026-01-01x12:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2026-1-1-1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
