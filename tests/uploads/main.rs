//! Uploads, from their first byte to what is seen of them: cut anywhere, refused, resumed, and with a
//! server or a disk that fails meanwhile.
//!
//! `PORTCULLIS_ROUNDS` says how often what depends on chance is tried.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod appended;
mod bounds;
mod cut;
mod failures;
mod killed;
mod never_visible;
mod replaced;
mod resume;
mod told;

use support::{Client, Reply, Setup};

/// The defaults, but that plugins may take as long as a machine that is busy with other tests makes
/// them: an upload that could not be inspected in time is none that was refused.
fn setup() -> Setup {
    let slow = ["users", "rules", "upload-guard"].map(|name| format!("plugin.{name}.limits"));
    slow.iter().fold(Setup::new(), |setup, limits| {
        setup
            .set(&format!("{limits}.cpu-time"), r#""20s""#)
            .set(&format!("{limits}.wall-time"), r#""30s""#)
    })
}

/// Begins an upload and loses its data connection: no end of TLS, no end of the file.
#[track_caller]
fn broken(client: &mut Client, command: &str, bytes: &[u8]) -> Reply {
    let mut data = client.begin(command);
    data.send(bytes).unwrap();
    data.cut();
    client.reply()
}

/// Loses the control connection: no QUIT, no end of TLS.
fn lose(client: Client) {
    client.socket().shutdown(std::net::Shutdown::Both).unwrap();
}

/// Bytes of the broken upload that waits, as a fact of our own tells them at any time.
#[track_caller]
fn partial(client: &mut Client, name: &str) -> Option<u64> {
    let reply = client.send(&format!("MLST {name}")).expect(250);
    let (_, fact) = reply.lines[1].split_once("X.partial=")?;
    Some(fact.split(';').next()?.parse().unwrap())
}

/// How often something is tried: `PORTCULLIS_ROUNDS`, or few times.
fn rounds(few: usize) -> usize {
    std::env::var("PORTCULLIS_ROUNDS").map_or(few, |rounds| rounds.parse().unwrap())
}
