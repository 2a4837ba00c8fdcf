//! `portcullis quarantine`: uploads that a person has to look at.

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
                let path = format!("/quarantine/{}/release", escaped(&id));
                act(&source, Method::POST, &path, Some(&body))?;
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
