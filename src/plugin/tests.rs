//! The host against components that behave and components that do not.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod faults;
mod fifth;
mod loading;
mod passwords;
mod policy;
mod settings;
mod uploads;
mod values;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::Host;
use crate::{
    config,
    ftp::{path::VirtualPath, secret::Secret},
    gate::{
        Account, Fault, Gates, SessionInfo,
        authentication::{Authenticator, Credentials, Outcome},
    },
    types::{HostId, OnFailure},
};

fn component(name: &str) -> String {
    format!(
        "{}/tests/components/built/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn configured(component: String, settings: &str) -> config::Plugin {
    config::Plugin {
        name: "test".into(),
        component,
        sha256: None,
        on_failure: OnFailure::Deny,
        settings: settings.parse().unwrap(),
        instances: None,
        limits: config::PluginLimits::default(),
        grants: config::Grants::default(),
    }
}

/// A host in a directory of its own, which is also where setting files are.
struct Fixture {
    directory: tempfile::TempDir,
    host: Host,
}

impl Fixture {
    fn new() -> Self {
        Self::with_memory(None)
    }

    fn with_memory(memory: Option<u64>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config::PluginHost {
            instances: 64,
            memory,
            ..Default::default()
        };
        let host = Host::new(&config, &directory.path().join("cache"), None).unwrap();
        Self { directory, host }
    }

    async fn gates(&self, plugins: &[config::Plugin]) -> Gates {
        self.host
            .gates(plugins, self.directory.path())
            .await
            .unwrap()
    }

    /// Nothing that a component did is left behind.
    async fn still_works(&self) {
        let gates = self
            .gates(&[configured(component("faulty-authenticator"), "")])
            .await;
        let outcome = login(&*gates.authenticators[0].gate, "ok", "").await;
        assert!(matches!(outcome, Ok(Outcome::Accept(_))), "{outcome:?}");
    }
}

fn session(user: &str) -> Arc<SessionInfo> {
    Arc::new(SessionInfo {
        id: "s1".into(),
        client: SocketAddr::from(([192, 0, 2, 7], 50_000)),
        server: SocketAddr::from(([192, 0, 2, 1], 21)),
        host: None,
        tls: None,
        certificate: None,
        known: true,
        user: Some(user.into()),
        virtual_host: HostId::default(),
        account: Some(Arc::new(Account::new(VirtualPath::root()))),
    })
}

async fn login(gate: &dyn Authenticator, user: &str, password: &str) -> Result<Outcome, Fault> {
    let password = Some(Secret::new(password));
    let credentials = Credentials {
        user: user.into(),
        password,
        one_time_code: None,
    };
    gate.authenticate(session(user), credentials).await
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
