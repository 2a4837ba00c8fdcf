//! One upload, from its first byte to clamd's answer.

use crate::clamd::{Answer, Clamd, Error, PIECE};
use crate::settings::{Settings, TooLarge};
use std::io::{Read, Write};

/// The file that a client is sending.
pub trait Upload {
    /// How long it will be, if the client said so.
    fn announced_size(&self) -> Option<u64>;
    /// The next bytes; none at the end.
    fn read(&self, at_most: u32) -> Result<Option<Vec<u8>>, Gone>;
    /// Waits for the end.
    fn drain(&self) -> Result<(), Gone>;
}

/// The client has vanished, or sends more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// A connection to clamd.
pub trait Connection: Read + Write {
    /// What follows has its full time.
    fn restart(&mut self);
}

/// Where clamd may be.
pub trait Network {
    /// How it is spoken with.
    type Connection: Connection;
    /// Connects to the first that takes the connection. The error says why none does.
    fn connect(&self) -> Result<Self::Connection, String>;
}

/// What becomes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Accept,
    /// It is not, for this reason.
    Reject(String),
    /// It is kept for a person to look at, for this reason.
    Quarantine(String),
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth trying again.
    Unavailable(String),
    /// The operator's to put right.
    Internal(String),
}

/// Hands the file on, and its verdict back.
pub fn inspect(
    settings: &Settings,
    network: &impl Network,
    upload: &impl Upload,
) -> Result<Verdict, Failure> {
    // Only to reject: what a client says of a file must not keep it from being scanned.
    if settings.too_large == TooLarge::Reject
        && let Some(max) = settings.max_size
        && upload.announced_size().is_some_and(|size| size > max)
    {
        return Ok(Verdict::Reject(too_large(max)));
    }
    match scan(settings, network, upload) {
        Ok(verdict) => Ok(verdict),
        // Of no consequence: the server ignores it.
        Err(End::Gone) => Ok(Verdict::Reject("Interrupted".into())),
        Err(End::Down(what)) => Err(Failure::Unavailable(format!("clamd: {what}"))),
        Err(End::Clamd(error @ Error::TooMuch)) => {
            Err(Failure::Internal(format!("clamd: {error}")))
        }
        Err(End::Clamd(error)) => Err(Failure::Unavailable(format!("clamd: {error}"))),
    }
}

/// Why there is no verdict. The connection to clamd is closed by then.
enum End {
    Gone,
    Down(String),
    Clamd(Error),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Clamd(error)
    }
}

fn scan(settings: &Settings, network: &impl Network, upload: &impl Upload) -> Result<Verdict, End> {
    // A client that sends nothing takes none of clamd's connections.
    let mut piece = upload.read(PIECE)?;
    let mut clamd = Clamd::new(network.connect().map_err(End::Down)?);
    let mut left = settings.max_size.unwrap_or(u64::MAX);
    let mut beyond = false;
    while let Some(bytes) = piece {
        let fitting = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (fitting, rest) = bytes.split_at(fitting);
        left = left.saturating_sub(fitting.len() as u64);
        if !rest.is_empty() {
            let reason = too_large(settings.max_size.unwrap_or_default());
            match settings.too_large {
                TooLarge::Reject => return Ok(Verdict::Reject(reason)),
                TooLarge::Quarantine => {
                    drop(clamd);
                    upload.drain()?;
                    return Ok(Verdict::Quarantine(reason));
                }
                TooLarge::Accept => beyond = true,
            }
        }
        clamd.stream().restart();
        if let Err(error) = clamd.send(fitting) {
            clamd.abandon();
            return Err(error.into());
        }
        if beyond {
            break;
        }
        piece = upload.read(PIECE)?;
    }
    clamd.stream().restart();
    let reason = match clamd.finish()? {
        Answer::Clean => return Ok(Verdict::Accept),
        Answer::Infected(name) => format!("Infected: {name}"),
        Answer::Unscanned(limit) => format!("Cannot be scanned: {limit}"),
    };
    if !settings.quarantine {
        return Ok(Verdict::Reject(reason));
    }
    if beyond {
        // All of it is kept.
        upload.drain()?;
    }
    Ok(Verdict::Quarantine(reason))
}

