//! Asks an LDAP directory who a client is:
//!
//! ```toml
//! servers = ["ldaps://ldap1.example.org", "ldap://10.0.0.5:389"]  # the first that answers
//! start-tls = true                  # for ldap:
//! tls-name = "ldap.example.org"     # in the certificate; without it the server's name
//! timeout = 4                       # seconds for all servers
//! user-attribute = "uid"            # has to be the name that the client gave, letter by letter
//!
//! # Either: where each user is.
//! bind-dn = "uid={user},ou=people,dc=example,dc=org"
//! # Or: where to look for users, and who looks.
//! base = "ou=people,dc=example,dc=org"
//! filter = "(uid={user})"
//! bind-user = "cn=portcullis,dc=example,dc=org"
//! bind-password = "…"
//!
//! group-base = "ou=groups,dc=example,dc=org"
//! group-filter = "(member={dn})"    # {user}, too
//! group-attribute = "cn"
//! home-attribute = "ftpHome"        # without it `account.home`, or "/" and the name
//! attributes = { mail = "mail" }    # for other plugins, by the directory's names
//! account = { permissions = ["read"] }    # as for a user of the plugin `users`
//! ```
//!
//! LDAP is RFC 4511 as far as needed: simple bind, search, STARTTLS. Referrals are not followed.
//! TLS is made by the server.

pub mod ber;
pub mod client;
pub mod escape;
pub mod filter;
pub mod login;
pub mod message;
pub mod settings;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
