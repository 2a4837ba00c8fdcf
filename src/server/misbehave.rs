//! Deeds of an intruder who runs code in the server, for tests of the walls around it.
//!
//! They are done on a thread that serves. No server that is used has this: the feature is for tests.

use std::{
    fs::{self, OpenOptions},
    io,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use axum::Json;
use serde::Deserialize;

use super::admin::messages::{Done, Failed};

/// The deed, and what it is done to.
#[derive(Deserialize)]
pub(super) struct Deed {
    deed: Vec<String>,
}

/// Does it; the answer says what came of it.
pub(super) async fn answer(Json(wanted): Json<Deed>) -> Result<Json<Done>, Json<Failed>> {
    let words: Vec<&str> = wanted.deed.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(text) => Ok(Json(Done { text })),
        Err(error) => Err(Json(Failed {
            error: error.to_string(),
        })),
    }
}

fn act(deed: &[&str]) -> io::Result<String> {
    match deed {
        ["call", numbers @ ..] => call(numbers),
        ["read", path] => Ok(format!("{} bytes", fs::read(path)?.len())),
        ["list", path] => Ok(format!("{} entries", fs::read_dir(path)?.count())),
        ["write", path] => {
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            file.sync_all().map(|()| "written".to_owned())
        }
        ["remove", path] => fs::remove_file(path).map(|()| "removed".to_owned()),
        ["connect", address] => TcpStream::connect(address).map(|_| "connected".to_owned()),
        ["bind", address] => TcpListener::bind(address).map(|_| "bound".to_owned()),
        ["unix", path] => UnixStream::connect(path).map(|_| "connected".to_owned()),
        _ => Err(io::Error::other("no such deed")),
    }
}

/// A system call, by its number, with up to six numbers.
#[allow(unsafe_code, reason = "that is the deed")]
fn call(numbers: &[&str]) -> io::Result<String> {
    let mut all = [0; 7];
    for (place, number) in all.iter_mut().zip(numbers) {
        *place = number.parse().map_err(io::Error::other)?;
    }
    let [call, a, b, c, d, e, f] = all;
    // SAFETY: none. Tests make calls that the filter refuses, or that take no pointers.
    let result = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result.to_string()),
    }
}
