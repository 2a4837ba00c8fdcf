//! `portcullis top`, on the terminal of a tmux of its own.

use std::process::Command;

use crate::support::{Server, Setup, Tls, content, eventually, program::works};

/// A tmux with one terminal in it, which ends with this.
struct Terminal(String);

impl Terminal {
    /// Runs `portcullis top` of a server.
    fn top(server: &Server) -> Self {
        let socket = server.state().join("tmux").display().to_string();
        let terminal = Self(socket);
        let command = server.setup().command(&["top", "--every", "200ms"]);
        let mut tmux = terminal.tmux();
        tmux.args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "130",
            "-y",
            "30",
        ]);
        tmux.arg(command.get_program()).args(command.get_args());
        assert!(tmux.status().unwrap().success());
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.0).env("TERM", "xterm");
        tmux.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        tmux
    }

    fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        eventually(&format!("{text:?} is shown"), || {
            self.screen().contains(text)
        });
    }

    fn press(&self, keys: &[&str]) {
        let status = self.tmux().arg("send-keys").args(keys).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

#[test]
fn top_shows_sessions_and_ends_one() {
    if !works("tmux", Command::new("tmux").arg("-V")) {
        return;
    }
    let server = Setup::new().user("bob", "").start();
    let mut alice = server.login();
    let mut bob = server.login_as("bob", &Tls::new());
    let mut data = bob.begin("STOR a\u{202e}file");
    data.send(&content(100_000, 1)).unwrap();
    let terminal = Terminal::top(&server);
    terminal.shows("2 sessions, 1 transfers");
    terminal.shows("alice");
    // Nothing in a name steers the terminal.
    terminal.shows("upload /a\\u{202e}file");
    terminal.press(&["/", "a", "l", "i"]);
    eventually("the others are left out", || {
        !terminal.screen().contains("bob")
    });
    terminal.shows("alice");
    terminal.press(&["Escape"]);
    terminal.shows("bob");
    // The cursor is on the first, which is asked about before it ends.
    terminal.press(&["Down", "x"]);
    terminal.shows("of alice? y ends it");
    terminal.press(&["n"]);
    terminal.shows("q quit");
    alice.send("NOOP").expect(200);
    terminal.press(&["x"]);
    terminal.shows("of alice? y ends it");
    terminal.press(&["y"]);
    terminal.shows("1 session is ended");
    alice.reply().expect(421);
    terminal.shows("1 sessions");
    terminal.press(&["q"]);
    eventually("it ends", || {
        !terminal
            .tmux()
            .arg("has-session")
            .output()
            .unwrap()
            .status
            .success()
    });
    drop(data);
}

/// Where there is no terminal, it says what to use.
#[test]
fn top_needs_a_terminal() {
    let server = Server::start();
    let (status, said) = server.setup().run(&["top"]);
    assert_eq!(status, 1);
    assert!(said.contains("portcullis who"), "{said}");
}
