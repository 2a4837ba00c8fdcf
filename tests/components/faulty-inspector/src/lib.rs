//! An upload inspector that fails in the way that the file's name says.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "upload-inspector", path: "../../../wit" });

use exports::portcullis::plugin::upload_inspection::{Failure, Guest, Session, Upload, Verdict};
use portcullis::plugin::log::{self, Level};
use std::hint::black_box;

const CHUNK: u32 = 256 * 1024;
/// Turns that take a few hundred milliseconds.
const LATE: u64 = 200_000_000;

struct Faulty;
export!(Faulty);

impl Guest for Faulty {
    fn inspect(_session: Session, upload: Upload) -> Result<Verdict, Failure> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));

        let path = upload.path();
        let name = path.rsplit('/').next().unwrap_or_default();
        let says = |word| name.contains(word);

        if says("trap-before") {
            panic!("a trap before the first byte");
        } else if says("loop") {
            turn(u64::MAX);
        } else if says("memory") {
            allocate_for_ever();
        } else if says("early-accept") {
            return Ok(Verdict::Accept);
        } else if says("early-reject") {
            return Ok(Verdict::Reject("Rejected on purpose".into()));
        } else if says("sha256") {
            if upload.drain().is_ok() {
                log::write(Level::Info, &format!("sha256 {}", upload.sha256()));
            }
            return Ok(Verdict::Accept);
        }

        while let Ok(Some(_)) = upload.read(CHUNK) {
            if says("trap-after") {
                panic!("a trap after the first bytes");
            }
        }

        // The longer words first: each of them contains the one that follows.
        Ok(if says("accept-as-outside") {
            Verdict::AcceptAs("../../x".into())
        } else if says("accept-as") {
            Verdict::AcceptAs("/renamed-by-inspector".into())
        } else if says("quarantine") {
            Verdict::Quarantine("Quarantined on purpose".into())
        } else {
            if says("late") {
                turn(LATE);
            }
            match says("late-reject") {
                true => Verdict::Reject("Rejected on purpose, late".into()),
                false => Verdict::Accept,
            }
        })
    }
}

fn turn(turns: u64) {
    let mut turned = 0_u64;
    while turned < turns {
        turned = black_box(turned + 1);
    }
}

fn allocate_for_ever() -> ! {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; 1 << 20]));
    }
}
