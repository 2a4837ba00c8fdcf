//! Virtual hosts and listeners, on the real server over real sockets.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod chosen;
mod commands;
mod haproxy;
mod kept;
mod listeners;
mod proxied;
mod reload;

use std::{fs, path::PathBuf};

use rcgen::PKCS_ECDSA_P256_SHA256;

use crate::support::{
    Authority, Client, Server, Setup, Tls,
    server::{entry, hash},
    tls::Identity,
};

/// The name of the host beside the default one.
pub const HOST: &str = "files.example";

/// A server with two hosts: the default one, and [`HOST`] with a certificate, a greeting, users and files of
/// its own. On both, alice is somebody else.
pub struct Two {
    pub setup: Setup,
    pub certificate: Identity,
    /// The authority's certificate.
    pub authority: PathBuf,
}

impl Two {
    /// `more` are further keys of the host, before its tables.
    pub fn new(more: &str) -> Self {
        let authority = Authority::new();
        let certificate = authority.server(HOST, &PKCS_ECDSA_P256_SHA256);
        let setup = Setup::new();
        let pem = setup.file("files.pem", &certificate.certificate_pem);
        let key = setup.file("files.key", &certificate.key_pem);
        let setup = setup.tables(&host(
            more,
            &format!("tls = {{ certificate = {pem:?}, key = {key:?} }}\n"),
        ));
        with_users(&setup, &[("alice", "of files"), ("bob", "of files")]);
        let authority = setup.file("authority.pem", authority.pem);
        Self {
            setup,
            certificate,
            authority,
        }
    }
}

/// The tables of the host.
pub fn host(more: &str, tls: &str) -> String {
    format!(
        "[[host]]\nname = {HOST:?}\naliases = ['alias.example']\ngreeting = 'Files of all kinds'\n{tls}\
         storage.default.root = 'files-of-host'\n{more}\n\
         [[host.plugin]]\nname = 'users'\ncomponent = 'builtin:users'\n\
         settings.users = {{ file = 'users-of-host.toml' }}\n\
         [[host.plugin]]\nname = 'rules'\ncomponent = 'builtin:rules'\n\
         settings = {{ default = 'allow', rules = [\
         {{ effect = 'deny', operations = ['delete'], reason = 'Nothing goes here' }}] }}\n"
    )
}

/// Writes the host's file of users: names and passwords.
pub fn with_users(setup: &Setup, users: &[(&str, &str)]) {
    let entries = users
        .iter()
        .map(|(name, password)| entry(name, &format!("password = {:?}\n", hash(password))));
    fs::create_dir_all(setup.state()).unwrap();
    fs::write(
        setup.state().join("users-of-host.toml"),
        entries.collect::<String>(),
    )
    .unwrap();
}

/// Connected and protected, by the name of the host.
pub fn at(server: &Server, name: &str) -> Client {
    server.secure(&Tls::new().host(name))
}

/// The reply to a login.
pub fn login(client: &mut Client, user: &str, password: &str) -> u16 {
    client
        .send(&format!("USER {user}"))
        .expect_one_of(&[331, 530]);
    client.send(&format!("PASS {password}")).code
}

/// Logged in at [`HOST`], with protected data connections.
pub fn inside(server: &Server, user: &str) -> Client {
    let mut client = at(server, HOST);
    assert_eq!(login(&mut client, user, "of files"), 230);
    for command in ["PBSZ 0", "PROT P", "TYPE I"] {
        client.send(command).expect(200);
    }
    client
}
