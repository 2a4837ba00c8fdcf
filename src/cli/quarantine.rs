//! `portcullis quarantine`: uploads that a person has to look at.

use clap::Subcommand;

use super::{
    Failure, Source,
    control::{ask, row, strange},
    output,
};
use crate::{
    server::control::{Answer, Request},
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
            source: later,
        } => list(&source.then(later), json),
        Command::Release {
            ids,
            replace,
            source: later,
        } => each(&source.then(later), ids, |id| Request::Release {
            id,
            replace,
        }),
        Command::Delete { ids, source: later } => {
            each(&source.then(later), ids, |id| Request::Discard { id })
        }
    }
}

fn list(source: &Source, json: bool) -> Result<(), Failure> {
    match ask(source, Request::Quarantined)? {
        Answer::Quarantined { uploads } if json => {
            output::print(&output::json(&uploads)?);
            Ok(())
        }
        Answer::Quarantined { uploads } if uploads.is_empty() => {
            output::print("Nothing is in quarantine.\n");
            Ok(())
        }
        Answer::Quarantined { uploads } => {
            let shown: Vec<String> = uploads.iter().map(held).collect();
            output::print(&shown.join("\n"));
            Ok(())
        }
        Answer::Failed { text } => Err(Failure::Running(text)),
        Answer::Done { .. } | Answer::Status(_) | Answer::States { .. } => Err(strange()),
    }
}

fn each(
    source: &Source,
    ids: Vec<String>,
    request: impl Fn(String) -> Request,
) -> Result<(), Failure> {
    for id in ids {
        match ask(source, request(id))? {
            Answer::Done { text } => output::print(&format!("{text}\n")),
            Answer::Failed { text } => return Err(Failure::Running(text)),
            Answer::Status(_) | Answer::Quarantined { .. } | Answer::States { .. } => {
                return Err(strange());
            }
        }
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
            format!("{} of {}, storage {}", note.path, note.user, held.storage),
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
