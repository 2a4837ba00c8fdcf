//! MD5 in the form of crypt(3), which the systems of the nineties and Apache's `htpasswd` made.
//!
//! Its thousand rounds take less than a millisecond: it is here for tables that are being moved.

use md5::{Digest, Md5};

const ROUNDS: u32 = 1000;
/// More of a salt is passed over.
const MAX_SALT: usize = 8;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digest of a password as 22 characters. The magic is `$1$` or `$apr1$`.
pub fn digest(password: &[u8], magic: &str, salt: &[u8]) -> String {
    let salt = salt.get(..MAX_SALT).unwrap_or(salt);
    let mut inner = Md5::new();
    inner.update(password);
    inner.update(salt);
    inner.update(password);
    let inner = inner.finalize();

    let mut first = Md5::new();
    first.update(password);
    first.update(magic);
    first.update(salt);
    let as_long: Vec<u8> = inner.iter().copied().cycle().take(password.len()).collect();
    first.update(&as_long);
    // For each bit of the length a NUL or the password's first byte.
    let mut bits = password.len();
    while bits > 0 {
        let initial = password.get(..1).unwrap_or_default();
        first.update(if bits & 1 == 1 { &[0] } else { initial });
        bits >>= 1;
    }
    let mut digest = first.finalize();

    for round in 0..ROUNDS {
        let mut next = Md5::new();
        let (odd, last) = (round % 2 == 1, digest);
        next.update(if odd { password } else { &last });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &last[..] } else { password });
        digest = next.finalize();
    }
    text(digest.into())
}

/// Three bytes at a time, in the order that crypt(3) has them, as four characters each.
fn text(digest: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = digest.map(u32::from);
    let groups = [
        (a << 16 | g << 8 | m, 4),
        (b << 16 | h << 8 | n, 4),
        (c << 16 | i << 8 | o, 4),
        (d << 16 | j << 8 | p, 4),
        (e << 16 | k << 8 | f, 4),
        (l, 2),
    ];
    let letters = groups.into_iter().flat_map(|(bits, characters)| {
        (0..characters).filter_map(move |at| ALPHABET.get(bits as usize >> (6 * at) & 63))
    });
    letters.map(|byte| char::from(*byte)).collect()
}
