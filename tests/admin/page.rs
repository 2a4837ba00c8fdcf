//! The page, in a browser.

use std::fs;

use crate::{
    address, built,
    http::request,
    setup,
    support::{Client, Server, Tls, content, eventually},
    token,
    webdriver::Browser,
};

/// A name that would be a script if it were taken for HTML.
const HOSTILE: &str = "quarantine-<img src=x onerror=\"document.title='forged'\">";

fn start() -> Server {
    let setup = setup()
        .plugin(
            "lockout",
            "builtin:lockout",
            "settings.max-failures-per-user = 1\n",
        )
        .plugin("inspector", &built("faulty-inspector"), "")
        .users_plugin();
    setup.start()
}

fn log_in(browser: &Browser, server: &mut Server, role: &str) {
    let at = address(server);
    let token = token(server, &format!("{role}s"), role);
    browser.open(&format!("http://{at}/"));
    browser.until("!document.querySelector('#login').hidden");
    browser.type_into("#token", &token);
    browser.click("#login button");
    browser.until("!document.querySelector('#app').hidden");
}

fn upload(server: &Server) -> (Client, crate::support::Data) {
    let mut client = server.login();
    let mut data = client.begin(&format!("STOR held back {}", &HOSTILE[11..]));
    data.send(&content(300_000, 1)).unwrap();
    (client, data)
}

const TEXT: &str = "document.querySelector('section:not([hidden])').innerText";

#[test]
fn an_operator_looks_and_acts() {
    let Some(browser) = Browser::start(1200, 900) else {
        return;
    };
    let mut server = start();
    let mut quarantined = server.login();
    quarantined
        .store(&format!("STOR {HOSTILE}"), b"one")
        .expect(550);
    quarantined.store("STOR quarantine-two", b"two").expect(550);
    let (mut client, _data) = upload(&server);
    let mut guesser = server.secure(&Tls::new());
    guesser.send("USER hunter2").expect(331);
    guesser.send("PASS wrong").expect(530);
    drop(guesser);
    log_in(&browser, &mut server, "act");
    // Numbers and lines come by themselves.
    browser.until("document.querySelector('#cards').innerText.includes('2\\nsessions')");
    browser.until("document.querySelectorAll('#count polyline').length === 1");
    browser.until("document.querySelector('#count-now').textContent === '2'");
    browser.picture("overview");
    // By keys.
    browser.type_into("body", "2");
    browser.until(&format!("{TEXT}.includes('<img src=x')"));
    browser.picture("sessions");
    browser.click("section:not([hidden]) th:nth-child(7) button");
    browser.until("document.querySelector('th[aria-sort=ascending]') !== null");
    browser.type_into("section:not([hidden]) input[type=search]", "held back");
    browser.until(&format!("{TEXT}.includes('1–1 of 1 (2 in all)')"));
    // The one that is left ends, once that is confirmed.
    browser.click("section:not([hidden]) td.does button");
    browser.until("document.querySelector('#sure').open");
    browser.click("#sure button[value=no]");
    client.send("STAT").expect(213);
    browser.click("section:not([hidden]) td.does button");
    browser.click("#sure button[value=yes]");
    browser.until("document.querySelector('#message').innerText.includes('1 session is ended')");
    client.reply().expect(426);
    client.reply().expect(421);
    browser.click("nav button[data-view=quarantine]");
    browser.until(&format!(
        "{TEXT}.includes('<img src=x') && {TEXT}.includes('quarantine-two')"
    ));
    browser.picture("quarantine");
    browser.type_into("section:not([hidden]) input[type=search]", "-two");
    browser.until(&format!("{TEXT}.includes('1–1 of 1 (2 in all)')"));
    browser.click("section:not([hidden]) td.does button");
    browser.click("#sure button[value=yes]");
    browser.until("document.querySelector('#message').innerText.includes('is published')");
    eventually("it is there", || {
        fs::read(server.home().join("quarantine-two")).is_ok_and(|content| content == b"two")
    });
    browser.click("nav button[data-view=bans]");
    browser.type_into("#ban-network", "192.0.2.0/24");
    browser.type_into("#ban-reason", "scans");
    browser.click("#ban button");
    browser.click("#sure button[value=yes]");
    browser.until(&format!(
        "{TEXT}.includes('192.0.2.0/24') && {TEXT}.includes('scans')"
    ));
    browser.picture("bans");
    browser.click("nav button[data-view=plugins]");
    browser.until(&format!("{TEXT}.includes('inspector')"));
    browser.click("nav button[data-view=certificates]");
    browser.until(&format!("{TEXT}.includes('tls.certificate')"));
    browser.click("nav button[data-view=uploads]");
    browser.until(&format!("{TEXT}.includes('held back')"));
    // A name that nobody has may be a password.
    browser.click("nav button[data-view=locks]");
    browser.until(&format!(
        "{TEXT}.includes('a name with the digest f52fbd32')"
    ));
    browser.click("section:not([hidden]) td.does button");
    browser.click("#sure button[value=yes]");
    browser.until("document.querySelector('#message').innerText.includes('1 lock is lifted')");
    browser.until(&format!("!{TEXT}.includes('f52fbd32')"));
    // No name has become HTML.
    assert_eq!(browser.value("document.title"), "Portcullis");
    assert_eq!(
        browser.value("document.querySelectorAll('table img').length"),
        0
    );
    // Loaded anew, it is still logged in; and then it is not.
    browser.open(&format!("http://{}/", address(&mut server)));
    browser.until("!document.querySelector('#app').hidden");
    browser.dark();
    browser.until("document.querySelectorAll('#count polyline').length === 1");
    browser.picture("dark");
    browser.click("#logout");
    browser.until("!document.querySelector('#login').hidden");
    assert_eq!(browser.value("document.cookie"), "");
}

