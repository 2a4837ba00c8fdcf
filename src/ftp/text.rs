//! Numbers and names as bytes, written without allocation.

use std::str::FromStr;

/// Whether a byte is a C0 control character or DEL, none of which a name or an argument may hold.
pub(super) fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// A number of digits alone: no sign, no blank, as `FromStr` would allow.
pub(super) fn digits<T: FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Appends a text in which every control character has become `_`, so that it stays one line.
pub(super) fn push_line(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    // One pass that vectorises; names with control characters are rare.
    if text
        .bytes()
        .fold(false, |found, byte| found | is_control(byte))
    {
        let written = out.iter_mut().skip(start);
        written
            .filter(|byte| is_control(**byte))
            .for_each(|byte| *byte = b'_');
    }
}

/// Appends a number in decimal.
pub(super) fn push_decimal(out: &mut Vec<u8>, value: u64) {
    push_aligned(out, value, 0);
}

/// Appends a number in decimal with blanks before it, up to a width of 20.
pub(super) fn push_aligned(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut buffer = [b' '; 20];
    let length = fill(&mut buffer, value, 10);
    let from = buffer.len().saturating_sub(length.max(width));
    out.extend_from_slice(buffer.get(from..).unwrap_or_default());
}

/// Appends a number in lower-case hexadecimal.
pub(super) fn push_hexadecimal(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; 16];
    let length = fill(&mut buffer, value, 16);
    out.extend_from_slice(buffer.get(16 - length..).unwrap_or_default());
}

/// Writes the digits at the end of the buffer and gives their number.
#[inline(always)]
fn fill(buffer: &mut [u8], value: u64, base: u64) -> usize {
    let mut rest = value;
    let mut length = 0;
    for slot in buffer.iter_mut().rev() {
        *slot = digit(rest % base);
        rest /= base;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    length
}

/// The digit for a value below 16.
#[inline(always)]
pub(super) fn digit(value: u64) -> u8 {
    let value = (value & 15) as u8;
    if value < 10 {
        b'0' + value
    } else {
        b'a' + (value - 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"+".to_vec();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for value in [
            0,
            1,
            9,
            10,
            15,
            16,
            99,
            100,
            255,
            4096,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            assert_eq!(written(|out| push_decimal(out, value)), format!("+{value}"));
            assert_eq!(
                written(|out| push_hexadecimal(out, value)),
                format!("+{value:x}")
            );
            assert_eq!(
                written(|out| push_aligned(out, value, 12)),
                format!("+{value:>12}")
            );
        }
    }

    #[test]
    fn digits_are_digits_alone() {
        assert_eq!(digits::<u64>("18446744073709551615"), Some(u64::MAX));
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "1.0",
            "١",
            "18446744073709551616",
        ] {
            assert_eq!(digits::<u64>(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_control_character_of_a_text_becomes_an_underscore() {
        for byte in 0..=127u8 {
            let text = format!("a{}é", char::from(byte));
            let expected = if is_control(byte) {
                "+a_é".to_owned()
            } else {
                format!("+{text}")
            };
            assert_eq!(written(|out| push_line(out, &text)), expected);
        }
    }
}
