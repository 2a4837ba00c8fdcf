//! Files of settings that change while the server runs.

use std::{fs, path::Path};

use crate::support::{Server, Setup, Tls, USER, eventually};

/// Puts it there at once, as editors and `portcullis user` do.
fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}

fn attempt(server: &Server, user: &str) -> u16 {
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {user}")).expect(331);
    client.send(&format!("PASS {user}")).code
}

/// The component looks at what it is to have: what is wrong is told, and the last good rules stay.
#[test]
fn regression_a_bad_file_is_refused_and_the_last_good_one_stays() {
    let deny = r#"[{ "effect": "deny", "operations": ["make-directory"] }]"#;
    let setup = Setup::new();
    let file = setup.file("rules.json", deny);
    // One instance is all it may have, and the one that finds the file changed holds it.
    let more = format!(
        "settings.rules = {{ file = {:?} }}\nlimits.instances = 1\nlimits.pool-wait = \"20s\"",
        file.display().to_string()
    );
    let mut server = setup
        .users_plugin()
        .plugin("rules", "builtin:rules", &more)
        .start();
    let make = |name: &str| {
        // A session of its own, since instances of guards may be kept.
        server.login().send(&format!("MKD {name}")).code
    };
    assert_eq!(make("one"), 550);
    let mut denied = 0;
    for (bad, words) in [
        (deny.replace("deny", "forbid"), "settings.rules[0].effect"),
        (
            deny.replace("operations", "oparetions"),
            "settings.rules[0].oparetions",
        ),
        ("[".to_owned(), "EOF while parsing"),
    ] {
        replace(&file, &bad);
        assert_eq!(make("two"), 550, "{bad}");
        assert_eq!(make("two"), 550, "{bad}");
        denied += 2;
        eventually("both are in the log", || {
            server.log().matches("path=\"/two\"").count() == denied
        });
        let log = server.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(words)).collect();
        let told = lines.iter().filter(|line| line.contains("ERROR")).count();
        assert_eq!(told, 1, "{words}: {log}");
        assert!(
            lines.iter().all(|line| line.contains("rules.json")),
            "{log}"
        );
    }
    assert!(!server.log().contains("read anew"), "{}", server.log());
    // A reload takes what is there now, or nothing.
    let (status, said) = server.setup().run(&["reload"]);
    assert_eq!(status, 2, "{said}");
    replace(&file, "[]");
    assert_eq!(make("three"), 257);
    server.wait_for_line(|line| line.contains("the settings file is read anew"));
}

#[test]
fn a_users_file_with_a_mistake_shuts_nobody_out() {
    let mut server = Setup::new().users_plugin().start();
    let file = server.state().join("users.toml");
    let good = fs::read_to_string(&file).unwrap();
    let bob = format!(
        "{good}[bob]\npassword = {:?}\n",
        crate::support::server::hash("bob")
    );
    replace(&file, &format!("{bob}hoem = \"/elsewhere\"\n"));
    assert_eq!(attempt(&server, "bob"), 530);
    assert_eq!(attempt(&server, USER), 230);
    server.wait_for_line(|line| line.contains("hoem"));
    replace(&file, &bob);
    assert_eq!(attempt(&server, "bob"), 230);
}
