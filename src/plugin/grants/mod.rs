//! What one plugin may reach outside of its sandbox, made ready when the plugin is loaded.
//!
//! WASI's sockets, files and variables are linked for every plugin and find here what is in them:
//! nothing, unless it was granted. `wasi:http` and `wasi:tls` are linked for plugins with a grant.

mod address;
mod directories;
mod http;
mod network;
mod refusals;
mod tls;

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, filesystem::WasiFilesystemCtx};
use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxBuilder, p2::LinkOptions};

pub(super) use self::http::Web;
use self::{network::Network, refusals::Refusals, tls::Trust};
use super::{
    LoadError,
    call::Call,
    output::{Output, Voice},
};
use crate::config::{Grants, grants::Service};

/// A plugin's grants, ready for use.
pub(super) struct Granted {
    services: Arc<[Service]>,
    network: Option<Arc<Network>>,
    dns: bool,
    directories: WasiFilesystemCtx,
    environment: Vec<(String, String)>,
    trust: Arc<Trust>,
}

/// Whose requests these are, for the log.
pub(super) struct Asker {
    pub(super) plugin: Arc<str>,
    pub(super) session: Arc<str>,
}

impl Granted {
    /// Opens the directories, reads the authorities and the variables. Blocks.
    ///
    /// # Errors
    /// What is not there.
    pub(super) fn new(grants: &Grants) -> Result<Self, LoadError> {
        let variable = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
        Ok(Self {
            services: grants.http.as_slice().into(),
            network: Network::new(&grants.tcp).map(Arc::new),
            dns: grants.dns,
            directories: directories::open(&grants.directories)?,
            environment: grants.environment.iter().filter_map(variable).collect(),
            trust: Arc::new(Trust::new(grants.authorities.as_deref())?),
        })
    }

    /// Adds the interfaces that are there for plugins with a grant alone.
    pub(super) fn link(grants: &Grants, linker: &mut Linker<Call>) -> wasmtime::Result<()> {
        if !grants.http.is_empty() {
            wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
        }
        if !grants.tcp.is_empty() {
            let mut options = LinkOptions::default();
            options.tls(true);
            wasmtime_wasi_tls::p2::add_to_linker(linker, &options)?;
        }
        Ok(())
    }

    /// WASI for one store.
    pub(super) fn wasi(&self, asker: Asker, output: &Arc<Output>) -> WasiCtx {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Voice::stdout(output))
            .stderr(Voice::stderr(output))
            .envs(&self.environment)
            .allow_udp(false)
            .allow_tcp(self.network.is_some())
            .allow_ip_name_lookup(self.dns);
        if let Some(network) = &self.network {
            let (network, refusals) = (network.clone(), Arc::new(Refusals::new(asker)));
            wasi.socket_addr_check(move |address, purpose| {
                Box::pin(network.clone().permits(address, purpose, refusals.clone()))
            });
        }
        let mut wasi = wasi.build();
        wasi.filesystem().clone_from(&self.directories);
        wasi
    }

    /// TLS for one store.
    pub(super) fn tls(&self, asker: Asker) -> WasiTlsCtx {
        let provider = tls::Provider::new(self.trust.clone(), Refusals::new(asker));
        WasiTlsCtxBuilder::new()
            .provider(Box::new(provider))
            .build()
    }

    /// HTTP for one store.
    pub(super) fn web(&self, asker: Asker, patience: std::time::Duration) -> Web {
        Web::new(
            self.services.clone(),
            self.trust.clone(),
            patience,
            Refusals::new(asker),
        )
    }
}
