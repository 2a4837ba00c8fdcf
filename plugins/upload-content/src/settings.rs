//! What an operator can say.

use crate::kind::Pattern;
use sdk::pattern::PathPattern;
use sdk::{Error, Table, Value};

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// The first that fits decides.
    pub rules: Vec<Rule>,
    /// Where none does.
    pub checks: Checks,
}

/// What is asked of some files.
#[derive(Debug)]
pub struct Rule {
    /// Which.
    pub paths: Vec<PathPattern>,
    /// What.
    pub checks: Checks,
}

/// What is asked of a file.
#[derive(Clone, Debug)]
pub struct Checks {
    /// The only types; none is all.
    pub allow: Option<Vec<Pattern>>,
    /// Types that are refused.
    pub deny: Vec<Pattern>,
    /// What form it has to have.
    pub form: Option<Form>,
    /// What is asked of archives.
    pub archives: Archives,
    /// Whether what is refused is kept for a person to look at.
    pub quarantine: bool,
}

/// The form of a text.
#[derive(Clone, Debug)]
pub enum Form {
    /// CSV.
    Csv(Csv),
    /// JSON.
    Json(Json),
}

/// What is asked of CSV.
#[derive(Clone, Debug)]
pub struct Csv {
    /// What stands between fields.
    pub delimiter: u8,
    /// How many fields each record has; none is as many as the first.
    pub columns: Option<u64>,
    /// What the first record has to be.
    pub header: Option<Vec<String>>,
    /// Whether it has to be UTF-8.
    pub utf8: bool,
}

/// What is asked of JSON.
#[derive(Clone, Debug)]
pub struct Json {
    /// What it has to be.
    pub top: Option<Top>,
    /// How deep it may be nested.
    pub depth: usize,
}

/// What a JSON text can be, that is more than a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// `{}`.
    Object,
    /// `[]`.
    Array,
}

/// What is asked of archives.
#[derive(Clone, Debug)]
pub struct Archives {
    /// Whether they are looked into.
    pub look: bool,
    /// How many of them within each other.
    pub depth: u32,
    /// Entries, of all archives in an upload.
    pub max_entries: u32,
    /// How many times as large as the upload what is unpacked may be.
    pub max_ratio: u32,
    /// Bytes that are unpacked, of all archives in an upload.
    pub max_unpacked: u64,
    /// Whether encrypted entries are taken as they are.
    pub encrypted: bool,
    /// Whether archives that cannot be looked into are.
    pub other_formats: bool,
    /// The only types of entries; none is all.
    pub allow: Option<Vec<Pattern>>,
    /// Types of entries that are refused; none is those of files.
    pub deny: Option<Vec<Pattern>>,
    /// The only extensions of entries, in lower case; none is all.
    pub allow_extensions: Option<Vec<String>>,
    /// Extensions of entries that are refused, in lower case.
    pub deny_extensions: Vec<String>,
    /// Patterns of names of entries that are refused, in lower case.
    pub deny_names: Vec<String>,
}

/// More take more stack and memory than a plugin has.
const DEEPEST: u32 = 8;
/// More take more memory than a plugin has.
const MOST_ENTRIES: u32 = 100_000;

impl Default for Checks {
    fn default() -> Self {
        Self {
            allow: None,
            deny: vec![Pattern::Program],
            form: None,
            archives: Archives {
                look: true,
                depth: 3,
                max_entries: 10_000,
                max_ratio: 200,
                max_unpacked: 1 << 30,
                encrypted: false,
                other_formats: false,
                allow: None,
                deny: None,
                allow_extensions: None,
                deny_extensions: Vec::new(),
                deny_names: Vec::new(),
            },
            quarantine: false,
        }
    }
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let rules = table.list("rules")?.unwrap_or_default();
        let checks = Checks::default().overlaid(&mut table)?;
        table.finish()?;
        let rules = rules.into_iter().enumerate().map(|(index, rule)| {
            let mut table = Table::new(&format!("rule {}", index + 1), rule)?;
            let paths = table.texts("paths")?.unwrap_or_default();
            if paths.is_empty() {
                return Err(table.wrong("paths", "needed: patterns such as \"/incoming/**\""));
            }
            let pattern =
                |text: &String| PathPattern::parse(text).map_err(|why| table.wrong("paths", &why));
            let rule = Rule {
                paths: paths.iter().map(pattern).collect::<Result<_, _>>()?,
                checks: checks.clone().overlaid(&mut table)?,
            };
            table.finish()?;
            Ok(rule)
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            checks,
        })
    }

    /// What is asked of that file of that user's.
    pub fn of(&self, path: &str, user: &str) -> Result<&Checks, Error> {
        for rule in &self.rules {
            for pattern in &rule.paths {
                if pattern.of(user)?.matches(path) {
                    return Ok(&rule.checks);
                }
            }
        }
        Ok(&self.checks)
    }
}

