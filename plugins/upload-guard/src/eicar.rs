//! The EICAR test file: 68 harmless bytes that every virus scanner reports.

use memchr::memmem::Finder;

/// Written backwards, so that no scanner takes this plugin itself for the test file.
const RACIE: &[u8; LENGTH] =
    b"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
const LENGTH: usize = 68;
const OVERLAP: usize = LENGTH - 1;

/// Bytes that are looked at together.
const GRAM: usize = 4;
/// Wherever the test file lies, one gram in so many bytes lies within it.
const STRIDE: usize = LENGTH - GRAM + 1;
/// Bits of a gram's hash. Of other files, one gram in 250 is looked at twice.
const HASH: u32 = 14;

/// The grams of the test file, and by chance a few others.
#[derive(Debug)]
struct Grams([u64; 1 << (HASH - 6)]);

impl Grams {
    fn of(signature: &[u8]) -> Self {
        let mut grams = Self([0; 1 << (HASH - 6)]);
        for gram in signature.windows(GRAM) {
            if let Some(gram) = gram.first_chunk() {
                let (word, bit) = Self::place(*gram);
                if let Some(word) = grams.0.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        grams
    }

    fn contain(&self, gram: [u8; GRAM]) -> bool {
        let (word, bit) = Self::place(gram);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(gram: [u8; GRAM]) -> (usize, u64) {
        // Knuth's multiplicative hash: its upper bits depend on all bytes.
        let hash = u32::from_le_bytes(gram).wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH);
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

/// Looks for it in a file that comes in pieces.
#[derive(Debug)]
pub struct Scanner {
    grams: Grams,
    finder: Finder<'static>,
    /// The last bytes of what came before, at its end those of the last piece.
    before: Vec<u8>,
}

impl Default for Scanner {
    fn default() -> Self {
        // Not at compile time, or the bytes would stand in the component after all.
        let signature: Vec<u8> = std::hint::black_box(RACIE).iter().rev().copied().collect();
        Self {
            grams: Grams::of(&signature),
            finder: Finder::new(&signature).into_owned(),
            before: Vec::with_capacity(2 * OVERLAP),
        }
    }
}

impl Scanner {
    /// Whether it lies in this piece, or across the border to those before it.
    pub fn finds(&mut self, piece: &[u8]) -> bool {
        if self.lies_in(piece) {
            return true;
        }
        let (start, _) = piece.split_at(piece.len().min(OVERLAP));
        if !self.before.is_empty() {
            self.before.extend_from_slice(start);
            if self.finder.find(&self.before).is_some() {
                return true;
            }
        }
        match piece.last_chunk::<OVERLAP>() {
            Some(end) => {
                self.before.clear();
                self.before.extend_from_slice(end);
            }
            None if self.before.is_empty() => self.before.extend_from_slice(start),
            None => {
                let surplus = self.before.len().saturating_sub(OVERLAP);
                self.before.drain(..surplus);
            }
        }
        false
    }

    /// Whether all of it lies in this piece.
    fn lies_in(&self, piece: &[u8]) -> bool {
        let mut at = 0;
        while let Some(gram) = piece.get(at..).and_then(<[u8]>::first_chunk) {
            if self.grams.contain(*gram) {
                let around = at.saturating_sub(LENGTH)..piece.len().min(at + LENGTH);
                let around = piece.get(around).unwrap_or_default();
                if self.finder.find(around).is_some() {
                    return true;
                }
            }
            at += STRIDE;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pieces: &[&[u8]]) -> bool {
        let mut scanner = Scanner::default();
        pieces.iter().any(|piece| scanner.finds(piece))
    }

    fn file(before: usize, after: usize) -> Vec<u8> {
        let mut file = vec![b'X'; before];
        file.extend(RACIE.iter().rev());
        file.resize(before + LENGTH + after, b'*');
        file
    }

    #[test]
    fn wherever_it_is_cut() {
        for (before, after) in [(0, 0), (1, 0), (0, 1), (100, 100)] {
            let file = file(before, after);
            assert!(finds(&[&file]));
            for first in 0..=file.len() {
                let (start, rest) = file.split_at(first);
                assert!(finds(&[start, rest]), "{before} {after} {first}");
                for second in (0..=rest.len()).step_by(7) {
                    let (middle, end) = rest.split_at(second);
                    assert!(
                        finds(&[start, middle, end]),
                        "{before} {after} {first} {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn wherever_it_lies_in_a_piece() {
        let scanner = Scanner::default();
        for before in 0..300 {
            for after in [0, 1, 64, 65, 66, 200] {
                assert!(scanner.lies_in(&file(before, after)), "{before} {after}");
            }
        }
        // Almost all of its grams are there, and it is not.
        let signature: Vec<u8> = RACIE.iter().rev().copied().collect();
        let (first, last) = signature.split_at(LENGTH / 2);
        assert!(!scanner.lies_in(&[last, b"-", first, b"-", last, b"-", first].concat()));
    }

    #[test]
    fn in_pieces_of_any_size() {
        let file = file(200, 200);
        for size in 1..150 {
            assert!(finds(&file.chunks(size).collect::<Vec<_>>()), "{size}");
        }
    }

    #[test]
    fn only_when_it_is_whole() {
        for missing in 0..LENGTH {
            let mut file = file(10, 10);
            file.remove(10 + missing);
            // A byte that was doubled fills the gap.
            if !file
                .windows(LENGTH)
                .any(|window| window.iter().eq(RACIE.iter().rev()))
            {
                assert!(!finds(&[&file]));
                assert!(!finds(&file.chunks(1).collect::<Vec<_>>()));
            }
        }
        assert!(!finds(&[]) && !finds(&[b""]));
    }
}
