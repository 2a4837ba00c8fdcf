//! The tools that made a component: the custom sections `producers` of it and of all within, and
//! the names of interpreters, which those do not tell.
//!
//! <https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md>

/// How deep components are nested in components at most.
const DEPTH: usize = 8;
/// The most that is told, and the longest of each.
const MOST: usize = 16;
const LONGEST: usize = 100;

/// Languages and tools, as "Rust" and "rustc 1.96.0", in the order in which they are met.
pub(super) fn of(bytes: &[u8]) -> Vec<String> {
    let mut found = Found::default();
    found.binary(bytes, 0);
    let mut made_by = match found.interpreter {
        Some(interpreter) => vec![interpreter.to_owned()],
        None => found.languages,
    };
    if made_by.is_empty() {
        made_by.extend(language(&found.tools).map(str::to_owned));
    }
    made_by.extend(found.tools);
    made_by.truncate(MOST);
    made_by
}

/// Interpreters by the names of their modules and functions.
const INTERPRETERS: [(&[u8], &str); 3] = [
    (b"libpython", "Python"),
    (b"quickjs", "JavaScript (QuickJS)"),
    (b"SpiderMonkey", "JavaScript (SpiderMonkey)"),
];

/// The language that these tools are for. An interpreter in C is met in what it interprets.
fn language(tools: &[String]) -> Option<&'static str> {
    const TOOLS: [(&str, &str); 8] = [
        ("componentize-py", "Python"),
        ("componentizejs", "JavaScript"),
        ("componentize-js", "JavaScript"),
        ("componentize-qjs", "JavaScript"),
        ("tinygo", "Go"),
        ("go ", "Go"),
        ("rustc", "Rust"),
        ("clang", "C or C++"),
    ];
    let met = |tool: &str| tools.iter().any(|met| met.to_lowercase().contains(tool));
    let known = TOOLS.iter().find(|(tool, _)| met(tool));
    known.map(|(_, language)| *language)
}

#[derive(Default)]
struct Found {
    interpreter: Option<&'static str>,
    languages: Vec<String>,
    tools: Vec<String>,
}

impl Found {
    /// A module or a component. A broken part ends it, and the parts found so far count.
    fn binary(&mut self, bytes: &[u8], depth: usize) -> Option<()> {
        let (header, mut rest) = bytes.split_at_checked(8)?;
        let component = header.get(6) == Some(&1);
        while let Some((&section, content)) = rest.split_first() {
            rest = content;
            let length = number(&mut rest)?;
            let (content, after) = rest.split_at_checked(length)?;
            rest = after;
            match section {
                0 => {
                    self.custom(content);
                }
                // A core module, or a component.
                1 | 4 if component && depth < DEPTH => {
                    self.binary(content, depth + 1);
                }
                _ => {}
            }
        }
        Some(())
    }

    fn custom(&mut self, mut content: &[u8]) -> Option<()> {
        match text(&mut content)? {
            "producers" => {}
            "name" if self.interpreter.is_none() => {
                let has = |name: &[u8]| content.windows(name.len()).any(|part| part == name);
                let met = INTERPRETERS.iter().find(|(name, _)| has(name));
                self.interpreter = met.map(|(_, interpreter)| *interpreter);
                return None;
            }
            _ => return None,
        }
        for _ in 0..number(&mut content)? {
            let field = text(&mut content)?;
            for _ in 0..number(&mut content)? {
                let (name, version) = (text(&mut content)?, text(&mut content)?);
                let tool = format!("{name} {version}");
                let tool: String = tool.trim().chars().take(LONGEST).collect();
                let tool = super::output::harmless(&tool).into_owned();
                let list = match field {
                    "language" => &mut self.languages,
                    _ => &mut self.tools,
                };
                if list.len() < MOST && !list.contains(&tool) {
                    list.push(tool);
                }
            }
        }
        Some(())
    }
}

/// A number in LEB128.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = number(bytes)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_at_any_depth_and_what_is_broken_is_no_matter() {
        let producers = b"\0\x26\x09producers\x02\x08language\x01\x04Rust\0\x03sdk\x01\x01a\x031.0";
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend(producers);
        let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
        component.push(u8::try_from(module.len()).unwrap_or_default());
        component.extend(&module);
        assert_eq!(of(&component), ["Rust", "a 1.0"]);
        for length in 0..component.len() {
            of(component.get(..length).unwrap_or_default());
        }
        component.extend(b"\0\xff\xff\xff\xff\xff\xff");
        assert_eq!(of(&component), ["Rust", "a 1.0"]);
        component.truncate(8);
        component.extend(b"\0\x14\x04name\0\x0d\x0clibpython.so");
        assert_eq!(of(&component), ["Python"]);
        let tools = ["clang 19".to_owned(), "componentize-py 0.25".to_owned()];
        assert_eq!(language(&tools), Some("Python"));
        assert_eq!(language(&[]), None);
    }
}