impl Checks {
    /// With what a table says more.
    fn overlaid(mut self, table: &mut Table) -> Result<Self, Error> {
        if let Some(allow) = patterns(table, "allow")? {
            self.allow = Some(allow).filter(|allow| !allow.is_empty());
        }
        if let Some(deny) = patterns(table, "deny")? {
            self.deny = deny;
        }
        let csv = table.table("csv")?;
        let json = table.table("json")?;
        let form = table.text("form")?;
        if csv.is_some() && form.as_deref() != Some("csv") {
            return Err(table.wrong("csv", "only beside form = \"csv\""));
        }
        if json.is_some() && form.as_deref() != Some("json") {
            return Err(table.wrong("json", "only beside form = \"json\""));
        }
        match form.as_deref() {
            None => {}
            Some("any") => self.form = None,
            Some("csv") => self.form = Some(Form::Csv(Csv::parse(csv)?)),
            Some("json") => self.form = Some(Form::Json(Json::parse(json)?)),
            Some(other) => {
                let what = format!("expected \"csv\", \"json\" or \"any\", found {other:?}");
                return Err(table.wrong("form", &what));
            }
        }
        if let Some(quarantine) = choice(table, "action", "reject", "quarantine")? {
            self.quarantine = quarantine;
        }
        match table.any("archives") {
            None => {}
            Some(Value::Bool(look)) => self.archives.look = look,
            Some(value) => {
                let mut inner = Table::new(&table.wrong("archives", ""), value)?;
                self.archives.look = true;
                self.archives.overlay(&mut inner)?;
                inner.finish()?;
            }
        }
        Ok(self)
    }
}

