//! LIST, NLST, MLSD, and STAT with a path.

use std::{borrow::Cow, io, sync::Arc, time::SystemTime};

use super::{
    Next, UserSession,
    cuts::RecentCuts,
    errors::{self, Failure},
    facts::{allowed, told},
    journal::{self, Blame, Broken, Journal},
    transfer::{Handle, Work, aborted},
    wildcard::{Pattern, Unfit, Walk, requests},
};
use crate::{
    data::{Channel, download::PumpError},
    ftp::{
        command::ListArguments,
        facts::{Allowed, EntryKind, Facts, write_mlsd_line},
        listing::{write_list_line, write_nlst_line},
        metadata::{Entry, Kind, Metadata},
        path::VirtualPath,
        reply::Reply,
    },
    gate::path_policy::{Operation, Policy, Refusal, Request},
    spool::Tree,
    storage::{Error, Listing, Wanted},
    tls::session::Direction,
};

/// The bytes that are gathered before they are sent.
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

impl Form {
    fn wanted(self) -> Wanted {
        match self {
            Self::Names => Wanted::Kinds,
            Self::Facts(facts) if facts.follow_from_kind() => Wanted::Kinds,
            Self::Facts(_) | Self::List => Wanted::Facts,
        }
    }
}

/// The entries of a listing.
enum Entries {
    /// A file, or a directory that was named itself.
    One(Entry),
    /// The entries of a directory.
    Directory {
        path: VirtualPath,
        listing: Box<dyn Listing>,
        /// The text before each name of NLST, as the client asked.
        prefix: String,
    },
    /// The entries that a pattern leads to.
    Pattern {
        walk: Walk,
        /// Whether names are told with the directories in front of them.
        prefixed: bool,
    },
}

/// A listing, ready to be sent.
struct Lines {
    entries: Entries,
    policy: Arc<Policy>,
    cuts: RecentCuts,
    form: Form,
    /// Whether names that begin with a dot are shown.
    all: bool,
    allowed: Allowed,
    now: SystemTime,
    /// The directory itself and the one above it, which MLSD tells first (RFC 3659 §7.5.1).
    around: Vec<(&'static str, EntryKind, Metadata)>,
}

impl UserSession<'_> {
    pub(super) async fn list(&mut self, arguments: ListArguments, form: Form) -> io::Result<Next> {
        let named = arguments.path.clone();
        let lines = self.lines(arguments, form).await;
        self.send_listing(named, lines).await
    }

    /// MLSD on a file is 501 (RFC 3659 §7.2.1).
    pub(super) async fn mlsd(&mut self, path: Option<String>) -> io::Result<Next> {
        let form = Form::Facts(self.connection.parameters.facts);
        let arguments = ListArguments {
            all: true,
            long: true,
            path: path.clone(),
        };
        let lines = self.lines(arguments, form).await;
        self.send_listing(path, lines).await
    }

    async fn send_listing(
        &mut self,
        named: Option<String>,
        lines: Result<Lines, Failure>,
    ) -> io::Result<Next> {
        self.connection.parameters.restart = 0;
        let work = match lines {
            Ok(lines) => self.listing_work(named.as_deref(), lines).await,
            Err(failure) => Err(failure),
        };
        match work {
            Ok((work, handle)) => {
                self.announce("Here comes the listing".into(), work, handle)
                    .await
            }
            Err(failure) => {
                let named = named.unwrap_or_default();
                let reply = self.failed_at("list", &named, failure);
                self.answer(reply).await
            }
        }
    }

