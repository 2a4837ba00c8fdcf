//! Listings for people and for clients older than RFC 3659: LIST in the form of `ls -l`, and NLST.

use std::time::SystemTime;

use super::metadata::{Kind, Metadata};
use super::text::{digit, push_aligned, push_decimal, push_line};
use super::time::{Civil, civil, unix_seconds};

/// Half of a mean year, as `ls` counts it.
const SIX_MONTHS: i64 = 31_556_952 / 2;
/// A file may be written while it is listed, and clocks differ a little.
const SKEW: i64 = 60;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Appends one line of LIST, with its CRLF. Times are in UTC.
pub fn write_list_line(out: &mut Vec<u8>, name: &str, metadata: &Metadata, now: SystemTime) {
    // All columns together are shorter than this.
    out.reserve(128 + name.len());
    push_mode(out, metadata);
    push_aligned(out, metadata.links, 5);
    out.push(b' ');
    push_padded(out, metadata.owner);
    push_padded(out, metadata.group);
    push_aligned(out, metadata.size, 12);
    push_date(out, unix_seconds(metadata.modified), unix_seconds(now));
    push_line(out, name);
    out.extend_from_slice(b"\r\n");
}

/// Appends one line of NLST, with its CRLF.
pub fn write_nlst_line(out: &mut Vec<u8>, name: &str) {
    push_line(out, name);
    out.extend_from_slice(b"\r\n");
}

fn push_mode(out: &mut Vec<u8>, metadata: &Metadata) {
    let mode = metadata.mode;
    let letter = |bit: u32, letter: u8| if mode & bit != 0 { letter } else { b'-' };
    // The place of `x` also shows the bits above the nine.
    let execute = |bit: u32, special: u32, with: u8, without: u8| match (
        mode & special != 0,
        mode & bit != 0,
    ) {
        (false, _) => letter(bit, b'x'),
        (true, true) => with,
        (true, false) => without,
    };
    out.extend_from_slice(&[
        match metadata.kind {
            Kind::File => b'-',
            Kind::Directory => b'd',
            Kind::Link => b'l',
            // Which of the special ones does not matter: none can be transferred.
            Kind::Other => b's',
        },
        letter(0o400, b'r'),
        letter(0o200, b'w'),
        execute(0o100, 0o4000, b's', b'S'),
        letter(0o040, b'r'),
        letter(0o020, b'w'),
        execute(0o010, 0o2000, b's', b'S'),
        letter(0o004, b'r'),
        letter(0o002, b'w'),
        execute(0o001, 0o1000, b't', b'T'),
    ]);
}

/// A number, then blanks up to nine columns, one at least.
fn push_padded(out: &mut Vec<u8>, number: u32) {
    let start = out.len();
    push_decimal(out, number.into());
    let written = out.len() - start;
    out.extend_from_slice(b"         ".get(written.min(8)..).unwrap_or_default());
}

/// `Mon dd hh:mm` for the last six months, and `Mon dd  yyyy` for what is older or lies ahead.
fn push_date(out: &mut Vec<u8>, time: i64, now: i64) {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        ..
    } = civil(time);
    let tens = |value: u64| digit(value / 10 % 10);
    let ones = |value: u64| digit(value % 10);
    let month = MONTHS
        .get((month as usize).wrapping_sub(1))
        .copied()
        .unwrap_or(b"Jan");
    let [a, b, c] = *month;
    let blank_or_ten = if day < 10 { b' ' } else { tens(day) };
    out.extend_from_slice(&[b' ', a, b, c, b' ', blank_or_ten, ones(day), b' ']);
    let age = now.saturating_sub(time);
    out.extend_from_slice(&if (-SKEW..SIX_MONTHS).contains(&age) {
        [
            tens(hour),
            ones(hour),
            b':',
            tens(minute),
            ones(minute),
            b' ',
        ]
    } else {
        [
            b' ',
            tens(year / 100),
            ones(year / 100),
            tens(year),
            ones(year),
            b' ',
        ]
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ftp::time::{parse_time_val, system_time};

    fn at(text: &str) -> SystemTime {
        system_time(parse_time_val(text).unwrap())
    }

    fn metadata(kind: Kind, mode: u32, modified: &str) -> Metadata {
        Metadata {
            kind,
            size: 1234,
            modified: at(modified),
            mode,
            links: 2,
            owner: 1000,
            group: 100,
            unique: (1, 2),
            partial: None,
        }
    }

    fn line(name: &str, metadata: &Metadata) -> String {
        let mut out = Vec::new();
        write_list_line(&mut out, name, metadata, at("20240615120000"));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn lines() {
        let file = metadata(Kind::File, 0o644, "20240615115900");
        let expected = "-rw-r--r--    2 1000     100              1234 Jun 15 11:59 a b\r\n";
        assert_eq!(line("a b", &file), expected);
        let mut large = metadata(Kind::Directory, 0o755, "20010203040506");
        large.links = u64::MAX;
        large.owner = u32::MAX;
        large.group = 123_456_789;
        large.size = u64::MAX;
        let expected = "drwxr-xr-x18446744073709551615 4294967295 123456789 18446744073709551615 \
                        Feb  3  2001 d\r\n";
        assert_eq!(line("d", &large), expected);
    }

    #[test]
    fn kinds_and_modes() {
        for (kind, mode, expected) in [
            (Kind::File, 0, "----------"),
            (Kind::File, 0o777, "-rwxrwxrwx"),
            (Kind::Directory, 0o1777, "drwxrwxrwt"),
            (Kind::Directory, 0o1776, "drwxrwxrwT"),
            (Kind::File, 0o4711, "-rws--x--x"),
            (Kind::File, 0o2644, "-rw-r-Sr--"),
            (Kind::File, 0o6755, "-rwsr-sr-x"),
            (Kind::File, 0o4644, "-rwSr--r--"),
            (Kind::Link, 0o777, "lrwxrwxrwx"),
            (Kind::Other, 0o600, "srw-------"),
        ] {
            let found = line("f", &metadata(kind, mode, "20240101000000"));
            assert_eq!(found.get(..10), Some(expected));
        }
    }

    #[test]
    fn dates_within_six_months_have_a_time_and_others_a_year() {
        for (modified, expected) in [
            ("20240615120000", " Jun 15 12:00 f"),
            ("20240615120059", " Jun 15 12:00 f"),
            ("20240615120101", " Jun 15  2024 f"),
            ("20240101000000", " Jan  1 00:00 f"),
            ("20231216090000", " Dec 16 09:00 f"),
            ("20231215000000", " Dec 15  2023 f"),
            ("19700101000000", " Jan  1  1970 f"),
            ("20991231235959", " Dec 31  2099 f"),
        ] {
            let found = line("f", &metadata(Kind::File, 0o644, modified));
            assert!(found.trim_end().ends_with(expected), "{found}");
        }
        for month in 1..=12 {
            let modified = format!("2020{month:02}10000000");
            let found = line("f", &metadata(Kind::File, 0o644, &modified));
            let name = found.split_whitespace().nth(5).unwrap();
            let expected = parse_time_val(&modified)
                .unwrap()
                .strftime("%b")
                .to_string();
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn regression_names_never_split_a_line() {
        for (name, expected) in [
            ("227 Entering\r\n226 Done", "227 Entering__226 Done\r\n"),
            (" x ", " x \r\n"),
            ("ünï\u{1b}", "ünï_\r\n"),
        ] {
            let found = line(name, &metadata(Kind::File, 0o644, "20240615120000"));
            assert_eq!(found.split_once("12:00 ").unwrap().1, expected);
            let mut out = Vec::new();
            write_nlst_line(&mut out, name);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
