//! Checks beyond the types: values that make no sense, alone or together.

mod acme;
mod hosts;
mod plugins;
mod state;
mod storages;
mod tls;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{Config, Host, LateVerdict, Listener, schema};
use crate::{startup::overlap, types::TlsStart};

/// The errors and warnings, each with its key.
#[derive(Default)]
pub struct Findings {
    pub errors: Vec<(String, String)>,
    pub warnings: Vec<(String, String)>,
}

/// Looks at everything; the paths are absolute already.
pub fn check(config: &Config) -> Findings {
    let mut findings = Findings {
        errors: schema::out_of_bounds(config),
        warnings: Vec::new(),
    };
    server(config, &mut findings);
    listeners(config, &mut findings);
    hosts::hosts(config, &mut findings);
    let (default, others) = config.hosts();
    tls::tls(config, &default, &mut findings);
    acme::acme(config, &mut findings);
    limits(config, &mut findings);
    storages::storages(config, &mut findings);
    state::state(&config.state, &mut findings);
    uploads(&default, &mut findings);
    plugins::plugin_host(config, &mut findings);
    plugins::plugins(&default, &mut findings);
    for host in others {
        let mut of_host = Findings::default();
        tls::tls(config, &host, &mut of_host);
        uploads(&host, &mut of_host);
        plugins::plugins(&host, &mut of_host);
        // The faults of the top level are found there.
        let table = host.keys.table().unwrap_or_default();
        let is_own = |(key, _): &(String, String)| key.starts_with(&table);
        findings
            .errors
            .extend(of_host.errors.into_iter().filter(is_own));
        findings
            .warnings
            .extend(of_host.warnings.into_iter().filter(is_own));
    }
    findings
}

impl Findings {
    fn error(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.errors.push((key.into(), text.into()));
    }

    fn warn(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.warnings.push((key.into(), text.into()));
    }
}

fn server(config: &Config, findings: &mut Findings) {
    let server = &config.server;
    let mut logs = BTreeMap::new();
    for (key, file) in config.logs() {
        // Serving may write to that directory, and must not to these.
        if file
            .parent()
            .is_some_and(|directory| server.state.starts_with(directory))
        {
            findings.error(
                key,
                "expected a file in a directory of its own, such as /var/log/portcullis",
            );
        }
        if let Some(other) = logs.insert(file, key) {
            findings.error(key, format!("this is {other} already"));
        }
    }
    if let Some(endpoint) = &config.traces.endpoint
        && config.traces.collector().is_none()
    {
        findings.error(
            "traces.endpoint",
            format!("expected a URL of http or https, such as \"http://127.0.0.1:4318\", found {endpoint:?}"),
        );
    }
    greeting("server.greeting".to_owned(), &server.greeting, findings);
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.level) {
        findings.error(
            "log.level",
            format!("expected error, warn, info, debug, trace or directives such as \"info,portcullis::session=debug\": {error}"),
        );
    }
}

fn greeting(key: String, text: &str, findings: &mut Findings) {
    if text.chars().any(char::is_control) || text.len() > 500 {
        findings.error(key, "expected one line of 500 bytes at most");
    }
}

fn listeners(config: &Config, findings: &mut Findings) {
    let mut seen: BTreeMap<SocketAddr, String> = BTreeMap::new();
    let mut free: BTreeSet<(SocketAddr, bool)> = BTreeSet::new();
    for listener in config.listeners() {
        let Listener {
            address, key, tls, ..
        } = &listener;
        if address.port() == 0 {
            // Of two that take free ports, a reload could not tell which is which.
            let is_new = free.insert((*address, *tls == TlsStart::Implicit));
            if !is_new && key.starts_with("listener") {
                findings.error(key.clone(), format!("{address} is there already"));
            }
        } else if let Some(first) = seen.insert(*address, key.clone()) {
            findings.error(key.clone(), format!("{address} is in {first} already"));
        }
        let proxies = [
            (listener.proxy_networks_key(), &listener.proxy_networks),
            (
                listener.data_proxy_networks_key(),
                &listener.data_proxy_networks,
            ),
        ];
        for (key, networks) in proxies {
            let is_told = findings.warnings.iter().any(|(told, _)| *told == key);
            if networks.iter().any(|network| network.prefix_len() == 0) && !is_told {
                let text = "has every address: whoever connects says whom it is";
                findings.warn(key, text);
            }
        }
        let (first, last) = listener.passive_ports;
        let ports = listener.passive_ports_key();
        let is_said = findings.errors.iter().any(|(key, _)| *key == ports);
        if (first, last) != (0, 0) && first < 1024 && !is_said {
            let text = format!("expected ports from 1024, or 0-0, found {first}-{last}");
            findings.error(ports, text);
        }
    }
    if seen.is_empty() && free.is_empty() {
        findings.error(
            "server.listen",
            "listen and listen-implicit are both empty, and there is no [[listener]]: no client \
             could come in",
        );
    }
    for (key, address) in [
        ("admin.listen", config.admin.listen),
        ("metrics.listen", config.metrics.listen),
        ("acme.http-listen", config.acme.listens()),
    ] {
        let Some(address) = address else { continue };
        match seen.iter().find(|(other, _)| overlap(address, **other)) {
            Some((_, other)) => findings.error(key, format!("{address}: {other} takes it")),
            None => drop(seen.insert(address, key.to_owned())),
        }
    }
}

fn limits(config: &Config, findings: &mut Findings) {
    if config.limits.sessions == 0 {
        findings.warn(
            "limits.sessions",
            "is 0, no limit: clients can use up the server's memory",
        );
    }
}

fn uploads(host: &Host, findings: &mut Findings) {
    let uploads = host.uploads;
    let key = host.key("uploads.verdict-late");
    if uploads.verdict_late != LateVerdict::Accept {
        return;
    }
    if uploads.verdict_after.is_zero() {
        findings.warn(
            key,
            "has no effect while uploads.verdict-after is 0, no limit",
        );
    } else {
        findings.warn(
            key,
            "is \"accept\": what inspectors are slow with is published before they have decided",
        );
    }
}
