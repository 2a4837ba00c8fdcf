//! Text of strangers as it is shown: nothing in it steers a terminal, turns the direction of text
//! around, forges a line, or goes on for ever.

use std::borrow::Cow;

/// Bytes of one text of a client in a line of the log.
pub const CLIENT_TEXT: usize = 256;
/// The mark at the end of a text that was cut.
pub const CUT: char = '…';

/// Whether a character does something other than to be seen: control characters (C0 and C1), and
/// those that change the direction or the lines of text, or are invisible.
#[must_use]
pub fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text with these escaped as Rust does.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            _ if !steers(letter) => plain.push(letter),
            _ if letter.is_control() => plain.extend(letter.escape_default()),
            _ => plain.extend(letter.escape_unicode()),
        }
    }
    Cow::Owned(plain)
}

/// JSON as text with these escaped: it means the same.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    // Line ends stand between the values; inside of them they are escaped already.
    let escaped = |letter: char| steers(letter) && letter != '\n';
    let harmless = |&byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
    if text.as_bytes().iter().all(harmless) || !text.contains(escaped) {
        return Cow::Borrowed(text);
    }
    let mut json = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if escaped(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                json += &format!("\\u{unit:04x}");
            }
        } else {
            json.push(letter);
        }
    }
    Cow::Owned(json)
}

/// No more than so many bytes of a text, and a mark where it was cut.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mut kept = text
        .get(..text.floor_char_boundary(most))
        .unwrap_or_default()
        .to_owned();
    kept.push(CUT);
    Cow::Owned(kept)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}txt\u{2066}\u{200b}\n\u{85}\u{e0041}é…";

    #[test]
    fn nothing_steers_and_all_is_told() {
        let shown = plain(HOSTILE);
        assert!(!shown.contains(steers), "{shown}");
        assert_eq!(
            shown,
            "a\\u{1b}[2J\\u{7f}\\u{9b}31m\\u{202e}txt\\u{2066}\\u{200b}\\n\\u{85}\\u{e0041}é…"
        );
        assert_eq!(plain("é…"), "é…");
    }

    #[test]
    fn json_means_the_same() {
        for text in [
            serde_json::to_string(HOSTILE).unwrap(),
            serde_json::to_string_pretty(&[HOSTILE, "x"]).unwrap(),
        ] {
            let shown = json(&text);
            assert!(!shown.replace('\n', "").contains(steers), "{shown}");
            let before: serde_json::Value = serde_json::from_str(&text).unwrap();
            let after: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(before, after);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc…");
        assert_eq!(cut("aéé", 2), "a…");
    }
}
