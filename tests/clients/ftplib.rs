//! Python's ftplib, which never resumes TLS sessions unless it is taught to, and then uses one
//! ticket for all.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    expect, installed, make_tree, run, same,
    support::{Server, Setup, USER, Version, tls::VERSIONS},
};

fn script(server: &Server, version: Version, resume: bool, local: &Path) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/ftplib_session.py"))
        .arg(server.address.port().to_string())
        .arg(server.certificate())
        .arg(match version {
            Version::V12 => "1.2",
            Version::V13 => "1.3",
        })
        .arg(if resume { "resume" } else { "never" })
        .args([USER, USER])
        .arg(local);
    command
}

fn everything(binding: &str, resume: bool) {
    if !installed("python3") {
        return;
    }
    for version in VERSIONS {
        let server = Setup::new()
            .set("tls.data-binding", &format!("{binding:?}"))
            .start();
        let place = TempDir::new().unwrap();
        make_tree(&place.path().join("tree"));
        expect(&mut script(&server, version, resume, place.path()));
        same(&place.path().join("tree"), &server.home().join("tree"));
        same(&place.path().join("tree"), &place.path().join("back"));
    }
}

#[test]
fn without_resumption() {
    everything("prefer", false);
}

#[test]
fn with_one_ticket_for_all() {
    everything("require", true);
}

#[test]
fn without_resumption_where_it_is_required() {
    if !installed("python3") {
        return;
    }
    for version in VERSIONS {
        let server = Setup::new()
            .set("tls.data-binding", "\"require\"")
            .set("limits.data-timeout", "\"1s\"")
            .start();
        let place = TempDir::new().unwrap();
        make_tree(&place.path().join("tree"));
        let (success, said) = run(&mut script(&server, version, false, place.path()));
        assert!(!success, "{said}");
        assert!(!server.home().join("file").exists());
    }
}
