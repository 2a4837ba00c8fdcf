//! Asks a database who a client is: PostgreSQL, MySQL or MariaDB.
//!
//! ```toml
//! servers = ["postgres://db1.example.org/ftp", "postgres://10.0.0.5:5432/ftp"]  # the first that answers
//! tls = true                        # false: in the clear
//! tls-name = "db.example.org"       # in the certificate; without it the server's name
//! timeout = 4                       # seconds for all servers
//! user = "portcullis"               # the account at the database, not the client
//! password = "…"
//! query = "select name, password, home, quota from ftp_users where name = $1"    # mysql: ?
//! account = { permissions = ["read"] }    # what all users have, as for a user of the plugin `users`
//! ```
//!
//! Columns are named like the keys of a user of the plugin `users`. The client's name is a parameter
//! of a prepared statement; it is never part of the query's text. Both protocols are spoken as far as
//! one query needs it. TLS is made by the server.

pub mod login;
pub mod mysql;
pub mod postgres;
pub mod row;
pub mod settings;
pub mod wire;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