/// On a phone nothing lies beyond the window; who may look alone has no buttons.
#[test]
fn it_is_of_use_on_a_phone_and_to_those_who_may_look() {
    let Some(browser) = Browser::start(500, 900) else {
        return;
    };
    let mut server = start();
    let mut client = server.login();
    client.store(&format!("STOR {HOSTILE}"), b"one").expect(550);
    let _upload = upload(&server);
    log_in(&browser, &mut server, "look");
    for view in [
        "overview",
        "sessions",
        "quarantine",
        "bans",
        "locks",
        "uploads",
        "plugins",
        "certificates",
    ] {
        browser.click(&format!("nav button[data-view={view}]"));
        browser.until("document.querySelector('section:not([hidden])').innerText.length > 0");
        browser
            .until("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
        let acts = "[...document.querySelectorAll('td.does button, #ban button, [data-act]')]";
        browser.until(&format!("{acts}.every((one) => one.disabled)"));
        if view == "quarantine" {
            browser.until(&format!("{TEXT}.includes('<img src=x')"));
            browser.picture("phone");
        }
    }
}

/// The rules that a browser holds it to are on each answer, and nothing in it asks for more.
#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let mut server = setup().start();
    let at = address(&mut server);
    for path in [
        "/",
        "/page.js",
        "/page.css",
        "/icon.svg",
        "/api/v1/status",
        "/none",
    ] {
        let answer = request(at, &format!("GET {path}"), "", "");
        let rules = answer.header("content-security-policy").unwrap();
        assert!(rules.contains("default-src 'none'") && rules.contains("script-src 'self'"));
        assert!(rules.contains("frame-ancestors 'none'") && !rules.contains("unsafe"));
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    let page = request(at, "GET /", "", "").expect(200).body;
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script src=\"/page.js\""), "{page}");
    for inline in [" style=", "<style", " onclick=", " onload=", "//"] {
        assert!(
            !page.replace("http://www.w3.org", "").contains(inline),
            "{inline}"
        );
    }
    let script = request(at, "GET /page.js", "", "").expect(200).body;
    for dangerous in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!script.contains(dangerous), "{dangerous}");
    }
}
