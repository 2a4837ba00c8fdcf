//! `auth-totp`.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

use crate::{
    attempt,
    support::{Server, Setup, Tls, USER},
};

/// RFC 6238's secret, and its form for programs.
const SECRET: &[u8] = b"12345678901234567890";
const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// The code that a user's program shows, so many periods from now.
fn code(periods: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let period = (now / 30).checked_add_signed(periods).unwrap();
    code_of(period)
}

fn code_of(period: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET);
    let tag = hmac::sign(&key, &period.to_be_bytes());
    let digest = tag.as_ref();
    let offset = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap());
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

fn server(more: &str) -> Server {
    let lines = format!("settings.users = {{ file = \"users.toml\" }}\n{more}");
    Setup::new()
        .user("bob", &format!("totp = \"{BASE32}\""))
        .plugin("auth-totp", "builtin:auth-totp", &lines)
        .start()
}

/// The last reply to USER, PASS and ACCT.
#[track_caller]
fn answer(server: &Server, code: &str) -> u16 {
    let mut client = server.secure(&Tls::new());
    client.send("USER bob").expect(331);
    client.send("PASS bob").expect(332).saying("code");
    client.send(&format!("ACCT {code}")).code
}

#[test]
fn the_codes_of_the_test_are_right() {
    assert_eq!(code_of(1), "287082");
}

#[test]
fn asks_for_a_code_and_takes_it_once() {
    let server = server("");
    // One that is shown now, or was at most a moment ago.
    let shown = code(0);
    assert_eq!(answer(&server, "000000"), 530);
    assert_eq!(answer(&server, &code(-5)), 530);
    assert_eq!(answer(&server, &shown), 230);
    assert_eq!(answer(&server, &shown), 530);
    attempt(&server, "bob", "wrong").expect(530);
    // Users without codes have none.
    attempt(&server, USER, USER).expect(230);
    crate::support::eventually("it is in the log", || {
        server.log().contains("the code was used before")
    });
    assert!(!server.log().contains(&shown), "the code is in the log");
}

#[test]
fn takes_a_code_after_the_password() {
    let server = server("settings.ask = false\n");
    let shown = code(0);
    attempt(&server, "bob", "bob").expect(530);
    attempt(&server, "bob", &format!("bob{}", code(-5))).expect(530);
    attempt(&server, "bob", &format!("wrong{shown}")).expect(530);
    attempt(&server, "bob", &format!("bob{shown}")).expect(230);
    attempt(&server, "bob", &format!("bob{shown}")).expect(530);
}

/// Many clients at once, with one code: one gets in.
#[test]
fn a_code_is_for_one() {
    let server = server("");
    let shown = code(0);
    let password = format!("bob{shown}");
    let codes = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| attempt(&server, "bob", &password).code))
            .collect();
        let codes = attempts.into_iter().map(|attempt| attempt.join().unwrap());
        codes.collect::<Vec<_>>()
    });
    let accepted = codes.iter().filter(|code| **code == 230);
    assert_eq!(accepted.count(), 1, "{codes:?}");
}

#[test]
fn whoever_must_have_codes() {
    let server = server("settings.required = true\n");
    attempt(&server, USER, USER).expect(530);
    assert_eq!(answer(&server, &code(0)), 230);
}

/// The plugin `users` does not leave a second factor out.
#[test]
fn users_is_no_way_around() {
    let mut server = Setup::new()
        .user("bob", &format!("totp = \"{BASE32}\""))
        .users_plugin()
        .start();
    attempt(&server, "bob", "bob").expect(421);
    server.wait_for_line(|line| line.contains("auth-totp is needed"));
    attempt(&server, USER, USER).expect(230);
}

/// `portcullis user` writes the file of this plugin, too.
#[test]
fn its_users_are_managed_like_others() {
    let settings = "settings.users = { file = \"users.toml\" }\n";
    let setup = Setup::new().plugin("auth-totp", "builtin:auth-totp", settings);
    let (status, said) = setup.run(&["user", "list"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(USER), "{said}");
}
