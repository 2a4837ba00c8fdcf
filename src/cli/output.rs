//! Text for people: tables, and colours where there is a terminal.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};

use crate::observe::escape;

/// Prints to standard output. A reader that has closed it does not want to read on.
pub fn print(text: &str) {
    let out = io::stdout().lock();
    // Not by its buffer, which would keep it: the first user's password is printed.
    let direct = out.as_fd().try_clone_to_owned().map(File::from);
    let _ = direct.and_then(|mut direct| direct.write_all(text.as_bytes()));
}

/// Prints errors, a line each. Indented lines belong to the one before, as they are.
pub fn errors(text: &str) {
    messages("error", "1;31", text);
}

/// Prints a warning.
pub fn warning(text: &str) {
    messages("warning", "1;33", text);
}

fn messages(kind: &str, colour: &str, text: &str) {
    let mut out = io::stderr().lock();
    let label = painted(kind, colour, coloured(out.is_terminal()));
    for line in text.lines().map(escape::plain) {
        let _ = match line.starts_with("    ") {
            true => writeln!(out, "{line}"),
            false => writeln!(out, "{label}: {line}"),
        };
    }
}

/// Bold on a terminal.
pub fn bold(text: &str) -> String {
    painted(text, "1", coloured(io::stdout().is_terminal()))
}

fn coloured(terminal: bool) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !plain
}

fn painted(text: &str, colour: &str, coloured: bool) -> String {
    if coloured {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// JSON for programs, which may be shown on a terminal all the same.
pub fn json(value: &impl serde::Serialize) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(escape::json(&text).into_owned() + "\n")
}

/// Columns as wide as they need to be, two spaces between them. Nothing in cells steers a terminal.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| escape::plain(cell).into_owned()))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = [["a", "b"], ["long", "x"], ["é", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(super::table(&rows), "a     b\nlong  x\né\n");
    }

    #[test]
    fn cells_cannot_steer_the_terminal() {
        let cell = "a\u{1b}[2J\u{9b}31m\u{202e}txt\u{2066}\n\u{85}é";
        let shown = super::table(&[[cell.to_owned()]]);
        assert_eq!(
            shown,
            "a\\u{1b}[2J\\u{9b}31m\\u{202e}txt\\u{2066}\\n\\u{85}é\n"
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        assert_eq!(super::painted("x", "1", false), "x");
        assert_eq!(super::painted("x", "1", true), "\x1b[1mx\x1b[0m");
    }
}
