//! The grants of one plugin outside of its sandbox, made ready when the plugin is loaded.
//!
//! WASI's sockets, files and variables are linked for every plugin and find here what is in them:
//! nothing, unless it was granted. `wasi:http` and `wasi:tls` are linked for plugins with a grant.

mod address;
mod directories;
mod http;
mod lenient;
mod names;
mod network;
mod refusals;
mod tls;

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, filesystem::WasiFilesystemCtx};
use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxBuilder, p2::LinkOptions};

use self::network::Network;
pub(super) use self::{http::Web, refusals::Refusals};
use super::{
    LoadError,
    call::Call,
    output::{Output, Voice},
};
use crate::{
    config::{Grants, grants::Service},
    tls::trust::Trust,
};

/// A plugin's grants, ready for use.
pub(super) struct Granted {
    services: Arc<[Service]>,
    network: Arc<Network>,
    dns: bool,
    no_directories: bool,
    directories: WasiFilesystemCtx,
    environment: Vec<(String, String)>,
    trust: Arc<Trust>,
}

/// The plugin and the session of a request, for the log.
pub(super) struct Asker {
    pub(super) plugin: Arc<str>,
    pub(super) session: Arc<str>,
}

impl Granted {
    /// Opens the directories, reads the authorities and the variables. Blocks.
    ///
    /// # Errors
    /// The grant whose target is not there.
    pub(super) fn new(grants: &Grants) -> Result<Self, LoadError> {
        let trust = Trust::new(grants.authorities.as_deref());
        let trust = trust.map_err(|why| LoadError::new("grants.authorities", why))?;
        let variable = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
        Ok(Self {
            services: grants.http.as_slice().into(),
            network: Arc::new(Network::new(&grants.tcp)),
            dns: grants.dns,
            no_directories: grants.directories.is_empty(),
            directories: directories::open(&grants.directories)?,
            environment: grants.environment.iter().filter_map(variable).collect(),
            trust: Arc::new(trust),
        })
    }

    /// Puts the server's own in the place of interfaces that refuse in silence.
    pub(super) fn shadow(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
        names::shadow(linker)
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
    pub(super) fn wasi(&self, refusals: &Arc<Refusals>, output: &Arc<Output>) -> WasiCtx {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Voice::stdout(output))
            .stderr(Voice::stderr(output))
            .envs(&self.environment)
            .allow_udp(false)
            .allow_ip_name_lookup(self.dns);
        // Also where nothing is granted: what is refused is said.
        let (network, refusals) = (self.network.clone(), refusals.clone());
        wasi.allow_tcp(true)
            .socket_addr_check(move |address, purpose| {
                Box::pin(network.clone().permits(address, purpose, refusals.clone()))
            });
        let mut wasi = wasi.build();
        wasi.filesystem().clone_from(&self.directories);
        wasi
    }

    /// Says that a name is not looked up, if that is so.
    pub(super) fn asked_for_name(&self, name: &str, refusals: &Refusals) {
        // An address is no name, and takes no grant.
        if !self.dns && name.parse::<std::net::IpAddr>().is_err() {
            refusals.refuse(
                format_args!("to look up the name {name:?}, without grants.dns"),
                "dns = true",
            );
        }
    }

    /// Whether the plugin sees no directory.
    pub(super) fn no_directories(&self) -> bool {
        self.no_directories
    }

    /// TLS for one store.
    pub(super) fn tls(&self, refusals: &Arc<Refusals>) -> WasiTlsCtx {
        let provider = tls::Provider::new(self.trust.clone(), refusals.clone());
        WasiTlsCtxBuilder::new()
            .provider(Box::new(provider))
            .build()
    }

    /// HTTP for one store.
    pub(super) fn web(&self, refusals: &Arc<Refusals>, patience: std::time::Duration) -> Web {
        Web::new(
            self.services.clone(),
            self.trust.clone(),
            patience,
            refusals.clone(),
        )
    }
}
