//! A file of networks that are not let in.

use std::{
    collections::HashSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;

use super::list::prefixes;
use crate::config::{Stamp, regular};

/// Its networks, and the state of the file that they were read from.
#[derive(Clone, Debug, Default)]
pub struct Denied {
    networks: Arc<HashSet<IpNet>>,
    file: Option<(PathBuf, Stamp)>,
}

impl Denied {
    /// Reads the file; without one no network is denied.
    ///
    /// # Errors
    /// For people, with the file and the line.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, String> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let stamp = Stamp::of(file);
        let text =
            regular::read_text(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let networks =
            parse(&text).map_err(|(line, text)| format!("{}:{line}: {text}", file.display()))?;
        Ok(Self {
            networks: Arc::new(networks),
            file: Some((file.to_owned(), stamp)),
        })
    }

    /// The file that it was read from.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(file, _)| file.as_path())
    }

    /// The narrowest network that an address is denied with.
    pub(super) fn covering(&self, address: IpAddr) -> Option<IpNet> {
        if self.networks.is_empty() {
            return None;
        }
        prefixes(address).find(|network| self.networks.contains(network))
    }

    /// The same read again, if the file has changed. One that will not do leaves what there is in force,
    /// and the log says so.
    pub(super) fn renewed(&self) -> Option<Self> {
        let (file, stamp) = self.file.as_ref()?;
        if stamp.still_holds(file) {
            return None;
        }
        match Self::read(Some(file)) {
            Ok(new) => {
                if new.networks != self.networks {
                    let networks = new.networks.len();
                    tracing::info!(file = %file.display(), networks, "the deny file was read again");
                }
                Some(new)
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "the deny file will not do, and what it said before is in force"
                );
                // Not again until it changes.
                Some(Self {
                    networks: self.networks.clone(),
                    file: Some((file.clone(), Stamp::of(file))),
                })
            }
        }
    }
}

/// The networks, or the number of the line that is none, and what is wrong with it.
fn parse(text: &str) -> Result<HashSet<IpNet>, (usize, String)> {
    let mut networks = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let network = line
            .parse::<IpNet>()
            .or_else(|_| line.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| {
            let text = format!("{line:?} is no address and no network such as 192.0.2.0/24");
            (number + 1, text)
        })?;
        networks.insert(network.trunc());
    }
    Ok(networks)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read_and_faults_have_a_line() {
        let text = "# all\n192.0.2.7/24 # of a kind\n\n 2001:db8::1\n";
        let networks = parse(text).unwrap();
        assert_eq!(networks.len(), 2);
        assert!(networks.contains(&"192.0.2.0/24".parse().unwrap()));
        assert!(networks.contains(&"2001:db8::1/128".parse().unwrap()));
        let (line, text) = parse("192.0.2.1\nexample.org\n").unwrap_err();
        assert_eq!(line, 2);
        assert!(text.contains("\"example.org\""), "{text}");
    }
}
