//! From what a case file says to what is asked.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::Value;

use super::{Call, Case, Expect, Session};
use crate::{
    config::{ConfigError, Document, Grants, Instances, PluginLimits, Problem},
    ftp::{path::VirtualPath, secret::Secret},
    gate::{
        SessionInfo,
        authentication::Credentials,
        path_policy::{Operation, Request},
    },
    kit::contract::World,
    plugin::settings_file::json,
    types::{HostId, UploadMode},
};

/// A case that makes sense.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As `[plugin.settings]`.
    pub settings: toml::Table,
    /// As `[plugin.grants]`.
    pub grants: Grants,
    /// As `[plugin.limits]`.
    pub limits: PluginLimits,
    /// How long instances live.
    pub instances: Option<Instances>,
    /// What is to be asked, in this order.
    pub calls: Vec<Asked>,
    source: Document<Case>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Asked {
    /// For people.
    pub name: String,
    /// The session that it is about.
    pub session: Arc<SessionInfo>,
    /// What is asked.
    pub question: Question,
    /// What should come of it.
    pub expect: Expect,
}

/// What a plugin of each kind is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// An authenticator.
    Login(Credentials),
    /// A path guard.
    Paths(Arc<[Request]>),
    /// An upload inspector.
    Upload {
        /// Where it would be seen.
        path: VirtualPath,
        /// What happens to what is there.
        mode: UploadMode,
        /// From ALLO.
        announced_size: Option<u64>,
        /// All of it.
        content: Bytes,
        /// Bytes of the pieces in which it comes.
        chunk: usize,
        /// How much comes before the client is gone, if it goes.
        cut_at: Option<usize>,
    },
    /// An event listener.
    Events(Arc<[String]>),
}

impl Question {
    /// The kind of plugin that it is for.
    #[must_use]
    pub fn world(&self) -> World {
        match self {
            Self::Login(_) => World::Authenticator,
            Self::Paths(_) => World::PathGuard,
            Self::Upload { .. } => World::UploadInspector,
            Self::Events(_) => World::EventListener,
        }
    }
}

impl Plan {
    /// Finds fault with a key of the case file.
    #[must_use]
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        self.source.problem(key, text)
    }
}

/// A key below `[[call]]`, and what is wrong with it.
type Wrong = (String, String);

