//! Quantities with a unit: "10MiB", "1.5 GB", "10m".

/// Bytes, rounded down. Without a unit the number counts bytes.
pub fn bytes(text: &str) -> Option<u64> {
    scaled(text, |unit| {
        Some(match unit {
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
        })
    })
}

/// Seconds, rounded down. Without a unit the number counts seconds.
pub fn seconds(text: &str) -> Option<u64> {
    scaled(text, |unit| {
        Some(match unit {
            "" | "s" => 1,
            "m" | "min" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        })
    })
}

/// A decimal number, up to three places after the point, times its unit.
fn scaled(text: &str, unit: fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, name) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit(name.trim_start())?;

    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u64>().ok()?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    whole.checked_add(unit.checked_mul(thousandths)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, size) in [
            ("0", 0),
            ("512", 512),
            ("10MiB", 10 << 20),
            ("2 GiB", 2 << 30),
            ("1.5kB", 1500),
            ("0.25 KiB", 256),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in [
            "",
            "MiB",
            "-1",
            "1e3",
            "1.",
            ".5",
            "1..5",
            "1.0001",
            "10 mib",
            "10M",
            "1 MiB/s",
            "18446744073709551616",
            "16777216TiB",
            "\u{662}",
            "1\u{a0}MiB\u{a0}x",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        for (text, duration) in [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("1.5h", 5400),
            ("2d", 172_800),
        ] {
            assert_eq!(seconds(text), Some(duration), "{text}");
        }
        assert_eq!(seconds("10 weeks"), None);
    }
}
