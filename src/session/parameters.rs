//! PASV, EPSV, PORT, EPRT, TYPE, MODE, STRU, REST, ALLO, RANG, OPTS.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4},
};

use super::{Next, UserSession, connection::Connection, errors::Failure, size_limit::Limit};
use crate::{
    data::{Route, arrivals::Arrivals, passive},
    ftp::{
        address,
        command::{Epsv, Mode, Opts, Parameter, Structure, Switch, Type},
        reply::Reply,
    },
    gate::event::Event,
    open_files,
};

/// RFC 2577 §3: no service that matters listens above.
const LOWEST_ACTIVE_PORT: u16 = 1024;

impl UserSession<'_> {
    pub(super) async fn parameter(&mut self, command: Parameter) -> io::Result<Next> {
        let reply = match command {
            Parameter::Pasv => self.pasv().await,
            Parameter::Epsv(which) => self.epsv(which),
            Parameter::Port(address) => self.active(address.into()),
            Parameter::Eprt(address) => self.active(address),
            Parameter::Type(kind) => self.set_type(kind),
            Parameter::Mode(Mode::Stream) => Reply::new(200, "MODE S"),
            Parameter::Stru(Structure::File) => Reply::new(200, "STRU F"),
            Parameter::Rest(offset) => self.rest(offset),
            Parameter::Allo(size) => self.allo(size),
            Parameter::Rang(first, last) => self.rang(first, last),
        };
        self.answer(reply).await
    }

    async fn pasv(&mut self) -> Reply {
        if self.connection.parameters.epsv_all {
            return epsv_all();
        }
        let Connection {
            generation,
            listener,
            facts,
            ..
        } = &*self.connection;
        let (client, server) = (facts.client.ip(), facts.server.ip());
        // There is no IPv6 form of the answer.
        let Some(advertised) = generation.advertise(listener, client, server).await else {
            return Reply::new(522, "PASV is for IPv4 alone, use EPSV (2)");
        };
        match self.listen() {
            Ok(port) => Reply::new(227, address::pasv_text(SocketAddrV4::new(advertised, port))),
            Err(failure) => self.failed_at("data-connection", "", failure),
        }
    }

    fn epsv(&mut self, which: Epsv) -> Reply {
        let local = self.connection.local.ip().to_canonical();
        match (which, local) {
            (Epsv::All, _) => {
                self.connection.parameters.epsv_all = true;
                Reply::new(200, "EPSV ALL: no other way from here on")
            }
            (Epsv::V4, IpAddr::V6(_)) => Reply::new(522, "Network protocol not supported, use (2)"),
            (Epsv::V6, IpAddr::V4(_)) => Reply::new(522, "Network protocol not supported, use (1)"),
            _ => match self.listen() {
                Ok(port) => Reply::new(229, address::epsv_text(port)),
                Err(failure) => self.failed_at("data-connection", "", failure),
            },
        }
    }

    /// Listens where the control connection arrived.
    fn listen(&mut self) -> Result<u16, Failure> {
        self.connection.parameters.route = None;
        match self.arrivals() {
            Ok((port, arrivals)) => {
                self.connection.parameters.route = Some(Route::Passive(Box::new(arrivals)));
                Ok(port)
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let listener = &self.connection.listener;
                let ((first, last), key) = (listener.passive_ports, listener.passive_ports_key());
                let cause = format!("all ports of {key} ({first}-{last}) are taken");
                self.connection.emit(&Event::NoPort { cause: &cause });
                Err(Reply::new(425, "No port is free for a data connection").into())
            }
            Err(error) if open_files::is_exhausted(&error) => {
                open_files::complain("a data connection could not be listened for");
                Err(Reply::new(425, open_files::TEXT).into())
            }
            Err(error) => {
                let address = self.connection.local.ip();
                let cause = &format!("{address}: {error}");
                self.connection.emit(&Event::NoPort { cause });
                Err(Reply::new(425, "Cannot listen for a data connection").into())
            }
        }
    }

    /// A port of the session's own, or the one of all sessions, where the configuration has one alone.
    fn arrivals(&self) -> io::Result<(u16, Arrivals)> {
        let Connection {
            local,
            listener,
            generation,
            ..
        } = &*self.connection;
        if let Some(port) = listener.shared_port() {
            let at = address::with_port(*local, port);
            let proxies = &listener.data_proxy_networks;
            let terms = self.connection.terms();
            let seat = generation.shared_ports.seat(at, &terms, proxies)?;
            return Ok((port, Arrivals::shared(seat)));
        }
        let proxies = &listener.data_proxy_networks;
        let listener = passive::listen(*local, listener.passive_ports)?;
        let port = listener.local_addr()?.port();
        Ok((port, Arrivals::new(listener).behind(proxies)))
    }

    /// PORT and EPRT: never to another host, never to a port that a service may have, checked
    /// before anything is sent there (RFC 2577 §3, CVE-1999-0017).
    fn active(&mut self, to: SocketAddr) -> Reply {
        if self.connection.parameters.epsv_all {
            return epsv_all();
        }
        if !self.connection.is_on(Switch::ActiveMode) {
            return Reply::new(502, "Active mode is off, use EPSV or PASV");
        }
        let from = address::with_port(address::canonical(self.connection.local), 0);
        let client = address::canonical(self.connection.facts.client);
        let to = address::canonical(to);
        if to.is_ipv4() != from.is_ipv4() {
            let family = if from.is_ipv4() { 1 } else { 2 };
            let text = format!("Network protocol not supported, use ({family})");
            return Reply::new(522, text);
        }
        if !address::same_host(to, client) {
            let text = "Data connections go to the client's own address alone";
            return Reply::new(501, text);
        }
        // EPRT names no scope: it is that of the control connection.
        let to = address::with_port(client, to.port());
        if to.port() < LOWEST_ACTIVE_PORT {
            return Reply::new(504, "Ports below 1024 are not connected to");
        }
        self.connection.parameters.route = Some(Route::Active { to, from });
        Reply::new(200, "Ready to connect")
    }

    fn set_type(&mut self, kind: Type) -> Reply {
        self.connection.parameters.ascii = kind == Type::Ascii;
        let text = if self.connection.parameters.ascii {
            "TYPE A"
        } else {
            "TYPE I"
        };
        Reply::new(200, text)
    }

    fn rest(&mut self, offset: u64) -> Reply {
        self.connection.parameters.restart = offset;
        Reply::new(
            350,
            format!("Restarting at {offset}, the transfer comes next"),
        )
    }

    fn allo(&mut self, size: u64) -> Reply {
        let refusal = Limit::size(self.upload_limit()).refuses(Some(size));
        if let Some(Failure::OverLimit { reply, bytes }) = refusal {
            self.connection
                .journal()
                .over_limit(None, bytes, reply.text());
            return reply;
        }
        self.connection.parameters.announced_size = Some(size);
        Reply::new(202, "No storage needs to be reserved")
    }

    fn rang(&mut self, first: u64, last: u64) -> Reply {
        // `RANG 1 0` takes it back.
        self.connection.parameters.range = (first <= last).then_some((first, last));
        Reply::new(350, format!("Range {first}-{last}, HASH comes next"))
    }
}

impl Connection {
    pub(super) fn opts(&mut self, option: Opts) -> Reply {
        match option {
            Opts::Utf8(true) => Reply::new(200, "Names are UTF-8"),
            Opts::Utf8(false) => Reply::new(501, "Names are always UTF-8"),
            Opts::Mlst(facts) => {
                let list = facts.list();
                self.parameters.facts = facts;
                Reply::new(200, format!("MLST OPTS {list}").trim_end().to_owned())
            }
            Opts::Hash(None) => Reply::new(200, self.parameters.hash.name()),
            Opts::Hash(Some(algorithm)) => {
                self.parameters.hash = algorithm;
                Reply::new(200, algorithm.name())
            }
            Opts::Unknown(_) => Reply::new(501, "That command has no options"),
        }
    }
}

fn epsv_all() -> Reply {
    Reply::new(501, "After EPSV ALL, EPSV is the only way")
}
