//! The ways in which people write values.

use std::{path::PathBuf, time::Duration};

use schemars::{Schema, json_schema};
use serde_json::Value;

/// A value that is written as text, or in other ways, too.
pub trait Form {
    /// The value's type in a configuration.
    type Value;
    /// The form's name in the reference.
    const NAME: &'static str;
    /// The form for error messages.
    const EXPECTED: &'static str;

    /// The JSON schema, but for the name.
    fn schema() -> Schema;

    /// Reads text.
    fn from_text(text: &str) -> Option<Self::Value>;

    /// Reads an integer.
    fn from_integer(_: u64) -> Option<Self::Value> {
        None
    }

    /// Reads an array of two.
    fn from_pair(_: u64, _: u64) -> Option<Self::Value> {
        None
    }

    /// Writes it as [`Form::from_text`] and [`Form::from_integer`] read it.
    fn write(value: &Self::Value) -> Value;
}

/// See [`super::value::Time`].
pub enum TimeForm {}

impl Form for TimeForm {
    type Value = Duration;
    const EXPECTED: &'static str = "a duration such as \"5m\"";
    const NAME: &'static str = "duration";

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "[0-9]( *[a-zA-Zµ]|:[0-9])", "minimum": 0 })
    }

    fn write(time: &Duration) -> Value {
        if time.is_zero() {
            return 0.into();
        }
        let printer = jiff::fmt::friendly::SpanPrinter::new();
        printer.unsigned_duration_to_string(time).into()
    }

    fn from_text(text: &str) -> Option<Duration> {
        let text = text.trim();
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

/// Reads a duration as the configuration has them, for command lines.
///
/// # Errors
/// The form that is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected {}", TimeForm::EXPECTED);
    TimeForm::from_text(text).ok_or_else(expected)
}

/// Reads bytes, likewise.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    SizeForm::from_text(text)
}

/// A century at most: so much can always be added to a point in time.
fn bounded(duration: Duration) -> Option<Duration> {
    (duration <= Duration::from_secs(100 * 365 * 86_400)).then_some(duration)
}

/// See [`super::value::Size`].
pub enum SizeForm {}

impl Form for SizeForm {
    type Value = u64;
    const EXPECTED: &'static str = "a size such as \"10MiB\"";
    const NAME: &'static str = "size";

    fn schema() -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": r"^\s*[0-9]+(\.[0-9]{1,3})?\s*(B|[kKMGT]B|[KMGT]iB)?\s*$",
            "minimum": 0,
        })
    }

    fn write(bytes: &u64) -> Value {
        let units = ["TiB", "GiB", "MiB", "KiB"]
            .into_iter()
            .zip([40, 30, 20, 10]);
        let mut fitting = units.filter(|(_, shift)| *bytes > 0 && bytes.is_multiple_of(1 << shift));
        match fitting.next() {
            Some((unit, shift)) => format!("{}{unit}", bytes >> shift).into(),
            None => (*bytes).into(),
        }
    }

    fn from_text(text: &str) -> Option<u64> {
        let text = text.trim();
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

/// See [`super::value::Ports`].
pub enum PortsForm {}

impl Form for PortsForm {
    type Value = (u16, u16);
    const EXPECTED: &'static str = "a range of ports, the lower one first, such as \"10000-30000\"";
    const NAME: &'static str = "ports";

    fn schema() -> Schema {
        let port = json_schema!({ "type": "integer", "minimum": 0, "maximum": 65535 });
        json_schema!({
            "type": ["string", "integer", "array"],
            "pattern": r"^\s*[0-9]+(\s*-\s*[0-9]+)?\s*$",
            "minimum": 0,
            "maximum": 65535,
            "items": port,
            "minItems": 2,
            "maxItems": 2,
        })
    }

    fn write((first, last): &(u16, u16)) -> Value {
        format!("{first}-{last}").into()
    }

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

/// See [`super::value::Mode`].
pub enum ModeForm {}

impl Form for ModeForm {
    type Value = u32;
    const EXPECTED: &'static str = "a mode in quotes, such as \"0644\", 0777 at most";
    const NAME: &'static str = "mode";

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": r"^\s*0?[0-7]{3}\s*$" })
    }

    fn write(mode: &u32) -> Value {
        format!("{mode:04o}").into()
    }

    // No integers: 644 would be read in decimal.
    fn from_text(text: &str) -> Option<u32> {
        let text = text.trim();
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok()?;
        (digits && mode <= 0o777).then_some(mode)
    }
}

/// See [`super::value::Rate`].
pub enum RateForm {}

impl Form for RateForm {
    type Value = u64;
    const EXPECTED: &'static str = SizeForm::EXPECTED;
    const NAME: &'static str = "size a second";

    fn schema() -> Schema {
        SizeForm::schema()
    }

    fn from_text(text: &str) -> Option<u64> {
        SizeForm::from_text(text)
    }

    fn from_integer(bytes: u64) -> Option<u64> {
        Some(bytes)
    }

    fn write(bytes: &u64) -> Value {
        SizeForm::write(bytes)
    }
}

/// See [`super::value::FilePath`].
pub enum PathForm {}

impl Form for PathForm {
    type Value = PathBuf;
    const EXPECTED: &'static str = "a path";
    const NAME: &'static str = "path";

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }

    fn from_text(text: &str) -> Option<PathBuf> {
        (!text.is_empty()).then(|| text.into())
    }

    fn write(path: &PathBuf) -> Value {
        path.to_string_lossy().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
            assert_eq!(TimeForm::from_text(text), Some(expected), "{text}");
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
            assert_eq!(TimeForm::from_text(text), None, "{text}");
        }
        assert_eq!(TimeForm::from_integer(300), Some(Duration::from_secs(300)));
        assert_eq!(TimeForm::from_integer(u64::MAX), None);
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

    #[test]
    fn they_are_written_as_they_are_read() {
        for text in ["5m", "250ms", "24h", "1h 30m"] {
            let time = TimeForm::from_text(text).unwrap();
            assert_eq!(TimeForm::write(&time), text);
        }
        assert_eq!(TimeForm::write(&Duration::ZERO), 0);
        for text in ["64KiB", "8MiB", "3GiB", "1TiB", "1536KiB"] {
            let size = SizeForm::from_text(text).unwrap();
            assert_eq!(SizeForm::write(&size), text);
        }
        assert_eq!(SizeForm::write(&0), 0);
        assert_eq!(SizeForm::write(&1000), 1000);
        assert_eq!(SizeForm::write(&u64::MAX), u64::MAX);
        assert_eq!(PortsForm::write(&(1, 2)), "1-2");
        assert_eq!(ModeForm::write(&0o644), "0644");
    }
}
