//! A reply to the client: a code and one or more lines.

use super::text::push_line;

/// A reply (RFC 959 §4.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    code: u16,
    /// The line that opens a reply of several lines, and the lines inside of it.
    opening: Option<(String, Vec<String>)>,
    last: String,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            opening: None,
            last: text.into(),
        }
    }

    /// A reply of several lines: `211-first`, the lines inside, `211 last`.
    ///
    /// Each line inside gets one blank in front: RFC 959 §4.2 wants it where a line begins with
    /// digits, RFC 2389 §3.2 and RFC 3659 §7.2 want it always.
    pub fn multi(
        code: u16,
        first: impl Into<String>,
        lines: impl IntoIterator<Item = String>,
        last: impl Into<String>,
    ) -> Self {
        let opening = Some((first.into(), lines.into_iter().collect()));
        Self {
            code,
            opening,
            last: last.into(),
        }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text of the last line, for logs.
    pub fn text(&self) -> &str {
        &self.last
    }

    /// Appends the reply as it goes over the wire.
    ///
    /// A control character in a text becomes `_`: a name can neither end a line nor begin one.
    /// UTF-8 never holds 0xFF, so that there is no telnet IAC to double.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some((first, lines)) = &self.opening {
            self.line(out, b'-', first);
            for line in lines {
                out.push(b' ');
                push_line(out, line);
                out.extend_from_slice(b"\r\n");
            }
        }
        self.line(out, b' ', &self.last);
    }

    fn line(&self, out: &mut Vec<u8>, separator: u8, text: &str) {
        let digits = [self.code / 100, self.code / 10, self.code];
        out.extend(digits.map(|digit| b'0' + (digit % 10) as u8));
        out.push(separator);
        // A reply without a text breaks clients that split at the blank.
        push_line(
            out,
            if text.is_empty() {
                self.default_text()
            } else {
                text
            },
        );
        out.extend_from_slice(b"\r\n");
    }

    fn default_text(&self) -> &'static str {
        match self.code / 100 {
            1 => "Please wait",
            2 => "Done",
            3 => "Please go on",
            4 => "Please try again later",
            _ => "Refused",
        }
    }
}

/// A path in quotes, with the quotes in it doubled (RFC 959, appendix II).
pub fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::text::is_control;
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn one_line() {
        let reply = Reply::new(220, "Portcullis ready");
        assert_eq!(encoded(&reply), "220 Portcullis ready\r\n");
        assert_eq!((reply.code(), reply.text()), (220, "Portcullis ready"));
    }

    #[test]
    fn several_lines() {
        let features = ["UTF8", "MLST type*;"].map(str::to_owned);
        let reply = Reply::multi(211, "Features", features, "End");
        assert_eq!(
            encoded(&reply),
            "211-Features\r\n UTF8\r\n MLST type*;\r\n211 End\r\n"
        );
        let reply = Reply::multi(250, "Listing", [], "End");
        assert_eq!(encoded(&reply), "250-Listing\r\n250 End\r\n");
    }

    #[test]
    fn regression_inner_lines_that_begin_with_digits_end_nothing() {
        let reply = Reply::multi(212, "Status", ["212 End".to_owned(), String::new()], "End");
        assert_eq!(
            encoded(&reply),
            "212-Status\r\n 212 End\r\n \r\n212 End\r\n"
        );
    }

    #[test]
    fn regression_names_never_split_a_reply() {
        let name = "x\r\n227 Entering Passive Mode (6,6,6,6,6,6)\0\u{1b}[2J";
        let text = encoded(&Reply::new(550, format!("No such file: {name}")));
        assert_eq!(
            text,
            "550 No such file: x__227 Entering Passive Mode (6,6,6,6,6,6)__[2J\r\n"
        );
        for byte in 0..=255u8 {
            let hostile = char::from(byte).to_string();
            let reply = Reply::multi(250, &*hostile, [hostile.clone()], &*hostile);
            let text = encoded(&reply);
            assert_eq!(text.lines().count(), 3, "{byte}");
            assert_eq!(text.bytes().filter(|byte| is_control(*byte)).count(), 6);
            assert!(!text.as_bytes().contains(&0xff));
        }
    }

    #[test]
    fn a_text_is_never_empty() {
        for code in [150, 226, 331, 426, 550] {
            assert!(encoded(&Reply::new(code, "")).len() > "226 \r\n".len());
        }
    }

    #[test]
    fn regression_quotes_in_paths_are_doubled() {
        for (path, expected) in [
            ("/", r#""/""#),
            (r#"/a"b"#, r#""/a""b""#),
            (r#"/"""#, r#""/""""""#),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }
}