    async fn listing_work(
        &mut self,
        named: Option<&str>,
        mut lines: Lines,
    ) -> Result<(Work, Handle), Failure> {
        let path = Some(self.named(named.unwrap_or_default()));
        let prepared = self.prepare(Direction::Send, journal::Operation::List, path.as_ref());
        let (transfer, handle) = prepared.await?;
        let journal = transfer.journal.clone();
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
                    .map_err(|error| Stopped::Pump(PumpError::Connection(error)))
            };
            match guard.watch(pump).await {
                Ok(Ok(())) => Reply::new(226, "Listing complete"),
                Ok(Err(stopped)) => stopped.reply(&journal, path.as_ref()),
                Err(ended) => {
                    journal.ended(journal::Operation::List, path.as_ref(), None, ended);
                    ended.reply()
                }
            }
        };
        Ok((Box::pin(work), handle))
    }

    /// RFC 959: STAT with a path is a LIST over the control connection, 212 or 213. It may be long, so
    /// the client can be heard meanwhile.
    pub(super) async fn stat_listing(&mut self, arguments: ListArguments) -> io::Result<Next> {
        let path = arguments.path.clone().unwrap_or_else(|| ".".into());
        let arguments = ListArguments {
            all: true,
            ..arguments
        };
        let lines = match self.lines(arguments, Form::List).await {
            Ok(lines) => lines,
            Err(failure) => {
                let reply = self.failed_at("list", &path, failure);
                return self.answer(reply).await;
            }
        };
        let handle = self.no_data();
        let (abort, journal) = (handle.abort(), self.connection.journal());
        let whole = self.named(&path);
        let work = async move {
            tokio::select! {
                reply = lines.stat(&path, &whole, &journal) => reply,
                _ = abort.come() => aborted(),
            }
        };
        self.during(Box::pin(work), handle).await
    }

    async fn lines(&self, arguments: ListArguments, form: Form) -> Result<Lines, Failure> {
        let user = &*self.user;
        let argument = arguments.path.unwrap_or_default();
        let facts = matches!(form, Form::Facts(_));
        let pattern = match Pattern::parse(&argument) {
            // RFC 3659 knows no wildcards.
            _ if facts => None,
            Err(Unfit::Plain) => None,
            // A name that looks like a pattern comes before the pattern.
            _ if self.is_there(&argument).await => None,
            Ok(pattern) => Some(pattern),
            Err(Unfit::TooLong) => return Err(Reply::new(501, "The pattern is too long").into()),
            Err(Unfit::Above) => return Err(Error::NotFound.into()),
        };
        let named = match &pattern {
            Some(pattern) => pattern.front,
            None => argument.as_str(),
        };
        let path = match named {
            "" => user.cwd.clone(),
            named => self.resolve(named)?,
        };
        let names = form == Form::Names;
        let mut all = arguments.all;
        let entries = match pattern {
            Some(pattern) if !pattern.components.is_empty() => {
                user.policy.check(Operation::List, &path).await?;
                if user.tree.metadata(&path).await?.kind != Kind::Directory {
                    return Err(Error::NotDirectory.into());
                }
                // The pattern says which names that begin with a dot it wants.
                all = true;
                Entries::Pattern {
                    prefixed: names || pattern.components.len() > 1,
                    walk: Walk::new(
                        user.tree.clone(),
                        user.policy.clone(),
                        path.clone(),
                        pattern,
                        form.wanted(),
                    ),
                }
            }
            _ => {
                let cuts = self.cuts();
                entries(&user.tree, &user.policy, &cuts, &path, named, form).await?
            }
        };
        let around = if facts {
            around(&user.tree, &user.policy, &path).await?
        } else {
            Vec::new()
        };
        Ok(Lines {
            entries,
            policy: user.policy.clone(),
            cuts: self.cuts(),
            form,
            all,
            allowed: allowed(user.policy.permissions()),
            now: SystemTime::now(),
            around,
        })
    }

    /// Whether there is something of that name that the client may see.
    async fn is_there(&self, argument: &str) -> bool {
        let Ok(path) = self.resolve(argument) else {
            return false;
        };
        let user = &*self.user;
        user.tree.metadata(&path).await.is_ok() && user.policy.may_see(&path).await
    }
}

/// `cdir` and, below the root, `pdir`.
async fn around(
    tree: &Tree,
    policy: &Policy,
    path: &VirtualPath,
) -> Result<Vec<(&'static str, EntryKind, Metadata)>, Failure> {
    let mut around = vec![(".", EntryKind::Current, tree.metadata(path).await?)];
    if let Some(parent) = path.parent()
        && policy.may_see(&parent).await
    {
        around.push(("..", EntryKind::Parent, tree.metadata(&parent).await?));
    }
    Ok(around)
}

async fn entries(
    tree: &Tree,
    policy: &Policy,
    cuts: &RecentCuts,
    path: &VirtualPath,
    named: &str,
    form: Form,
) -> Result<Entries, Failure> {
    let names = form == Form::Names;
    policy.check(Operation::List, path).await?;
    let metadata = told(tree, policy, cuts, path).await?;
    if metadata.kind == Kind::Directory {
        let listing = tree.list(path, form.wanted()).await?;
        let prefix = match named {
            named if !names || named.is_empty() || named.ends_with('/') => named.to_owned(),
            named => format!("{named}/"),
        };
        return Ok(Entries::Directory {
            path: path.clone(),
            listing,
            prefix: if names { prefix } else { String::new() },
        });
    }
    if metadata.kind == Kind::Link {
        return Err(Error::DanglingLink.into());
    }
    if matches!(form, Form::Facts(_)) {
        return Err(Reply::new(501, "It is not a directory").into());
    }
    policy.check(Operation::See, path).await?;
    Ok(Entries::One(Entry {
        name: named.to_owned(),
        metadata,
    }))
}

