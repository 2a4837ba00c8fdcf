//! LIST, NLST, MLSD, and STAT with a path.

use std::{io, sync::Arc, time::SystemTime};

use super::{
    Next, Session,
    errors::Failure,
    facts::{allowed, told},
    retrieve,
    transfer::{Handle, Work},
};
use crate::{
    data::{Channel, download::PumpError},
    ftp::{
        command::ListArguments,
        facts::{Allowed, EntryKind, Facts, write_mlsd_line},
        glob::{Glob, is_pattern},
        listing::{write_list_line, write_nlst_line},
        metadata::{Entry, Kind, Metadata},
        path::VirtualPath,
        reply::Reply,
    },
    gate::path_policy::{Operation, Policy, Refusal, Request},
    storage::{Listing, Tree},
    tls::session::Direction,
};

/// What is gathered before it is sent.
const CHUNK: usize = 48 << 10;
/// Lines of STAT with a path: they go over the control connection.
const STAT_LINES: usize = 1000;

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `ls -l`.
    List,
    /// Names alone.
    Names,
    /// RFC 3659 §7.
    Facts(Facts),
}

/// What is listed.
enum Entries {
    /// A file, or a directory that was named itself.
    One(Entry),
    /// What is in a directory.
    Directory {
        path: VirtualPath,
        listing: Box<dyn Listing>,
    },
}

/// A listing, ready to be sent.
struct Lines {
    entries: Entries,
    policy: Arc<Policy>,
    form: Form,
    pattern: Option<Glob>,
    /// Whether names that begin with a dot are shown.
    all: bool,
    allowed: Allowed,
    now: SystemTime,
    /// What stands before each name of NLST, as the client asked.
    prefix: String,
    /// The directory itself and the one above it, which MLSD tells first (RFC 3659 §7.5.1).
    around: Vec<(&'static str, EntryKind, Metadata)>,
}

impl Session {
    pub(super) async fn list(&mut self, arguments: ListArguments, form: Form) -> io::Result<Next> {
        let lines = self.lines(arguments, form).await;
        self.send_listing(lines).await
    }

    /// MLSD on a file is 501 (RFC 3659 §7.2.1).
    pub(super) async fn mlsd(&mut self, path: Option<String>) -> io::Result<Next> {
        let form = Form::Facts(self.parameters.facts);
        let arguments = ListArguments {
            all: true,
            long: true,
            path,
        };
        let lines = self.lines(arguments, form).await;
        self.send_listing(lines).await
    }

    async fn send_listing(&mut self, lines: Result<Lines, Failure>) -> io::Result<Next> {
        self.parameters.restart = 0;
        let work = match lines {
            Ok(lines) => self.listing_work(lines).await,
            Err(failure) => Err(failure),
        };
        match work {
            Ok((work, handle)) => {
                self.transfer("Here comes the listing".into(), work, handle)
                    .await
            }
            Err(failure) => self.answer(failure.reply(self.id())).await,
        }
    }

    async fn listing_work(&mut self, mut lines: Lines) -> Result<(Work, Handle), Failure> {
        let (transfer, handle) = self.prepare(Direction::Send).await?;
        let session = transfer.session.clone();
        let work = async move {
            let (mut channel, guard) = match transfer.open().await {
                Ok(opened) => opened,
                Err(reply) => return reply,
            };
            let pump = async {
                lines.send(&mut channel).await?;
                channel
                    .finish_and_learn(guard.ending())
                    .await
                    .map_err(|error| PumpError::Connection(error).into())
            };
            match guard.watch(pump).await {
                Ok(Ok(())) => Reply::new(226, "Listing complete"),
                Ok(Err(Stopped::Pump(error))) => retrieve::failed(&error, &session, "a listing"),
                Ok(Err(Stopped::Policy(refusal))) => super::errors::policy(&refusal, &session),
                Err(reply) => reply,
            }
        };
        Ok((Box::pin(work), handle))
    }

