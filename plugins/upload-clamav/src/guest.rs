//! The plugin as the server sees it.

use crate::scan::{self, Gone};
use crate::settings::Settings;
use net::{Deadline, tcp};
use sdk::settings;
use sdk::settings_check::{self, Problem};
use sdk::upload_inspector::{Failure, Guest, Session, Upload, Verdict};
use std::io::{self, Read, Write};
use std::time::Duration;

struct Clamav;
sdk::upload_inspector::export!(Clamav);
settings_check::export!(Clamav);

impl Guest for Clamav {
    fn inspect(_: Session, upload: Upload) -> Result<Verdict, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        match scan::inspect(&settings, &Granted(&settings), &upload) {
            Ok(scan::Verdict::Accept) => Ok(Verdict::Accept),
            Ok(scan::Verdict::Reject(reason)) => Ok(Verdict::Reject(reason)),
            Ok(scan::Verdict::Quarantine(reason)) => Ok(Verdict::Quarantine(reason)),
            Err(scan::Failure::Unavailable(what)) => Err(Failure::Unavailable(what)),
            Err(scan::Failure::Internal(what)) => Err(Failure::Internal(what)),
        }
    }
}

impl settings_check::Guest for Clamav {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

impl scan::Upload for Upload {
    fn announced_size(&self) -> Option<u64> {
        self.announced_size()
    }

    fn read(&self, at_most: u32) -> Result<Option<Vec<u8>>, Gone> {
        self.read(at_most).map_err(|_| Gone)
    }

    fn drain(&self) -> Result<(), Gone> {
        self.drain().map_err(|_| Gone)
    }
}

struct Granted<'a>(&'a Settings);

impl scan::Network for Granted<'_> {
    type Connection = Timed;

    fn connect(&self) -> Result<Timed, String> {
        let mut failed = Vec::new();
        for address in &self.0.addresses {
            let deadline = Deadline::after(self.0.connect_timeout);
            match tcp::connect(&address.host, address.port, deadline) {
                Ok(connection) => {
                    return Ok(Timed {
                        connection,
                        timeout: self.0.timeout,
                    });
                }
                Err(error) => failed.push(format!("{}:{}: {error}", address.host, address.port)),
            }
        }
        Err(failed.join("; "))
    }
}

struct Timed {
    connection: tcp::Connection,
    timeout: Duration,
}

impl scan::Connection for Timed {
    fn restart(&mut self) {
        self.connection.set_deadline(Deadline::after(self.timeout));
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}
