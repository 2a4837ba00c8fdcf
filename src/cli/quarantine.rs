//! `portcullis quarantine`: uploads that a person has to look at.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use clap::Subcommand;

use http::Method;

use super::{
    Failure, Source,
    control::{act, escaped, get, row},
    output,
    page::PageOptions,
};
use crate::{
    server::admin::messages::{Quarantine, Release},
    spool::QuarantinedUpload,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is in quarantine: who sent it, when, from where, and which plugin put it there, why
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        source: Source,
    },
    /// Publish uploads, as if they had been accepted now
    Release {
        /// As `list` tells it
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Also in place of a file that has come to be under the name since
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Remove uploads for good
    Delete {
        /// As `list` tells it
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        source: Source,
    },
}

/// Asks the running server.
pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::List {
            json,
            page,
            source: later,
        } => list(&source.then(later), &page, json),
        Command::Release {
            ids,
            replace,
            source: later,
        } => {
            let source = source.then(later);
            let body = Release { replace };
            for id in ids {
                release(&source, &id, &body)?;
            }
            Ok(())
        }
        Command::Delete { ids, source: later } => {
            let source = source.then(later);
            for id in ids {
                let path = format!("/quarantine/{}", escaped(&id));
                act(&source, Method::DELETE, &path, None::<&()>)?;
            }
            Ok(())
        }
    }
}

/// Publishes one. On a terminal, what takes long is told as it goes.
fn release(source: &Source, id: &str, body: &Release) -> Result<(), Failure> {
    let path = format!("/quarantine/{}/release", escaped(id));
    let asked = || act(source, Method::POST, &path, Some(body));
    if !io::stderr().is_terminal() {
        return asked();
    }
    std::thread::scope(|scope| {
        let released = scope.spawn(asked);
        let mut told = false;
        let begun = Instant::now();
        while !released.is_finished() {
            std::thread::sleep(Duration::from_millis(50));
            let second = begun.elapsed() > Duration::from_secs(1);
            if second && let Some(text) = copied(source, id) {
                eprint!("\r{id}: {text}");
                told = true;
                std::thread::sleep(Duration::from_millis(450));
            }
        }
        if told {
            eprintln!();
        }
        let failed = || Failure::Running("the request was cut short".to_owned());
        released.join().map_err(|_| failed())?
    })
}

/// How far a release has come.
fn copied(source: &Source, id: &str) -> Option<String> {
    let path = format!("/quarantine?filter={}&limit=1", escaped(id));
    let found: Quarantine = get(source, &path).ok()?;
    let held = found.uploads.into_iter().find(|held| held.id == id)?;
    let copied = held.copied?;
    let percent = copied.saturating_mul(100) / held.size.max(1);
    Some(format!("{percent} % of {} bytes", held.size))
}

fn list(source: &Source, page: &PageOptions, json: bool) -> Result<(), Failure> {
    let found: Quarantine = get(source, &format!("/quarantine{}", page.query()))?;
    let uploads = &found.uploads;
    if json {
        output::print(&output::json(uploads)?);
    } else if uploads.is_empty() && found.total == 0 {
        output::print("Nothing is in quarantine.\n");
    } else {
        let shown: Vec<String> = uploads.iter().map(held).collect();
        output::print(&shown.join("\n"));
        output::print(&page.told(uploads.len(), found.matching, found.total));
    }
    Ok(())
}

/// An upload in quarantine, for people.
fn held(held: &QuarantinedUpload) -> String {
    let note = &held.note;
    let mut rows = vec![
        row("id", held.id.clone()),
        row(
            "path",
            match note.host.name() {
                Some(host) => format!(
                    "{} of {}@{host}, storage {}",
                    note.path, note.user, held.storage
                ),
                None => format!("{} of {}, storage {}", note.path, note.user, held.storage),
            },
        ),
        row("size", {
            let whole = match note.whole {
                true => "",
                false => ", not whole: the verdict came before the end",
            };
            format!("{} bytes{whole}", held.size)
        }),
        row("when", held.time.clone()),
        row("from", format!("{}, session {}", note.client, note.session)),
        row("why", format!("{}: {}", note.plugin, note.reason)),
    ];
    if let Some(digest) = &note.sha256 {
        rows.push(row("sha256", digest.clone()));
    }
    output::table(&rows)
}
