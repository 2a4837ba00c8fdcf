//! The first start: a server that nobody has set up makes what it needs, and tells of it.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    files, output,
    users_file::{self, NewUser},
};
use zeroize::Zeroizing;

use crate::{
    acme::store::Store,
    config::{Challenge, Config, Loaded, Problem},
    ftp::secret::Secret,
    passwords,
    server::{Listening, TlsStart},
    startup::Startup,
    tls::self_signed,
};

/// The name of the first user.
const USER: &str = "portcullis";
/// Where its password is kept, in the state directory.
const FIRST_USER: &str = "first-user.txt";

/// The files and the password that were found or made, for [`announce`].
#[derive(Clone, Debug)]
pub struct Info {
    /// The certificate that clients see.
    pub certificate: PathBuf,
    /// Whether the server made it.
    pub self_signed: bool,
    /// The file of users, if the configuration has one.
    pub users: Option<PathBuf>,
    /// The directory of the storage that users have unless they name another.
    pub files: Option<PathBuf>,
    /// Where the first user's password is kept, if it still is.
    pub first_user: Option<PathBuf>,
    /// The first user's password, if it was made just now.
    pub password: Option<Secret>,
}

/// Makes what is missing: the state directory, a certificate if the configuration names none, a
/// user if the file of users is in the state directory and not there. Afterwards the configuration
/// names a certificate. Called again, it finds what it has made, so a reload calls it, too. A trial
/// makes it elsewhere, and tries whether it could be made here.
///
/// # Errors
/// The thing that cannot be made, with its place in the configuration.
pub fn prepare(loaded: &mut Loaded, startup: &Startup) -> Result<Info, Problem> {
    let state = loaded.config.server.state.clone();
    make_directory(loaded, startup, "server.state", &state)?;

    let acme = loaded.config.acme.is_used();
    if acme {
        acme_files(loaded, startup)?;
    }
    let self_signed = loaded.config.tls.certificate.is_empty();
    if acme {
        // Until the authority gives one: it is replaced in its place.
        let directory = Store::of(&state).directory().to_owned();
        let (certificate, key) = certificate(loaded, startup, &directory)?;
        loaded.config.tls.certificate.insert(0, certificate);
        loaded.config.tls.key.insert(0, key);
    } else if self_signed {
        let directory = state.join(self_signed::DIRECTORY);
        let (certificate, key) = certificate(loaded, startup, &directory)?;
        loaded.config.tls.certificate = vec![certificate];
        loaded.config.tls.key = vec![key];
    }

    let password = match missing_users(&loaded.config) {
        Some(users) => users_of_first_start(loaded, startup, &users)?,
        None => None,
    };
    let config = &loaded.config;
    let kept = state.join(FIRST_USER);
    let storage = config
        .storage
        .get("default")
        .or_else(|| config.storage.values().next());
    Ok(Info {
        certificate: config.tls.certificate.first().cloned().unwrap_or_default(),
        self_signed: self_signed && !acme,
        users: users_file::path(&config.hosts().0, &state).ok(),
        files: storage.map(|storage| storage.root.clone()),
        first_user: kept.exists().then_some(kept),
        password,
    })
}

fn make_directory(
    loaded: &Loaded,
    startup: &Startup,
    key: &str,
    directory: &Path,
) -> Result<(), Problem> {
    startup
        .make_directory(directory, 0o700, true)
        .map_err(|error| loaded.problem(key, files::failed(directory, "made", &error)))
}

/// The directories of ACME.
fn acme_files(loaded: &Loaded, startup: &Startup) -> Result<(), Problem> {
    let store = Store::of(&loaded.config.server.state);
    make_directory(loaded, startup, "acme.names", store.directory())?;
    let acme = &loaded.config.acme;
    if acme.challenge == Challenge::Dns01 {
        make_directory(loaded, startup, "acme.dns-directory", &acme.dns_directory)?;
    }
    Ok(())
}

/// The certificate and the key of a configuration that names none.
fn certificate(
    loaded: &Loaded,
    startup: &Startup,
    directory: &Path,
) -> Result<(PathBuf, PathBuf), Problem> {
    const KEY: &str = "tls.certificate";
    let problem = |error| {
        loaded.problem(
            KEY,
            format!("no certificate is named, and none can be made: {error}"),
        )
    };
    let mut place = directory.to_owned();
    if !self_signed::is_there(directory) {
        make_directory(loaded, startup, KEY, directory)?;
        let file = directory.join(self_signed::CERTIFICATE);
        startup
            .try_to_make(&file)
            .map_err(|error| problem(files::failed(&file, "made", &error)))?;
        if let Some(aside) = startup.aside() {
            place = aside.join(self_signed::DIRECTORY);
        }
    }
    let listeners = loaded.config.listeners();
    let addresses: Vec<IpAddr> = listeners.map(|one| one.address.ip()).collect();
    self_signed::ensure_for(&place, &addresses).map_err(|error| problem(error.to_string()))
}

