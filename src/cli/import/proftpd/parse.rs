//! The form of `proftpd.conf`: directives, sections in one another, and files that are included.

use std::path::Path;

use crate::{
    cli::import::{
        report::{Place, Report},
        source::{self, Directive},
    },
    ftp::glob::Glob,
};

/// Deeper than this nobody writes sections, and a file that includes itself never ends.
const DEEPEST: usize = 16;
/// More files than this nobody includes.
const MOST_FILES: usize = 10_000;

/// A directive, or a section with all that is in it.
#[derive(Clone, Debug)]
pub enum Node {
    Directive(Directive),
    Section(Section),
}

/// `<Name arguments> … </Name>`
#[derive(Clone, Debug)]
pub struct Section {
    /// The name without brackets, and the arguments.
    pub head: Directive,
    pub nodes: Vec<Node>,
}

impl Section {
    /// As it is written.
    pub fn shown(&self) -> String {
        let Directive { name, values, .. } = &self.head;
        match values.is_empty() {
            true => format!("<{name}>"),
            false => format!("<{name} {}>", values.join(" ")),
        }
    }

    /// Names the section, and all that is in it, as lost.
    pub fn lose(&self, why: &str, report: &mut Report) {
        let shown = self.shown();
        report.lost(&self.head.place, &shown, why);
        for node in &self.nodes {
            match node {
                Node::Directive(directive) => {
                    report.lost(
                        &directive.place,
                        &directive.name,
                        format!("it is in {shown}"),
                    );
                }
                Node::Section(section) => section.lose(&format!("it is in {shown}"), report),
            }
        }
    }
}

/// Reads a file with all that it includes.
///
/// # Errors
/// When the file itself cannot be read.
pub fn read(file: &Path, report: &mut Report) -> Result<Vec<Node>, String> {
    let text = source::read(file)?;
    let mut parser = Parser {
        report,
        open: vec![(None, Vec::new())],
        files: 0,
    };
    parser.file(file, &text, 0);
    while parser.open.len() > 1 {
        parser.close(None);
    }
    let (_, nodes) = parser.open.pop().unwrap_or_default();
    Ok(nodes)
}

struct Parser<'a> {
    report: &'a mut Report,
    /// The sections that are open, each in the one before; the first is the file.
    open: Vec<(Option<Directive>, Vec<Node>)>,
    files: usize,
}

