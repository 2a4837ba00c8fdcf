//! A stand-in for clamd, for tests.

use crate::clamd::PIECE;
use std::io::{self, Read, Write};

/// What the stand-in finds.
pub const BAD: &[u8] = b"signature of a stand-in";

/// Does what clamd does with INSTREAM.
#[derive(Default)]
pub struct StandIn {
    /// StreamMaxLength; 0 is no limit.
    pub longest: usize,
    /// Closes after so many bytes, without a word.
    pub vanishes_after: Option<usize>,
    /// Says this and nothing else.
    pub says: Option<&'static [u8]>,
    /// All that came.
    pub received: Vec<u8>,
    /// The answer.
    pub said: io::Cursor<Vec<u8>>,
    /// Whether it has hung up.
    pub closed: bool,
}

impl StandIn {
    fn look(&mut self) {
        let mut rest = self.received.strip_prefix(b"zINSTREAM\0").unwrap();
        let mut file: Vec<u8> = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            assert!(length <= PIECE as usize);
            if length == 0 {
                assert!(after.is_empty());
                let found = file.windows(BAD.len()).any(|part| part == BAD);
                self.say(match found {
                    true => b"stream: Stand.In.UNOFFICIAL FOUND\0",
                    false => b"stream: OK\0",
                });
                return;
            }
            let Some(bytes) = after.get(..length) else {
                break;
            };
            file.extend(bytes);
            if self.longest > 0 && file.len() > self.longest {
                self.say(b"INSTREAM size limit exceeded. ERROR\0");
                return;
            }
            rest = &after[length..];
        }
        if self.vanishes_after.is_some_and(|count| file.len() >= count) {
            self.closed = true;
        }
    }

    fn say(&mut self, text: &'static [u8]) {
        self.said = io::Cursor::new(self.says.unwrap_or(text).to_vec());
        self.closed = true;
    }
}

impl Write for StandIn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // As much as a network may take.
        let count = bytes.len().min(100_000);
        self.received.extend(&bytes[..count]);
        self.look();
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for StandIn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(7);
        self.said.read(&mut buffer[..length])
    }
}
