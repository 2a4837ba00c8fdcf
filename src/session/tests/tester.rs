//! A client that says what it expects.

use std::net::Ipv4Addr;

use tokio::net::TcpStream;

use crate::session::harness::{Client, Harness};

/// A client that has read the greeting.
pub struct Tester(Client);

impl Tester {
    /// In the clear.
    pub async fn connect(harness: &Harness) -> Self {
        let mut tester = Self(harness.connect());
        tester.reply().await.expect(220);
        tester
    }

    /// Behind AUTH TLS.
    pub async fn secure(harness: &Harness) -> Self {
        let mut tester = Self::connect(harness).await;
        tester.0.auth(None, false).await.unwrap();
        tester
    }

    /// As alice, behind AUTH TLS.
    pub async fn login(harness: &Harness) -> Self {
        Self::login_as(harness, "alice").await
    }

    /// As this user, whose password is "secret".
    pub async fn login_as(harness: &Harness, user: &str) -> Self {
        let mut tester = Self::secure(harness).await;
        tester.log_in(user).await;
        tester
    }

    pub async fn log_in(&mut self, user: &str) {
        self.send(&format!("USER {user}")).await.expect(331);
        self.send("PASS secret").await.expect(230);
    }

    /// Sends a line, and gives the reply.
    pub async fn send(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n")).await;
        self.read(line).await
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write(bytes.as_ref()).await.unwrap();
    }

    /// The next reply.
    pub async fn reply(&mut self) -> Reply {
        self.read("").await
    }

    /// All that is left to read.
    pub async fn rest(&mut self) -> String {
        self.0.rest().await.unwrap()
    }

    /// Begins a transfer whose data connection is in the clear.
    pub async fn begin(&mut self, line: &str) -> TcpStream {
        self.send("PBSZ 0").await.expect(200);
        self.send("PROT C").await.expect(200);
        let reply = self.send("EPSV").await.expect(229);
        let port = reply.text().rsplit('|').nth(1).unwrap().parse().unwrap();
        let data = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        self.send(line).await.expect(150);
        data.unwrap()
    }

    async fn read(&mut self, to: &str) -> Reply {
        let text = self.0.reply().await.unwrap();
        let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        let code = lines[0].get(..3).and_then(|code| code.parse().ok());
        Reply {
            code: code.unwrap_or_else(|| panic!("{to:?}: {text:?} is no reply")),
            lines,
            to: to.to_owned(),
        }
    }
}

/// One reply, its lines without their ends.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub lines: Vec<String>,
    to: String,
}

impl Reply {
    #[track_caller]
    pub fn expect(self, code: u16) -> Self {
        self.expect_one_of(&[code])
    }

    #[track_caller]
    pub fn expect_one_of(self, codes: &[u16]) -> Self {
        let Self { code, lines, to } = &self;
        assert!(codes.contains(code), "{to:?}: {codes:?}, not {lines:?}");
        self
    }

    /// Asserts a part of the text, in whatever case.
    #[track_caller]
    pub fn saying(self, part: &str) -> Self {
        let text = self.lines.join("\n").to_lowercase();
        let Self { lines, to, .. } = &self;
        let said = text.contains(&part.to_lowercase());
        assert!(said, "{to:?}: no {part:?} in {lines:?}");
        self
    }

    /// The last line without the code.
    pub fn text(&self) -> &str {
        &self.lines.last().unwrap()[4..]
    }
}
