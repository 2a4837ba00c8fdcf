//! A path guard that fails in the way that the last component of a path says.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "path-guard", path: "../../../wit" });

use exports::portcullis::plugin::path_policy::{Decision, Failure, Guest, Request, Session};
use portcullis::plugin::log::{self, Level};
use std::hint::black_box;

struct Faulty;
export!(Faulty);

impl Guest for Faulty {
    fn decide(_session: Session, requests: Vec<Request>) -> Result<Vec<Decision>, Failure> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));

        let mut decisions = Vec::with_capacity(requests.len());
        let (mut short, mut long) = (false, false);
        for request in &requests {
            let name = request.path.rsplit('/').next().unwrap_or_default();
            let says = |word| name.contains(word);
            if says("trap") {
                panic!("a trap on purpose");
            } else if says("loop") {
                turn_for_ever();
            } else if says("memory") {
                allocate_for_ever();
            } else if says("stack") {
                recurse(1);
            } else if says("internal") {
                return Err(Failure::Internal("internal on purpose".into()));
            }
            short |= says("short");
            long |= says("long");
            decisions.push(if says("hide") {
                Decision::Hide
            } else if says("deny") {
                Decision::Deny("Denied on purpose".into())
            } else {
                Decision::Allow
            });
        }
        if short {
            decisions.pop();
        }
        if long {
            decisions.push(Decision::Allow);
        }
        Ok(decisions)
    }
}

fn turn_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate_for_ever() -> ! {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// What is done with the result, after the call, keeps each of the frames.
#[expect(unconditional_recursion, reason = "the point of it")]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + black_box(frame).iter().sum::<u64>()
}