    /// RFC 959: STAT with a path is a LIST over the control connection, 212 or 213.
    pub(super) async fn stat_path(&mut self, path: &str) -> io::Result<Next> {
        let arguments = ListArguments {
            all: true,
            long: true,
            path: Some(path.to_owned()),
        };
        let reply = match self.lines(arguments, Form::List).await {
            Ok(lines) => lines.stat(path, self.id()).await,
            Err(failure) => failure.reply(self.id()),
        };
        self.answer(reply).await
    }

    async fn lines(&self, arguments: ListArguments, form: Form) -> Result<Lines, Failure> {
        let user = self.logged_in()?;
        let argument = arguments.path.unwrap_or_default();
        let facts = matches!(form, Form::Facts(_));
        let (directory, pattern) = match argument.rsplit_once('/') {
            // RFC 3659 knows no wildcards.
            _ if facts => (argument.as_str(), None),
            None if is_pattern(&argument) => ("", Some(argument.as_str())),
            Some((directory, last)) if is_pattern(last) => (
                if directory.is_empty() { "/" } else { directory },
                Some(last),
            ),
            _ => (argument.as_str(), None),
        };
        // A name that looks like a pattern comes before the pattern.
        let literal = match pattern {
            Some(_) => match VirtualPath::parse(&argument, &user.cwd) {
                Ok(path) => user.tree.metadata(&path).await.is_ok(),
                Err(_) => false,
            },
            None => true,
        };
        let (directory, pattern) = if literal {
            (argument.as_str(), None)
        } else {
            (directory, pattern)
        };
        let path = if directory.is_empty() {
            user.cwd.clone()
        } else {
            self.resolve(directory)?
        };
        let pattern = match pattern {
            None => None,
            Some(text) => {
                Some(Glob::new(text).ok_or_else(|| Reply::new(501, "The pattern is too long"))?)
            }
        };
        let prefix = match (form, directory) {
            (Form::Names, "") => String::new(),
            (Form::Names, directory) if directory.ends_with('/') => directory.to_owned(),
            (Form::Names, directory) => format!("{directory}/"),
            _ => String::new(),
        };
        let entries = entries(&*user.tree, &user.policy, &path, directory, facts).await?;
        let around = if facts {
            around(&*user.tree, &user.policy, &path).await?
        } else {
            Vec::new()
        };
        Ok(Lines {
            entries,
            policy: user.policy.clone(),
            form,
            all: arguments.all || pattern.is_some(),
            pattern,
            allowed: allowed(user.policy.permissions()),
            now: SystemTime::now(),
            prefix,
            around,
        })
    }
}

/// `cdir` and, below the root, `pdir`.
async fn around(
    tree: &dyn Tree,
    policy: &Policy,
    path: &VirtualPath,
) -> Result<Vec<(&'static str, EntryKind, Metadata)>, Failure> {
    let mut around = vec![(".", EntryKind::Current, tree.metadata(path).await?)];
    if let Some(parent) = path.parent()
        && policy.check(Operation::See, &parent).await.is_ok()
    {
        around.push(("..", EntryKind::Parent, tree.metadata(&parent).await?));
    }
    Ok(around)
}

async fn entries(
    tree: &dyn Tree,
    policy: &Policy,
    path: &VirtualPath,
    named: &str,
    only_directories: bool,
) -> Result<Entries, Failure> {
    policy.check(Operation::List, path).await?;
    let metadata = told(tree, policy, path).await?;
    if metadata.kind == Kind::Directory {
        let listing = tree.list(path).await?;
        return Ok(Entries::Directory {
            path: path.clone(),
            listing,
        });
    }
    if only_directories {
        return Err(Reply::new(501, "It is not a directory").into());
    }
    policy.check(Operation::See, path).await?;
    Ok(Entries::One(Entry {
        name: named.to_owned(),
        metadata,
    }))
}

/// Where the client may not download what is published, it is told of the broken upload to it.
async fn tell_partial(policy: &Policy, directory: &VirtualPath, entries: &mut [Entry]) {
    let partial = |entry: &&mut Entry| entry.metadata.partial.is_some();
    let mut found: Vec<&mut Entry> = entries.iter_mut().filter(partial).collect();
    if found.is_empty() {
        return;
    }
    let requests = found.iter().filter_map(|entry| {
        Some(Request {
            operation: Operation::Download,
            path: directory.join(&entry.name).ok()?,
        })
    });
    let answers = policy.may(requests.collect()).await;
    for (entry, may) in found.iter_mut().zip(answers) {
        if !may {
            entry.metadata = entry.metadata.or_partial();
        }
    }
}

enum Stopped {
    Pump(PumpError),
    Policy(Refusal),
}

impl From<PumpError> for Stopped {
    fn from(error: PumpError) -> Self {
        Self::Pump(error)
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Policy(refusal)
    }
}

impl Lines {
    async fn send(&mut self, channel: &mut Channel) -> Result<(), Stopped> {
        let mut out = Vec::new();
        while self.next(&mut out).await? {
            if out.len() >= CHUNK {
                channel
                    .write_all(&out)
                    .await
                    .map_err(PumpError::Connection)?;
                out.clear();
            }
        }
        channel
            .write_all(&out)
            .await
            .map_err(PumpError::Connection)?;
        Ok(())
    }

