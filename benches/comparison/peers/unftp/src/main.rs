//! libunftp over a directory, TLS required on both kinds of connections, one user.
//!
//! `unftp-peer PORT HOME CERTIFICATE KEY USER PASSWORD FIRST-PASSIVE-PORT LAST-PASSIVE-PORT`

use std::{process::exit, sync::Arc};

use async_trait::async_trait;
use libunftp::{
    ServerBuilder,
    options::{FtpsRequired, TlsFlags},
};
use unftp_core::auth::{AuthenticationError, Authenticator, Credentials, Principal};
use unftp_sbe_fs::Filesystem;

#[derive(Debug)]
struct OneUser {
    user: String,
    password: String,
}

#[async_trait]
impl Authenticator for OneUser {
    async fn authenticate(
        &self,
        user: &str,
        credentials: &Credentials,
    ) -> Result<Principal, AuthenticationError> {
        if user != self.user {
            return Err(AuthenticationError::BadUser);
        }
        match &credentials.password {
            Some(password) if *password == self.password => Ok(Principal {
                username: user.to_string(),
            }),
            _ => Err(AuthenticationError::BadPassword),
        }
    }
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, home, certificate, key, user, password, first, last] = words.as_slice() else {
        eprintln!("usage: unftp-peer PORT HOME CERTIFICATE KEY USER PASSWORD FIRST LAST");
        exit(2);
    };
    let home = home.clone();
    let authenticator = Arc::new(OneUser {
        user: user.clone(),
        password: password.clone(),
    });
    let flags = TlsFlags::V1_2
        | TlsFlags::V1_3
        | TlsFlags::RESUMPTION_SESS_ID
        | TlsFlags::RESUMPTION_TICKETS;
    let server = ServerBuilder::with_authenticator(
        Box::new(move || Filesystem::new(home.clone()).expect("a directory")),
        authenticator,
    )
    .greeting("libunftp")
    .ftps(certificate, key)
    .ftps_required(FtpsRequired::All, FtpsRequired::All)
    .ftps_tls_flags(flags)
    .passive_ports(first.parse().expect("a port")..=last.parse().expect("a port"))
    .idle_session_timeout(600)
    .build();
    let result = match server {
        Ok(server) => server.listen(format!("127.0.0.1:{port}")).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        eprintln!("unftp-peer: {error}");
        exit(1);
    }
}
