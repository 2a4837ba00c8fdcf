//! Calls to path guards.

use std::sync::Arc;

use super::{
    Answer, Wrong,
    form::{Answering, Asking, Form, Question, absent, parse},
};
use crate::{
    gate::{
        SessionInfo,
        path_policy::{Operation, Request},
        requests::Requests,
    },
    plugin::PluginKind,
    types::UploadMode,
};

pub(super) const FORM: Form = Form {
    kind: &PluginKind::PATH_GUARD,
    asks: "a path guard",
    keys: &["requests"],
    outcome: "outcome",
    words: &["decided"],
    expects: &["decisions"],
    read: |call, _| {
        let lines = call.requests.iter().flatten().enumerate();
        let requests: Result<Vec<Request>, Wrong> = lines
            .map(|(index, line)| request(line).map_err(|text| (format!("requests[{index}]"), text)))
            .collect();
        Ok(Arc::new(Lines(Arc::new(requests?.into()))))
    },
    fits: |gates| !gates.policies.is_empty(),
};

#[derive(Debug)]
struct Lines(Arc<Requests>);

impl Question for Lines {
    fn describe(&self) -> String {
        match self.0.each() {
            [only] => format!("a request for {}", only.path.as_str()),
            requests => format!("{} requests", requests.len()),
        }
    }

    fn ask<'a>(&'a self, asking: &'a Asking, session: Arc<SessionInfo>) -> Answering<'a> {
        Box::pin(async move {
            let guard = asking.guard.as_ref().ok_or_else(absent)?;
            let decisions = guard.decide(session, self.0.clone()).await?;
            Ok(Answer {
                decisions: decisions.into_iter().collect(),
                ..Answer::word("decided")
            })
        })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ftp::path::VirtualPath;

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
}