/// Where the client may not download what is published, it is told of the broken upload to it.
async fn tell_partial(
    policy: &Policy,
    cuts: &RecentCuts,
    directory: &VirtualPath,
    entries: &mut [Entry],
) {
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
        let cut = |path| cuts.is_told(&path);
        if !may || directory.join(&entry.name).is_ok_and(cut) {
            entry.metadata = entry.metadata.or_partial();
        }
    }
}

/// Why a listing is not whole.
pub(super) enum Stopped {
    /// It could not be read or sent.
    Pump(PumpError),
    /// A path guard failed.
    Policy(Refusal),
    /// A pattern leads to more directories than are looked at for a client.
    TooMany,
}

impl Stopped {
    fn reply(&self, journal: &Journal, path: Option<&VirtualPath>) -> Reply {
        match self {
            Self::Pump(error) => {
                journal.pump(journal::Operation::List, path, None, error);
                errors::pump(error)
            }
            Self::Policy(refusal) => errors::policy(refusal),
            Self::TooMany => {
                let reply = Reply::new(
                    451,
                    "The pattern leads to too many directories, the listing is not complete",
                );
                journal.broken(&Broken {
                    operation: journal::Operation::List,
                    path,
                    bytes: None,
                    code: reply.code(),
                    cause: &"the pattern leads to too many directories",
                    fault: Blame::Client,
                });
                reply
            }
        }
    }
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
        channel.gather();
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
                self.write(out, "", &entry);
                Ok(false)
            }
            Entries::Directory {
                path,
                listing,
                prefix,
            } => {
                let Some(entries) = listing.next().await.map_err(PumpError::Storage)? else {
                    return Ok(false);
                };
                let (path, prefix) = (path.clone(), prefix.clone());
                self.show(out, &path, &prefix, entries).await
            }
            Entries::Pattern { walk, prefixed } => {
                let prefixed = *prefixed;
                let Some(found) = walk.next().await? else {
                    return Ok(false);
                };
                let prefix = if prefixed { &*found.prefix } else { "" };
                self.show(out, &found.directory, prefix, found.entries)
                    .await
            }
        }
    }

    /// Writes those of a directory's entries that may be seen.
    async fn show(
        &mut self,
        out: &mut Vec<u8>,
        directory: &VirtualPath,
        prefix: &str,
        mut entries: Vec<Entry>,
    ) -> Result<bool, Stopped> {
        entries.retain(|entry| self.all || !entry.name.starts_with('.'));
        if entries.is_empty() {
            return Ok(true);
        }
        let answers = self.policy.check_all(requests(directory, &mut entries));
        let answers = answers.await?;
        tell_partial(&self.policy, &self.cuts, directory, &mut entries).await;
        for (entry, answer) in entries.iter().zip(answers) {
            if answer.is_none() {
                self.write(out, prefix, entry);
            }
        }
        Ok(true)
    }

    fn write(&self, out: &mut Vec<u8>, prefix: &str, entry: &Entry) {
        let name = match prefix {
            "" => Cow::Borrowed(&*entry.name),
            prefix => Cow::Owned(format!("{prefix}{}", entry.name)),
        };
        match &self.form {
            Form::List => write_list_line(out, &name, &entry.metadata, self.now),
            Form::Names => write_nlst_line(out, &name),
            Form::Facts(facts) => write_mlsd_line(
                out,
                &name,
                &entry.metadata,
                facts,
                EntryKind::Plain,
                self.allowed,
            ),
        }
    }

    async fn stat(mut self, path: &str, whole: &VirtualPath, journal: &Journal) -> Reply {
        let code = if matches!(self.entries, Entries::One(_)) {
            213
        } else {
            212
        };
        let (mut out, mut more) = (Vec::new(), true);
        while more && out.len() < STAT_LINES * 64 {
            more = match self.next(&mut out).await {
                Ok(more) => more,
                Err(stopped) => return stopped.reply(journal, Some(whole)),
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
