//! The handshake, and how the account at the database proves who it is.

use super::packet::{self, Packets};
use crate::wire::{Error, Question, Reader, Stream, legible};
use sha1::Sha1;
use sha2::{Digest, Sha256};

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";

const LONG_PASSWORD: u32 = 0x1;
const WITH_DATABASE: u32 = 0x8;
const PROTOCOL_41: u32 = 0x200;
const TLS: u32 = 0x800;
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x8_0000;

/// `utf8mb4_general_ci`, which all versions have.
const UTF8: u8 = 45;

/// Packets that a login has at most.
const STEPS: u8 = 8;

/// The first packet of a server.
#[derive(Debug)]
pub struct Greeting {
    capabilities: u32,
    salt: Vec<u8>,
    plugin: String,
}

impl Greeting {
    /// Reads it.
    pub fn read(packet: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(packet, "the greeting");
        if reader.byte()? != 10 {
            return Err(reader.nonsense());
        }
        // The version and the connection's number.
        reader.terminated()?;
        reader.take(4)?;
        let mut salt = reader.take(8)?.to_vec();
        reader.take(1)?;
        let low = u16::from_le_bytes(reader.array()?);
        // Character set and status.
        reader.take(3)?;
        let high = u16::from_le_bytes(reader.array()?);
        let capabilities = u32::from(high) << 16 | u32::from(low);
        reader.take(11)?;
        if capabilities & PROTOCOL_41 == 0 || capabilities & SECURE_CONNECTION == 0 {
            return Err(reader.nonsense());
        }
        // The other twelve bytes, and a zero.
        let [rest @ .., _]: [u8; 13] = reader.array()?;
        salt.extend(rest);
        let plugin = match reader.rest() {
            [] => NATIVE.to_owned(),
            rest => legible(rest.split(|byte| *byte == 0).next().unwrap_or_default()),
        };
        Ok(Self {
            capabilities,
            salt,
            plugin,
        })
    }

    /// Whether it offers TLS.
    pub fn has_tls(&self) -> bool {
        self.capabilities & TLS != 0
    }
}

/// Asks for TLS.
pub fn ssl_request() -> Vec<u8> {
    head(true)
}

fn head(encrypted: bool) -> Vec<u8> {
    let tls = if encrypted { TLS } else { 0 };
    let capabilities =
        LONG_PASSWORD | WITH_DATABASE | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | tls;
    let mut head = capabilities.to_le_bytes().to_vec();
    head.extend(0x0100_0000_u32.to_le_bytes());
    head.push(UTF8);
    head.extend([0; 23]);
    head
}

/// Proves who asks, as the server wants it proven.
pub fn authenticate(
    packets: &mut Packets<impl Stream>,
    greeting: &Greeting,
    question: &Question,
) -> Result<(), Error> {
    let mut plugin = greeting.plugin.clone();
    // Of another one the server is told that it is not known; it then names the user's.
    let answer = answer(&plugin, question.password, &greeting.salt);
    let answer = answer.unwrap_or_else(|| {
        plugin = NATIVE.to_owned();
        Vec::new()
    });
    packets.write(&response(question, &plugin, &answer))?;

    let doing = format!("user {:?}", question.user);
    for _ in 0..STEPS {
        let packet = packets.read()?;
        if let Some(error) = packet::error(&doing, &packet) {
            return Err(error);
        }
        match packet.as_slice() {
            [0x00, ..] => return Ok(()),
            // The user has another one.
            [0xfe, rest @ ..] if !rest.is_empty() => {
                let mut reader = Reader::new(rest, "the authentication");
                plugin = reader.text()?;
                let salt = reader.rest();
                let salt = salt.strip_suffix(&[0]).unwrap_or(salt);
                let answer = self::answer(&plugin, question.password, salt);
                packets.write(&answer.ok_or_else(|| unknown(&plugin))?)?;
            }
            // It has the digest in its cache, and says that it fits.
            [0x01, 0x03] if plugin == CACHING => {}
            [0x01, 0x04] if plugin == CACHING && question.encrypted => {
                packets.write(&terminated(question.password))?;
            }
            [0x01, 0x04] if plugin == CACHING => {
                return Err(Error::Settings(
                    "it wants the password in the clear, which goes over TLS alone: leave out \
                     tls = false"
                        .into(),
                ));
            }
            _ => return Err(Error::Nonsense("the authentication")),
        }
    }
    Err(Error::Nonsense("the authentication does not end"))
}

fn unknown(plugin: &str) -> Error {
    let plugin: String = plugin.chars().take(64).collect();
    Error::Settings(format!(
        "it wants {plugin:?} of the account: give it {CACHING} or {NATIVE}"
    ))
}

fn response(question: &Question, plugin: &str, answer: &[u8]) -> Vec<u8> {
    let mut response = head(question.encrypted);
    response.extend(terminated(question.user));
    // At most 32 bytes.
    response.push(u8::try_from(answer.len()).unwrap_or(0));
    response.extend_from_slice(answer);
    response.extend(terminated(question.database));
    response.extend(terminated(plugin));
    response
}

/// Text, and a zero behind it. Settings have none within it.
fn terminated(text: &str) -> Vec<u8> {
    text.bytes().filter(|byte| *byte != 0).chain([0]).collect()
}

/// The proof that a plugin wants to see; none for one that is not known.
fn answer(plugin: &str, password: &str, salt: &[u8]) -> Option<Vec<u8>> {
    let password = password.as_bytes();
    match plugin {
        NATIVE | CACHING if password.is_empty() => Some(Vec::new()),
        NATIVE => {
            let once = Sha1::digest(password);
            let twice = Sha1::digest(once);
            let mask = Sha1::new().chain_update(salt).chain_update(twice);
            Some(masked(&once, &mask.finalize()))
        }
        CACHING => {
            let once = Sha256::digest(password);
            let twice = Sha256::digest(once);
            let mask = Sha256::new().chain_update(twice).chain_update(salt);
            Some(masked(&once, &mask.finalize()))
        }
        _ => None,
    }
}

fn masked(digest: &[u8], mask: &[u8]) -> Vec<u8> {
    digest.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// As a server verifies it: the mask is made of what it keeps.
    #[test]
    fn answers_fit_what_a_server_keeps() {
        let salt = b"01234567890123456789";
        let native = answer(NATIVE, "secret", salt).unwrap();
        let kept = Sha1::digest(Sha1::digest(b"secret"));
        // As SELECT PASSWORD('secret') shows it.
        assert_eq!(
            HEXLOWER.encode(&kept),
            "14e65567abdb5135d0cfd9a70b3032c179a49ee7"
        );
        let mask = Sha1::new().chain_update(salt).chain_update(kept).finalize();
        assert_eq!(Sha1::digest(masked(&native, &mask)), kept);

        let caching = answer(CACHING, "secret", salt).unwrap();
        let kept = Sha256::digest(Sha256::digest(b"secret"));
        let mask = Sha256::new().chain_update(kept).chain_update(salt);
        let once = masked(&caching, &mask.finalize());
        assert_eq!(Sha256::digest(once), kept);
        assert_eq!(answer(NATIVE, "", salt).unwrap(), b"");
        assert!(answer("client_ed25519", "secret", salt).is_none());
    }
}
