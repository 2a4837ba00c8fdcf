//! PASV, EPSV, PORT, EPRT, TYPE, REST, ALLO, OPTS.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4},
};

use super::{Next, Session, errors::Failure, upload::Limit};
use crate::{
    data::{Route, arrivals::Arrivals, passive},
    ftp::{
        address,
        command::{Epsv, Opts, Type},
        reply::Reply,
    },
    open_files,
};

/// RFC 2577 §3: no service that matters listens above.
const LOWEST_ACTIVE_PORT: u16 = 1024;

impl Session {
    pub(super) async fn pasv(&mut self) -> io::Result<Next> {
        if self.parameters.epsv_all {
            return self.answer(epsv_all()).await;
        }
        // There is no IPv6 form of the answer.
        let Some(advertised) = self.context.advertise(self.facts.server.ip()).await else {
            return self
                .answer(Reply::new(522, "PASV is for IPv4 alone, use EPSV (2)"))
                .await;
        };
        let reply = match self.listen() {
            Ok(port) => Reply::new(227, address::pasv_text(SocketAddrV4::new(advertised, port))),
            Err(failure) => self.failed_at("data-connection", "", failure),
        };
        self.answer(reply).await
    }

    pub(super) async fn epsv(&mut self, which: Epsv) -> io::Result<Next> {
        let local = self.local.ip().to_canonical();
        let reply = match (which, local) {
            (Epsv::All, _) => {
                self.parameters.epsv_all = true;
                Reply::new(200, "EPSV ALL: no other way from here on")
            }
            (Epsv::V4, IpAddr::V6(_)) => Reply::new(522, "Network protocol not supported, use (2)"),
            (Epsv::V6, IpAddr::V4(_)) => Reply::new(522, "Network protocol not supported, use (1)"),
            _ => match self.listen() {
                Ok(port) => Reply::new(229, address::epsv_text(port)),
                Err(failure) => self.failed_at("data-connection", "", failure),
            },
        };
        self.answer(reply).await
    }

    /// Listens where the control connection arrived.
    fn listen(&mut self) -> Result<u16, Failure> {
        self.parameters.route = None;
        let listener = passive::listen(self.local, self.context.config.data.passive_ports);
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        match bound {
            Ok((port, listener)) => {
                self.parameters.route = Some(Route::Passive(Box::new(Arrivals::new(listener))));
                Ok(port)
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let (first, last) = self.context.config.data.passive_ports;
                let cause = format!("all ports of data.passive-ports ({first}-{last}) are taken");
                self.journal().no_port(&cause);
                Err(Reply::new(425, "No port is free for a data connection").into())
            }
            Err(error) if open_files::is_exhausted(&error) => {
                open_files::complain("a data connection could not be listened for");
                Err(Reply::new(425, open_files::TEXT).into())
            }
            Err(error) => {
                let address = self.local.ip();
                self.journal().no_port(&format!("{address}: {error}"));
                Err(Reply::new(425, "Cannot listen for a data connection").into())
            }
        }
    }

    /// PORT and EPRT: never to another host, never to a port that a service may have, checked
    /// before anything is sent there (RFC 2577 §3, CVE-1999-0017).
    pub(super) async fn active(&mut self, to: SocketAddr) -> io::Result<Next> {
        if self.parameters.epsv_all {
            return self.answer(epsv_all()).await;
        }
        if !self.context.config.data.active {
            return self
                .answer(Reply::new(502, "Active mode is off, use EPSV or PASV"))
                .await;
        }
        let from = address::with_port(address::canonical(self.local), 0);
        let client = address::canonical(self.facts.client);
        let to = address::canonical(to);
        if to.is_ipv4() != from.is_ipv4() {
            let family = if from.is_ipv4() { 1 } else { 2 };
            let text = format!("Network protocol not supported, use ({family})");
            return self.answer(Reply::new(522, text)).await;
        }
        if !address::same_host(to, client) {
            let text = "Data connections go to the client's own address alone";
            return self.answer(Reply::new(501, text)).await;
        }
        // EPRT names no scope: it is that of the control connection.
        let to = address::with_port(client, to.port());
        if to.port() < LOWEST_ACTIVE_PORT {
            return self
                .answer(Reply::new(504, "Ports below 1024 are not connected to"))
                .await;
        }
        self.parameters.route = Some(Route::Active { to, from });
        self.answer(Reply::new(200, "Ready to connect")).await
    }

    pub(super) async fn set_type(&mut self, kind: Type) -> io::Result<Next> {
        self.parameters.ascii = kind == Type::Ascii;
        let text = if self.parameters.ascii {
            "TYPE A"
        } else {
            "TYPE I"
        };
        self.answer(Reply::new(200, text)).await
    }

    pub(super) async fn rest(&mut self, offset: u64) -> io::Result<Next> {
        self.parameters.restart = offset;
        self.answer(Reply::new(
            350,
            format!("Restarting at {offset}, the transfer comes next"),
        ))
        .await
    }

    pub(super) async fn allo(&mut self, size: u64) -> io::Result<Next> {
        let refusal = Limit::size(self.upload_limit()).refuses(Some(size));
        if let Some(Failure::OverLimit { reply, bytes }) = refusal {
            self.journal().over_limit(None, bytes, reply.text());
            return self.answer(reply).await;
        }
        self.parameters.announced_size = Some(size);
        self.answer(Reply::new(202, "No storage needs to be reserved"))
            .await
    }

    pub(super) async fn opts(&mut self, option: Opts) -> io::Result<Next> {
        let reply = match option {
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
        };
        self.answer(reply).await
    }
}

fn epsv_all() -> Reply {
    Reply::new(501, "After EPSV ALL, EPSV is the only way")
}