/// The file of users, if the first start is to make it.
pub(super) fn missing_users(config: &Config) -> Option<PathBuf> {
    let users = users_file::path(&config.hosts().0, &config.server.state).ok()?;
    (users.starts_with(&config.server.state) && !users.exists()).then_some(users)
}

/// Makes the file of users with the first of them; says the password.
fn users_of_first_start(
    loaded: &mut Loaded,
    startup: &Startup,
    users: &Path,
) -> Result<Option<Secret>, Problem> {
    const KEY: &str = "plugin";
    let state = loaded.config.server.state.clone();
    if let Some(directory) = users.parent() {
        make_directory(loaded, startup, KEY, directory)?;
    }
    for path in [users, &state.join(FIRST_USER)] {
        startup
            .try_to_make(path)
            .map_err(|error| loaded.problem(KEY, files::failed(path, "made", &error)))?;
    }
    if let Some(aside) = startup.aside() {
        let empty = aside.join("users.toml");
        files::replace(&empty, b"").map_err(|error| loaded.problem(KEY, error))?;
        users_file::set_path(&mut loaded.config, &empty);
        return Ok(None);
    }
    first_user(&state, users).map_err(|error| loaded.problem(KEY, error))
}

/// Makes the first user. The password is kept before the user is, so that none is ever lost.
fn first_user(state: &Path, users: &Path) -> Result<Option<Secret>, String> {
    let password = Secret::new(passwords::random());
    if password.expose().is_empty() {
        return Err("the system has no random numbers".to_owned());
    }
    let hash = passwords::hash(password.expose())?;
    let mut made = false;
    users_file::edit(users, |document| {
        // Another server may have been quicker.
        if !users.exists() {
            files::replace(&state.join(FIRST_USER), noted(&password, None).as_bytes())?;
            let (name, home) = (USER.to_owned(), format!("/{USER}"));
            document.add(&NewUser {
                name,
                home: Some(home),
                hash: Some(hash),
                ..NewUser::default()
            });
            made = true;
        }
        Ok(())
    })?;
    Ok(made.then_some(password))
}

/// The text of the file that keeps the first user's password.
fn noted(password: &Secret, curl: Option<&str>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!(
        "The first user of this server. Remove this file when you have taken note, or the user by\n\
         `portcullis user remove {USER}`.\n\n\
         user      {USER}\n\
         password  {}\n",
        password.expose()
    ));
    if let Some(curl) = curl {
        let _ = write!(text, "\n{curl}\n");
    }
    text
}

/// Tells on standard output where the server listens and where its things are; after the first
/// start, the password and a command to try it with; the password is then forgotten.
pub fn announce(info: Info, listening: &[Listening]) {
    output::print(&Zeroizing::new(text(&info, listening)));
    drop(info);
}

/// After the first start, keeps the command beside the password.
pub fn note(info: &Info, listening: &[Listening]) {
    if let (Some(path), Some(password)) = (&info.first_user, &info.password) {
        let curl = curl(info, listening, password.expose()).map(Zeroizing::new);
        let curl = curl.as_ref().map(|curl| curl.as_str());
        if let Err(error) = files::replace(path, noted(password, curl).as_bytes()) {
            tracing::warn!(
                error,
                "the first user's file has no command to try the server with"
            );
        }
    }
}

fn text(info: &Info, listening: &[Listening]) -> String {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |what: &str, value: String| rows.push([String::new(), what.to_owned(), value]);
    for Listening { address, kind } in listening {
        match kind {
            TlsStart::Explicit => row("explicit FTPS", format!("ftp://{address}")),
            TlsStart::Implicit => row("implicit FTPS", format!("ftps://{address}")),
        }
    }
    match (&info.password, &info.first_user) {
        (Some(password), kept) => {
            row("user", USER.to_owned());
            row("password", password.expose().to_owned());
            kept.iter()
                .for_each(|path| row("kept in", files::short(path)));
        }
        (None, Some(path)) => row("first user", files::short(path)),
        (None, None) => {}
    }
    info.files
        .iter()
        .for_each(|path| row("files", files::short(path)));
    info.users
        .iter()
        .for_each(|path| row("users", files::short(path)));
    let made = if info.self_signed {
        " (self-signed)"
    } else {
        ""
    };
    row("certificate", files::short(&info.certificate) + made);

    let mut text = format!(
        "{}\n\n{}\n",
        output::bold("Portcullis is ready."),
        output::table(&rows)
    );
    let curl = info
        .password
        .as_ref()
        .and_then(|secret| curl(info, listening, secret.expose()));
    if let Some(curl) = curl {
        let _ = write!(text, "Try it:\n\n  {curl}\n\n");
    }
    text
}