    /// Writes the next entries that may be seen; whether there may be more.
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Stopped> {
        if let Form::Facts(facts) = &self.form {
            for (name, kind, metadata) in self.around.drain(..) {
                write_mlsd_line(out, name, &metadata, facts, kind, self.allowed);
            }
        }
        match &mut self.entries {
            Entries::One(entry) => {
                let entry = entry.clone();
                // Named by the client, so there is no prefix to add.
                self.prefix.clear();
                self.write(out, &entry);
                Ok(false)
            }
            Entries::Directory { path, listing } => {
                let Some(mut entries) = listing.next().await.map_err(PumpError::Storage)? else {
                    return Ok(false);
                };
                let (all, pattern) = (self.all, &self.pattern);
                entries.retain(|entry| {
                    (all || !entry.name.starts_with('.'))
                        && pattern
                            .as_ref()
                            .is_none_or(|pattern| pattern.matches(&entry.name))
                });
                let mut requests = Vec::with_capacity(entries.len());
                // A name that no path can have cannot be asked for either.
                entries.retain(|entry| match path.join(&entry.name) {
                    Ok(path) => {
                        requests.push(Request {
                            operation: Operation::See,
                            path,
                        });
                        true
                    }
                    Err(_) => false,
                });
                let answers = self.policy.check_all(requests).await?;
                tell_partial(&self.policy, path, &mut entries).await;
                for (entry, answer) in entries.iter().zip(answers) {
                    if answer.is_none() {
                        self.write(out, entry);
                    }
                }
                Ok(true)
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, entry: &Entry) {
        match &self.form {
            Form::List => write_list_line(out, &entry.name, &entry.metadata, self.now),
            Form::Names if self.prefix.is_empty() => write_nlst_line(out, &entry.name),
            Form::Names => write_nlst_line(out, &format!("{}{}", self.prefix, entry.name)),
            Form::Facts(facts) => write_mlsd_line(
                out,
                &entry.name,
                &entry.metadata,
                facts,
                EntryKind::Plain,
                self.allowed,
            ),
        }
    }

    async fn stat(mut self, path: &str, session: &str) -> Reply {
        let code = if matches!(self.entries, Entries::One(_)) {
            213
        } else {
            212
        };
        let (mut out, mut more) = (Vec::new(), true);
        while more && out.len() < STAT_LINES * 64 {
            more = match self.next(&mut out).await {
                Ok(more) => more,
                Err(Stopped::Pump(error)) => return retrieve::failed(&error, session, path),
                Err(Stopped::Policy(refusal)) => return super::errors::policy(&refusal, session),
            };
        }
        if let Entries::One(entry) = &self.entries
            && let Some(part) = &entry.metadata.partial
        {
            let text = format!("A broken upload of {0} bytes waits: REST {0}", part.size);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b" and STOR go on with it\r\n");
        }
        let text = String::from_utf8_lossy(&out);
        let mut lines: Vec<String> = text.lines().take(STAT_LINES).map(str::to_owned).collect();
        if more || text.lines().count() > lines.len() {
            lines.push("... and more: use MLSD".into());
        }
        Reply::multi(code, format!("Status of {path}"), lines, "End of status")
    }
}