impl Parser<'_> {
    fn file(&mut self, file: &Path, text: &str, depth: usize) {
        self.files += 1;
        let whole = Place::new(file, 0);
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let place = whole.line(index + 1);
            let mut line = line.trim().to_owned();
            while line.ends_with('\\') && !line.starts_with('#') {
                line.pop();
                let Some((_, next)) = lines.next() else { break };
                line.push_str(next.trim());
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.line(&place, &line, depth);
        }
    }

    fn line(&mut self, place: &Place, line: &str, depth: usize) {
        if let Some(name) = line.strip_prefix("</") {
            self.close(Some((place, name.trim_end_matches('>').trim())));
            return;
        }
        let section = line.strip_prefix('<');
        let inner = match section {
            Some(inner) => match inner.strip_suffix('>') {
                Some(inner) => inner,
                None => {
                    self.report
                        .error(format!("{place}: expected \">\" at the end"));
                    return;
                }
            },
            None => line,
        };
        let Some(words) = words(inner) else {
            self.report
                .error(format!("{place}: a quotation mark is missing"));
            return;
        };
        let mut words = words.into_iter();
        let Some(name) = words.next() else { return };
        let directive = Directive {
            place: place.clone(),
            name,
            values: words.collect(),
        };
        if section.is_some() {
            if self.open.len() > DEEPEST {
                self.report
                    .error(format!("{place}: sections are too deep in one another"));
                return;
            }
            self.open.push((Some(directive), Vec::new()));
        } else if directive.name.eq_ignore_ascii_case("Include") {
            self.include(&directive, depth);
        } else if let Some((_, nodes)) = self.open.last_mut() {
            nodes.push(Node::Directive(directive));
        }
    }

    /// Closes the last section: by its end, or by that of the file.
    fn close(&mut self, end: Option<(&Place, &str)>) {
        if self.open.len() < 2 {
            if let Some((place, name)) = end {
                let text = format!("{place}: </{name}> ends a section that did not begin");
                self.report.error(text);
            }
            return;
        }
        let Some((Some(head), nodes)) = self.open.pop() else {
            return;
        };
        match end {
            Some((_, name)) if name.eq_ignore_ascii_case(&head.name) => {}
            _ => {
                let text = format!("{}: <{}> is not closed", head.place, head.name);
                self.report.error(text);
            }
        }
        if let Some((_, outer)) = self.open.last_mut() {
            outer.push(Node::Section(Section { head, nodes }));
        }
    }

    /// `Include`, of a file, a directory, or a pattern in the last part of a path.
    fn include(&mut self, directive: &Directive, depth: usize) {
        let Directive { place, values, .. } = directive;
        let [path] = values.as_slice() else {
            self.report
                .wrong(place, "Include", "one path", &directive.text());
            return;
        };
        let path = place.resolve(path);
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (directory, pattern) = match (path.is_dir(), path.parent()) {
            (true, _) => (path.as_path(), None),
            (false, Some(parent)) if name.contains(['*', '?', '[']) => (parent, Some(name)),
            _ => return self.include_file(place, &path, depth),
        };
        let glob = pattern.as_deref().map(Glob::new);
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let why = format!("{} cannot be read: {error}", directory.display());
                self.report.lost(place, "Include", why);
                return;
            }
        };
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                glob.as_ref()
                    .is_none_or(|glob| glob.as_ref().is_some_and(|glob| glob.matches(&name)))
            })
            .collect();
        files.sort();
        if files.is_empty() {
            self.report
                .needless(place, "Include", "there is no such file");
        }
        for file in files {
            self.include_file(place, &file, depth);
        }
    }

    fn include_file(&mut self, place: &Place, path: &Path, depth: usize) {
        // One that includes itself twice would be read without end.
        if self.report.has_errors() {
            return;
        }
        if depth >= DEEPEST || self.files > MOST_FILES {
            self.report.error(format!(
                "{place}: Include: too many files, or one that includes itself"
            ));
            return;
        }
        match source::read(path) {
            Ok(text) => self.file(path, &text, depth + 1),
            Err(error) => self.report.lost(place, "Include", error),
        }
    }
}

/// The words of a line, as ProFTPD reads them: quotation marks hold some together, a backslash takes the
/// next character as it is, and a word that begins with "#" ends the line. None where a mark is missing.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().chars().peekable();
    while let Some(first) = rest.peek().copied() {
        if first.is_whitespace() {
            rest.next();
            continue;
        }
        if first == '#' {
            break;
        }
        let quoted = first == '"';
        if quoted {
            rest.next();
        }
        let mut word = String::new();
        loop {
            match rest.next() {
                Some('"') if quoted => break,
                Some('\\') if quoted => word.extend(rest.next()),
                Some(c) if !quoted && c.is_whitespace() => break,
                Some(c) => word.push(c),
                None if quoted => return None,
                None => break,
            }
        }
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_proftpd() {
        for (line, expected) in [
            ("Umask 022  022", Some(&["Umask", "022", "022"][..])),
            (
                r#"ServerIdent on "A \"B\" C""#,
                Some(&["ServerIdent", "on", r#"A "B" C"#]),
            ),
            (r"DenyFilter \*.*/", Some(&["DenyFilter", r"\*.*/"])),
            (r#"ServerName "" # none"#, Some(&["ServerName", ""])),
            (r#"ServerName "x"#, None),
        ] {
            let found = words(line);
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }
}
