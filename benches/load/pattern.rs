//! The content of every test file: a fixed pseudo-random pattern. Its period is 131071 words, a prime, so
//! that buffers of a power of two that are mixed up do not go unseen, and checking is to compare memory.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    sync::LazyLock,
};

const PERIOD: usize = 131_071 * 8;

/// Two periods, so that any slice of up to one period is in one piece.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block = Vec::with_capacity(2 * PERIOD);
    for word in 0..(PERIOD as u64 / 8) {
        let mut z = (word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        block.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    block.extend_from_within(..);
    block
});

/// The bytes from `offset` on, at most a period of them.
pub fn at(offset: u64, length: usize) -> &'static [u8] {
    let start = (offset % PERIOD as u64) as usize;
    &BLOCK[start..start + length.min(PERIOD)]
}

pub fn matches(mut offset: u64, data: &[u8]) -> bool {
    data.chunks(PERIOD).all(|part| {
        let same = at(offset, part.len()) == part;
        offset += part.len() as u64;
        same
    })
}

pub fn write_file(path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut done = 0;
    while done < size {
        let part = at(done, (size - done).min(256 << 10) as usize);
        file.write_all(part)?;
        done += part.len() as u64;
    }
    Ok(())
}

/// The length of a file that has the pattern.
pub fn check_file(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(done);
        }
        if !matches(done, &buffer[..read]) {
            let text = format!(
                "content differs in the bytes {done} to {}",
                done + read as u64
            );
            return Err(io::Error::other(text));
        }
        done += read as u64;
    }
}
