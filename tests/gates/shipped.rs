//! The three plugins that ship, as the server runs them. Their own tests are beside their sources.

use std::fs;

use crate::support::{Setup, USER, content};

#[test]
fn rules_allow_deny_and_hide() {
    let rules = r#"settings = { rules = [{ effect = "hide", paths = ["**/.*", "**/.*/**"] }, { effect = "deny", operations = ["delete"], paths = ["/keep/**"], reason = "It is kept" }, { effect = "deny", users = ["bob"], operations = ["write"] }] }"#;
    let server = Setup::new()
        .user("bob", "home = \"/alice\"")
        .users_plugin()
        .plugin("rules", "builtin:rules", rules)
        .start();
    let home = server.home();
    fs::create_dir(home.join("keep")).unwrap();
    fs::write(home.join("keep/file"), "content").unwrap();
    fs::write(home.join(".secret"), "content").unwrap();
    let mut client = server.login();
    client
        .send("DELE keep/file")
        .expect(550)
        .saying("It is kept");
    // However the path is written.
    client
        .send("DELE /./keep//../keep/file")
        .expect(550)
        .saying("It is kept");
    client.send("SIZE .secret").expect(550);
    client.send("SIZE ./.secret").expect(550);
    client.send("SIZE keep/../.secret").expect(550);
    assert!(!client.listing("NLST -a").contains(".secret"));
    client.store("STOR new", b"content").expect(226);
    client.send("DELE new").expect(250);
    let mut bob = server.login_as("bob", &crate::support::Tls::new());
    assert_eq!(bob.retrieve("RETR keep/file"), b"content");
    let stream = bob.open();
    bob.send("STOR new").expect_one_of(&[550, 553]);
    drop(stream);
    bob.send("MKD new").expect(550);
}

#[test]
fn the_upload_guard_looks_at_names_sizes_and_content() {
    let settings =
        r#"settings = { max-size = "100KiB", deny-extensions = ["exe"], deny-names = ["*.tmp"] }"#;
    let server = Setup::new()
        .users_plugin()
        .plugin("upload-guard", "builtin:upload-guard", settings)
        .start();
    let mut client = server.login();
    client.store("STOR fine.txt", b"a text").expect(226);
    for (name, bytes) in [
        ("program.exe", b"MZ".to_vec()),
        ("program.EXE", b"MZ".to_vec()),
        ("x.tmp", b"x".to_vec()),
        ("large.bin", content(101 << 10, 1)),
        (
            "picture.png",
            b"\x7fELF\x02\x01\x01\0 and no picture".to_vec(),
        ),
        ("eicar.txt", crate::support::eicar()),
    ] {
        let reply = client.store(&format!("STOR {name}"), &bytes);
        assert!([550, 552, 553].contains(&reply.code), "{name}: {reply:?}");
        assert!(!server.home().join(name).exists(), "{name}");
    }
}

#[test]
fn the_default_chain_is_the_three_that_ship() {
    let mut server = Setup::new().start();
    for name in ["users", "rules", "upload-guard"] {
        server.wait_for_line(|line| line.contains(name));
    }
    let mut client = server.login_as(USER, &crate::support::Tls::new());
    client.store("STOR file", b"content").expect(226);
}