/// A command that uploads a file, or lists if there is none at hand.
fn curl(info: &Info, listening: &[Listening], password: &str) -> Option<String> {
    let explicit = listening
        .iter()
        .find(|listening| listening.kind == TlsStart::Explicit);
    let Listening { address, kind } = explicit.or(listening.first())?;
    let (scheme, flag) = match kind {
        TlsStart::Explicit => ("ftp", " --ssl-reqd"),
        TlsStart::Implicit => ("ftps", ""),
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let (host, trust) = if info.self_signed {
        let certificate = files::for_shell(&info.certificate);
        (
            SocketAddr::new(ip, address.port()).to_string(),
            format!(" --cacert {certificate}"),
        )
    } else {
        (format!("HOST:{}", address.port()), String::new())
    };
    let upload = if Path::new("README.md").is_file() {
        " -T README.md"
    } else {
        ""
    };
    let globs = if host.starts_with('[') { " -g" } else { "" };
    Some(format!(
        "curl{globs}{flag}{trust} -u {USER}:{password}{upload} {scheme}://{host}/"
    ))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unreachable, clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn listening() -> [Listening; 2] {
        [
            ("[::]:2990", TlsStart::Implicit),
            ("0.0.0.0:2121", TlsStart::Explicit),
        ]
        .map(|(address, kind)| Listening {
            address: address.parse().unwrap(),
            kind,
        })
    }

    fn loaded(state: &Path) -> Loaded {
        let mut config = Config::default();
        config.server.state = state.to_owned();
        config.into()
    }

    #[test]
    fn the_first_start_makes_what_later_ones_find() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("var");
        let mut first = loaded(&state);
        let info = prepare(&mut first, &Startup::real()).unwrap();
        let password = info.password.clone().unwrap();
        note(&info, &listening());
        assert_eq!(
            first.config.tls.certificate,
            [state.join("tls/certificate.pem")]
        );
        assert_eq!(first.config.tls.key, [state.join("tls/key.pem")]);
        let mode =
            |path: &str| fs::metadata(state.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("."), mode("users.toml"), mode(FIRST_USER)),
            (0o700, 0o600, 0o600)
        );

        let users = users_file::read(&state.join("users.toml")).unwrap();
        let user = users.get(USER).unwrap();
        assert_eq!(user.get("home").unwrap(), "/portcullis");
        let hash = user.get("password").unwrap().as_str().unwrap();
        assert_eq!(passwords::verify(password.expose(), hash), Ok(true));

        let said = text(&info, &listening());
        let kept = fs::read_to_string(state.join(FIRST_USER)).unwrap();
        for text in [&said, &kept] {
            assert!(text.contains(password.expose()), "{text}");
            assert!(text.contains("curl --ssl-reqd --cacert "), "{text}");
            assert!(text.contains(" ftp://127.0.0.1:2121/\n"), "{text}");
        }
        assert!(said.contains("ftps://[::]:2990"), "{said}");

        let before = fs::read(state.join("users.toml")).unwrap();
        let again = prepare(&mut loaded(&state), &Startup::real()).unwrap();
        assert!(again.password.is_none());
        let said = text(&again, &listening());
        assert!(
            !said.contains(password.expose()) && !said.contains("curl"),
            "{said}"
        );
        assert!(
            said.contains(FIRST_USER) && said.contains("users.toml"),
            "{said}"
        );
        assert_eq!(fs::read(state.join("users.toml")).unwrap(), before);
        assert_eq!(fs::read_to_string(state.join(FIRST_USER)).unwrap(), kept);
    }

    #[test]
    fn what_the_operator_brings_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let mut own = loaded(&directory.path().join("var"));
        own.config.tls.certificate = vec!["/etc/cert.pem".into()];
        own.config.tls.key = vec!["/etc/key.pem".into()];
        let users = directory.path().join("elsewhere.toml");
        let setting = toml::Table::from_iter([("file".to_owned(), users.to_str().unwrap().into())]);
        own.config.plugin[0]
            .settings
            .insert("users".to_owned(), setting.into());
        let info = prepare(&mut own, &Startup::real()).unwrap();
        assert!(info.password.is_none() && info.first_user.is_none() && !info.self_signed);
        assert!(!users.exists());
        assert!(!directory.path().join("var/tls").exists());
        assert!(text(&info, &listening()).contains("/etc/cert.pem\n"));
    }

    #[test]
    fn the_command_fits_the_listeners() {
        let directory = tempfile::tempdir().unwrap();
        let mut info = prepare(&mut loaded(directory.path()), &Startup::real()).unwrap();
        let implicit = &listening()[..1];
        let line = curl(&info, implicit, "pw").unwrap();
        assert!(line.starts_with("curl -g --cacert "), "{line}");
        assert!(line.ends_with(" ftps://[::1]:2990/"), "{line}");
        assert_eq!(curl(&info, &[], "pw"), None);
        info.self_signed = false;
        let line = curl(&info, &listening(), "pw").unwrap();
        assert!(
            line.starts_with("curl --ssl-reqd -u portcullis:pw"),
            "{line}"
        );
        assert!(line.ends_with(" ftp://HOST:2121/"), "{line}");
    }
}