fn too_large(max: u64) -> String {
    format!("Files of more than {max} bytes cannot be scanned")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::{BAD, StandIn};
    use std::cell::Cell;

    struct File<'a> {
        content: &'a [u8],
        announced: Option<u64>,
        piece: usize,
        read: Cell<usize>,
        breaks: bool,
    }

    impl Upload for File<'_> {
        fn announced_size(&self) -> Option<u64> {
            self.announced
        }
        fn read(&self, at_most: u32) -> Result<Option<Vec<u8>>, Gone> {
            let rest = &self.content[self.read.get()..];
            let length = rest.len().min(self.piece).min(at_most as usize);
            self.read.set(self.read.get() + length);
            match length {
                0 if self.breaks => Err(Gone),
                0 => Ok(None),
                length => Ok(Some(rest[..length].to_vec())),
            }
        }
        fn drain(&self) -> Result<(), Gone> {
            self.read.set(self.content.len());
            Ok(())
        }
    }

    #[derive(Default)]
    struct Net {
        down: bool,
        longest: usize,
        vanishes_after: Option<usize>,
        connected: Cell<bool>,
    }

    impl Network for Net {
        type Connection = StandIn;
        fn connect(&self) -> Result<StandIn, String> {
            self.connected.set(true);
            match self.down {
                true => Err("127.0.0.1:3310: connection refused".into()),
                false => Ok(StandIn {
                    longest: self.longest,
                    vanishes_after: self.vanishes_after,
                    ..StandIn::default()
                }),
            }
        }
    }

    impl Connection for StandIn {
        fn restart(&mut self) {}
    }

    fn file(content: &[u8]) -> File<'_> {
        File {
            content,
            announced: None,
            piece: 64,
            read: Cell::new(0),
            breaks: false,
        }
    }

    fn settings(more: &str) -> Settings {
        Settings::parse(&format!(r#"{{"address": "127.0.0.1:3310"{more}}}"#)).unwrap()
    }

    fn rejected(reason: &str) -> Result<Verdict, Failure> {
        Ok(Verdict::Reject(reason.into()))
    }

    const INFECTED: &str = "Infected: Stand.In.UNOFFICIAL";
    const LARGE: &str = "Files of more than 100 bytes cannot be scanned";

    #[test]
    fn clean_and_infected() {
        let net = Net::default();
        assert_eq!(
            inspect(&settings(""), &net, &file(b"")),
            Ok(Verdict::Accept)
        );
        assert_eq!(
            inspect(&settings(""), &net, &file(&[7; 9999])),
            Ok(Verdict::Accept)
        );
        let bad = [&[7; 500], BAD].concat();
        assert_eq!(
            inspect(&settings(""), &net, &file(&bad)),
            rejected(INFECTED)
        );
        let kept = inspect(&settings(r#", "action": "quarantine""#), &net, &file(&bad));
        assert_eq!(kept, Ok(Verdict::Quarantine(INFECTED.into())));
    }

    #[test]
    fn too_large_as_soon_as_it_is_known() {
        let net = Net::default();
        let limit = r#", "max-size": 100"#;
        let mut announced = file(&[7; 500]);
        announced.announced = Some(101);
        assert_eq!(inspect(&settings(limit), &net, &announced), rejected(LARGE));
        assert!(!net.connected.get() && announced.read.get() == 0);

        let large = file(&[7; 500]);
        assert_eq!(inspect(&settings(limit), &net, &large), rejected(LARGE));
        assert_eq!(large.read.get(), 128);
        for size in [99, 100] {
            let content = vec![7; size];
            assert_eq!(
                inspect(&settings(limit), &net, &file(&content)),
                Ok(Verdict::Accept)
            );
        }

        let kept = file(&[7; 500]);
        let verdict = inspect(
            &settings(&format!(r#"{limit}, "too-large": "quarantine""#)),
            &net,
            &kept,
        );
        assert_eq!(verdict, Ok(Verdict::Quarantine(LARGE.into())));
        assert_eq!(kept.read.get(), 500);
    }

    #[test]
    fn what_is_accepted_above_the_limit_is_scanned_up_to_it() {
        let net = Net::default();
        let accept = settings(r#", "max-size": 100, "too-large": "accept""#);
        assert_eq!(
            inspect(&accept, &net, &file(&[7; 500])),
            Ok(Verdict::Accept)
        );
        let bad = [BAD, &[7; 500]].concat();
        assert_eq!(inspect(&accept, &net, &file(&bad)), rejected(INFECTED));
        // Whatever the client says of it.
        let mut small = file(BAD);
        small.announced = Some(1 << 40);
        assert_eq!(inspect(&accept, &net, &small), rejected(INFECTED));
        let keep = r#", "max-size": 100, "too-large": "accept", "action": "quarantine""#;
        let kept = file(&bad);
        let verdict = inspect(&settings(keep), &net, &kept);
        assert_eq!(verdict, Ok(Verdict::Quarantine(INFECTED.into())));
        assert_eq!(kept.read.get(), bad.len());
    }

    #[test]
    fn without_an_answer_there_is_no_verdict() {
        let down = Net {
            down: true,
            ..Net::default()
        };
        for content in [b"".as_slice(), b"content"] {
            let failed = inspect(&settings(""), &down, &file(content));
            let what = "clamd: 127.0.0.1:3310: connection refused";
            assert_eq!(failed, Err(Failure::Unavailable(what.into())));
        }
        let vanishes = Net {
            vanishes_after: Some(200),
            ..Net::default()
        };
        let failed = inspect(&settings(""), &vanishes, &file(&[7; 500]));
        assert!(matches!(failed, Err(Failure::Unavailable(_))), "{failed:?}");
        let short = Net {
            longest: 200,
            ..Net::default()
        };
        let failed = inspect(&settings(""), &short, &file(&[7; 500]));
        assert!(
            matches!(&failed, Err(Failure::Internal(what)) if what.contains("StreamMaxLength"))
        );
    }

    #[test]
    fn half_a_file_is_never_ended() {
        let net = Net::default();
        let mut broken = file(&[7; 500]);
        broken.breaks = true;
        let verdict = inspect(&settings(""), &net, &broken);
        assert_eq!(verdict, rejected("Interrupted"));
        broken.content = b"";
        broken.read.set(0);
        let net = Net::default();
        assert_eq!(
            inspect(&settings(""), &net, &broken),
            rejected("Interrupted")
        );
        assert!(!net.connected.get());
    }
}
