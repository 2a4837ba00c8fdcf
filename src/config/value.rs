//! The ways in which people write quantities: serde `with` modules.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
};

/// Time: "5m", "250ms", "1h 30m", "7d", or an integer of seconds.
pub mod duration {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
        source.deserialize_any(Quantity::<super::DurationForm>(PhantomData))
    }
}

/// Bytes: "10MiB", "2GB", "1.5 KiB", or an integer.
pub mod size {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<u64, D::Error> {
        source.deserialize_any(Quantity::<super::SizeForm>(PhantomData))
    }
}

/// Bytes, or nothing where the key is not there.
pub mod optional_size {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u64>, D::Error> {
        size::deserialize(source).map(Some)
    }
}

/// A range of ports: "10000-30000", "40000", 40000 or [10000, 30000].
pub mod ports {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<(u16, u16), D::Error> {
        source.deserialize_any(Quantity::<super::PortsForm>(PhantomData))
    }
}

/// A file mode in octal digits: "0644".
pub mod mode {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<u32, D::Error> {
        source.deserialize_any(Quantity::<super::ModeForm>(PhantomData))
    }
}

/// A quantity that can be written in several ways.
trait Form {
    type Value;
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self::Value>;

    fn from_integer(_: u64) -> Option<Self::Value> {
        None
    }

    fn from_pair(_: u64, _: u64) -> Option<Self::Value> {
        None
    }
}

struct Quantity<F>(PhantomData<F>);

impl<'de, F: Form> Visitor<'de> for Quantity<F> {
    type Value = F::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(F::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        F::from_text(text.trim()).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        u64::try_from(number)
            .ok()
            .and_then(F::from_integer)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        F::from_integer(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let pair = (
            list.next_element()?,
            list.next_element()?,
            list.next_element::<u64>()?,
        );
        match pair {
            (Some(first), Some(last), None) => F::from_pair(first, last),
            _ => None,
        }
        .ok_or_else(|| A::Error::invalid_value(Unexpected::Seq, &self))
    }
}

struct DurationForm;

impl Form for DurationForm {
    type Value = Duration;
    const EXPECTED: &'static str = "a duration such as \"5m\"";

    fn from_text(text: &str) -> Option<Duration> {
        let span = jiff::fmt::friendly::SpanParser::new()
            .parse_span(text)
            .ok()?;
        let duration = span
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .ok()?;
        bounded(Duration::try_from(duration).ok()?)
    }

    fn from_integer(seconds: u64) -> Option<Duration> {
        bounded(Duration::from_secs(seconds))
    }
}

/// A century at most: so much can always be added to a point in time.
fn bounded(duration: Duration) -> Option<Duration> {
    (duration <= Duration::from_secs(100 * 365 * 86_400)).then_some(duration)
}

struct SizeForm;

impl Form for SizeForm {
    type Value = u64;
    const EXPECTED: &'static str = "a size such as \"10MiB\"";

    fn from_text(text: &str) -> Option<u64> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end)?;
        let unit: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1000 * 1000,
            "GB" => 1000 * 1000 * 1000,
            "TB" => 1000 * 1000 * 1000 * 1000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if fraction.is_empty() || fraction.len() > 3 || fraction.contains('.') {
            return None;
        }
        let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
        whole.checked_add(unit.checked_mul(thousandths)? / 1000)
    }

    fn from_integer(bytes: u64) -> Option<u64> {
        Some(bytes)
    }
}

struct PortsForm;

impl Form for PortsForm {
    type Value = (u16, u16);
    const EXPECTED: &'static str = "a range of ports, the lower one first, such as \"10000-30000\"";

    fn from_text(text: &str) -> Option<(u16, u16)> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::from_pair(first.trim().parse().ok()?, last.trim().parse().ok()?)
    }

    fn from_integer(port: u64) -> Option<(u16, u16)> {
        Self::from_pair(port, port)
    }

    fn from_pair(first: u64, last: u64) -> Option<(u16, u16)> {
        let range = (u16::try_from(first).ok()?, u16::try_from(last).ok()?);
        (first <= last).then_some(range)
    }
}

struct ModeForm;

impl Form for ModeForm {
    type Value = u32;
    const EXPECTED: &'static str = "a mode in quotes, such as \"0644\", 0777 at most";

    // No integers: 644 would be read in decimal.
    fn from_text(text: &str) -> Option<u32> {
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok()?;
        (digits && mode <= 0o777).then_some(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("5m", 300_000),
            ("250ms", 250),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("2 hours, 5 minutes", 7_500_000),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(DurationForm::from_text(text), Some(expected), "{text}");
        }
        for text in [
            "soon",
            "",
            "5",
            "-5m",
            "5m ago",
            "1 month",
            "5 parsecs",
            "900y",
            "99999999999h",
        ] {
            assert_eq!(DurationForm::from_text(text), None, "{text}");
        }
        assert_eq!(
            DurationForm::from_integer(300),
            Some(Duration::from_secs(300))
        );
        assert_eq!(DurationForm::from_integer(u64::MAX), None);
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 64 << 10),
            ("10MiB", 10 << 20),
            ("2GB", 2_000_000_000),
            ("1.5 kB", 1500),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(SizeForm::from_text(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1e3",
            "1.",
            ".5",
            "1.2.3KiB",
            "10M",
            "10mib",
            "99999999TiB",
            "1MiB/s",
        ] {
            assert_eq!(SizeForm::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn port_ranges() {
        assert_eq!(PortsForm::from_text("10000-30000"), Some((10_000, 30_000)));
        assert_eq!(
            PortsForm::from_text("10000 - 30000"),
            Some((10_000, 30_000))
        );
        assert_eq!(PortsForm::from_text("40000"), Some((40_000, 40_000)));
        assert_eq!(PortsForm::from_integer(0), Some((0, 0)));
        assert_eq!(PortsForm::from_pair(1024, 65_535), Some((1024, 65_535)));
        for text in ["30000-10000", "1-70000", "-", "a-b", "1-2-3", "", "-5"] {
            assert_eq!(PortsForm::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(ModeForm::from_text("0644"), Some(0o644));
        assert_eq!(ModeForm::from_text("750"), Some(0o750));
        for text in ["", "7", "0888", "1777", "+644", "0o644", "rw-r--r--"] {
            assert_eq!(ModeForm::from_text(text), None, "{text}");
        }
        assert_eq!(ModeForm::from_integer(644), None);
    }
}
