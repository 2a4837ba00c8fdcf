//! An authenticator that fails in the way that the user's name says.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "authenticator", path: "../../../wit" });

use exports::portcullis::plugin::authentication::{Credentials, Failure, Guest, Outcome};
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::types::{Account, Session};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Faulty;
export!(Faulty);

impl Guest for Faulty {
    fn authenticate(_session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));

        Ok(match credentials.user.as_str() {
            "trap" => panic!("a trap on purpose"),
            "loop" => turn_for_ever(),
            "memory" => allocate_for_ever(),
            "stack" => deny(&format!("{} deep", recurse(black_box(u64::MAX)))),
            "flood" => {
                let line = "flood ".repeat(100);
                for number in 0..1_000_000 {
                    log::write(Level::Info, &format!("{number} {line}"));
                }
                deny("after a million lines")
            }
            "accounts" => {
                let mut accounts = Vec::new();
                loop {
                    accounts.push(Account::new("/"));
                }
            }
            "unavailable" => return Err(Failure::Unavailable("unavailable on purpose".into())),
            "internal" => return Err(Failure::Internal("internal on purpose".into())),
            "deny" => deny("denied on purpose"),
            "challenge" => match credentials.one_time_code.as_deref() {
                None => Outcome::Challenge("One-time code, please".into()),
                Some("123456") => Outcome::Accept(Account::new("/")),
                Some(_) => deny("wrong code"),
            },
            "list" => {
                let account = Account::new("/");
                let groups: Vec<_> = (0..100_000)
                    .map(|number| format!("group-{number}"))
                    .collect();
                account.set_groups(&groups);
                Outcome::Accept(account)
            }
            "home" => Outcome::Accept(Account::new("../../etc")),
            user if user.starts_with("ok") => Outcome::Accept(Account::new("/")),
            _ => Outcome::Abstain,
        })
    }
}

fn deny(reason: &str) -> Outcome {
    Outcome::Deny(reason.into())
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

static RETURNED: AtomicU64 = AtomicU64::new(0);

/// The work after the call keeps each of the frames. They take nothing of the stack in the guest's own
/// memory, which might else end first.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    let below = recurse(depth - 1);
    below.rotate_left(3) ^ RETURNED.fetch_add(below, Relaxed)
}
