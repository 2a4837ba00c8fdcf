//! What a client sent, within names and filters.

/// A value within a distinguished name, RFC 4514 §2.4.
pub fn dn(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => escaped.extend(['\\', c]),
            '#' if index == 0 => escaped.push_str("\\#"),
            ' ' if index == 0 || index == last => escaped.push_str("\\ "),
            c if c.is_control() => hexadecimal(c, &mut escaped),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A value within a filter, RFC 4515 §3.
pub fn filter(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '*' | '(' | ')' | '\\' => hexadecimal(c, &mut escaped),
            c if c.is_control() => hexadecimal(c, &mut escaped),
            c => escaped.push(c),
        }
    }
    escaped
}

fn hexadecimal(c: char, text: &mut String) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        text.push_str(&format!("\\{byte:02x}"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        for (value, escaped) in [
            ("bob", "bob"),
            ("M\u{fc}ller", "M\u{fc}ller"),
            ("a,ou=admins", "a\\,ou\\=admins"),
            ("#1", "\\#1"),
            ("a#", "a#"),
            (" a b ", "\\ a b\\ "),
            (" ", "\\ "),
            ("a\0b\n", "a\\00b\\0a"),
            ("\"+;<>\\", "\\\"\\+\\;\\<\\>\\\\"),
        ] {
            assert_eq!(super::dn(value), escaped);
        }
    }

    #[test]
    fn filters() {
        for (value, escaped) in [
            ("bob", "bob"),
            ("*", "\\2a"),
            (
                "bob)(uid=*))(|(uid=*",
                "bob\\29\\28uid=\\2a\\29\\29\\28|\\28uid=\\2a",
            ),
            ("a\\b\0", "a\\5cb\\00"),
            ("M\u{fc}ller", "M\u{fc}ller"),
        ] {
            assert_eq!(super::filter(value), escaped);
        }
    }
}