impl Archives {
    fn overlay(&mut self, table: &mut Table) -> Result<(), Error> {
        if let Some(depth) = table.number("depth")? {
            if depth > DEEPEST {
                return Err(table.wrong("depth", &format!("expected {DEEPEST} at most")));
            }
            self.depth = depth;
        }
        if let Some(most) = table.count("max-entries")? {
            if most > MOST_ENTRIES {
                return Err(table.wrong("max-entries", &format!("expected {MOST_ENTRIES} at most")));
            }
            self.max_entries = most;
        }
        if let Some(ratio) = table.count("max-ratio")? {
            self.max_ratio = ratio;
        }
        if let Some(most) = table.bytes("max-unpacked")? {
            if most == 0 {
                return Err(table.wrong("max-unpacked", "expected more than 0"));
            }
            self.max_unpacked = most;
        }
        if let Some(accept) = choice(table, "encrypted", "reject", "accept")? {
            self.encrypted = accept;
        }
        if let Some(accept) = choice(table, "other-formats", "reject", "accept")? {
            self.other_formats = accept;
        }
        if let Some(allow) = patterns(table, "allow")? {
            self.allow = Some(allow).filter(|allow| !allow.is_empty());
        }
        if let Some(deny) = patterns(table, "deny")? {
            self.deny = Some(deny);
        }
        if let Some(allow) = extensions(table, "allow-extensions")? {
            self.allow_extensions = Some(allow).filter(|allow| !allow.is_empty());
        }
        if let Some(deny) = extensions(table, "deny-extensions")? {
            self.deny_extensions = deny;
        }
        if let Some(names) = table.texts("deny-names")? {
            self.deny_names = names
                .iter()
                .map(|name| name_pattern(table, name))
                .collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

impl Csv {
    fn parse(table: Option<Table>) -> Result<Self, Error> {
        let mut csv = Self {
            delimiter: b',',
            columns: None,
            header: None,
            utf8: true,
        };
        let Some(mut table) = table else {
            return Ok(csv);
        };
        if let Some(text) = table.text("delimiter")? {
            match *text.as_bytes() {
                [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => {
                    csv.delimiter = byte;
                }
                _ => {
                    let what = format!("expected one character of ASCII, found {text:?}");
                    return Err(table.wrong("delimiter", &what));
                }
            }
        }
        csv.columns = table.count("columns")?.map(u64::from);
        csv.header = table.texts("header")?;
        if let Some(header) = &csv.header {
            let columns = header.len() as u64;
            if header.is_empty() {
                return Err(table.wrong("header", "expected the names of columns"));
            }
            if csv.columns.is_some_and(|said| said != columns) {
                return Err(table.wrong("columns", "another number than header has names"));
            }
            csv.columns = Some(columns);
        }
        if let Some(any) = choice(&mut table, "encoding", "utf-8", "any")? {
            csv.utf8 = !any;
        }
        table.finish()?;
        Ok(csv)
    }
}

impl Json {
    fn parse(table: Option<Table>) -> Result<Self, Error> {
        let mut json = Self {
            top: None,
            depth: 64,
        };
        let Some(mut table) = table else {
            return Ok(json);
        };
        json.top = match choice(&mut table, "top-level", "object", "array")? {
            None => None,
            Some(false) => Some(Top::Object),
            Some(true) => Some(Top::Array),
        };
        if let Some(depth) = table.count("max-depth")? {
            if depth > 10_000 {
                return Err(table.wrong("max-depth", "expected 10000 at most"));
            }
            json.depth = usize::try_from(depth).unwrap_or_default();
        }
        table.finish()?;
        Ok(json)
    }
}

impl Top {
    /// Its first byte.
    pub fn begins_with(self) -> u8 {
        match self {
            Self::Object => b'{',
            Self::Array => b'[',
        }
    }

    /// As settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

/// Whether it is the second of two.
fn choice(table: &mut Table, key: &str, no: &str, yes: &str) -> Result<Option<bool>, Error> {
    match table.text(key)? {
        None => Ok(None),
        Some(text) if text == no => Ok(Some(false)),
        Some(text) if text == yes => Ok(Some(true)),
        Some(other) => {
            Err(table.wrong(key, &format!("expected {no:?} or {yes:?}, found {other:?}")))
        }
    }
}

fn patterns(table: &mut Table, key: &str) -> Result<Option<Vec<Pattern>>, Error> {
    let Some(texts) = table.texts(key)? else {
        return Ok(None);
    };
    let pattern = |text: &String| {
        Pattern::parse(text).ok_or_else(|| {
            let what = format!("{text:?} is no type that is known; for text by its name, see form");
            table.wrong(key, &what)
        })
    };
    texts
        .iter()
        .map(pattern)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn extensions(table: &mut Table, key: &str) -> Result<Option<Vec<String>>, Error> {
    let Some(texts) = table.texts(key)? else {
        return Ok(None);
    };
    let extension = |text: &String| {
        let extension = text.strip_prefix('.').unwrap_or(text).to_lowercase();
        if extension.contains(['.', '/', '*']) {
            let what = format!("expected an extension such as \"exe\", found {text:?}");
            return Err(table.wrong(key, &what));
        }
        Ok(extension)
    };
    texts
        .iter()
        .map(extension)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn name_pattern(table: &Table, pattern: &str) -> Result<String, Error> {
    let wrong = |what: &str| table.wrong("deny-names", &format!("{pattern:?}: {what}"));
    fast_glob::validate(pattern).map_err(|error| wrong(&error.to_string()))?;
    if pattern.is_empty() || pattern.starts_with('!') || pattern.contains('/') {
        return Err(wrong("expected a pattern of names such as \"*.tmp\""));
    }
    Ok(pattern.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_safe() {
        let settings = Settings::parse("{}").unwrap();
        let checks = settings.of("/any", "").unwrap();
        assert_eq!(checks.deny, [Pattern::Program]);
        assert!(checks.allow.is_none() && checks.form.is_none() && !checks.quarantine);
        let archives = &checks.archives;
        assert!(archives.look && !archives.encrypted && !archives.other_formats);
        assert_eq!((archives.depth, archives.max_entries), (3, 10_000));
    }

    #[test]
    fn rules_say_what_differs() {
        let settings = Settings::parse(
            r#"{
                "deny": ["program", "pdf"],
                "archives": {"depth": 2, "encrypted": "accept"},
                "rules": [
                    {"paths": ["/in/{user}/**"], "form": "csv", "csv": {"columns": 3}},
                    {"paths": ["/in/**"], "archives": {"max-entries": 5}, "action": "quarantine"},
                    {"paths": ["/raw/**"], "archives": false, "deny": []}
                ]
            }"#,
        )
        .unwrap();
        let of = |path| settings.of(path, "bob").unwrap();
        assert!(matches!(&of("/in/bob/x").form, Some(Form::Csv(csv)) if csv.columns == Some(3)));
        assert_eq!(of("/in/bob/x").deny.len(), 2);
        let other = of("/in/carol/x");
        assert!(other.form.is_none() && other.quarantine && other.archives.encrypted);
        assert_eq!((other.archives.depth, other.archives.max_entries), (2, 5));
        assert!(!of("/raw/x").archives.look && of("/raw/x").deny.is_empty());
        assert!(of("/x").archives.look && !of("/x").quarantine);
        assert!(settings.of("/in/a/x", "..").is_err());
    }

    #[test]
    fn names_the_key() {
        for (json, error) in [
            (r#"{"allowed": []}"#, "allowed: there is no such key"),
            (
                r#"{"allow": ["pfd"]}"#,
                "allow: \"pfd\" is no type that is known",
            ),
            (r#"{"deny": ["exee"]}"#, "deny: \"exee\" is no type"),
            (
                r#"{"form": "xml"}"#,
                "form: expected \"csv\", \"json\" or \"any\"",
            ),
            (r#"{"csv": {}}"#, "csv: only beside form = \"csv\""),
            (
                r#"{"form": "csv", "json": {}}"#,
                "json: only beside form = \"json\"",
            ),
            (
                r#"{"form": "csv", "csv": {"column": 1}}"#,
                "csv: column: there is no such key",
            ),
            (
                r#"{"form": "csv", "csv": {"delimiter": ""}}"#,
                "csv: delimiter: expected one character",
            ),
            (
                r#"{"form": "csv", "csv": {"delimiter": "\""}}"#,
                "csv: delimiter: expected one",
            ),
            (
                r#"{"form": "csv", "csv": {"header": []}}"#,
                "csv: header: expected the names",
            ),
            (
                r#"{"form": "csv", "csv": {"header": ["a"], "columns": 2}}"#,
                "csv: columns: another number",
            ),
            (
                r#"{"form": "json", "json": {"top-level": "text"}}"#,
                "json: top-level: expected \"object\"",
            ),
            (
                r#"{"archives": {"depth": 9}}"#,
                "archives: depth: expected 8 at most",
            ),
            (
                r#"{"archives": {"max-entries": 0}}"#,
                "archives: max-entries: expected a number",
            ),
            (
                r#"{"archives": {"max-unpacked": 0}}"#,
                "archives: max-unpacked: expected more",
            ),
            (
                r#"{"archives": {"ratio": 1}}"#,
                "archives: ratio: there is no such key",
            ),
            (r#"{"archives": "deny"}"#, "archives: expected a table"),
            (
                r#"{"archives": {"encrypted": true}}"#,
                "archives: encrypted: expected a text",
            ),
            (
                r#"{"archives": {"deny-names": ["a/b"]}}"#,
                "archives: deny-names: \"a/b\": expected",
            ),
            (r#"{"rules": [{}]}"#, "rule 1: paths: needed"),
            (
                r#"{"rules": [{"paths": ["x"]}]}"#,
                "rule 1: paths: \"x\": expected a pattern",
            ),
            (
                r#"{"rules": [{"paths": ["/x"], "alow": []}]}"#,
                "rule 1: alow: there is no such key",
            ),
            (
                r#"{"rules": [{"paths": ["/x"], "archives": {"depth": -1}}]}"#,
                "rule 1: archives: depth: expected",
            ),
            (
                r#"{"action": "delete"}"#,
                "action: expected \"reject\" or \"quarantine\"",
            ),
        ] {
            let found = Settings::parse(json).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