pub(super) fn plan(source: Document<Case>, directory: &Path) -> Result<Plan, ConfigError> {
    let case = &source.value;
    let mut problems = Vec::new();
    let mut grants = case.grants.clone();
    for (_, path) in grants.paths() {
        *path = directory.join(&*path);
    }
    let mut calls = Vec::new();
    match case.session.facts(directory) {
        Ok((before, after)) => {
            if case.call.is_empty() {
                problems.push(source.problem("call", "there is no [[call]]: nothing is asked"));
            }
            let (before, after) = (Arc::new(before), Arc::new(after));
            for (index, call) in case.call.iter().enumerate() {
                match asked(call, index, &case.session, (&before, &after), directory) {
                    Ok(asked) => calls.push(asked),
                    Err((key, text)) => {
                        let key = match key.as_str() {
                            "" => format!("call[{index}]"),
                            key => format!("call[{index}].{key}"),
                        };
                        problems.push(source.problem(&key, text));
                    }
                }
            }
        }
        Err((key, text)) => problems.push(source.problem(&format!("session.{key}"), text)),
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    Ok(Plan {
        settings: case.settings.clone(),
        grants,
        limits: case.limits.clone(),
        instances: case.instances,
        calls,
        source,
    })
}

fn asked(
    call: &Call,
    index: usize,
    session: &Session,
    (before, after): (&Arc<SessionInfo>, &Arc<SessionInfo>),
    directory: &Path,
) -> Result<Asked, Wrong> {
    let question = question(call, directory)?;
    call.fits(question.world())?;
    call.expect
        .fits(question.world())
        .map_err(|(key, text)| (format!("expect.{key}"), text))?;
    let session = match &question {
        Question::Login(credentials) => Arc::new(SessionInfo {
            user: Some(session.user.as_deref().unwrap_or(&credentials.user).into()),
            virtual_host: HostId::default(),
            ..before.as_ref().clone()
        }),
        _ => after.clone(),
    };
    let name = call.name.clone();
    Ok(Asked {
        name: name.unwrap_or_else(|| question.told(index)),
        session,
        question,
        expect: call.expect.clone(),
    })
}

impl Question {
    /// A name for a call that has none.
    fn told(&self, index: usize) -> String {
        match self {
            Self::Login(credentials) => format!("login of {:?}", credentials.user),
            Self::Paths(requests) => match requests.as_ref() {
                [only] => format!("a request for {}", only.path.as_str()),
                requests => format!("{} requests", requests.len()),
            },
            Self::Upload { path, content, .. } => {
                format!("upload of {}, {} bytes", path.as_str(), content.len())
            }
            Self::Events(events) => format!("{} events", events.len()),
        }
        .replace(char::is_control, " ")
            + &format!(" (call {})", index + 1)
    }
}

fn question(call: &Call, directory: &Path) -> Result<Question, Wrong> {
    match (&call.user, &call.requests, &call.path, &call.events) {
        (Some(user), None, None, None) => Ok(Question::Login(Credentials {
            user: user.clone(),
            password: call.password.clone().map(Secret::new),
            one_time_code: call.one_time_code.clone().map(Secret::new),
        })),
        (None, Some(lines), None, None) => {
            let requests: Result<Arc<[Request]>, Wrong> = lines
                .iter()
                .enumerate()
                .map(|(index, line)| {
                    request(line).map_err(|text| (format!("requests[{index}]"), text))
                })
                .collect();
            Ok(Question::Paths(requests?))
        }
        (None, None, Some(path), None) => Ok(Question::Upload {
            path: parse(path).map_err(|text| ("path".to_owned(), text))?,
            mode: call.mode.map_or(UploadMode::Create, UploadMode::from),
            announced_size: call.announced_size,
            content: content(call, directory)?,
            chunk: usize::try_from(call.chunk.max(1)).unwrap_or(usize::MAX),
            cut_at: call
                .cut_at
                .map(|at| usize::try_from(at).unwrap_or(usize::MAX)),
        }),
        (None, None, None, Some(events)) => {
            Ok(Question::Events(events.iter().map(event).collect()))
        }
        _ => Err((
            String::new(),
            "expected one of user (which asks an authenticator), requests (a path guard), path (an \
             upload inspector) and events (an event listener)"
                .into(),
        )),
    }
}

impl Call {
    /// Keys of other kinds.
    fn fits(&self, world: World) -> Result<(), Wrong> {
        let keys = [
            ("password", self.password.is_some(), World::Authenticator),
            (
                "one-time-code",
                self.one_time_code.is_some(),
                World::Authenticator,
            ),
            ("mode", self.mode.is_some(), World::UploadInspector),
            (
                "announced-size",
                self.announced_size.is_some(),
                World::UploadInspector,
            ),
            ("content", self.content.is_some(), World::UploadInspector),
            ("file", self.file.is_some(), World::UploadInspector),
            ("base64", self.base64.is_some(), World::UploadInspector),
            ("cut-at", self.cut_at.is_some(), World::UploadInspector),
        ];
        match keys.iter().find(|(_, given, of)| *given && *of != world) {
            Some((key, _, of)) => Err((
                (*key).into(),
                format!("is for calls of the kind {of}, and this is one of the kind {world}"),
            )),
            None => Ok(()),
        }
    }
}

fn content(call: &Call, directory: &Path) -> Result<Bytes, Wrong> {
    match (&call.content, &call.file, &call.base64) {
        (Some(text), None, None) => Ok(Bytes::from(text.clone())),
        (None, Some(file), None) => {
            let file = directory.join(file);
            let read = fs::read(&file).map(Bytes::from);
            read.map_err(|error| ("file".into(), format!("{}: {error}", file.display())))
        }
        (None, None, Some(text)) => {
            let text: String = text.split_whitespace().collect();
            let decoded = BASE64.decode(text.as_bytes()).map(Bytes::from);
            decoded.map_err(|error| ("base64".into(), error.to_string()))
        }
        (None, None, None) => Ok(Bytes::new()),
        _ => Err((
            "path".into(),
            "its content is said more than once: expected one of content, file and base64".into(),
        )),
    }
}

/// "OPERATION PATH", with another path after a rename's, and a mode after an upload's.
fn request(line: &str) -> Result<Request, String> {
    let expected = || {
        format!(
            "expected \"OPERATION PATH\" such as \"download /a\", \"upload /a create\" or \
             \"rename-from /a /b\", found {line:?}"
        )
    };
    let (word, path) = line.trim().split_once(' ').ok_or_else(expected)?;
    let mut path = path.trim_start();
    let operation = match word {
        "see" => Operation::See,
        "list" => Operation::List,
        "download" => Operation::Download,
        "upload" => {
            let (before, mode) = match path.rsplit_once(' ') {
                Some((before, "create")) => (before, UploadMode::Create),
                Some((before, "overwrite")) => (before, UploadMode::Overwrite),
                Some((before, "append")) => (before, UploadMode::Append),
                _ => (path, UploadMode::Create),
            };
            path = before;
            Operation::Upload(mode)
        }
        "delete" => Operation::Delete,
        "rename-from" | "rename-to" => {
            let at = path.rfind(" /").ok_or_else(expected)?;
            let (this, other) = path.split_at(at);
            path = this;
            let other = parse(other.trim_start())?;
            match word {
                "rename-from" => Operation::RenameFrom(other),
                _ => Operation::RenameTo(other),
            }
        }
        "make-directory" => Operation::MakeDirectory,
        "remove-directory" => Operation::RemoveDirectory,
        "change-metadata" => Operation::ChangeMetadata,
        _ => {
            return Err(format!(
                "there is no operation {word:?}; there are see, list, download, upload, delete, \
                 rename-from, rename-to, make-directory, remove-directory and change-metadata"
            ));
        }
    };
    let path = parse(path.trim_end())?;
    Ok(Request { operation, path })
}

fn parse(path: &str) -> Result<VirtualPath, String> {
    if !path.starts_with('/') {
        return Err(format!("expected an absolute path, found {path:?}"));
    }
    VirtualPath::parse(path, &VirtualPath::root()).map_err(|error| format!("{path:?}: {error}"))
}

/// As the server writes it: with its time.
fn event(table: &toml::Table) -> String {
    let mut event = json(&toml::Value::Table(table.clone()));
    if let Value::Object(fields) = &mut event {
        let now = Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default();
        fields
            .entry("time")
            .or_insert_with(|| Value::String(now.to_string()));
    }
    event.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let read = Document::parse("case.toml", text);
        let planned = read.and_then(|source| plan(source, Path::new(".")));
        planned
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn requests_are_read() {
        let root = VirtualPath::root();
        let path = |text: &str| VirtualPath::parse(text, &root).unwrap();
        for (line, operation, on) in [
            ("download /a b", Operation::Download, "/a b"),
            (
                "upload /a append",
                Operation::Upload(UploadMode::Append),
                "/a",
            ),
            (
                "upload /append",
                Operation::Upload(UploadMode::Create),
                "/append",
            ),
            (
                "rename-from /a b /c",
                Operation::RenameFrom(path("/c")),
                "/a b",
            ),
        ] {
            let request = request(line).unwrap();
            assert_eq!(
                (request.operation, request.path),
                (operation, path(on)),
                "{line}"
            );
        }
        for line in ["download", "download a", "rename-to /a", "take /a"] {
            assert!(request(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            (
                "[[call]]\nuser = \"a\"\npasword = \"b\"",
                "case.toml:3: call[0].pasword: unknown key; did you mean \"password\"?",
            ),
            ("", "there is no [[call]]"),
            (
                "[[call]]\nname = \"x\"",
                "case.toml:1: call[0]: expected one of user",
            ),
            (
                "[[call]]\npath = \"/a\"\npassword = \"b\"",
                "case.toml:3: call[0].password: is for calls of the kind authenticator",
            ),
            (
                "[[call]]\nuser = \"a\"\nexpect.outcome = \"yes\"",
                "case.toml:3: call[0].expect.outcome: expected \"accept\"",
            ),
            (
                "[[call]]\nuser = \"a\"\nexpect.verdict = \"accept\"",
                "case.toml:3: call[0].expect.verdict: ",
            ),
            (
                "[[call]]\nrequests = [\"see /a\",\n\"walk /a\"]",
                "case.toml:3: call[0].requests[1]: there is no operation \"walk\"",
            ),
            (
                "[[call]]\npath = \"/a\"\nbase64 = \"?\"",
                "case.toml:3: call[0].base64: ",
            ),
            (
                "[[call]]\npath = \"/a\"\nfile = \"nowhere.bin\"",
                "case.toml:3: call[0].file: ./nowhere.bin: ",
            ),
            (
                "[session.account]\npermissions = [\"fly\"]",
                "case.toml:2: session.account.permissions: there is no permission \"fly\"",
            ),
            (
                "[session]\ntls-version = \"SSLv3\"",
                "case.toml:2: session.tls-version: expected \"none\"",
            ),
            (
                "[limits]\nmemory = \"much\"",
                "case.toml:2: limits.memory: expected a size",
            ),
        ] {
            let text = wrong(text);
            assert!(text.starts_with(said) || text.contains(said), "{text}");
        }
    }
}
