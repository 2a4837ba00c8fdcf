//! The plugin that tries, loaded with the grants of a test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use portcullis::{
    config::{self, Grants},
    ftp::secret::Secret,
    gate::{
        Gates, SessionInfo,
        authentication::{Credentials, Outcome},
    },
    plugin::Host,
    types::OnFailure,
};

use crate::{built, support::PATIENCE};

/// The plugin, of which a test asks what it should try.
pub struct Plugin(Gates);

/// How long a call may take where it is to run out.
pub const SOON: Duration = Duration::from_millis(1500);

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
        let config = config::PluginHost {
            instances: 64,
            ..Default::default()
        };
        Host::new(&config, &cache, None).unwrap()
    })
}

impl Plugin {
    /// One with these lines of `[plugin.grants]`. It does not load without some of HTTP and TCP:
    /// where they say nothing of those, to where nobody is.
    pub async fn with(grants: &str) -> Self {
        Self::within(PATIENCE, grants).await
    }

    /// The same with little time for each call.
    pub async fn hurried(grants: &str) -> Self {
        Self::within(SOON, grants).await
    }

    async fn within(wall_time: Duration, grants: &str) -> Self {
        let mut text = grants.to_owned();
        for (key, value) in [("tcp", "192.0.2.1:9"), ("http", "http://192.0.2.1:9")] {
            if !grants.lines().any(|line| line.trim().starts_with(key)) {
                text.push_str(&format!("\n{key} = [{value:?}]"));
            }
        }
        let plugin = config::Plugin {
            name: "tries".into(),
            component: built("tries"),
            sha256: None,
            on_failure: OnFailure::Deny,
            instances: None,
            settings: toml::Table::new(),
            limits: config::PluginLimits {
                wall_time,
                ..Default::default()
            },
            grants: toml::from_str::<Grants>(&text).unwrap(),
        };
        let state = PathBuf::from("nowhere");
        Self(host().gates(&[plugin], &state).await.unwrap())
    }

    /// The result of an action.
    pub async fn tries(&self, action: &str) -> String {
        let address = SocketAddr::from(([192, 0, 2, 7], 50_000));
        let session = Arc::new(SessionInfo {
            id: "s1".into(),
            client: address,
            server: address,
            host: None,
            tls: None,
            certificate: None,
            known: true,
            user: None,
            virtual_host: portcullis::types::HostId::default(),
            account: None,
        });
        let credentials = Credentials {
            user: action.into(),
            password: Some(Secret::new("x")),
            one_time_code: None,
        };
        let gate = &self.0.authenticators[0].gate;
        match gate.authenticate(session, credentials).await {
            Ok(Outcome::Deny(told)) => told,
            Ok(other) => panic!("{action}: {other:?}"),
            Err(fault) => format!("fault {}: {}", fault.kind, fault.text),
        }
    }

    /// Asserts a part of what comes of an action.
    pub async fn told(&self, action: &str, part: &str) {
        let told = self.tries(action).await;
        assert!(told.contains(part), "{action}: no {part:?} in {told:?}");
    }
}
