//! What is looked at in a file, and in the files within it.

use crate::kind::{self, Container, HEAD, Kind, Pattern};
use crate::name::{self, unsafe_because};
use crate::reader::{Meter, Reader, Stop, refuse};
use crate::settings::Checks;
use crate::settings::Form;
use crate::{csv, gzip, json, tar, zip};

/// One upload being looked at.
pub struct Look<'a> {
    /// What is asked of it.
    pub checks: &'a Checks,
    /// What has been counted.
    pub meter: Meter,
}

impl<'a> Look<'a> {
    /// With nothing counted yet.
    pub fn new(checks: &'a Checks) -> Self {
        let archives = &checks.archives;
        Self {
            checks,
            meter: Meter::new(
                archives.max_unpacked,
                archives.max_ratio,
                archives.max_entries,
            ),
        }
    }

    /// The upload itself.
    pub fn upload(&self, reader: &mut Reader, path: &str) -> Result<(), Stop> {
        self.content(reader, path, 0)
    }

    /// What a file has, the upload itself or, at another level than 0, one in an archive. It need
    /// not be read to its end.
    pub fn content(&self, reader: &mut Reader, path: &str, level: u32) -> Result<(), Stop> {
        let head = reader.peek(HEAD)?;
        let empty = head.is_empty();
        let kind = Kind::of(head, path);
        let archives = &self.checks.archives;
        let (allow, deny) = match level {
            0 => (&self.checks.allow, &self.checks.deny),
            _ => (
                &archives.allow,
                archives.deny.as_ref().unwrap_or(&self.checks.deny),
            ),
        };
        // An empty file is as good as any.
        if !empty {
            permitted(&kind, allow.as_deref(), deny)?;
        }
        if let Some(form) = &self.checks.form
            && level == 0
        {
            self.meter.plain.set(true);
            return has_form(form, reader, &kind, empty);
        }
        if empty || !archives.look {
            return Ok(());
        }
        if let Some(why) = kind::claims(path, &kind) {
            return refuse(why);
        }
        let other = matches!(kind.container, Container::Other(_));
        if (other || kind::claims_other(path)) && !archives.other_formats {
            return refuse("Archives of this kind cannot be looked into");
        }
        if matches!(kind.container, Container::None | Container::Other(_)) {
            return Ok(());
        }
        let level = level + 1;
        if level > archives.depth {
            return refuse(match archives.depth {
                0 => "Archives are not accepted".to_owned(),
                1 => "Archives within archives are not accepted".to_owned(),
                depth => {
                    format!("Archives within archives are not accepted {level} deep, only {depth}")
                }
            });
        }
        match kind.container {
            Container::Zip(has) => zip::look(self, reader, level, has),
            Container::Tar => tar::look(self, reader, level),
            Container::Gzip => gzip::look(self, reader, name::last_as_it_is(path), level),
            Container::None | Container::Other(_) => Ok(()),
        }
    }

    /// Whether an entry may have this name.
    pub fn name(&self, name: &[u8], directory: bool) -> Result<(), Stop> {
        let refused = |why: &str| refuse(format!("{}: {why}", name::shown(name)));
        if let Some(why) = unsafe_because(name) {
            return refused(why);
        }
        let archives = &self.checks.archives;
        let last = name::last(&String::from_utf8_lossy(name));
        if archives
            .deny_names
            .iter()
            .any(|pattern| fast_glob::glob_match(pattern, &last))
        {
            return refused("Files of this name are not accepted");
        }
        if directory {
            return Ok(());
        }
        let extension = name::extension(&last);
        let is = |listed: &String| listed == extension;
        let allowed = |list: &Vec<String>| list.iter().any(is);
        if archives.deny_extensions.iter().any(is)
            || !archives.allow_extensions.as_ref().is_none_or(allowed)
        {
            return refused("This extension is not accepted");
        }
        Ok(())
    }
}

fn permitted(kind: &Kind, allow: Option<&[Pattern]>, deny: &[Pattern]) -> Result<(), Stop> {
    let fits = |pattern: &Pattern| kind.is(pattern);
    if deny.iter().any(fits) || allow.is_some_and(|allow| !allow.iter().any(fits)) {
        let shown = kind.shown();
        return refuse(match kind.is(&Pattern::Program) {
            true => format!("Programs are not accepted ({shown})"),
            false => format!("The content is not of an accepted type ({shown})"),
        });
    }
    Ok(())
}

fn has_form(form: &Form, reader: &mut Reader, kind: &Kind, empty: bool) -> Result<(), Stop> {
    if !empty && !kind.may_be_text() {
        return refuse(format!("The content is no text ({})", kind.shown()));
    }
    let mut check: Box<dyn Check> = match form {
        Form::Csv(options) => Box::new(csv::Csv::new(options)),
        Form::Json(options) => Box::new(json::Json::new(options)),
    };
    loop {
        let bytes = reader.fill()?;
        if bytes.is_empty() {
            return check.end().map_err(Stop::Refused);
        }
        check.add(bytes).map_err(Stop::Refused)?;
        let count = bytes.len();
        reader.consume(count);
    }
}

/// Looks at the form of a text that comes in pieces. Errors are for people.
pub trait Check {
    /// The next piece.
    fn add(&mut self, bytes: &[u8]) -> Result<(), String>;
    /// There are no more.
    fn end(&mut self) -> Result<(), String>;
}
